"""Errors that a user of `dsa_reid` may get."""

from __future__ import annotations

from collections.abc import Mapping


class ModelError(Exception):
    """A model file, a setting or an image that cannot be used; the message has the reason and the remedy."""


class SettingError(ModelError):
    """A setting of a network that is invalid beside another one.

    Args:
        problem: what does not go together, a sentence.
        changes: settings with the values that would do, of `MainStreamConfig` unless `dsa_train` knows them as others';
            a command prints them as options of its own.
        otherwise: another remedy, as "choose another trunk".
    """

    def __init__(self, problem: str, changes: Mapping[str, object], otherwise: str = "") -> None:
        super().__init__(problem, changes, otherwise)
        self.problem, self.changes, self.otherwise = problem, dict(changes), otherwise

    def __str__(self) -> str:
        """Return the message for a user of the library."""
        settings = " and ".join(f"{name} = {value!r}" for name, value in self.changes.items())
        return f"{self.problem} Set {settings}{f', or {self.otherwise}' if self.otherwise else ''}."


class NotInstalledError(ModelError):
    """A package that some models or functions need is not installed; the file itself may be intact."""


class DeviceError(ModelError):
    """A device that does not exist here or is not supported."""
