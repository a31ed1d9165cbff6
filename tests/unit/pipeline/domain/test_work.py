"""What one event may cost, counted and not timed: instructions executed, rows and bytes written.

A page view in order takes 770 instructions. What the bounds are in time, `make bench ARGS=worst` tells.
"""

from collections.abc import Callable

import pytest
from heavy_persons import PERSONS, Heavy, events_for, journey_of, newcomer, order_of_many
from work import instructions

from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.identity.stitching import absorb

MOST_INSTRUCTIONS = 90_000
MOST_INSTRUCTIONS_OF_A_MERGE = 130_000
MOST_ROWS = 110
MOST_BYTES = 50_000
MOST_BYTES_OF_LONG_NAMES = 250_000
"""Rows of a conversion hold its path: of 100 touches, each with three names of 200 characters."""


def test_a_refund_of_many_conversions_writes_few_of_them() -> None:
    order, refund = order_of_many()
    steps = instructions(
        lambda: apply_order(
            PersonContext(order.state, refund.app_id, refund.person, order.rules, 0, order.effects), refund
        )
    )
    assert steps <= MOST_INSTRUCTIONS
    assert order.written()[1] <= MOST_BYTES


def test_a_page_view_in_order_takes_few_steps() -> None:
    heavy = newcomer()
    event = heavy.event("page_view", heavy.at_ms + 1)
    assert instructions(lambda: heavy.apply(event)) < 1_000


@pytest.mark.parametrize("prepare", PERSONS.values(), ids=PERSONS.keys())
def test_a_short_journey_costs_its_share_whatever_the_user_was_prepared_with(prepare: Callable[[], Heavy]) -> None:
    user, journey = prepare().copy(), journey_of(newcomer())
    rules, at_ms, effects = user.rules, user.at_ms, user.effects
    steps = instructions(
        lambda: absorb(PersonContext(user.state, "demo", "u:" + "user", rules, at_ms, effects), journey, "other")
    )
    assert steps <= MOST_INSTRUCTIONS_OF_A_MERGE
    assert user.written()[1] <= MOST_BYTES


def test_a_short_journey_leaves_sessions_in_the_archive_that_it_cannot_change() -> None:
    user = PERSONS["47 open sessions of 100 campaigns"]().copy()
    archive = user.state.archive
    journey = newcomer()
    journey.does("page_view", user.at_ms - journey.at_ms)
    absorb(
        PersonContext(user.state, "demo", "u:" + "user", user.rules, user.at_ms, user.effects),
        journey_of(journey),
        "other",
    )
    assert len(archive) > 30_000
    assert archive in user.state.archive


@pytest.mark.parametrize(("name", "prepare"), PERSONS.items(), ids=PERSONS.keys())
def test_no_event_costs_more_than_its_share_whatever_a_person_was_prepared_with(
    name: str, prepare: Callable[[], Heavy]
) -> None:
    heavy = prepare()
    most_bytes = MOST_BYTES_OF_LONG_NAMES if name == "long names" else MOST_BYTES
    for what, act in events_for(heavy):
        copy = heavy.copy()
        steps = instructions(lambda act=act, copy=copy: act(copy))  # type: ignore[misc]
        rows, size = copy.written()
        assert steps <= MOST_INSTRUCTIONS, (what, steps)
        assert rows <= MOST_ROWS, (what, rows)
        assert size <= most_bytes, (what, size)
