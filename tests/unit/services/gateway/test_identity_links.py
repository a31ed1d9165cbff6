"""Links a gateway sends, how long it remembers them, and that an answer waits for them."""

import asyncio

import msgspec
import pytest

from schemas.events import AcceptedEvent
from schemas.ids import partition_for
from schemas.people import Link, decode_people
from schemas.topics import Topic
from services.gateway.identity_links import KnownLinks
from services.gateway.packing import pack_event, pack_links
from services.gateway.publish import NotAcknowledged, Publisher
from services.gateway.sink import MemorySink
from services.web.budget import Budget, Payer

DAY_US = 86_400_000_000
AT_US = 20_000 * DAY_US


def event(number: int, user_id: str = "", anonymous_id: str = "", received_us: int = AT_US) -> AcceptedEvent:
    return AcceptedEvent("shop", f"e{number}", "page_view", 7, received_us, user_id, anonymous_id)


def test_only_events_with_both_ids_bring_a_link() -> None:
    links = KnownLinks()
    assert links.unknown([event(1), event(2, user_id="u"), event(3, anonymous_id="a")]) == ()
    assert links.unknown([event(4, "u", "a")]) == (Link("shop", "a", "u", "e4", 7, AT_US),)


def test_a_pair_is_sent_until_it_is_acknowledged_and_then_no_more_that_day() -> None:
    links = KnownLinks()
    first = links.unknown([event(1, "u", "a"), event(2, "u", "a"), event(3, "v", "a")])
    assert [(link.user_id, link.event_id) for link in first] == [("u", "e1"), ("v", "e3")]
    assert links.unknown([event(4, "u", "a")])
    links.acknowledged(first)
    assert not links.unknown([event(5, "u", "a"), event(6, "v", "a")])
    assert links.unknown([event(7, "u", "b")])
    assert links.unknown([event(8, "u", "a", AT_US + DAY_US)])


def test_another_app_is_another_pair() -> None:
    links = KnownLinks()
    links.acknowledged(links.unknown([event(1, "u", "a")]))
    assert links.unknown([msgspec.structs.replace(event(2, "u", "a"), app_id="other")])


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    links = KnownLinks(capacity=100)
    for number in range(1_000):
        links.acknowledged(links.unknown([event(number, f"u{number}", "a")]))
        assert not links.unknown([event(number, "u0", "a")]), "used all the time"
        assert len(links) <= 100
    assert links.unknown([event(0, "u1", "a")]), "not used for long"


def test_links_go_to_the_partition_of_the_anonymous_id() -> None:
    made = [Link("shop", f"a{number}", "u", f"e{number}", 7, AT_US) for number in range(40)]
    pieces = pack_links(made, 4)
    assert {piece.partition for piece in pieces} == {0, 1, 2, 3}
    for piece in pieces:
        for link in decode_people(piece.lines):
            assert partition_for("shop", "a:" + link.anonymous_id, 4) == piece.partition
    assert sorted(link.event_id for piece in pieces for link in decode_people(piece.lines)) == sorted(
        link.event_id for link in made
    )


async def test_events_are_published_only_with_their_links(sink: MemorySink) -> None:
    publisher = Publisher(sink, 4, Budget(1 << 20), 30.0)
    made = event(1, "u", "a")
    sink.hold()
    links = pack_links(KnownLinks().unknown([made]), 4)
    waiting = asyncio.create_task(publisher.publish([pack_event(made, 4)], Payer("shop", ""), links))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    sink.release()
    await waiting
    assert {topic for topic, _, _ in sink.records} == {Topic.EVENTS, Topic.PEOPLE}
    assert publisher.budget.used_bytes == 0
    sink.fail_with = "no"
    with pytest.raises(NotAcknowledged):
        await publisher.publish([pack_event(made, 4)], Payer("shop", ""), links)
