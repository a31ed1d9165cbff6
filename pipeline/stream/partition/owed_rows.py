"""Persons of one partition of whom rows are owed, and whose turn it is to have rows of conversions written. Pure."""

from heapq import nsmallest
from typing import Final
from zlib import crc32

from pipeline.stream.partition.wakeups import OWES_CREDITS, OWES_ROWS

PERSONS_AT_ONCE: Final = 64
"""A group writes owed rows of conversions of no more persons than this."""


class OwedRows:
    def __init__(self) -> None:
        self.persons: dict[str, None] = {}
        self._of_conversions: set[str] = set()
        """Persons of `persons` with owed rows of conversions."""

    def note(self, key: str, minute: int) -> None:
        """`minute`: of the next wakeup, see `wakeups`."""
        self.forget(key)
        if minute in (OWES_ROWS, OWES_CREDITS):
            self.persons[key] = None
        if minute == OWES_CREDITS:
            self._of_conversions.add(key)

    def forget(self, key: str) -> None:
        self.persons.pop(key, None)
        self._of_conversions.discard(key)

    def turn(self, offset: int) -> list[str]:
        """Return the persons whose owed rows are written in the group that begins at `offset` of the source.

        The order changes from offset to offset, so that nobody is passed over for long, and is the same after a crash.
        """
        if not self._of_conversions:
            return []
        text = str(offset)
        return nsmallest(PERSONS_AT_ONCE, self._of_conversions, key=lambda key: (crc32((text + key).encode()), key))
