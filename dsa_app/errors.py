"""The errors that a user can fix; every message says what to do next."""


class DsaError(Exception):
    """An error that the user can fix.

    The message says what failed, which file or record, what was expected and found, and the remedy.
    Only the command line (`dsa_app.console`) turns it into an exit code.
    """


class ConfigError(DsaError):
    """A setting that does not exist or is invalid."""


class DatasetError(DsaError):
    """A dataset that is missing, empty or inconsistent."""


class ImageError(DsaError):
    """An image that cannot be read, or has not the expected size or type."""


class StoreError(DsaError):
    """A file written by this project that is damaged, of another version, or made with other settings."""


class BusyError(DsaError):
    """Another process is writing the same output."""


class CheckpointError(DsaError):
    """Network weights that are missing, damaged, untrusted or of another network."""


class EngineError(DsaError):
    """A stage-one engine that is not installed or cannot do what was asked."""


class TrainingError(DsaError):
    """A training run that cannot start or continue."""
