"""The working set against the domain run in one loop: the same rows, however work is cut into groups."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import stream_traffic
from histories import paying
from stream_reference import IDS, Folded, reference

from pipeline.domain.apply import apply_event, owes_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.state import decode_state
from pipeline.stream.partition import intake, open_group, steps
from schemas.events import AcceptedEvent, encode_event
from schemas.topics import Topic

DAY_MS = 24 * 3_600_000
Make = Callable[[], Any]


def _expected(messages: list[bytes]) -> Folded:
    return reference(stream_traffic.APP, [(0, value) for value in messages], 60)


def _assert_same(found: Folded, expected: Folded) -> None:
    for topic in IDS:
        assert found[topic] == expected[topic], topic


@pytest.mark.parametrize("publish", [False, True], ids=["published at the end", "published always"])
def test_rows_do_not_depend_on_when_sessions_are_published(
    make_partition: Make, messages: list[bytes], publish: bool
) -> None:
    partition = make_partition()
    partition.run(messages, publish=publish)
    partition.finish()
    _assert_same(partition.folded(), _expected(messages))


def test_a_new_owner_after_every_message_brings_about_the_same(make_partition: Make, messages: list[bytes]) -> None:
    partition = make_partition()
    for offset, value in enumerate(messages):
        partition.apply(offset, value)
        partition.flush(publish=offset % 3 == 0)
        partition.take()
    partition.finish()
    _assert_same(partition.folded(), _expected(messages))


def test_a_session_that_is_over_in_its_group_is_published_with_it(make_partition: Make) -> None:
    """So its person's state is written once, and not again when its rows are."""
    first, later = stream_traffic.START_MS, stream_traffic.START_MS + DAY_MS
    events = [
        AcceptedEvent("demo", f"evt_{person}", "page_view", at_ms, later * 1000, user_id=person)
        for person, at_ms in [("gone", first), ("here", later)]
    ]
    partition = make_partition()
    partition.apply(0, b"\n".join(map(encode_event, events)))
    group = partition.flush(publish=False)
    assert [(row.user_id, row.is_closed) for row in group.effects.sessions] == [("gone", True)]
    assert partition.working_set.pending_sessions == 1


def test_a_message_too_large_for_a_group_is_cut_and_resumed_where_it_was_cut(
    make_partition: Make, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_group, "GROUP_BYTES", 20_000)
    monkeypatch.setattr(intake, "_SLICE", 16)
    large = [b"".join(messages[:12]), b"".join(messages[12:])]
    partition = make_partition()
    for offset, value in enumerate(large):
        while not partition.working_set.apply(partition.decoded(offset, value)):
            group = partition.flush(publish=True)
            assert group is not None
            assert group.marker.offset == offset
            assert group.marker.index > 0
            assert not group.effects.sessions, "nothing is published in the middle of a message"
            assert sum(len(key) + len(data) for key, data in group.puts) < 40_000
            partition.take()
    assert len(partition.groups) > 10
    partition.flush()
    partition.finish()
    _assert_same(partition.folded(), _expected(large))


def test_a_message_already_applied_in_part_is_not_rejected_twice(
    make_partition: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_group, "GROUP_BYTES", 5_000)
    monkeypatch.setattr(intake, "_SLICE", 4)
    lines = [encode_event(event) for event in stream_traffic.events(40, 40, seed=2)]
    partition = make_partition()
    partition.run([b"\n".join([b"bad", *lines, b"worse"])])
    partition.flush()
    assert len(partition.groups) > 2
    assert len(partition.rows(Topic.REJECTED)) == 2


def _failing(ids: set[str], after: bool) -> Callable[..., None]:
    def apply(context: PersonContext, event: Any) -> None:
        if event.event_id in ids and not after:
            raise KeyError("before")
        apply_event(context, event)
        if event.event_id in ids:
            context.state.version += 1_000
            raise ValueError("after the state was changed")

    return apply


