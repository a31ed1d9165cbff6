"""The open group: the changes since the last flush, and the steps that brought them. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.stream.partition.changelog import MAX_BATCH_BYTES, RECORD_OVERHEAD_BYTES
from pipeline.stream.partition.pages import PAGE_BYTES
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.steps import (
    Application,
    CarefulApplication,
    EventStep,
    Outcome,
    PeopleStep,
    Step,
    WakeupStep,
)
from schemas.facts import RejectedRow

GROUP_BYTES: Final = MAX_BATCH_BYTES * 5 // 8
"""A group is full at this estimate of its states' size; the rest of a record batch is for the estimate to be wrong."""


class OpenGroup:
    def __init__(self, persons: Persons, forwarded: Mapping[int, tuple[int, int]]) -> None:
        self.persons = persons
        self.dirty: dict[str, None] = {}
        """Keys of changed states, in the order they were first changed."""
        self.unreadable: list[RejectedRow] = []
        """Lines that are no events."""
        self.events = 0
        self.has_moved = False
        """The position in a source has changed."""
        self._forwarded_before = dict(forwarded)
        self._watermark_before_ms = persons.watermark.value_ms
        self._application = Application(persons, forwarded)
        self._steps: list[Step] = []
        self._size_bytes = 0
        """An upper bound of the encoded states, as far as known."""

    @property
    def outcome(self) -> Outcome:
        return self._application.outcome

    @property
    def woken(self) -> set[str]:
        """Keys of persons who were woken in this group."""
        return {key for step in self._steps if isinstance(step, WakeupStep) for key in step.keys}

    @property
    def traceparents(self) -> list[bytes]:
        """Traceparents of the messages in the group, each once."""
        places = (step.decoded.place for step in self._steps if isinstance(step, EventStep | PeopleStep))
        return list(dict.fromkeys(place.traceparent for place in places if place.traceparent))

    def make_room(self, keys: Sequence[str], bytes_each: int) -> int:
        """Return how many of `keys` fit, which are then counted in. One always fits into an empty group.

        A state grows by no more than the event it takes in (`bytes_each`).
        """
        states, count, counted = self.persons.states, 0, set()
        for key in keys:
            size = bytes_each
            if key not in self.dirty and key not in counted:
                state_bytes = states.size_of(key)
                size += state_bytes + (1 + state_bytes // PAGE_BYTES) * (len(key) + RECORD_OVERHEAD_BYTES)
                counted.add(key)
            if self._size_bytes and self._size_bytes + size > GROUP_BYTES:
                break
            self._size_bytes += size
            count += 1
        return count

    def do(self, step: Step) -> None:
        """The states of the step's keys must have been fetched, and there must be room."""
        self._steps.append(step)
        self.dirty.update(dict.fromkeys(step.keys))
        try:
            self._application.do(step)
        except Exception as error:
            self._redo_carefully(error)

    def encode(self) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """(puts, deletes) that store the changed states. They must be written."""
        try:
            return self._encode_dirty()
        except Exception as error:
            self._redo_carefully(error)
            return self._encode_dirty()

    def _encode_dirty(self) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        puts: list[tuple[bytes, bytes]] = []
        deletes: list[bytes] = []
        for key in self.dirty:
            written, gone = self.persons.states.encode(key, is_expired=key in self.outcome.expired)
            puts += written
            deletes += gone
        return puts, deletes

    def _redo_carefully(self, error: Exception) -> None:
        """Undo all steps and do them again one by one, leaving out what raises."""
        if isinstance(error, MemoryError):
            raise error
        states = self.persons.states
        self.persons.watermark.value_ms = self._watermark_before_ms
        for key in self.dirty:
            states.forget(key)
        states.fetch(self.dirty)
        self._application = CarefulApplication(self.persons, self._forwarded_before)
        for step in self._steps:
            self._application.do(step)
