"""Group commit, timeouts, the budget, and what happens to waiters when the sink fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_spans import PARENT, RECORDED, TRACE, KeptSpans, parent_of, recorded, traceparent_of

from pipeline.runtime.traces.tracer import CURRENT
from schemas.topics import Topic
from services.gateway.packing import Piece
from services.gateway.publish import MAX_RECORD_BYTES, BrokerAway, NotAcknowledged, Publisher
from services.gateway.sink import MemorySink
from services.web.budget import Budget, Held, Overloaded, Payer

LONG_SECONDS = 30.0
SHORT_SECONDS = 0.05
PAYER = Payer("shop", "198.51.100.7")


def publisher_over(sink: MemorySink, limit_bytes: int = 1 << 30, timeout_seconds: float = LONG_SECONDS) -> Publisher:
    return Publisher(sink, 4, Budget(limit_bytes), timeout_seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def one_round() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_arrives_while_a_record_is_out_shares_the_next_one(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.hold()
    waits = [asyncio.create_task(publisher.publish([Piece(1, b"first\n")], PAYER))]
    await one_round()
    waits += [asyncio.create_task(publisher.publish([Piece(1, b"%d\n" % n)], PAYER)) for n in range(5)]
    await one_round()
    assert not any(wait.done() for wait in waits)
    sink.release()
    await asyncio.gather(*waits)
    assert sink.records == [(Topic.EVENTS, 1, b"first\n"), (Topic.EVENTS, 1, b"0\n1\n2\n3\n4\n")]
    assert publisher.budget.used_bytes == 0


async def test_partitions_do_not_wait_for_each_other(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    await asyncio.gather(*(publisher.publish([Piece(n, b"x\n")], PAYER) for n in range(4)))
    assert sorted(partition for _, partition, _ in sink.records) == [0, 1, 2, 3]


async def test_a_request_over_several_partitions_waits_for_all(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.hold()
    wait = asyncio.create_task(publisher.publish([Piece(0, b"a\n"), Piece(2, b"b\n"), Piece(2, b"c\n")], PAYER))
    await one_round()
    assert not wait.done()
    sink.release()
    await wait
    assert sorted(sink.records) == [(Topic.EVENTS, 0, b"a\n"), (Topic.EVENTS, 2, b"b\nc\n")]


async def test_records_stop_growing_at_the_limit_and_a_larger_piece_goes_alone(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.hold()
    sizes = [10, MAX_RECORD_BYTES // 2, MAX_RECORD_BYTES // 2, 10, 2 * MAX_RECORD_BYTES, 10]
    waits = []
    for size in sizes:
        waits.append(asyncio.create_task(publisher.publish([Piece(0, b"x" * size)], PAYER)))
        await one_round()
    sink.release()
    await asyncio.gather(*waits)
    assert [len(value) for _, _, value in sink.records] == [10, MAX_RECORD_BYTES, 10, 2 * MAX_RECORD_BYTES, 10]


async def test_a_request_gives_up_in_time_and_what_was_not_sent_is_forgotten(sink: MemorySink) -> None:
    publisher = publisher_over(sink, timeout_seconds=SHORT_SECONDS)
    sink.hold()
    sent = asyncio.create_task(publisher.publish([Piece(0, b"sent\n")], PAYER))
    await one_round()
    waiting = asyncio.create_task(publisher.publish([Piece(0, b"waiting\n")], PAYER))
    results = await asyncio.gather(sent, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [NotAcknowledged, NotAcknowledged]
    assert publisher.budget.used_bytes == len(b"sent\n")
    await until(lambda: not publisher.is_ready)
    with pytest.raises(BrokerAway):
        await publisher.publish([Piece(0, b"refused at once\n")], PAYER)
    await publisher_is_well_again(publisher, sink)
    assert sink.records == [(Topic.EVENTS, 0, b"sent\n"), (Topic.EVENTS, 0, b"after\n")]


async def publisher_is_well_again(publisher: Publisher, sink: MemorySink) -> None:
    sink.release()
    await until(lambda: publisher.is_ready)
    await publisher.publish([Piece(0, b"after\n")], PAYER)
    assert publisher.budget.used_bytes == 0


async def test_a_stuck_partition_does_not_stop_the_others(sink: MemorySink) -> None:
    publisher = publisher_over(sink, timeout_seconds=SHORT_SECONDS)
    sink.hold()
    with pytest.raises(NotAcknowledged):
        await publisher.publish([Piece(0, b"x\n")], PAYER)
    wait = asyncio.create_task(publisher.publish([Piece(1, b"y\n")], PAYER))
    await one_round()
    sink.release()
    await wait


async def test_a_failure_reaches_every_request_of_the_record_and_the_next_goes_through(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.hold()
    waits = [asyncio.create_task(publisher.publish([Piece(0, b"x\n")], PAYER)) for _ in range(3)]
    await one_round()
    sink.fail_with = "no leader"
    sink.release()
    assert [type(e) for e in await asyncio.gather(*waits, return_exceptions=True)] == [NotAcknowledged] * 3
    sink.fail_with = None
    await publisher.publish([Piece(0, b"y\n")], PAYER)
    assert publisher.budget.used_bytes == 0


async def test_without_a_connection_nothing_waits(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.is_connected = False
    assert not publisher.is_ready
    with pytest.raises(BrokerAway):
        await publisher.publish([Piece(0, b"x\n")], PAYER)
    assert publisher.submit_rejects([Piece(0, b"x\n")], PAYER) is None


async def test_the_budget_bounds_what_waits(sink: MemorySink) -> None:
    publisher = publisher_over(sink, limit_bytes=300)
    sink.hold()
    waits = [asyncio.create_task(publisher.publish([Piece(0, b"x" * 40)], PAYER)) for _ in range(2)]
    await one_round()
    with pytest.raises(Overloaded):
        await publisher.publish([Piece(1, b"x" * 40)], PAYER)
    assert publisher.submit_rejects([Piece(0, b"r")], PAYER) is None
    sink.release()
    await asyncio.gather(*waits)
    await publisher.publish([Piece(1, b"x" * 40)], PAYER)
    assert publisher.budget.used_bytes == 0


async def test_stopping_lets_records_under_way_arrive(sink: MemorySink) -> None:
    publisher = publisher_over(sink)
    sink.hold()
    wait = asyncio.create_task(publisher.publish([Piece(0, b"x\n")], PAYER))
    await one_round()
    stop = asyncio.create_task(publisher.stop())
    await one_round()
    sink.release()
    await asyncio.gather(wait, stop)
    assert len(sink.records) == 1


async def test_stopping_does_not_wait_for_a_broker_that_is_gone(sink: MemorySink) -> None:
    publisher = publisher_over(sink, timeout_seconds=SHORT_SECONDS)
    sink.hold()
    wait = asyncio.create_task(publisher.publish([Piece(0, b"x\n")], PAYER))
    await one_round()
    await asyncio.wait_for(publisher.stop(), 5)
    with pytest.raises(NotAcknowledged):
        await wait


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 600_000)), min_size=1, max_size=4), max_size=12),
    st.sets(st.integers(0, 11)),
)
async def test_acknowledged_means_written_once_in_order(
    requests: list[list[tuple[int, int]]], abandoned: set[int]
) -> None:
    """Any requests, some of them cancelled by their callers: each acknowledged one is there, once."""
    sink = MemorySink()
    publisher = publisher_over(sink)
    sink.hold()
    waits = []
    for number, pieces in enumerate(requests):
        lines = [Piece(partition, b"%d:" % number + b"x" * size + b"\n") for partition, size in pieces]
        waits.append(asyncio.create_task(publisher.publish(lines, PAYER)))
        await asyncio.sleep(0)
        if number in abandoned:
            waits[-1].cancel()
    sink.release()
    await asyncio.gather(*waits, return_exceptions=True)
    await publisher.stop()
    for partition in range(4):
        written = [line.split(b":")[0] for _, at, value in sink.records if at == partition for line in value.split()]
        expected = [b"%d" % n for n, pieces in enumerate(requests) for at, _ in pieces if at == partition]
        acknowledged = {b"%d" % n for n, wait in enumerate(waits) if not wait.cancelled()}
        assert [n for n in written if n in acknowledged] == [n for n in expected if n in acknowledged]
        assert len(written) <= len(expected)
    assert publisher.budget.used_bytes == 0


def test_held_bytes_are_given_back_whatever_happens() -> None:
    budget = Budget(30)
    with Held(budget, PAYER) as held:
        held.take(8)
        assert budget.used_bytes == 8
        with pytest.raises(Overloaded):
            held.take(8)
        assert budget.used_bytes == 8
    assert budget.used_bytes == 0


async def test_a_gateway_whose_sink_is_stuck_is_not_alive(make_app: Any, make_client: Any, sink: MemorySink) -> None:
    async with make_client(make_app(publish_timeout_seconds=0.05, stall_seconds=0.1)) as client:
        sink.hold()
        assert (await client.get("/healthz")).status_code == 200
        refused = await client.post("/v1/events/track", json={"event_name": "a", "user_id": "u"})
        assert refused.status_code == 500
        async with asyncio.timeout(10):
            while (answer := await client.get("/healthz")).status_code == 200:
                await asyncio.sleep(0.01)
        assert answer.status_code == 503
        (stalled,) = answer.json()["error"]["details"]["stalled"]
        assert stalled.startswith("events/")
        sink.release()
        async with asyncio.timeout(10):
            while (await client.get("/healthz")).status_code == 503:
                await asyncio.sleep(0.01)


class Untouched:
    """Stands for the context of a trace, and may not be looked at."""

    def get(self) -> bytes:
        raise AssertionError("the context of a trace was looked at")


async def publish_for(publisher: Publisher, traceparent: bytes, partition: int = 1) -> None:
    CURRENT.set(traceparent)  # of this task alone
    await publisher.publish([Piece(partition, b"x\n")], PAYER)


async def test_without_a_tracer_no_trace_is_looked_at_and_records_have_no_headers(
    sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.publish.CURRENT", Untouched())
    await publisher_over(sink).publish([Piece(1, b"x\n")], PAYER)
    assert sink.headers == [[]]


async def test_the_record_of_a_traced_request_says_what_it_follows_from(sink: MemorySink) -> None:
    kept = KeptSpans(sample_ratio=1.0)
    publisher = Publisher(sink, 4, Budget(1 << 30), LONG_SECONDS, tracer=kept.tracer)
    await asyncio.gather(publish_for(publisher, RECORDED), publish_for(publisher, b"", partition=2))
    (span,) = kept.all
    assert span.name == "publish events"
    assert parent_of(span) == (int(TRACE, 16), int(PARENT, 16))
    trace, own = traceparent_of(span)
    headers = {partition: headers for (_, partition, _), headers in zip(sink.records, sink.headers, strict=True)}
    assert headers == {1: [("traceparent", f"00-{trace:032x}-{own:016x}-01".encode())], 2: []}


async def test_a_record_of_several_traced_requests_is_in_one_trace_and_linked_to_the_others(sink: MemorySink) -> None:
    kept = KeptSpans()
    publisher = Publisher(sink, 4, Budget(1 << 30), LONG_SECONDS, tracer=kept.tracer)
    sink.hold()
    waits = [asyncio.create_task(publish_for(publisher, b""))]
    await one_round()
    waits += [asyncio.create_task(publish_for(publisher, traceparent)) for traceparent in (RECORDED, recorded(1), b"")]
    await one_round()
    sink.release()
    await asyncio.gather(*waits)
    (span,) = kept.all
    assert parent_of(span) == (int(TRACE, 16), int(PARENT, 16))
    assert [link.context.trace_id for link in span.links] == [2]
    assert (span.attributes or {})["messaging.batch.message_count"] == 3


async def test_the_step_of_a_record_that_is_not_acknowledged_says_so(sink: MemorySink) -> None:
    kept = KeptSpans()
    publisher = Publisher(sink, 4, Budget(1 << 30), LONG_SECONDS, tracer=kept.tracer)
    sink.fail_with = "secret words of the broker"
    with pytest.raises(NotAcknowledged):
        await publish_for(publisher, RECORDED)
    assert kept.all[0].status.description == "NotAcknowledged"
