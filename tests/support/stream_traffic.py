"""Packed traffic for the stream: seeded, with sessions, touches, conversions, duplicates and late events."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from schemas.control import DEFAULT_GOALS, App
from schemas.events import AcceptedEvent, encode_event
from schemas.ids import partition_for
from schemas.people import Link, encode_people
from schemas.persons import person_key

APP = App("demo", "Demo", goals=DEFAULT_GOALS)
START_MS = 1_790_000_000_000
_SOURCES = ("google", "bing", "newsletter", "tiktok", "")
_CAMPAIGNS = ("spring", "summer", "brand")


def events(
    count: int, persons: int, seed: int = 1, *, span_ms: int = 12 * 3_600_000, start_ms: int = START_MS, stride: int = 1
) -> Iterator[AcceptedEvent]:
    """`count` events of `persons` persons over `span_ms` of event time; 1 in 50 repeats an earlier one.

    A twentieth of the persons are there at a time; each comes back until all events are used, for some 8 a session.
    `stride`: persons are numbered 0, stride, 2 * stride …: some of a larger crowd.
    """
    rng = random.Random(seed)
    recent: list[AcceptedEvent] = []
    rounds = max(1, count // (persons * 8))
    window = max(10, persons // 20)
    for number in range(count):
        if recent and rng.random() < 0.02:
            yield rng.choice(recent)
            continue
        person = (number * rounds * persons // count + rng.randrange(window)) % persons
        event = _event(rng, f"{number:012d}", number, person * stride, start_ms + span_ms * number // count)
        recent = [*recent[-20:], event]
        yield event


def crowd(persons: int, *, span_ms: int = 12 * 3_600_000) -> Iterator[AcceptedEvent]:
    """One event of each of `persons` persons, before anything `events` has."""
    rng = random.Random(0)
    for number in range(persons):
        yield _event(rng, f"crowd-{number:012d}", number, number, START_MS - span_ms + span_ms * number // persons)


def with_logins(stream: Iterator[AcceptedEvent], share: float, seed: int = 1) -> Iterator[AcceptedEvent]:
    """`share` of the persons browse anonymously at first, log in by an event with both ids, and now and then come back
    without logging in; a tenth of these share their device, so their anonymous id is another's."""
    rng = random.Random(seed)
    known: dict[str, AcceptedEvent] = {}
    visits: dict[str, int] = defaultdict(int)
    for event in stream:
        if event.event_id not in known:
            number = visits[event.user_id]
            visits[event.user_id] += 1
            known[event.event_id] = _logging_in(rng, event, share, number)
        yield known[event.event_id]


def with_refunds(stream: Iterable[AcceptedEvent], seed: int = 1) -> Iterator[AcceptedEvent]:
    """Every order is given back in part, by nobody or somebody else, some before it arrives."""
    rng = random.Random(seed)
    for event in stream:
        if event.event_name != "purchase":
            yield event
            continue
        order_id = msgspec.json.decode(event.properties)["order_id"]
        refund = msgspec.structs.replace(
            event,
            event_id=f"{event.event_id}-back",
            event_name="refund",
            timestamp_ms=event.timestamp_ms + 1,
            user_id=rng.choice(["", "user-0", event.user_id]),
            anonymous_id="",
            properties=msgspec.Raw(msgspec.json.encode({"order_id": order_id, "amount": 0.5})),
        )
        yield from (event, refund) if rng.random() < 0.6 else (refund, event)


def _logging_in(rng: random.Random, event: AcceptedEvent, share: float, number: int) -> AcceptedEvent:
    draw = random.Random(event.user_id)
    if draw.random() >= share:
        return event
    device, login_at = f"anon-{event.user_id.rpartition('-')[2]}", draw.randrange(6)
    if draw.random() < 0.1:
        device = f"shared-{draw.randrange(5)}"
    chance = rng.random()
    if number < login_at or (number > login_at and chance < 0.2):
        return msgspec.structs.replace(event, user_id="", anonymous_id=device)
    if number == login_at or chance < 0.4:
        return msgspec.structs.replace(event, anonymous_id=device)
    return event


def closers(partitions: int, at_ms: int) -> Iterator[AcceptedEvent]:
    """One event for each partition, so late that all before is over."""
    for partition in range(partitions):
        users = (f"closer-{number}" for number in range(1_000))
        user = next(u for u in users if partition_for(APP.app_id, person_key(u, "", ""), partitions) == partition)
        yield AcceptedEvent(APP.app_id, f"evt_{user}", "page_view", at_ms, at_ms * 1000, user_id=user)


def links(stream: Iterable[AcceptedEvent], partitions: int) -> Iterator[tuple[int, bytes]]:
    """(partition, message) of `people`, each pair once, as one gateway would have sent them."""
    sent: set[tuple[str, str]] = set()
    for event in stream:
        pair = (event.anonymous_id, event.user_id)
        if all(pair) and pair not in sent:
            sent.add(pair)
            link = Link(event.app_id, *pair, event.event_id, event.timestamp_ms, event.received_us)
            partition = partition_for(event.app_id, person_key("", event.anonymous_id, ""), partitions)
            yield partition, encode_people([link])


def _event(rng: random.Random, tag: str, number: int, person: int, now_ms: int) -> AcceptedEvent:
    chance = rng.random()
    late_ms = rng.randrange(30_000) if chance < 0.3 else 0
    properties: dict[str, object] = {"page_title": "首页", "step": number % 7}
    name = "page_view"
    if chance > 0.97:
        name = "purchase"
        properties |= {"order_id": f"o{number}", "revenue": rng.randrange(100, 9_999) / 100, "currency": "CNY"}
    source = rng.choice(_SOURCES) if chance < 0.2 else ""
    return AcceptedEvent(
        app_id=APP.app_id,
        event_id=f"evt_{tag}",
        event_name=name,
        timestamp_ms=now_ms - late_ms,
        received_us=now_ms * 1000 + 400_000,
        user_id=f"user-{person}",
        properties=msgspec.Raw(msgspec.json.encode(properties)),
        page_url=f"https://shop.example.com/p/{rng.randrange(50)}",
        referrer="https://www.google.com/" if chance > 0.9 else "",
        campaign_source=source,
        campaign_medium="cpc" if source else "",
        campaign_name=rng.choice(_CAMPAIGNS) if source else "",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
        ip="203.0.113.7",
        key_id="key_0123456789abcdef",
    )


def packed(stream: Iterator[AcceptedEvent], per_message: int, partitions: int) -> Iterator[tuple[int, bytes]]:
    """(partition, message) in the order in which a gateway would have sent them."""
    waiting: dict[int, list[bytes]] = defaultdict(list)
    for event in stream:
        person = person_key(event.user_id, event.anonymous_id, event.event_id)
        partition = partition_for(event.app_id, person, partitions)
        lines = waiting[partition]
        lines.append(encode_event(event))
        if len(lines) >= per_message:
            yield partition, b"\n".join(waiting.pop(partition)) + b"\n"
    for partition, lines in waiting.items():
        yield partition, b"\n".join(lines) + b"\n"
