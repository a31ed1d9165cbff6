"""Ten thousand journeys of ad clicks, each with a purchase that a backend posts half an hour after the last one."""

from collections import defaultdict
from fractions import Fraction
from random import Random

import pytest
from comparing import facts
from histories import Ledger
from reference import compute

from pipeline.domain.apply import apply_event, publish_sessions
from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.rules import DAY_MS, compile_rules
from pipeline.domain.state import new_state
from schemas.control import DEFAULT_GOALS, App
from schemas.events import StreamEvent
from schemas.facts import Model

APP = App("shop", "Shop", goals=DEFAULT_GOALS)
RULES = compile_rules(APP)
START_MS = 20_000 * DAY_MS
JOURNEYS = 10_000
CHANNELS = ("paid_search", "paid_social", "feed", "display")


def journey(number: int, random: Random) -> list[StreamEvent]:
    """One to five clicks over twenty days; the order, of at most ten yuan, 31 minutes after the last of them."""
    times_ms = sorted(START_MS + random.randrange(20 * DAY_MS) for _ in range(random.randint(1, 5)))
    named = [("ad_click", b'{"channel": "%s"}' % random.choice(CHANNELS).encode()) for _ in times_ms]
    times_ms.append(times_ms[-1] + 31 * 60_000)
    named.append(("purchase", b'{"revenue": %d.%02d}' % (random.randrange(10), random.randrange(100))))
    return [
        StreamEvent("shop", f"e{number}_{place}", name, at_ms, at_ms * 1000, f"u{number}", properties=properties)
        for place, (at_ms, (name, properties)) in enumerate(zip(times_ms, named, strict=True))
    ]


@pytest.fixture(scope="module")
def journeys() -> list[list[StreamEvent]]:
    random = Random(31)
    return [journey(number, random) for number in range(JOURNEYS)]


@pytest.fixture(scope="module")
def ledger(journeys: list[list[StreamEvent]]) -> Ledger:
    found, effects = Ledger(), Effects()
    for events in journeys:
        state, person = new_state(), "u:" + events[0].user_id
        for place, event in enumerate(events):
            apply_event(
                PersonContext(state, event.app_id, person, RULES, event.timestamp_ms, effects, (0, place, 0)), event
            )
        publish_sessions(PersonContext(state, "shop", person, RULES, events[-1].timestamp_ms, effects))
    found.add(effects)
    return found


def test_the_ads_keep_all_credit_and_are_all_the_visits(ledger: Ledger) -> None:
    credited: dict[str, int] = defaultdict(int)
    for row in ledger.table("attributions").values():
        for credits in row.credits_nanos.values():
            for channel, nanos in zip(row.channels, credits, strict=True):
                credited[channel] += nanos
    assert set(credited) == set(CHANNELS)
    assert sum(credited.values()) == JOURNEYS * len(Model) * 10**9
    assert {row.channel for row in ledger.table("sessions").values()} == {"", *CHANNELS}


def test_a_thousand_of_them_are_as_computed_the_plain_way(ledger: Ledger, journeys: list[list[StreamEvent]]) -> None:
    few = [event for events in journeys[:1000] for event in events]
    touches = {row_id: row for row_id, row in facts(ledger, "touches").items() if int(row_id[1:].split("_")[0]) < 1000}
    assert touches == compute(few, APP).touches


def test_small_orders_are_credited_exactly_whatever_the_place_in_the_path(ledger: Ledger) -> None:
    exact: dict[str, Fraction] = defaultdict(Fraction)
    credited: dict[str, int] = defaultdict(int)
    for row in ledger.table("attributions").values():
        for place, nanos in enumerate(row.credits_nanos["linear"]):
            end = "last" if place == len(row.channels) - 1 else "before"
            exact[end] += Fraction(row.value_minor, len(row.channels))
            credited[end] += row.value_minor * nanos
    assert sum(credited.values()) == sum(row.value_minor for row in ledger.table("attributions").values()) * 10**9
    for end, value in exact.items():
        assert abs(credited[end] / (value * 10**9) - 1) < Fraction(1, 10**8)
