"""Errors that a user of `dsa_reid` may get."""


class ModelError(Exception):
    """A model file, a setting or an image that cannot be used; the message has the reason and the remedy."""


class NotInstalledError(ModelError):
    """A package that some models or functions need is not installed; the file itself may be intact."""


class DeviceError(ModelError):
    """A device that does not exist here or is not supported."""
