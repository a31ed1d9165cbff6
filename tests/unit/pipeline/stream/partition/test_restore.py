"""A working set restored from its store: by the wakeups it is the same as by the states."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import stream_traffic

from pipeline.domain.rules import compile_rules
from pipeline.domain.state import new_state
from pipeline.stream.partition import restore
from pipeline.stream.partition.wakeups import NEVER, OWES_ROWS, UNKNOWN, minute_of, read_wakeups, timing_of, wakeup_of
from pipeline.stream.partition.working_set import WorkingSet
from schemas.control import Snapshot

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
Make = Callable[[], Any]


def _plan(working_set: WorkingSet) -> tuple[list[str], dict[int, list[str]]]:
    """Who is owed rows, and who is woken in which minute. Takes the timers out."""
    pending = sorted(working_set.agenda.owed.persons)
    timers = working_set.agenda._timers
    woken: dict[int, list[str]] = {}
    while timers._minutes:
        minute = timers._minutes[0]
        woken[minute] = sorted(timers.take_due(minute * MINUTE_MS))
    return pending, woken


def _plan_by_states(partition: Any) -> tuple[list[str], dict[int, list[str]]]:
    partition.store.forget_wakeups()
    partition.take()
    return _plan(partition.working_set)


@pytest.mark.parametrize("publish_every", [1, 4, 100])
def test_by_wakeups_is_as_by_states(make_partition: Make, messages: list[bytes], publish_every: int) -> None:
    partition = make_partition()
    for offset, value in enumerate(messages):
        partition.apply(offset, value)
        partition.flush(publish=offset % publish_every == 0)
    partition.working_set.idle_for(DAY_MS)
    partition.flush()
    assert partition.store.has_wakeups
    partition.take()
    by_wakeups = _plan(partition.working_set)
    pending, woken = by_wakeups
    assert pending or sum(map(len, woken.values())) > 50
    assert by_wakeups == _plan_by_states(partition)


def test_only_states_without_a_wakeup_are_read_and_it_is_noted_for_the_next_time(
    make_partition: Make, messages: list[bytes]
) -> None:
    partition = make_partition()
    partition.run(messages, publish=True)
    store = partition.store
    # As recovery writes what the changelog has more of.
    tail = list(store.scan())[3:6]
    store.write(tail, [], store.offset + 1)
    reads: list[bytes] = []
    get_many = store.get_many

    def counted(keys: Any) -> Any:
        reads.extend(keys)
        return get_many(keys)

    store.get_many = counted
    partition.take()
    assert sorted(reads) == sorted(key for key, _ in tail)
    partition.take()
    assert len(reads) == len(tail)
    assert UNKNOWN not in dict(store.wakeups()).values()
    assert _plan(partition.working_set) == _plan_by_states(partition)


def test_rules_that_changed_while_the_worker_was_away_count(make_partition: Make, messages: list[bytes]) -> None:
    partition = make_partition()
    partition.run(messages, publish=True)
    partition.take()
    before = _plan(partition.working_set)
    app = stream_traffic.APP
    longer = replace(app, attribution=replace(app.attribution, session_gap_seconds=7_200))
    partition.rules.use(Snapshot({app.app_id: longer}, {}, 1))
    partition.take()
    after = _plan(partition.working_set)
    assert after != before
    assert after == _plan_by_states(partition)


def test_what_broke_off_is_done_again(make_partition: Make, messages: list[bytes]) -> None:
    partition = make_partition()
    partition.run(messages, publish=True)
    partition.store.forget_wakeups()
    next(restore._by_states(partition.working_set.agenda, partition.store))
    assert not partition.store.has_wakeups
    deque(restore.restore(partition.working_set.agenda, partition.store), maxlen=0)
    assert partition.store.has_wakeups


def test_a_wakeup_says_when_and_for_which_rules() -> None:
    rules = compile_rules(stream_traffic.APP)
    state = new_state()
    nobody = wakeup_of(state, rules)
    state.received_s = 1_790_000_000
    timed = wakeup_of(state, rules)
    state.is_unpublished = True
    owed = wakeup_of(state, rules)
    minutes, timings = read_wakeups([nobody, timed, owed, UNKNOWN])
    assert minutes[0] == NEVER
    assert minutes[1] > minute_of(1_790_000_000_000)
    assert minutes[2] == OWES_ROWS
    assert set(timings[:3]) == {timing_of(rules)}
    assert timings[3] != timing_of(rules)
    others = (replace(rules, gap_ms=1), replace(rules, lateness_ms=1), replace(rules, max_window_ms=1))
    assert len({timing_of(rules), *map(timing_of, others)}) == 4
