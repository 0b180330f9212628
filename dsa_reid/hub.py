"""Files of the Hugging Face hub (extra `hub`): from its cache in $HF_HOME, or downloaded, without retries offline."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from .errors import ModelError, NotInstalledError
from .extras import install_command
from .guard import reason

HUB = "hf-hub:"  # prefix of the name of a repository
WEIGHTS = (
    "model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin", "model.pt",
)  # fmt: skip
"""Files that hold a model's weights, in the order in which they are looked for."""

PATIENCE = 5.0  # seconds within which the hub must answer, or it is not asked for files


def fetch_weights(
    name: str, files: Sequence[str] = WEIGHTS, instead: str = "set train.network.weights to its path"
) -> Path:
    """Return the file of weights in a repository of the hub.

    Args:
        name: "OWNER/NAME" or "OWNER/NAME@REVISION".
        files: their names, in the order in which they are looked for.
        instead: what to do with a file that was downloaded elsewhere, for the error.

    Raises ModelError if the repository has none of the files, or cannot be reached.
    """
    problem: Exception = OSError("no file")
    for local, context in ((True, nullcontext()), (False, without_retries())):  # no request for what is in the cache
        with context:
            for file in files:
                try:
                    return _file(name, file, local)
                except ModelError:
                    raise
                except Exception as error:  # of the hub's client, of its HTTP library, or of the system
                    problem = error
    raise ModelError(
        f"hf-hub:{name} could not be read ({reason(problem)}). It needs one of {', '.join(files)}. Download "
        f"it on a machine with a network, to the cache of $HF_HOME, or {instead}."
    )


def fetch_metadata(name: str) -> dict[str, Any]:
    """Return a repository's config.json; empty if it has none, or cannot be reached."""
    for local, context in ((True, nullcontext()), (False, without_retries())):
        with context:
            try:
                content = json.loads(_file(name, "config.json", local).read_text(encoding="utf-8"))
            except Exception:  # as above; the metadata has a substitute
                continue
            return content if isinstance(content, dict) else {}
    return {}


def _file(name: str, file: str, local: bool) -> Path:
    """Return one file of a repository, from the cache alone if `local`. Raises whatever the hub's client raises."""
    client = hub_client()
    repository, _, revision = name.partition("@")
    return Path(client.hf_hub_download(repository, file, revision=revision or None, local_files_only=local))


@contextmanager
def without_retries() -> Iterator[None]:
    """Keep the logs of timm and of downloads silent, and let the hub's client fail at once where it has no network."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "urllib3", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    constants = _constants()
    offline = getattr(constants, "HF_HUB_OFFLINE", True)
    if not offline and not _reachable(str(constants.ENDPOINT)):
        constants.HF_HUB_OFFLINE = True  # it would ask five times, for 24 seconds
    try:
        yield
    finally:
        if constants is not None:
            constants.HF_HUB_OFFLINE = offline
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reachable(endpoint: str) -> bool:
    """Return whether the hub answers, whatever it answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _constants() -> Any:
    """Return the settings of the hub's client; None if it is not installed."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    return constants


def hub_client() -> Any:
    """Return the hub's client. Raises NotInstalledError if it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise NotInstalledError(
            f"Weights of the hub need huggingface_hub, which is not installed. Install it: {install_command('hub')}"
        ) from None
    return huggingface_hub
