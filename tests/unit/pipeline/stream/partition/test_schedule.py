from dataclasses import replace

from pipeline.stream.partition.schedule import (
    BEHIND_FACTOR,
    BEHIND_MESSAGES,
    LINGER_EVENTS,
    LINGER_SECONDS,
    QUIET_SECONDS,
    TICK_SECONDS,
    Decision,
    Facts,
    decide,
)

INTERVAL, IDLE = 1.0, 10.0
NOTHING = Facts(
    has_changes=False,
    open_events=0,
    opened_at=100.0,
    is_full=False,
    backlog=0,
    pending_sessions=0,
    last_message_at=100.0,
    last_published_at=100.0,
    last_tick_at=0.0,
)


def _at(now: float, **changes: object) -> Decision:
    return decide(replace(NOTHING, **changes), now, INTERVAL, IDLE)  # type: ignore[arg-type]


def test_with_nothing_waiting_changes_are_flushed_at_once() -> None:
    decision = _at(100.0, has_changes=True, open_events=1)
    assert decision.flush
    assert not decision.publish


def test_changes_are_published_with_the_flush_when_the_last_time_is_an_interval_ago() -> None:
    decision = _at(100.0, has_changes=True, last_published_at=99.0)
    assert decision.flush
    assert decision.publish


def test_with_more_waiting_a_group_grows_for_a_while() -> None:
    lingering = _at(100.0, has_changes=True, open_events=250, backlog=3)
    assert not lingering.flush
    assert 0 < lingering.wait_seconds <= LINGER_SECONDS
    assert _at(100.0 + LINGER_SECONDS, has_changes=True, open_events=250, backlog=3).flush
    assert _at(100.0, has_changes=True, open_events=LINGER_EVENTS, backlog=3).flush
    assert _at(100.0, has_changes=True, open_events=250, backlog=3, is_full=True).flush


def test_far_behind_a_group_may_grow_for_longer() -> None:
    behind = {"has_changes": True, "open_events": 250, "backlog": BEHIND_MESSAGES + 1}
    assert not _at(100.0 + LINGER_SECONDS, **behind).flush
    assert _at(100.0 + LINGER_SECONDS * BEHIND_FACTOR, **behind).flush


def test_what_is_owed_is_published_as_soon_as_the_partition_is_silent() -> None:
    before = _at(100.0 + QUIET_SECONDS / 2, pending_sessions=3)
    assert not before.flush
    assert 0 < before.wait_seconds <= QUIET_SECONDS / 2
    after = _at(100.0 + QUIET_SECONDS, pending_sessions=3)
    assert after.flush
    assert after.publish


def test_under_load_it_waits_for_the_interval() -> None:
    busy = _at(100.9, pending_sessions=3, has_changes=True, last_message_at=100.9)
    assert busy.flush
    assert not busy.publish
    slow = _at(100.9, pending_sessions=3, has_changes=True, backlog=1, opened_at=100.0)
    assert not slow.publish, "the next message is only late"
    assert _at(101.0, pending_sessions=3, has_changes=True, last_message_at=101.0).publish


def test_far_behind_it_publishes_less_often() -> None:
    behind = {"pending_sessions": 3, "has_changes": True, "backlog": BEHIND_MESSAGES + 1}
    assert not _at(100.0 + INTERVAL * (BEHIND_FACTOR - 1), **behind).publish
    assert _at(100.0 + INTERVAL * BEHIND_FACTOR, **behind).publish


def test_an_idle_partition_ticks_once_a_second() -> None:
    assert not _at(109.9).tick
    assert 0 < _at(109.9).wait_seconds <= 0.1001
    assert _at(110.0).tick
    ticked = _at(110.5, last_tick_at=110.0)
    assert not ticked.tick
    assert 0 < ticked.wait_seconds <= TICK_SECONDS / 2
    assert _at(111.0, last_tick_at=110.0).tick


def test_with_nothing_owed_there_is_nothing_to_flush() -> None:
    decision = _at(105.0)
    assert not decision.flush
    assert decision.wait_seconds == 5.0
