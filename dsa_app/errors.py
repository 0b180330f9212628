"""What can go wrong for a user, told in words that say what to do next."""


class DsaError(Exception):
    """A mistake or mishap that the user can mend.

    The message says what failed, which file or record, what was expected and found, and the remedy.
    Only the command line (`dsa_app.console`) turns it into an exit code.
    """


class ConfigError(DsaError):
    """A setting that does not exist or does not hold."""


class DatasetError(DsaError):
    """A dataset that is missing, empty or inconsistent."""


class ImageError(DsaError):
    """A picture that cannot be read, or not as what it should be."""


class StoreError(DsaError):
    """A stored file of ours that is damaged, of another version, or made with other settings."""


class BusyError(DsaError):
    """Another process is at work on the same output."""


class CheckpointError(DsaError):
    """Network weights that cannot be had, trusted or used."""


class EngineError(DsaError):
    """A stage-one engine that is not there or cannot do what was asked."""


class TrainingError(DsaError):
    """A training run that cannot start or go on."""
