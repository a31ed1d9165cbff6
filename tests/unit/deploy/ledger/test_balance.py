"""The books compared: they balance for every true history, and name the place of every single fault."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.ledger.balance import (
    Bucket,
    GatewayAccount,
    PartitionHour,
    StateAccount,
    TableAccount,
    TopicAccount,
    balance,
    folded,
    missing,
)
from deploy.ledger.sources import RepeatedLines
from schemas.events import StreamEvent

PLACES = st.builds(PartitionHour, st.sampled_from(["shop", "blog"]), st.integers(100, 103), st.integers(0, 3))


@st.composite
def books(draw: st.DrawFn) -> tuple[TopicAccount, TableAccount, GatewayAccount]:
    """Accounts of a history in which nothing went wrong, gateways having been killed now and then."""
    stored = Counter(draw(st.dictionaries(PLACES, st.integers(1, 50))))
    duplicates = Counter(draw(st.dictionaries(PLACES, st.integers(1, 5))))
    lines = stored + duplicates
    by_bucket: Counter[Bucket] = Counter()
    for place, count in lines.items():
        by_bucket[place.bucket] += count
    acknowledged = Counter({bucket: draw(st.integers(0, count)) for bucket, count in by_bucket.items()})
    return TopicAccount(lines), TableAccount(stored, duplicates), GatewayAccount(acknowledged)


@given(books())
@settings(max_examples=100)
def test_a_true_history_balances(found: tuple[TopicAccount, TableAccount, GatewayAccount]) -> None:
    result = balance(*found)
    assert result.holds
    assert all(line.difference == 0 for line in result.lines)
    assert sum(line.accepted for line in result.lines) == found[0].lines.total()


@given(books(), PLACES, st.integers(1, 3), st.sampled_from(["lost", "doubled", "unmarked"]))
@settings(max_examples=100)
def test_every_fault_is_named_where_it_is(
    found: tuple[TopicAccount, TableAccount, GatewayAccount], place: PartitionHour, count: int, fault: str
) -> None:
    topic, tables, gateways = found
    if fault == "lost":
        topic.lines[place] += count
    elif fault == "doubled":
        tables.stored[place] += count
    else:
        tables.duplicates[place] -= count
    result = balance(topic, tables, gateways)
    (problem,) = result.problems
    assert (problem.app_id, problem.hour, problem.partition) == place
    assert str(count) in problem.text


@pytest.mark.parametrize(
    ("counted", "resent", "folded", "is_found"),
    [(7, 0, 0, False), (6, 0, 0, True), (8, 0, 0, True), (6, 1, 0, False), (5, 1, 0, True), (8, 0, 1, False)],
)
def test_what_sessions_have_counted_is_what_is_stored_and_not_late(
    counted: int, resent: int, folded: int, is_found: bool
) -> None:
    states = StateAccount(Counter(shop=counted), Counter(shop=7), Counter(shop=resent))
    tables = TableAccount(folded=Counter({PartitionHour("shop", 100, 1): folded}), states=states)
    found = [problem for problem in balance(TopicAccount(), tables, GatewayAccount()).problems if not problem.hour]
    assert [problem.app_id for problem in found] == (["shop"] if is_found else [])
    assert not is_found or f"counted {counted}" in found[0].text


def test_what_was_acknowledged_must_be_in_the_topic() -> None:
    place = PartitionHour("shop", 100, 1)
    topic, tables = TopicAccount(Counter({place: 5})), TableAccount(Counter({place: 5}))
    assert balance(topic, tables, GatewayAccount(Counter({place.bucket: 5}))).holds
    result = balance(topic, tables, GatewayAccount(Counter({place.bucket: 6})))
    (problem,) = result.problems
    assert (problem.app_id, problem.hour, problem.partition) == ("shop", 100, None)
    assert problem.text.startswith("1 events were acknowledged")


@pytest.mark.parametrize(("known", "holds"), [(1, True), (0, False)])
def test_a_repeat_received_across_the_hour_may_stand_the_other_way_round(known: int, holds: bool) -> None:
    """Received at 9:59 and at 10:00, and the second came into the topic first: the row keeps 9:59, and so does the mark
    of the line of 9:59."""
    before, after = PartitionHour("shop", 9, 2), PartitionHour("shop", 10, 2)
    topic = TopicAccount(Counter({before: 1, after: 1}))
    tables = TableAccount(Counter({before: 1}), Counter({before: 1}), Counter({before: known}))
    assert balance(topic, tables, GatewayAccount()).holds is holds


def test_a_swap_does_not_hide_a_loss() -> None:
    before, after = PartitionHour("shop", 9, 2), PartitionHour("shop", 10, 2)
    topic = TopicAccount(Counter({before: 1, after: 2}))
    tables = TableAccount(Counter({before: 1}), Counter({before: 1}), Counter({before: 1}))
    assert not balance(topic, tables, GatewayAccount()).holds


def test_unreadable_lines_must_have_been_put_aside() -> None:
    topic = TopicAccount(unreadable=Counter({3: 2}))
    (problem,) = balance(topic, TableAccount(), GatewayAccount()).problems
    assert problem.partition == 3
    aside = TableAccount(put_aside=Counter({Bucket("", 7): 2}))
    assert balance(topic, aside, GatewayAccount()).holds


def test_refusals_that_could_not_be_written_down_are_said() -> None:
    bucket = Bucket("shop", 7)
    result = balance(
        TopicAccount(), TableAccount(rejected=Counter({bucket: 3})), GatewayAccount(rejected=Counter({bucket: 5}))
    )
    assert result.holds
    assert result.lines[0].rejected == 5
    assert "2 refusals" in result.notes[0]


def test_a_repeat_that_a_merge_found_may_be_marked_in_another_partition() -> None:
    one, other = PartitionHour("shop", 9, 2), PartitionHour("shop", 9, 5)
    topic = TopicAccount(Counter({one: 1, other: 1}))
    swapped = TableAccount(Counter({one: 1}), Counter({one: 1}), Counter({one: 1}))
    assert balance(topic, swapped, GatewayAccount()).holds
    unplaced = TableAccount(Counter({one: 1}), Counter({PartitionHour("shop", 9, -1): 1}))
    assert balance(topic, unplaced, GatewayAccount()).holds
    assert not balance(TopicAccount(Counter({one: 2, other: 1})), unplaced, GatewayAccount()).holds


@pytest.mark.parametrize(("lost", "holds"), [(0, True), (1, False)])
def test_one_row_may_stand_for_two_lines_of_ids_that_nothing_links(lost: int, holds: bool) -> None:
    """Of five lines in partition 5 one repeats another of them, and one an event of partition 2."""
    one, other = PartitionHour("shop", 9, 2), PartitionHour("shop", 9, 5)
    topic = TopicAccount(Counter({one: 1, other: 5}))
    tables = TableAccount(Counter({one: 1, other: 3 - lost}), Counter({other: 1}))
    assert missing(topic, tables) == {other: 1 + lost}
    found = replace(tables, folded=folded(topic, tables, Counter({other: 2})))
    result = balance(topic, found, GatewayAccount())
    assert result.holds is holds
    assert any("under another person's id" in note for note in result.notes) is holds


def test_lines_that_repeat_others() -> None:
    def event(event_id: str, received_us: int, timestamp_ms: int = 7) -> StreamEvent:
        return StreamEvent("shop", event_id, "page_view", timestamp_ms, received_us)

    here = PartitionHour("shop", 0, 5)
    found = RepeatedLines({here}, 1)
    mine = [event("a", 9), event("b", 9), event("b", 10, 8), event("c", 9), event("d", 9)]
    assert found.note(mine, 5)
    for partition, events in ((2, [event("a", 8), event("c", 10), event("d", 8, 8)]), (5, mine)):
        found.compare(events, partition)
    assert found.count == {here: 2}  # b again, and a of partition 2; c was received here first, d has another time
