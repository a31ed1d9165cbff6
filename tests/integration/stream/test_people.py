"""People who log in, through a worker process between a real broker's topics: killed, wiped, and replayed."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import stream_traffic
from comparing import assert_same_tables
from histories import Ledger
from reference import compute, owners_of
from stream_reference import IDS, ROWS, fold
from stream_worker import produce, read_rows, wait_until_processed
from topic_copy import copy_topic

from pipeline.domain.effects import Effects
from pipeline.runtime.settings import Settings
from schemas.events import AcceptedEvent, decode_stream_event, encode_event
from schemas.topics import Topic

DAY_MS = 86_400_000
END_MS = stream_traffic.START_MS + 9 * DAY_MS


def _history(count: int, persons: int, partitions: int, seed: int) -> list[AcceptedEvent]:
    traffic = stream_traffic.events(count, persons, seed=seed, span_ms=6 * DAY_MS)
    made = list(stream_traffic.with_logins(traffic, 0.7, seed=seed))
    return [*made, *stream_traffic.closers(partitions, END_MS)]


async def _accept(settings: Settings, accepted: Sequence[AcceptedEvent]) -> None:
    """In parts, as a gateway would: the events of one, and its links, while the stream works."""
    for start in range(0, len(accepted), 400):
        part = accepted[start : start + 400]
        await produce(settings, stream_traffic.packed(iter(part), 20, settings.partitions))
        await produce(settings, stream_traffic.links(part, settings.partitions), Topic.PEOPLE)


async def _assert_true(settings: Settings, accepted: Sequence[AcceptedEvent]) -> None:
    ledger = Ledger()
    for topic, (name, row_type) in ROWS.items():
        effects = Effects()
        getattr(effects, name).extend(msgspec.convert(row, row_type) for row in await read_rows(settings, topic))
        ledger.add(effects)
    events = [decode_stream_event(encode_event(event)) for event in accepted]
    watermark_ms = END_MS - int(settings.out_of_orderness_seconds * 1000)
    truth = compute(events, stream_traffic.APP, watermark_ms, (), owners_of(events))
    assert_same_tables(ledger, truth)
    marks = {(mark.partition, mark.offset, mark.index): mark for mark in ledger.marks}
    assert sorted(mark.event_id for mark in marks.values()) == sorted(truth.duplicates)
    assert await read_rows(settings, Topic.REJECTED) == []


async def test_kills_a_lost_disk_and_a_replay_change_nothing(make_site: Callable[..., Any]) -> None:
    site = make_site()
    accepted = _history(3_000, 150, site.settings.partitions, seed=8)
    accepting = asyncio.create_task(_accept(site.settings, accepted))
    await site.lose_three_workers(random.Random(5), 0.4)
    worker = site.start_worker()
    await accepting
    await wait_until_processed(site.settings, worker)
    await _assert_true(site.settings, accepted)
    worker.kill()

    replay = make_site()
    for topic in (Topic.EVENTS, Topic.PEOPLE):
        await copy_topic(topic, site.settings, replay.settings)
    again = replay.start_worker()
    await wait_until_processed(replay.settings, again)
    await _assert_true(replay.settings, accepted)


async def test_a_login_joins_what_happened_before_and_after(make_site: Callable[..., Any]) -> None:
    """Search ad → purchase, all anonymous; then a login on another partition; then one more anonymous page."""
    site = make_site(stream_store="memory")
    worker = site.start_worker()
    start_ms = stream_traffic.START_MS

    def event(number: int, name: str, minute: int, user_id: str, anonymous_id: str, **given: Any) -> AcceptedEvent:
        at_ms = start_ms + minute * 60_000
        return AcceptedEvent("demo", f"e{number}", name, at_ms, at_ms * 1000, user_id, anonymous_id, **given)

    revenue = msgspec.Raw(b'{"order_id":"o1","revenue":99,"currency":"CNY"}')
    ad = {"campaign_source": "google", "campaign_medium": "cpc", "campaign_name": "spring"}
    before = [event(1, "page_view", 0, "", "a1", **ad), event(2, "purchase", 5, "", "a1", properties=revenue)]
    await _accept(site.settings, before)
    await wait_until_processed(site.settings, worker)
    assert [row["person_key"] for row in await read_rows(site.settings, Topic.ATTRIBUTIONS)] == ["a:a1"]

    login = [event(3, "page_view", 10, "u1", "a1"), event(4, "page_view", 15, "", "a1")]
    await _accept(site.settings, login)
    await wait_until_processed(site.settings, worker)
    tables = fold({topic: await read_rows(site.settings, topic) for topic in IDS})
    standing = tables[Topic.SESSIONS].values()
    assert [(row["person_key"], row["events"], row["channel"]) for row in standing] == [("u:u1", 4, "paid_search")]
    (last,) = tables[Topic.ATTRIBUTIONS].values()
    assert (last["person_key"], last["reason"], last["revision"], last["supersedes"]) == ("u:u1", "merge", 2, 1)
    (link,) = tables[Topic.PERSON_LINKS].values()
    assert (link["anonymous_id"], link["user_id"], link["event_id"], link["is_owner"]) == ("a1", "u1", "e3", True)
