"""The domain's promise: any order of arrival within the lateness, any time of publishing, any crash and replay give the
rows of a plain batch computation (`tests/support/reference.py`)."""

import os
from copy import deepcopy
from random import Random

from comparing import assert_same_tables
from histories import DAY_MS, History, Ledger, Run, histories, imports, paying
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import compute
from reference_lateness import SentBefore

from pipeline.domain.rules import compile_rules
from pipeline.domain.state import decode_state, encode_state

HISTORIES = int(os.environ.get("HISTORIES", "150"))
"""Number of histories tried of each kind; thousands when the domain changes: `HISTORIES=5000 pytest
tests/unit/pipeline`.
"""

many = settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=HISTORIES // 2)
seeds = st.integers(0, 2**32)


def assert_equals_reference(history: History, ledger: Ledger) -> None:
    late = late_ids(history)
    truth = compute(history.arrivals, history.app, history.final_watermark_ms, late)
    assert_same_tables(ledger, truth)
    assert sorted(mark.event_id for mark in ledger.marks if mark.mark == "duplicate") == sorted(truth.duplicates)
    assert {mark.event_id for mark in ledger.marks if mark.mark == "late"} == late


def late_ids(history: History) -> set[str]:
    """Return the ids of events whose first coming was late."""
    before = SentBefore(history.app)
    found: dict[str, bool] = {}
    for event, watermark_ms in zip(history.arrivals, history.event_watermarks_ms, strict=True):
        is_late = before.is_late(event, watermark_ms)
        found.setdefault(event.event_id, is_late)
    return {event_id for event_id, is_late in found.items() if is_late}


@many
@given(histories(), seeds)
def test_any_order_gives_the_rows_of_the_batch_computation(history: History, seed: int) -> None:
    with paying(slowly=seed % 2 == 1):
        ledger = Run(history, compile_rules(history.app), Random(seed), seed).all()
    assert_equals_reference(history, ledger)


@many
@given(imports(), seeds)
def test_a_past_that_is_imported_in_any_order_counts_as_if_it_had_come_in_order(history: History, seed: int) -> None:
    with paying(slowly=seed % 2 == 1):
        ledger = Run(history, compile_rules(history.app), Random(seed), seed).all()
    assert_equals_reference(history, ledger)


@some
@given(st.one_of(histories(), imports()), seeds)
def test_the_same_log_gives_the_same_rows_and_revisions_whenever_sessions_are_published(
    history: History, seed: int
) -> None:
    rules = compile_rules(history.app)
    often, once = (Run(history, rules, random, seed).all() for random in (Random(seed), None))
    for table in ("sessions", "touches", "conversions", "attributions"):
        assert often.table(table) == once.table(table)


@some
@given(st.one_of(histories(), imports()), seeds, st.data())
def test_a_crash_after_writing_rows_and_before_writing_state_changes_nothing(
    history: History, seed: int, data: st.DataObject
) -> None:
    count = len(history.arrivals)
    stored = data.draw(st.integers(0, count))
    crash = data.draw(st.integers(stored, count))
    run = Run(history, compile_rules(history.app), Random(seed), seed)
    run.apply(0, stored)
    before, orders = encode_state(run.state), deepcopy(run.orders)
    run.apply(stored, crash)
    run.publish(history.event_watermarks_ms[crash - 1] if crash else 0)
    run.ledger.add(run.effects)  # these rows are out; the state that knows of them is lost
    run.state, run.orders = decode_state(before), orders
    run.ledger.marks.clear()
    run.apply(stored, count)
    ledger = run.finish()
    undisturbed = Run(history, run.rules, groups=seed).all()
    for table in ("sessions", "touches", "conversions", "attributions"):
        assert ledger.table(table) == undisturbed.table(table)


@some
@given(histories(), seeds)
def test_events_sent_again_within_seven_days_are_marked_and_change_nothing(history: History, seed: int) -> None:
    run = Run(history, compile_rules(history.app), Random(seed), seed)
    count = len(history.arrivals)
    run.apply(0, count)
    run.publish(history.event_watermarks_ms[-1])
    run.effects.clear()
    before, run.random = encode_state(run.state), None
    since_us = history.arrivals[-1].received_us - 7 * DAY_MS * 1000
    again = next(place for place, event in enumerate(history.arrivals) if event.received_us > since_us)
    run.apply(again, count)
    assert encode_state(run.state) == before
    assert [mark.mark for mark in run.effects.marks] == ["duplicate"] * (count - again)
    run.effects.marks.clear()
    assert run.effects.is_empty
