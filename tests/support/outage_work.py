"""What clients report while brokers and gateways are lost, and what must be in the tables afterwards."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any, Protocol

from insistent import Gate, InsistentClient, Seen

from pipeline.runtime.clock import now_ms

CLIENTS = 8
TWICE_SHARE = 0.2
Work = list[list[list[dict[str, Any]]]]
"""Batches of events of each client."""


class Story(Protocol):
    """Faults while the clients report."""

    gate: Gate

    async def run(self) -> None: ...


def make_work(seed: int, batches_of_each: int) -> tuple[Work, dict[str, dict[str, Any]]]:
    """Return the batches of every client, and all their events by id."""
    random = Random(seed)
    work = [make_batches(client, batches_of_each, random) for client in range(CLIENTS)]
    return work, {event["event_id"]: event for batches in work for batch in batches for event in batch}


async def live_through(story: Story, work: Work, ports: list[int], key: str, seen: Seen) -> None:
    """Let the clients report to the gateways at these ports, and the faults happen; returns when all is confirmed."""
    async with asyncio.TaskGroup() as group:
        group.create_task(story.run())
        for number, batches in enumerate(work):
            client = InsistentClient(ports, key, seen, story.gate, number)
            group.create_task(client.report(batches, TWICE_SHARE))


def make_batches(client: int, count: int, random: Random) -> list[list[dict[str, Any]]]:
    """Some single events and some batches of 15. Half of the events bring their time; the others get that of their
    receipt, another one with each try."""
    batches = []
    for batch in range(count):
        size = random.choice((1, 15))
        batches.append([make_event(f"c{client}-b{batch}-e{n}", random) for n in range(size)])
    return batches


def make_event(event_id: str, random: Random) -> dict[str, Any]:
    event: dict[str, Any] = {"event_name": "page_view", "event_id": event_id, "user_id": f"u{random.randrange(60)}"}
    if random.random() < 0.1:
        event |= {"event_name": "purchase", "properties": {"revenue": 10}}
    if random.random() < 0.5:
        event["timestamp"] = ms_text(now_ms() - random.randrange(60_000))
    return event


def ms_text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def assert_counted_once(tables: dict[str, list[Any]], events: dict[str, Any], seen: Seen, lines: int) -> None:
    stored = Counter(row["event_id"] for row in tables["events"])
    assert events.keys() - stored.keys() == set(), "confirmed and lost"
    assert stored.keys() - events.keys() == set()
    assert {event_id for event_id, count in stored.items() if count > 1} == set(), "there twice"
    duplicates = [row for row in tables["event_marks"] if row["mark"] == "duplicate"]
    assert seen.confirmed_twice <= {row["event_id"] for row in duplicates}
    assert lines == len(stored) + len(duplicates)
    assert sum(row["events"] for row in tables["sessions"]) == len(events)
    purchases = [event_id for event_id, event in events.items() if event["event_name"] == "purchase"]
    assert sorted(row["event_id"] for row in tables["conversions"]) == sorted(purchases)
    assert sum(row["value_minor"] for row in tables["attributions"]) == 1_000 * len(purchases)
