"""The pipeline counts as settled: every way it is not yet, one at a time."""

from dataclasses import replace

import msgspec
import pytest

from pipeline.readmodel.progress import Facts, evaluate
from schemas.facts import ProgressRow
from schemas.topics import Topic

DERIVED = {"sessions": 5, "touches": 3, "conversions": 2, "attributions": 2, "event-marks": 1}


def report(partition: int = 0, next_offset: int = 10, pending_sessions: int = 0) -> ProgressRow:
    return ProgressRow(partition, next_offset, 1_700_000_000_000, pending_sessions, DERIVED, 1_700_000_000_000)


def committed(**overrides: int) -> dict[tuple[Topic, int], int]:
    offsets = {"events": 10, "rejected": 4} | DERIVED | {k.replace("_", "-"): v for k, v in overrides.items()}
    return {(Topic(name), 0): offset for name, offset in offsets.items()}


SETTLED = Facts(
    partitions=1,
    end_offsets={(Topic(name), 0): offset for name, offset in ({"events": 10, "rejected": 4} | DERIVED).items()},
    reported={0: report()},
    loader_committed=committed(),
    stream_committed={},
)


def test_all_done_is_settled() -> None:
    progress = evaluate(SETTLED)
    assert progress.is_settled
    assert (progress.stream_lag, progress.loader_lag) == (0, 0)


def test_nothing_ever_written_is_settled() -> None:
    assert evaluate(Facts(4, {}, {}, {}, {})).is_settled


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(SETTLED, reported={}), id="the stream has said nothing"),
        pytest.param(replace(SETTLED, reported={0: report(next_offset=9)}), id="the stream is behind"),
        pytest.param(replace(SETTLED, reported={0: report(pending_sessions=1)}), id="a session is unwritten"),
        pytest.param(replace(SETTLED, reported={1: report(1)}), id="another partition is meant"),
        *(
            pytest.param(replace(SETTLED, loader_committed=committed(**{name: offset - 1})), id=f"{name} not loaded")
            for name, offset in ({"events": 10, "rejected": 4} | DERIVED).items()
        ),
        pytest.param(replace(SETTLED, loader_committed={}), id="the loader never committed"),
    ],
)
def test_anything_missing_is_not_settled(facts: Facts) -> None:
    assert not evaluate(facts).is_settled


def _with_people(end: int, next_offset: int, sent: int) -> Facts:
    row = msgspec.structs.replace(report(), people_next_offset=next_offset, people_sent={"0": sent})
    return replace(SETTLED, end_offsets=dict(SETTLED.end_offsets) | {(Topic.PEOPLE, 0): end}, reported={0: row})


def test_people_count_to_the_end_of_their_topic() -> None:
    assert evaluate(_with_people(end=3, next_offset=3, sent=3)).is_settled
    progress = evaluate(_with_people(end=3, next_offset=2, sent=2))
    assert (progress.is_settled, progress.stream_lag) == (False, 1)


def test_a_journey_in_flight_counts_before_the_end_offset_tells_of_it() -> None:
    assert not evaluate(_with_people(end=3, next_offset=3, sent=4)).is_settled


def test_a_partition_that_never_reported_has_its_people_before_it() -> None:
    assert not evaluate(Facts(1, {(Topic.PEOPLE, 0): 1}, {}, {}, {})).is_settled


def test_what_the_stream_restates_later_does_not_hold_it_up() -> None:
    later = dict(SETTLED.end_offsets) | {(Topic.SESSIONS, 0): 99}
    progress = evaluate(replace(SETTLED, end_offsets=later))
    assert progress.is_settled
    assert progress.loader_lag == 94


def test_rejects_written_to_a_partition_without_events_count() -> None:
    facts = Facts(2, {(Topic.REJECTED, 1): 3}, {}, {(Topic.REJECTED, 1): 2}, {})
    assert not evaluate(facts).is_settled


def test_lag_is_told_per_topic_and_partition() -> None:
    facts = replace(SETTLED, reported={0: report(next_offset=7)}, loader_committed=committed(events=4))
    progress = {(line.topic, line.partition): line for line in evaluate(facts).partitions}
    events = progress[Topic.EVENTS, 0]
    assert (events.stream_lag, events.loader_lag, events.end_offset) == (3, 6, 10)
    assert progress[Topic.TOUCHES, 0].stream_lag is None
