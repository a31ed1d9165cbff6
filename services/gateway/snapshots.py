"""What the gateway needs of the control plane: `pipeline.runtime.control_plane.SnapshotSource`, or a fixed one."""

from typing import Protocol

from schemas.control import Snapshot


class Snapshots(Protocol):
    def current(self) -> Snapshot:
        """The newest snapshot, from memory; raises `SnapshotNotLoaded` before there is one."""
        ...

    def note_use(self, key_id: str) -> None:
        """A request came with this key; costs next to nothing."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class FixedSnapshots:
    """Always the same control plane: for tests and benchmarks."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> Snapshot:
        return self._snapshot

    def note_use(self, key_id: str) -> None:
        """Nobody asks."""

    async def start(self) -> None:
        """Nothing to read."""

    async def stop(self) -> None:
        """Nothing to end."""
