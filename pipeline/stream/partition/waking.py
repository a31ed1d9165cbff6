"""Wakeups of persons at the end of a group, as many as fit: timers fire, sessions are published. Pure.

What does not fit stays due or pending for the next group.
"""

from typing import Final

from pipeline.domain.apply import has_unpublished, is_over
from pipeline.stream.partition.agenda import Agenda
from pipeline.stream.partition.open_group import OpenGroup
from pipeline.stream.partition.steps import WakeupStep

_SLICE: Final = 512


def fire_timers(group: OpenGroup, agenda: Agenda) -> None:
    """Wake the persons whose time has come."""
    agenda.collect_due()
    while keys := agenda.take_due(_SLICE):
        group.persons.states.fetch(keys)
        left = _wake(group, [key for key in keys if agenda.is_time_for(key)])
        if left:
            agenda.put_back(left)
            return


def publish_pending(group: OpenGroup, agenda: Agenda) -> None:
    """Wake the persons whose sessions have changed since they were last published."""
    hot, pending, woken = group.persons.states.hot, agenda.owed.persons, group.woken
    changed = [key for key in group.dirty if key not in pending and has_unpublished(hot[key])]
    waiting = [key for key in (*pending, *changed) if key not in woken]
    for start in range(0, len(waiting), _SLICE):
        keys = waiting[start : start + _SLICE]
        group.persons.states.fetch(keys)
        if _wake(group, keys):
            return


def publish_over(group: OpenGroup) -> None:
    """Wake the persons of the group whose sessions are over: their state is written now, and would be again if they
    had to wait."""
    persons = group.persons
    hot, watermark_ms = persons.states.hot, persons.watermark.value_ms
    over = [key for key in group.dirty if is_over(hot[key], persons.rules_of(key), watermark_ms)]
    for start in range(0, len(over), _SLICE):
        group.do(WakeupStep(over[start : start + _SLICE]))


def _wake(group: OpenGroup, keys: list[str]) -> list[str]:
    """Wake as many as fit; returns the rest."""
    count = group.make_room(keys, 0)
    if count:
        group.do(WakeupStep(keys[:count]))
    return keys[count:]