@pytest.mark.parametrize("after", [False, True], ids=["raises at once", "raises half-way"])
def test_an_event_the_domain_raises_on_is_rejected_and_leaves_no_trace(
    make_partition: Make, messages: list[bytes], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    ids = list(
        dict.fromkeys(msgspec.json.decode(line)["event_id"] for value in messages for line in value.splitlines())
    )
    bad = {ids[number] for number in (3, 4, 250, 700, 701)}
    without = [
        b"".join(line + b"\n" for line in value.splitlines() if msgspec.json.decode(line)["event_id"] not in bad)
        for value in messages
    ]
    monkeypatch.setattr(steps, "apply_event", _failing(bad, after))
    partition = make_partition()
    partition.run(messages)
    partition.finish()
    rejected = partition.rows(Topic.REJECTED)
    assert {msgspec.json.decode(row["payload"])["event_id"] for row in rejected} == bad
    assert len({row["reject_id"] for row in rejected}) == len(rejected) >= len(bad)
    assert all(row["app_id"] == "demo" and row["code"] == "SERVER_ERROR" for row in rejected)
    found, expected = partition.folded(), _expected(without)
    # The places of the marks are those in the messages as they were.
    assert [m["event_id"] for m in found[Topic.EVENT_MARKS].values()] == [
        m["event_id"] for m in expected[Topic.EVENT_MARKS].values()
    ]
    found[Topic.EVENT_MARKS] = expected[Topic.EVENT_MARKS]
    _assert_same(found, expected)


def test_an_event_whose_state_cannot_be_encoded_is_rejected_too(
    make_partition: Make, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = msgspec.json.decode(messages[0].splitlines()[7])["event_id"]

    def apply(context: PersonContext, event: Any) -> None:
        apply_event(context, event)
        if event.event_id == bad:
            context.state.version = 2**80

    monkeypatch.setattr(steps, "apply_event", apply)
    partition = make_partition()
    partition.run(messages)
    partition.finish()
    assert {msgspec.json.decode(row["payload"])["event_id"] for row in partition.rows(Topic.REJECTED)} == {bad}


def test_a_wakeup_that_raises_is_left_alone_and_the_others_are_published(
    make_partition: Make, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = steps.publish_sessions

    def failing(context: PersonContext) -> None:
        publish(context)
        if context.person == "u:user-7":
            raise RuntimeError("no")

    monkeypatch.setattr(steps, "publish_sessions", failing)
    partition = make_partition()
    partition.run(messages)
    partition.finish()
    assert partition.working_set.pending_sessions == 0
    published = {row["person_key"] for row in partition.rows(Topic.SESSIONS)}
    assert "u:user-7" not in published
    assert len(published) == 59
    monkeypatch.setattr(steps, "publish_sessions", publish)
    partition.take()
    partition.finish()
    _assert_same(partition.folded(), _expected(messages))


def _event(number: int, at_ms: int, user_id: str = "u") -> bytes:
    return encode_event(AcceptedEvent("demo", f"e{number}", "page_view", at_ms, at_ms * 1000, user_id=user_id))


def test_time_closes_sessions_and_in_the_end_forgets_the_person(make_partition: Make) -> None:
    at_ms = stream_traffic.START_MS
    partition = make_partition()
    partition.run([_event(0, at_ms)], publish=True)
    assert [row["is_closed"] for row in partition.rows(Topic.SESSIONS)] == [False]
    assert not partition.working_set.agenda.is_due
    partition.take()
    partition.working_set.idle_for(33 * 60_000)
    assert partition.working_set.agenda.is_due
    partition.flush()
    assert [row["is_closed"] for row in partition.rows(Topic.SESSIONS)] == [False, True]
    assert partition.flush() is None
    for _ in range(100):
        partition.working_set.idle_for(DAY_MS)
        partition.flush()
    assert not list(partition.store.scan())
    assert partition.groups[-1].deletes == [b"demo\x1fu:u"]
    assert partition.working_set.agenda.timed_persons == 0
    assert partition.working_set.live_persons == 0


def test_more_timers_than_fit_fire_over_several_groups(make_partition: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_group, "GROUP_BYTES", 50_000)
    at_ms = stream_traffic.START_MS
    partition = make_partition()
    partition.run([b"\n".join(_event(n, at_ms, f"u{n}") for n in range(200))])
    partition.finish()
    partition.working_set.idle_for(DAY_MS)
    groups_before = len(partition.groups)
    while partition.working_set.agenda.is_due:
        assert partition.flush() is not None
    assert len(partition.groups) - groups_before > 3
    assert sum(row["is_closed"] for row in partition.folded()[Topic.SESSIONS].values()) == 200


def test_a_message_without_events_still_moves_the_position(make_partition: Make) -> None:
    partition = make_partition()
    partition.run([b"", b"\n"])
    assert [group.marker.offset for group in partition.groups] == [1, 2]
    assert not partition.groups[-1].puts


def test_rows_that_are_owed_are_written_by_later_groups_whoever_owns_the_partition(
    make_partition: Make, messages: list[bytes]
) -> None:
    messages = messages[::-1]  # so that most events are out of order
    partition, expected = make_partition(), _expected(messages)
    with paying(slowly=True):
        for offset, value in enumerate(messages):
            partition.apply(offset, value)
            partition.flush(publish=offset % 3 == 0)
            partition.take()
        partition.finish()
    assert _credits(partition.folded()) == _credits(expected)


def test_no_partition_counts_as_settled_while_rows_are_owed(make_partition: Make, messages: list[bytes]) -> None:
    partition = make_partition()
    with paying(slowly=True):
        partition.run(messages[::-1], publish=True)
        states = [decode_state(data) for group in partition.groups for _, data in group.puts]
        assert any(map(owes_rows, states))
        partition.finish()
    left = {key: decode_state(data) for group in partition.groups for key, data in group.puts}
    assert not any(map(owes_rows, left.values()))


def _credits(folded: Folded) -> dict[Any, Any]:
    return {key: (row["touch_ids"], row["credits_nanos"]) for key, row in folded[Topic.ATTRIBUTIONS].items()}
