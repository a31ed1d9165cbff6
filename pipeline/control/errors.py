"""Errors of the control plane; the package's docstring draws the tree."""


class ControlPlaneError(Exception):
    """The message is written for the person who sees it."""


class InvalidRecord(ControlPlaneError):
    """A value is not acceptable."""


class AlreadyExists(ControlPlaneError):
    """The id is taken."""


class UnknownRecord(ControlPlaneError):
    """There is no such app, key or goal."""


class SnapshotNotLoaded(ControlPlaneError):
    """Error: nothing has been read from the database yet."""
