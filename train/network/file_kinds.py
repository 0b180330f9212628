"""What a file is that was given for weights and has none: its kind by its first bytes, and what would do instead."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

START = 512  # bytes that decide
STATE = "Save the network's weights alone: torch.save(model.state_dict(), 'weights.pth')."
AGAIN = "Download it again."


class Kind(NamedTuple):
    """What a file is, in words, and what would do instead of it."""

    what: str
    remedy: str


MAGIC = (
    (b"\x93NUMPY", Kind("an array of NumPy (.npy)", STATE)),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, as features or weights of Keras", STATE)),
    (b"MATLAB 5.0", Kind("a MATLAB file, as features", STATE)),
    (b"version https://git-lfs", Kind("a pointer of Git LFS, not the file itself", "Fetch the file: git lfs pull.")),
    (b"\x1f\x8b", Kind("a gzip archive", "Unpack it, and name the file in it.")),
    (b"7z\xbc\xaf", Kind("a 7z archive", "Unpack it, and name the file in it.")),
    (b"Rar!", Kind("a RAR archive", "Unpack it, and name the file in it.")),
    (b"\xff\xd8\xff", Kind("a JPEG image", AGAIN)),
    (b"\x89PNG", Kind("a PNG image", AGAIN)),
    (b"%PDF", Kind("a PDF document", AGAIN)),
)
SUFFIXES = {
    ".onnx": Kind("a graph of ONNX", "Name the file that it was exported from."),
    ".tflite": Kind("a graph of TensorFlow Lite", "Name the file that it was converted from, in PyTorch."),
    ".engine": Kind("an engine of TensorRT", "Name the file that it was made from, in PyTorch."),
}
OLDEST = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the number that torch.save's files from before ZIP begin with
PICKLE = re.compile(rb"\x80[\x02-\x05]")
EMPTY = Kind("empty", AGAIN)
PAGE = Kind("a web page, as a download gives where a login or a confirmation is asked for", AGAIN)
TEXT = Kind("text", "Name the file of the weights.")
PLAIN_PICKLE = Kind("a pickle that torch.save did not write, as detectron2's .pkl; no code in it was run", STATE)
TRUNCATED = Kind("a truncated ZIP archive, as of torch.save", AGAIN)
PROGRAM = Kind("an exported program (.pt2)", "Name the model.pt that it was exported from.")
ARRAYS = Kind("arrays of NumPy (.npz), as features", STATE)
ARCHIVE = Kind("a ZIP archive without weights of torch.save", "Unpack it, and name the file in it.")
UNKNOWN = Kind("damaged, or of an unknown kind", f"{AGAIN[:-1]}, or name another file.")


def kind_of(path: Path) -> Kind | None:
    """Return what a file is that is no weights; None for one of torch.save, whole or in its oldest format.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(START)
    if not start:
        return EMPTY
    if found := next((kind for magic, kind in MAGIC if start.startswith(magic)), None):
        return found
    if start.startswith(b"PK"):
        return _of_archive(path)
    if found := SUFFIXES.get(path.suffix.lower()):
        return found
    if PICKLE.match(start):
        return None if OLDEST in start[:64] else PLAIN_PICKLE
    if start.lstrip()[:1] == b"<":
        return PAGE
    return TEXT if _is_text(start) else UNKNOWN


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do, whatever its suffix: the length of a header in JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def class_in(error: BaseException) -> str:
    """Return the class that torch refused to unpickle, as "torchvision.models.resnet.ResNet"; "" for other errors."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found[1] if found else ""


def _of_archive(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return TRUNCATED
    if any(
        name.endswith(("/archive_format", "serialized_exported_program.json", "models/model.json")) for name in names
    ):
        return PROGRAM
    if any(name.endswith("data.pkl") for name in names):
        return None
    return ARRAYS if names and all(name.endswith(".npy") for name in names) else ARCHIVE


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # not the end of a character that was cut
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)


def listed(content: object) -> str:
    """Return what a value of a file is, in words: "a list", or "a dictionary of epoch, results and 3 more"."""
    if not isinstance(content, dict):
        return f"a value of type {type(content).__name__}"
    names = [str(name)[:40] for name in content]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"a dictionary of {', '.join(names[:4])}{more}" if names else "an empty dictionary"
