"""The control plane: apps, API keys and goals (with their history), in SQLite (embedded) or PostgreSQL.

`ControlPlane` writes it (CLI, console), `SnapshotSource` is how every other process reads it: from memory, refreshed
in the background, still there while the database is away. `prepare_control_plane` makes and upgrades the tables.

    ControlPlaneError
    ├── InvalidRecord        a value is not acceptable: tell the caller, change the input
    ├── AlreadyExists        the id is taken: choose another, or go on with what is there
    ├── UnknownRecord        no such app, key or goal: check the id
    └── SnapshotNotLoaded    nothing has been read yet: not ready, try again soon
"""

from pipeline.control.errors import (
    AlreadyExists,
    ControlPlaneError,
    InvalidRecord,
    SnapshotNotLoaded,
    UnknownRecord,
)
from pipeline.control.history import GoalChange
from pipeline.control.migrate import migrate_control_plane, prepare_control_plane
from pipeline.control.snapshot import SnapshotSource
from pipeline.control.store import ControlPlane, KeyRecord, NewKey

__all__ = [
    "AlreadyExists",
    "ControlPlane",
    "ControlPlaneError",
    "GoalChange",
    "InvalidRecord",
    "KeyRecord",
    "NewKey",
    "SnapshotNotLoaded",
    "SnapshotSource",
    "UnknownRecord",
    "migrate_control_plane",
    "prepare_control_plane",
]
