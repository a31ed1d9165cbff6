"""Anonymous ids and users in any order: whatever way partitions go on, crash and send again, what a reader sees is the
result of a batch computation that knew from the start whose each anonymous id is."""

import os
from collections import Counter, defaultdict
from random import Random

from comparing import assert_same_tables
from histories import Ledger, paying
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people_world import Crowd, World, crowds, late_ids, logins
from reference import compute, owners_of

from schemas.facts import HASHED_ID, AttributionRow, EventMarkRow, Reason

HISTORIES = int(os.environ.get("HISTORIES", "150"))
many = settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32)


@many
@given(crowds(), seeds)
def test_the_rows_are_those_of_a_batch_that_knew_the_owners(crowd: Crowd, seed: int) -> None:
    world = World(crowd, Random(seed))
    with paying(slowly=seed % 2 == 1):
        ledger = world.run()
    late = late_ids(world)
    truth = compute(crowd.arrivals, crowd.app, world.final_watermark_ms, late, owners_of(crowd.arrivals))
    assert_same_tables(ledger, truth)
    marks = {(mark.partition, mark.offset, mark.index): mark for mark in ledger.marks}
    assert sorted(m.event_id for m in marks.values() if m.mark == "duplicate") == sorted(truth.duplicates)
    assert {m.event_id for m in marks.values() if m.mark == "late"} == late
    assert_revisions(ledger)
    _assert_links(crowd, ledger)


@many
@given(logins(), seeds)
def test_an_event_sent_again_after_a_login_counts_once(crowd: Crowd, seed: int) -> None:
    world = World(crowd, Random(seed))
    with paying(slowly=seed % 2 == 1):
        ledger = world.run()
    truth = compute(crowd.arrivals, crowd.app, world.final_watermark_ms, late_ids(world), owners_of(crowd.arrivals))
    assert_same_tables(ledger, truth)
    marks = [mark for mark in set_of(ledger.marks) if mark.mark == "duplicate"]
    named = Counter(mark.event_id for mark in marks if not mark.event_id.startswith(HASHED_ID))
    assert named <= Counter(truth.duplicates)
    assert len(marks) == len(truth.duplicates)


def set_of(marks: list[EventMarkRow]) -> list[EventMarkRow]:
    """As the table has them: those of one event and place are one."""
    return list({(m.event_id, m.mark, m.partition, m.offset, m.index): m for m in marks}.values())


def assert_revisions(ledger: Ledger) -> None:
    """Credits are restated one revision at a time, each of which says what it replaces and why."""
    chains: dict[str, dict[int, AttributionRow]] = defaultdict(dict)
    for (table, row_id, revision, _), row in ledger.written.items():
        if table == "attributions":
            chains[row_id][revision] = row
    for rows in chains.values():
        assert sorted(rows) == list(range(1, len(rows) + 1))
        for revision, row in rows.items():
            assert row.supersedes == revision - 1
            assert (row.reason == Reason.INITIAL) == (revision == 1)
            if revision > 1 and row.person_key != rows[revision - 1].person_key:
                assert (row.reason, row.person_key[:2], rows[revision - 1].person_key[:2]) == (Reason.MERGE, "u:", "a:")


def _assert_links(crowd: Crowd, ledger: Ledger) -> None:
    seen = {(event.anonymous_id, event.user_id) for event in crowd.arrivals if event.user_id and event.anonymous_id}
    owners = owners_of(crowd.arrivals)
    assert {(row.anonymous_id, row.user_id): row.is_owner for row in ledger.links} == {
        pair: owners[pair[0]] == pair[1] for pair in seen
    }
