"""Last use of each key: noted in memory as requests come, written to the database now and then.

Best effort on purpose. Noting costs one entry of a dictionary and never waits; writing happens on the thread that reads
the control plane, at most once a minute per key; what could not be written is tried again with the next refresh, and
lost if the process dies first.
"""

from typing import Final, NamedTuple

WRITE_EVERY_MS: Final = 60_000


class _Written(NamedTuple):
    used_ms: int
    at_ms: int


_NEVER: Final = _Written(-1, -WRITE_EVERY_MS)


class KeyUsage:
    """Record of key uses. One thread notes, another writes. Without a lock: only the first touches `_used_ms`, only the
    second the rest.
    """

    def __init__(self) -> None:
        self._used_ms: dict[str, int] = {}
        self._written: dict[str, _Written] = {}

    def note(self, key_id: str, now_ms: int) -> None:
        """Note a use, on the path of a request."""
        self._used_ms[key_id] = now_ms

    def unwritten(self) -> dict[str, int]:
        """Key id → last use, where the database does not have it yet."""
        used = self._used_ms.copy()
        return {key_id: used_ms for key_id, used_ms in used.items() if used_ms > self._of(key_id).used_ms}

    def due(self, now_ms: int) -> dict[str, int]:
        """Return the keys of these that were not written within the last minute."""
        unwritten = self.unwritten().items()
        return {key_id: used for key_id, used in unwritten if now_ms - self._of(key_id).at_ms >= WRITE_EVERY_MS}

    def written(self, used_ms: dict[str, int], now_ms: int) -> None:
        """These are in the database now."""
        self._written |= {key_id: _Written(used, now_ms) for key_id, used in used_ms.items()}

    def _of(self, key_id: str) -> _Written:
        return self._written.get(key_id, _NEVER)
