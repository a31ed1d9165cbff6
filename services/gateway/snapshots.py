"""The control plane as the gateway reads it: `pipeline.control.SnapshotSource`, or a fixed one."""

from contextlib import suppress
from typing import Protocol

from pipeline.control import SnapshotNotLoaded
from schemas.control import Snapshot
from services.gateway.request_head import Call
from services.web.auth import identify
from services.web.errors import ApiError


class Snapshots(Protocol):
    def current(self) -> Snapshot:
        """Return the newest snapshot, from memory; raises `SnapshotNotLoaded` before there is one."""
        ...

    def note_use(self, key_id: str) -> None:
        """Note that a request came with this key; costs next to nothing."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class FixedSnapshots:
    """A snapshot source that never changes: for tests and benchmarks."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> Snapshot:
        return self._snapshot

    def note_use(self, key_id: str) -> None:
        """Do nothing: no uses are recorded."""

    async def start(self) -> None:
        """Do nothing: there is nothing to read."""

    async def stop(self) -> None:
        """Do nothing: there is nothing to end."""


def note_app(call: Call, snapshots: Snapshots) -> str:
    """The app whose key the request carries, noted in `call`; empty where the key is missing or not valid."""
    if call.authorization and not call.app_id:
        with suppress(ApiError, SnapshotNotLoaded):  # what answers the request says what is wrong
            call.app_id = identify(call.authorization, snapshots.current()).app.app_id
    return call.app_id
