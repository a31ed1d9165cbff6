"""Counts of a gateway's answers, as it writes them down."""

import msgspec
import pytest

from schemas.facts import GatewayCountRow
from schemas.topics import Topic
from services.gateway import usage_counts
from services.gateway.sink import MemorySink
from services.gateway.usage_counts import MINUTE_MS, Tallies, TallyWriter

AT_MS = 1_790_000_000_000 // MINUTE_MS * MINUTE_MS


def written(sink: MemorySink) -> list[GatewayCountRow]:
    decode = msgspec.json.Decoder(GatewayCountRow).decode
    return [decode(line) for line in sink.lines(Topic.GATEWAY_COUNTS)]


def test_counts_grow_within_a_minute_and_only_changed_rows_are_taken() -> None:
    tallies = Tallies("gw_1")
    tallies.events("shop", AT_MS * 1000, accepted=3, duplicates=1)
    tallies.events("shop", (AT_MS + MINUTE_MS - 1) * 1000, rejected=2)
    tallies.events("blog", (AT_MS + MINUTE_MS) * 1000, accepted=1)
    first = tallies.take_changed()
    assert [(r.app_id, r.minute_ms, r.sequence, r.accepted, r.duplicates, r.rejected) for r in first] == [
        ("blog", AT_MS + MINUTE_MS, 1, 1, 0, 0),
        ("shop", AT_MS, 1, 3, 1, 2),
    ]
    assert tallies.take_changed() == []
    tallies.events("shop", AT_MS * 1000, accepted=4)
    (row,) = tallies.take_changed()
    assert (row.sequence, row.accepted, row.rejected) == (2, 7, 2)
    assert first[1].accepted == 3, "what was taken does not change"


def test_requests_by_how_long_they_took() -> None:
    tallies = Tallies("gw_1")
    for seconds in (0.0, 0.005, 0.0051, 0.499, 0.5, 10.0, 10.1):
        tallies.request("shop", AT_MS, seconds, has_failed=seconds > 10)
    (row,) = tallies.take_changed()
    assert row.requests == 7
    assert row.failed == 1
    assert row.latency_counts == [2, 1, 0, 0, 0, 0, 2, 0, 0, 0, 1, 1]


async def test_what_the_broker_did_not_take_is_written_with_the_next() -> None:
    tallies, sink = Tallies("gw_1"), MemorySink()
    writer = TallyWriter(tallies, sink, 4)
    tallies.events("shop", AT_MS * 1000, accepted=1)
    sink.fail_with = "away"
    await writer.write()
    sink.fail_with = None
    tallies.events("shop", AT_MS * 1000, accepted=1)
    await writer.write()
    await writer.write()
    assert [(row.accepted, row.sequence) for row in written(sink)] == [(2, 2)]


async def test_the_last_counts_go_out_when_it_stops() -> None:
    tallies, sink = Tallies("gw_1"), MemorySink()
    writer = TallyWriter(tallies, sink, 4)
    await writer.start()
    tallies.events("shop", AT_MS * 1000, accepted=5)
    await writer.stop()
    assert [row.accepted for row in written(sink)] == [5]


async def test_a_silent_broker_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_counts, "WRITE_EVERY_SECONDS", 0.05)
    tallies, sink = Tallies("gw_1"), MemorySink()
    writer = TallyWriter(tallies, sink, 4)
    await writer.start()
    tallies.events("shop", AT_MS * 1000, accepted=5)
    sink.hold()
    await writer.stop()
    assert len(tallies.take_changed()) == 1


def test_a_forgotten_minute_never_begins_again() -> None:
    tallies = Tallies("gw_1")
    tallies.events("shop", AT_MS * 1000, accepted=5)
    tallies.forget_before(AT_MS + 5 * MINUTE_MS)
    assert [row.accepted for row in tallies.take_changed()] == [5], "not before it is written"
    tallies.forget_before(AT_MS + 5 * MINUTE_MS + 7)
    tallies.events("shop", AT_MS * 1000, accepted=1)
    (row,) = tallies.take_changed()
    assert (row.minute_ms, row.accepted) == (AT_MS + 5 * MINUTE_MS, 1)
