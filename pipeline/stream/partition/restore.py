"""Restoring of a partition's agenda from its store. The store is passed in."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from pipeline.stream.partition.agenda import Agenda
from pipeline.stream.partition.pages import read_states
from pipeline.stream.partition.stores import PartitionStore

_STEP: Final = 2_000


def restore(agenda: Agenda, store: PartitionStore) -> Iterator[int]:
    """Every stored person, some at a time; yields how many.

    Where the store has the wakeups, few states are looked at: those whose rules have changed since, and those that came
    from the changelog after a crash. Afterwards it has them all.
    """
    return _by_wakeups(agenda, store) if store.has_wakeups else _by_states(agenda, store)


def _by_wakeups(agenda: Agenda, store: PartitionStore) -> Iterator[int]:
    wakeups = store.wakeups()
    while batch := list(islice(wakeups, _STEP)):
        unknown = agenda.restore(batch)
        if unknown:
            store.note_wakeups(agenda.restore_states(_whole(store, unknown, store.get_many(unknown))))
        yield len(batch)


def _by_states(agenda: Agenda, store: PartitionStore) -> Iterator[int]:
    store.forget_wakeups()
    states = store.scan()
    while batch := list(islice(states, _STEP)):
        keys, values = zip(*batch, strict=True)
        store.note_wakeups(agenda.restore_states(_whole(store, keys, values)))
        yield len(batch)
    store.complete_wakeups()


def _whole(
    store: PartitionStore, keys: Sequence[bytes], values: Sequence[bytes | None]
) -> Iterator[tuple[bytes, bytes]]:
    states = read_states(list(zip(keys, values, strict=True)), store.get_many)
    return ((key, data) for key, (data, _) in zip(keys, states, strict=True) if data is not None)
