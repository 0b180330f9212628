"""The decoder: every form against another decoder, and what is refused before or after decoding."""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dsa_reid.decoding.decode import decode, rgb, turned
from dsa_reid.decoding.limits import LIMIT, DecodeError, pixel_limit
from dsa_reid.decoding.tiff import orientation_in
from image_forms import CASES, FORMS, ORIENTATIONS, SMOOTH, encoded, exif, png_chunk

JPEG, PNG, WEBP, BMP, TIFF = (FORMS[name].file() for name in ("jpeg", "png RGB", "webp", "bmp RGB", "tiff RGB raw"))


@pytest.mark.parametrize(("name", "orientation"), CASES)
def test_every_form_as_another_decoder_reads_it(name: str, orientation: int) -> None:
    form = FORMS[name]
    for data in (form.file(orientation), bytearray(form.file(orientation)), memoryview(form.file(orientation))):
        np.testing.assert_array_equal(decode(data), form.pixels(orientation))


def test_turned_by_hand() -> None:
    """A letter F, whose first row is its top: CIPA DC-008, 4.6.5, figure of the eight orientations."""
    stored = {
        1: ["11", "10", "11", "10"],
        2: ["11", "01", "11", "01"],
        3: ["01", "11", "01", "11"],
        4: ["10", "11", "10", "11"],
        5: ["1111", "1010"],
        6: ["1010", "1111"],
        7: ["0101", "1111"],
        8: ["1111", "0101"],
    }
    for orientation, rows in stored.items():
        pixels = np.array([[int(c)] * 3 for row in rows for c in row], np.uint8).reshape(len(rows), -1, 3)
        assert turned(pixels, orientation)[..., 0].tolist() == [[1, 1], [1, 0], [1, 1], [1, 0]], orientation


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_in_an_exif_block(order: str) -> None:
    for orientation in ORIENTATIONS:
        block = exif(orientation, order)
        assert orientation_in(block) == orientation_in(b"Exif\0\0" + block) == orientation
    for strange in (exif(9, order), exif(0, order), exif(6, order)[:20], b"", b"II*\0\xff\xff\xff\xff", bytes(40)):
        assert orientation_in(strange) == 1


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.fromarray(np.full((5, 4, 3), n, np.uint8)) for n in (10, 200)]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode(data).tolist() == np.full((5, 4, 3), 10).tolist()


def test_of_a_tiff_the_first_page() -> None:
    pages = [Image.fromarray(np.full((5, 4, 3), n, np.uint8)) for n in (10, 200)]
    assert (decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])) == 10).all()


def test_the_result_is_the_callers_own() -> None:
    pixels = decode(BMP)
    pixels[:] = 7
    assert (decode(BMP) != 7).any()
    assert pixels.flags.c_contiguous


def written(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    return encoded(pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), kind, **options)


