"""Journeys of visitors: contacts with ads, sessions, carts, orders. Seeded; event time only, without faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from deploy.demo.catalogue import ARRIVALS, DEVICES, PAGES, PRODUCTS, SEARCHES, SHOP, Arrival

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_WEIGHTS: Final = [arrival.weight for arrival in ARRIVALS]
_IMPRESSION_RATE: Final = 0.5
_VIEW_RATE: Final = 0.15
_AD_CLICK_RATE: Final = 0.6
_ORDER_RATE: Final = 0.45
_SEARCH_RATE: Final = 0.2
_SIGNUP_RATE: Final = 0.12
_LOGGED_OUT_RATE: Final = 0.15
"""Share of the later sessions of customers without a login: the shop does not know them, the browser is the same."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """An event as it truly happened; `body` lacks only its `timestamp`."""

    time_ms: int
    body: Body


@dataclass
class Visitor:
    """A visitor. `user_id` is empty until the visitor is known; the browser's id stays the same."""

    number: int
    anonymous_id: str
    user_id: str
    context: Body
    events: int = 0
    is_logged_out: bool = False
    has_signed_up: bool = False
    """True if the shop has seen both ids together in this traffic."""

    def next_event_id(self) -> str:
        self.events += 1
        return f"demo-{self.number:06d}-{self.events:04d}"


def visitors(random: Random, start_ms: int, end_ms: int) -> Iterator[list[Event]]:
    """Yield the journey of one visitor after the other, without end. All times lie in [start_ms, end_ms)."""
    number = 0
    while True:
        number += 1
        journey = list(_journey(random, _new_visitor(random, number), start_ms, end_ms))
        yield [event for event in journey if start_ms <= event.time_ms < end_ms]


def _new_visitor(random: Random, number: int) -> Visitor:
    user_agent, locale = random.choice(DEVICES)
    is_known = random.random() < 0.4
    return Visitor(
        number=number,
        anonymous_id=f"browser-{number:06d}-{random.getrandbits(32):08x}",
        user_id=f"customer-{number:06d}" if is_known else "",
        context={"ip": f"203.0.113.{random.randrange(1, 255)}", "user_agent": user_agent, "locale": locale},
    )


def _journey(random: Random, visitor: Visitor, start_ms: int, end_ms: int) -> Iterator[Event]:
    """Build one to eight sessions, hours to days apart; who returns comes back by another way more often than not.

    Some sign up on the way: what they did before, and what they do later without logging in, is the customer's too.
    """
    time_ms = random.randrange(start_ms, end_ms)
    for _ in range(min(8, 1 + int(random.expovariate(0.75)))):
        visitor.is_logged_out = visitor.has_signed_up and random.random() < _LOGGED_OUT_RATE
        arrival = random.choices(ARRIVALS, _WEIGHTS)[0]
        yield from _ads_before(random, visitor, arrival, time_ms)
        yield from _visit(random, visitor, arrival, time_ms)
        time_ms += _HOUR_MS + int(random.expovariate(1 / 60) * _HOUR_MS)


def _ads_before(random: Random, visitor: Visitor, arrival: Arrival, visit_ms: int) -> Iterator[Event]:
    """Build the ad contacts before a session: an impression hours before, sometimes a video watched, often a click
    reported by the ad network.
    """
    if not arrival.campaign:
        return
    if random.random() < _IMPRESSION_RATE:
        yield _event(visitor, "ad_impression", visit_ms - random.randrange(20 * _HOUR_MS), {}, arrival.campaign)
    if random.random() < _VIEW_RATE:
        watched = {"seconds": random.randrange(3, 30)}
        yield _event(visitor, "ad_view", visit_ms - random.randrange(48 * _HOUR_MS), watched, arrival.campaign)
    if random.random() < _AD_CLICK_RATE:
        yield _event(visitor, "ad_click", visit_ms - random.randrange(800, 4_000), {}, arrival.campaign)


def _visit(random: Random, visitor: Visitor, arrival: Arrival, time_ms: int) -> Iterator[Event]:
    landing = SHOP + random.choice(PAGES) + arrival.query.format(token=f"{random.getrandbits(64):016x}")
    yield _page_view(visitor, time_ms, landing, arrival.referrer)
    page = landing
    for _ in range(min(15, int(random.expovariate(0.28)))):
        time_ms += random.randrange(3_000, 4 * _MINUTE_MS)
        previous, page = page, SHOP + random.choice(PAGES)
        yield _page_view(visitor, time_ms, page, previous)
    time_ms += random.randrange(2_000, _MINUTE_MS)
    if random.random() < _SEARCH_RATE:
        query = {"search_query": random.choice(SEARCHES), "results_count": random.randrange(40)}
        yield _event(visitor, "search", time_ms, query)
    yield from _sign_up(random, visitor, time_ms + 5_000)
    if random.random() < arrival.cart_rate:
        yield from _shop(random, visitor, time_ms + 20_000)


def _sign_up(random: Random, visitor: Visitor, time_ms: int) -> Iterator[Event]:
    if visitor.user_id or random.random() >= _SIGNUP_RATE:
        return
    visitor.user_id, visitor.has_signed_up = f"customer-{visitor.number:06d}", True
    yield _event(visitor, "user_signup", time_ms, {"signup_method": random.choice(("phone", "wechat", "email"))})


def _shop(random: Random, visitor: Visitor, time_ms: int) -> Iterator[Event]:
    """Put something into the cart; nearly half of the carts become an order."""
    product, price = random.choice(PRODUCTS)
    quantity = random.randrange(1, 4)
    cart = {"product_id": product, "price": float(price), "quantity": quantity}
    yield _event(visitor, "add_to_cart", time_ms, cart)
    if random.random() < _ORDER_RATE:
        time_ms += random.randrange(20_000, 8 * _MINUTE_MS)
        yield _event(visitor, "purchase", time_ms, _order(visitor, price, quantity))


def _order(visitor: Visitor, price: str, quantity: int) -> Body:
    cents = round(float(price) * 100) * quantity
    return {"order_id": f"order-{visitor.number}-{visitor.events}", "revenue": cents / 100, "currency": "CNY"}


def _page_view(visitor: Visitor, time_ms: int, url: str, referrer: str) -> Event:
    event = _event(visitor, "page_view", time_ms, {"page_title": "Shop", "page_url": url})
    event.body["context"]["page"] = {"url": url, "title": "Shop", "referrer": referrer}
    return event


def _event(
    visitor: Visitor, name: str, time_ms: int, properties: Body, campaign: dict[str, str] | None = None
) -> Event:
    context = visitor.context | ({"campaign": campaign} if campaign else {})
    body = {"event_id": visitor.next_event_id(), "event_name": name, "properties": properties, "context": context}
    user_id = "" if visitor.is_logged_out else visitor.user_id
    body |= {"anonymous_id": visitor.anonymous_id} | ({"user_id": user_id} if user_id else {})
    return Event(time_ms, body)
