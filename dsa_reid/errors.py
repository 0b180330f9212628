"""What can go wrong for a user of the deployable."""


class ModelError(Exception):
    """A model file, a setting or a picture that cannot be used; the message says why and what to do."""


class NotInstalledError(ModelError):
    """A package that only some models or uses need is not there; nothing is wrong with the file."""


class DeviceError(ModelError):
    """A device that does not exist here or is not supported."""