def png_header(bits: int, kind: int) -> bytes:
    return PNG[:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, bits, kind, 0, 0, 0)) + PNG[33:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an image", "it is not a JPEG, PNG, WebP, BMP or uncompressed TIFF file"),
        *((written(SMOOTH, kind), "it is not a JPEG") for kind in ("GIF", "PPM", "ICO", "JPEG2000", "TGA", "PCX")),
        (written(SMOOTH, "TIFF", compression="tiff_lzw"), "a TIFF with compression 5"),
        (written(SMOOTH, "TIFF", compression="jpeg"), "a TIFF with compression 7"),
        (written(Image.fromarray(SMOOTH).convert("CMYK"), "TIFF"), "a TIFF with colours of kind 5"),
        (written(np.zeros((4, 4), np.float32), "TIFF"), "a TIFF with pixels that are not whole numbers"),
        (written(np.zeros((4, 4), np.int32), "TIFF"), "a TIFF with pixels that are not whole numbers"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xc9"), "a JPEG of a rare kind"),
        (JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "a JPEG of a rare kind"),
        (PNG[:29] + b"\0\0\0\0" + PNG[33:], "a checksum is wrong"),
        (png_header(3, 2), "a form that does not exist"),
        (png_header(8, 5), "a form that does not exist"),
        (PNG[:33] + png_chunk(b"CgBI", b"") + PNG[33:], "a chunk is not known"),
        (BMP[:30] + struct.pack("<I", 1) + BMP[34:], "a BMP of 24 bits with compression 1"),
        (b"RIFF\x0c\0\0\0WEBPVP9 \0\0\0\0", "it states no size"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as error:
        decode(data)
    assert "\n" not in str(error.value)


def sized(kind: str, width: int, height: int) -> bytes:
    """A file of a few bytes whose header states a size."""
    if kind == "JPEG":
        start = JPEG.index(b"\xff\xc0") + 5
        return JPEG[:start] + struct.pack(">HH", height, width) + JPEG[start + 4 :]
    if kind == "PNG":
        return PNG[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + PNG[24:29]) + PNG[33:]
    if kind == "BMP":
        return BMP[:18] + struct.pack("<ii", width, height) + BMP[26:]
    if kind == "WEBP":
        start = WEBP.index(b"\x9d\x01\x2a") + 3
        return WEBP[:start] + struct.pack("<HH", width, height) + WEBP[start + 4 :]
    data = bytearray(TIFF)
    (at,) = struct.unpack_from("<I", data, 4)
    for n in range(struct.unpack_from("<H", data, at)[0]):
        place = at + 2 + 12 * n
        tag = struct.unpack_from("<H", data, place)[0]
        if tag in (256, 257, 278):
            struct.pack_into("<HII", data, place + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_size_above_the_limit_is_refused_by_the_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DecodeError, match=r"it has 16000 x 16000 pixels, more than the limit of 64,000,000.*=256000000"
    ):
        decode(sized(kind, 16000, 16000))
    monkeypatch.setenv("DSA_MAX_PIXELS", str(SMOOTH.size // 3 - 1))
    with pytest.raises(DecodeError, match=r"21 x 43 pixels, more than the limit of 902"):
        decode({"JPEG": JPEG, "PNG": PNG, "WEBP": WEBP, "BMP": BMP, "TIFF": TIFF}[kind])
    monkeypatch.setenv("DSA_MAX_PIXELS", str(SMOOTH.size // 3))
    assert decode({"JPEG": JPEG, "PNG": PNG, "WEBP": WEBP, "BMP": BMP, "TIFF": TIFF}[kind]).shape == SMOOTH.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_header_that_states_more_than_the_file_holds(kind: str) -> None:
    """Within the limit, but not within the file: refused, and without the memory that the size would take."""
    script = (
        "import resource, sys\n"
        "from dsa_reid.decoding.decode import decode\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode(sys.stdin.buffer.read())\n"
        "except ValueError as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=sized(kind, 7900, 7900), capture_output=True, check=True
    )
    reason, grown = done.stdout.decode().splitlines()
    assert "truncated" in reason or "ends early" in reason or "damaged" in reason
    assert int(grown) < (520 if kind == "WEBP" else 60)  # MiB, where the pixels would take 178, WebP's canvases 476


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e6", "", "9" * 19, "²"])
def test_a_limit_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSA_MAX_PIXELS", text)
    with pytest.raises(DecodeError, match=r"\$DSA_MAX_PIXELS is .*expected a number of pixels"):
        decode(PNG)


def test_the_limit_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DSA_MAX_PIXELS", raising=False)
    assert pixel_limit() == LIMIT == 64_000_000


CUT = ["jpeg", "jpeg progressive", "jpeg grey", "png RGB", "png 16 RGB", "webp", "webp lossless", "bmp RGB"]
CUT += ["tiff RGB raw", "tiff RGB packbits"]


@pytest.mark.parametrize("name", CUT)
def test_cut_short_anywhere_is_refused(name: str) -> None:
    data = FORMS[name].file()
    whole = decode(data)
    for end in range(0, len(data), max(1, len(data) // 150)):
        try:
            pixels = decode(data[:end])
        except DecodeError:
            continue
        assert name.startswith("tiff"), "only a TIFF may have something behind its pixels"
        np.testing.assert_array_equal(pixels, whole)


def ended(name: str) -> Iterator[bytes]:
    """JPEGs that are cut, and then given an end mark."""
    data = FORMS[name].file()
    for end in range(data.index(b"\xff\xda") + 14, len(data) - 2):
        yield data[: end - 1 if data[end - 1] == 0xFF else end] + b"\xff\xd9"


@pytest.mark.parametrize("name", ["jpeg", "jpeg 4:4:4", "jpeg progressive", "jpeg restarts", "jpeg grey"])
def test_a_jpeg_that_ends_early_with_an_end_mark(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole, reasons = decode(FORMS[name].file()), set()
    for data in ended(name):
        try:
            np.testing.assert_array_equal(decode(data), whole)  # the last byte may hold nothing but padding
        except DecodeError as error:
            reasons.add(str(error).split(":")[0].split(" (")[0])
    assert reasons <= {"it is truncated", "it ends early", "it ends early or is damaged", "it is truncated or damaged"}
    assert capfd.readouterr() == ("", "")


def test_a_progressive_jpeg_without_its_last_scans() -> None:
    data = FORMS["jpeg progressive"].file()
    scans = [n for n in range(len(data) - 1) if data[n : n + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans[1:]:
        start = data.rfind(b"\xff\xc4", 0, scan) if b"\xff\xc4" in data[scans[0] : scan] else scan
        with pytest.raises(DecodeError, match="ends early"):
            decode(data[:start] + b"\xff\xd9")


def test_an_end_mark_of_another_image_behind() -> None:
    """As cameras append a preview: the first image must be whole by itself."""
    assert (decode(JPEG + JPEG) == decode(JPEG)).all()
    half = JPEG[: len(JPEG) * 3 // 4].rstrip(b"\xff")
    with pytest.raises(DecodeError):
        decode(half + JPEG)
    with pytest.raises(DecodeError):
        decode(half + b"\xff\xd9" + JPEG)


def test_a_png_whose_pixels_do_not_fill_its_size() -> None:
    """Each with right checksums; Pillow reads the first as black rows."""
    rows = b"".join(b"\0" + row.tobytes() for row in SMOOTH)

    def png(pixels: bytes) -> bytes:
        return PNG[:33] + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")

    assert (decode(png(zlib.compress(rows))) == SMOOTH).all()
    for pixels in (
        zlib.compress(rows[: len(rows) // 2]), zlib.compress(rows + rows), zlib.compress(rows)[:-4], b"", bytes(50)
    ):  # fmt: skip
        with pytest.raises(DecodeError, match=r"truncated or damaged|it is damaged"):
            decode(png(pixels))


def test_interlaced_png() -> None:
    """Adam7, made by hand: Pillow and OpenCV do not write it."""
    height, width = SMOOTH.shape[:2]
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in SMOOTH[y::dy, x::dx])
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    data = PNG[:8] + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(data), SMOOTH)
    tiny = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 2, 8, 2, 0, 0, 1))
    rows = b"".join(b"\0" + row.tobytes() for row in SMOOTH[:2, :1])
    data = PNG[:8] + tiny + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(data), SMOOTH[:2, :1])


def test_bmp_of_16_and_32_bits_by_hand() -> None:
    def bmp(bits: int, compression: int, fields: bytes, words: bytes, height: int = -1) -> bytes:
        header = struct.pack("<IiiHHIIiiII", 40, 2, height, 1, bits, compression, 0, 0, 0, 0, 0) + fields
        return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + words

    red_blue = [[[255, 0, 0], [0, 0, 255]]]
    assert decode(bmp(16, 0, b"", struct.pack("<HH", 0x7C00, 0x1F))).tolist() == red_blue
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    assert decode(bmp(16, 3, masks, struct.pack("<HH", 0xF800, 0x1F))).tolist() == red_blue
    assert decode(bmp(32, 0, b"", struct.pack("<II", 0xFF0000, 0xFF))).tolist() == red_blue
    assert decode(bmp(32, 0, b"", struct.pack("<II", 0xFF0000, 0xFF), 1)).tolist() == red_blue
    with pytest.raises(DecodeError, match="the bit field 0x3ff00000"):
        decode(bmp(32, 3, struct.pack("<III", 0x3FF00000, 0xFFC00, 0x3FF), bytes(8)))


FLAGS = {"LOAD_TRUNCATED_IMAGES": (ImageFile, True), "MAX_IMAGE_PIXELS": (Image, 1)}


@pytest.mark.parametrize("name", FLAGS)
def test_what_a_program_sets_in_pillow_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {form: decode(FORMS[form].file()) for form in FORMS}
    module, value = FLAGS[name]
    monkeypatch.setattr(module, name, value)
    for form, pixels in before.items():
        np.testing.assert_array_equal(decode(FORMS[form].file()), pixels)
    for data in (JPEG[:-40], JPEG[:-40] + b"\xff\xd9", PNG[:-60], WEBP[:-40], BMP[:-40], TIFF[:600]):
        with pytest.raises(DecodeError):
            decode(data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([JPEG, PNG, WEBP, BMP, TIFF, FORMS["jpeg progressive"].file(), FORMS["tiff P packbits"].file()]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_damaged_bytes_are_read_or_refused(data: bytes, changes: list[tuple[int, int]], early: bool) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % (200 if early else len(data))] = value
    try:
        pixels = decode(changed)
    except DecodeError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_pil_images_as_their_files(mode: str) -> None:
    image = Image.fromarray(SMOOTH).convert(mode)
    np.testing.assert_array_equal(rgb(image), np.asarray(image.convert("RGB")))


def test_pil_images_of_16_bits_keep_the_upper_8() -> None:
    grey = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10007
    expected = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, 2)
    np.testing.assert_array_equal(rgb(Image.fromarray(grey)), expected)


@pytest.mark.parametrize("mode", ["I", "F", "LAB", "HSV"])
def test_pil_images_whose_numbers_are_no_colours(mode: str) -> None:
    with pytest.raises(DecodeError, match=f"its pixels are of mode {mode}"):
        rgb(Image.new(mode, (3, 4)))


def test_pil_images_that_are_empty_damaged_or_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DecodeError, match="it has no pixels"):
        rgb(Image.new("RGB", (0, 4)))
    with pytest.raises(DecodeError, match="truncated or damaged"):
        rgb(Image.open(io.BytesIO(JPEG[:-60])))
    monkeypatch.setenv("DSA_MAX_PIXELS", "11")
    with pytest.raises(DecodeError, match="3 x 4 pixels"):
        rgb(Image.new("RGB", (3, 4)))


def test_decoding_needs_no_torch() -> None:
    script = "import sys, dsa_reid.decoding.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, env=dict(os.environ)).returncode == 0
