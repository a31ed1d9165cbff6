"""Refunds find their orders: whoever sends them, whenever, and whichever of the two comes first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import msgspec
import pytest
from histories import DAY_MS, MIDNIGHT_MS, Ledger

from pipeline.domain import state as limits
from pipeline.domain.apply import (
    apply_event,
    end,
    is_expired,
    next_timer_ms,
    owes_rows,
    publish_sessions,
    write_owed_rows,
)
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.order_rows import MAX_AT_ONCE, MAX_PER_WAKEUP
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.effects import Effects
from pipeline.domain.identity.stitching import absorb, apply_link, hand_over
from pipeline.domain.rules import AppRules, compile_rules
from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from pipeline.stream.identity.messages import person_of
from schemas.control import DEFAULT_GOALS, App
from schemas.events import StreamEvent
from schemas.people import Link, PeopleRecord
from schemas.persons import person_key

AD = "https://shop.example.com/?utm_source=baidu&utm_medium=cpc"
FULL: dict[str, Any] = {"order_id": "A"}


@dataclass
class Shop:
    """All states of an app; messages arrive at once, and twice."""

    rules: AppRules = field(default_factory=lambda: compile_rules(App("shop", "Shop", goals=DEFAULT_GOALS)))
    states: dict[str, PersonState] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    watermark_ms: int = MIDNIGHT_MS
    sent: int = 0

    def does(self, name: str, days: float, user_id: str = "", anonymous_id: str = "", **fields: Any) -> None:
        at_ms = MIDNIGHT_MS + int(days * DAY_MS)
        self.watermark_ms = max(self.watermark_ms, at_ms)
        self.sent += 1
        event_id = fields.pop("event_id", f"e{self.sent}")
        properties = msgspec.Raw(msgspec.json.encode(fields.pop("properties", {})))
        ids = (user_id, anonymous_id)
        received_us = self.watermark_ms * 1000
        event = StreamEvent("shop", event_id, name, at_ms, received_us, *ids, properties=properties, **fields)
        key = person_key(user_id, anonymous_id, event_id)
        effects = Effects()
        apply_event(
            PersonContext(
                self.state(key), event.app_id, key, self.rules, self.watermark_ms, effects, (0, self.sent, 0)
            ),
            event,
        )
        self.deliver(effects)

    def buys(self, days: float, revenue: float = 100, user_id: str = "", anonymous_id: str = "g1") -> None:
        self.does("page_view", days - 0.001, user_id, anonymous_id, page_url=AD)
        self.does("purchase", days, user_id, anonymous_id, properties={"revenue": revenue, "order_id": "A"})

    def refunds(self, days: float, user_id: str = "", anonymous_id: str = "", **fields: Any) -> None:
        properties = {"order_id": "A"} | fields.pop("properties", {})
        self.does("refund", days, user_id, anonymous_id, properties=properties, **fields)

    def state(self, key: str) -> PersonState:
        data = self.states.get(key)
        self.states[key] = new_state() if data is None else decode_state(encode_state(data))
        return self.states[key]

    def deliver(self, effects: Effects) -> None:
        while effects.messages:
            messages, effects.messages = effects.messages, []
            for message in messages * 2:
                wire: Any = msgspec.json.decode(msgspec.json.encode(message), type=PeopleRecord)
                apply_order(
                    PersonContext(self.state(person_of(wire)), wire.app_id, wire.person, self.rules, 0, effects), wire
                )
        self.ledger.add(effects)

    def passes(self, days: float) -> None:
        """Until then nothing happens; states that have expired are dropped."""
        self.watermark_ms = MIDNIGHT_MS + int(days * DAY_MS)
        for key in list(self.states):
            effects, state = Effects(), self.state(key)
            if not key.startswith("o:"):
                publish_sessions(PersonContext(state, "shop", key, self.rules, self.watermark_ms, effects))
            if is_expired(state, self.rules, self.watermark_ms):
                end(PersonContext(state, "shop", key, self.rules, 0, effects))
                del self.states[key]
            self.deliver(effects)

    def pays(self, key: str) -> list[int]:
        """Have all rows written that are owed; conversions written each time."""
        counts = []
        while owes_rows(self.state(key)):
            effects = Effects()
            write_owed_rows(PersonContext(self.states[key], "shop", key, self.rules, 0, effects))
            counts.append(len(effects.conversions))
            self.deliver(effects)
        return counts

    def logs_in(self, days: float, anonymous_id: str, user_id: str) -> None:
        at_ms, effects, state = MIDNIGHT_MS + int(days * DAY_MS), Effects(), self.state("a:" + anonymous_id)
        apply_link(state, Link("shop", anonymous_id, user_id, "link", at_ms, at_ms // 1000 * 1_000_000), effects)
        journey = hand_over(state)
        if journey:
            key = "u:" + user_id
            context = PersonContext(self.state(key), "shop", key, self.rules, self.watermark_ms, effects)
            absorb(context, journey, anonymous_id)
        self.deliver(effects)

    def value(self) -> int:
        """Of all conversions, after refunds; every attribution says the same."""
        rows = self.ledger.table("conversions")
        net = {key: row.value_minor - row.refunded_minor for key, row in rows.items()}
        credited = self.ledger.table("attributions")
        assert {key: row.value_minor for key, row in credited.items()} == net
        for row in credited.values():
            assert {sum(values) for values in row.values_minor.values()} == {row.value_minor}
        return sum(net.values())


@pytest.fixture
def shop() -> Shop:
    return Shop()


SENDERS = [("", ""), ("u9", ""), ("", "a9"), ("", "g1"), ("u9", "a9")]


@pytest.mark.parametrize("days", [0.01, 5, 29, 40, 200, 399])
@pytest.mark.parametrize(("user_id", "anonymous_id"), SENDERS)
def test_whoever_sends_it_and_whenever(shop: Shop, days: float, user_id: str, anonymous_id: str) -> None:
    shop.buys(0)
    (before,) = shop.ledger.table("attributions").values()
    shop.passes(days)
    assert shop.value() == 10_000
    shop.refunds(days, user_id, anonymous_id, properties={"amount": 40})
    assert shop.value() == 6_000
    shop.refunds(days + 0.5)
    assert shop.value() == 0
    (after,) = shop.ledger.table("attributions").values()
    assert (after.revision, after.reason, after.credits_nanos) == (3, "refund", before.credits_nanos)
    assert after.channels == before.channels == ["paid_search"]
    (row,) = shop.ledger.table("conversions").values()
    assert (row.reason, row.path_touch_ids, row.person_key) == ("refund", before.touch_ids, "a:g1")


@pytest.mark.parametrize("days", [-0.5, -5, -100])
def test_it_waits_for_its_order(shop: Shop, days: float) -> None:
    """The purchase is imported after its refund."""
    shop.refunds(0)
    shop.buys(days)
    assert shop.value() == 0


@pytest.mark.parametrize("days", [1, 40])
def test_a_late_refund_is_late_for_its_person_alone(shop: Shop, days: float) -> None:
    shop.buys(0)
    shop.does("page_view", days + 3, "u9")
    shop.passes(days + 5)
    shop.refunds(days, "u9")
    assert [mark.mark for mark in shop.ledger.marks] == ["late"]
    assert shop.value() == 0


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("later", [10, 45])
def test_the_order_in_which_they_arrive_does_not_matter(order: tuple[int, ...], later: float) -> None:
    shop = Shop()
    does: list[Callable[[], None]] = [
        lambda: shop.buys(0),
        lambda: shop.buys(0.2, 50, "u7", ""),
        lambda: shop.refunds(1, properties={"amount": 30}, event_id="r1"),
        lambda: shop.refunds(later, "u9", properties={"amount": 30}, event_id="r2"),
    ]
    for place in order:
        does[place]()
    taken = sorted(row.refunded_minor for row in shop.ledger.table("conversions").values())
    assert taken == [5_000, 6_000]  # whoever has a conversion of the order gives it back
    (excess,) = {row.refund_excess_minor for row in shop.ledger.table("conversions").values()} - {0}
    assert excess == 1_000


@pytest.mark.parametrize("days", [0.1, 20, 60])
@pytest.mark.parametrize("login", [0.05, 10, 50])
def test_it_follows_a_journey_that_has_become_a_users(shop: Shop, days: float, login: float) -> None:
    shop.buys(0)
    does = [(login, lambda: shop.logs_in(login, "g1", "u1")), (days, lambda: shop.refunds(days))]
    for at, act in sorted(does, key=lambda pair: pair[0]):
        shop.passes(at)
        act()
    assert shop.value() == 0
    assert len(shop.ledger.table("conversions")) == 1


def test_a_renewal_under_the_same_order_gives_back_its_own(shop: Shop) -> None:
    shop.buys(0)
    shop.passes(60)
    assert "a:g1" not in shop.states
    shop.buys(61, 50)
    shop.refunds(62, properties={"amount": 50})
    by_time = sorted(shop.ledger.table("conversions").values(), key=lambda row: row.converted_at_ms)
    assert [row.refunded_minor for row in by_time] == [0, 5_000]
    shop.refunds(20, "u9", properties={"amount": 10})
    by_time = sorted(shop.ledger.table("conversions").values(), key=lambda row: row.converted_at_ms)
    assert [row.refunded_minor for row in by_time] == [1_000, 5_000]


def test_conversions_beyond_the_bound_move_to_their_orders(shop: Shop) -> None:
    for number in range(limits.MAX_CONVERSIONS + 5):
        properties = {"revenue": 10, "order_id": f"o-{number}"}
        shop.does("purchase", number / 100, "u1", properties=properties)
    assert len(shop.states["u:u1"].conversions) == limits.MAX_CONVERSIONS
    for number in (0, 4, 50):
        shop.does("refund", 2, properties={"order_id": f"o-{number}"})
    assert shop.value() == (limits.MAX_CONVERSIONS + 2) * 1_000


def test_what_an_order_remembers_is_bounded(shop: Shop) -> None:
    for number in range(limits.MAX_HOLDERS + 5):
        shop.buys(number / 1000, 1, f"u{number}", "")
    for number in range(limits.MAX_REFUNDS + 5):
        shop.refunds(1, properties={"amount": 0.01}, event_id=f"r{number}")
    order = shop.states["o:A"].order
    assert order is not None
    assert (len(order.holders), len(order.refunds)) == (limits.MAX_HOLDERS, limits.MAX_REFUNDS)
    assert len(encode_state(shop.states["o:A"])) < 8_000


def test_a_refund_of_many_conversions_is_written_in_steps(shop: Shop) -> None:
    for number in range(45):
        shop.does("purchase", number / 1000, "u1", properties={"revenue": 10, "order_id": "A"})
    shop.pays("u:u1")
    shop.passes(60)
    shop.pays("u:u1")
    assert not shop.states["u:u1"].conversions
    shop.refunds(61)
    written = shop.value()
    assert written >= (45 - 2 * MAX_AT_ONCE) * 1_000, "each message comes twice"
    assert max(shop.pays("o:A")) == MAX_PER_WAKEUP
    assert shop.value() == 0
    assert {row.revision for row in shop.ledger.table("attributions").values()} == {2}


def test_an_order_ends_with_the_history(shop: Shop) -> None:
    shop.buys(0)
    state = shop.states["o:A"]
    assert next_timer_ms(state, shop.rules) == MIDNIGHT_MS + 1000 + 400 * DAY_MS
    shop.passes(399)
    assert set(shop.states) == {"o:A"}
    shop.passes(401)
    assert shop.states == {}


def test_what_has_no_order_or_no_value_needs_none(shop: Shop) -> None:
    shop.does("page_view", 0, "u1", page_url=AD)
    shop.does("purchase", 0.001, "u1", properties={"revenue": 5})
    shop.does("purchase", 0.002, "u1", properties={"order_id": "B"})
    shop.does("refund", 0.003, "u1", properties={"amount": 5})
    shop.passes(100)
    assert shop.states == {}


def test_a_state_of_before_orders_were_known_is_found_when_it_ends(shop: Shop) -> None:
    shop.buys(0)
    shop.refunds(1, "", "g1", properties={"amount": 30})
    del shop.states["o:A"]
    shop.passes(60)
    shop.refunds(61, properties={"amount": 20})
    assert shop.value() == 5_000


def test_what_an_order_costs(shop: Shop) -> None:
    shop.buys(0)
    assert len(encode_state(shop.states["o:A"])) < 100
    assert len(encode_state(new_state())) < 100
    shop.passes(60)
    assert len(encode_state(shop.states["o:A"])) < 300
