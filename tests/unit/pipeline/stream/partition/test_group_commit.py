"""The order of a flush, what a failure does, and how far memory may run ahead of the log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import stream_traffic
from kept_spans import PARENT, RECORDED, TRACE, KeptSpans, parent_of, recorded, traceparent_of

from pipeline.runtime.traces.tracer import Headers, Tracer
from pipeline.stream.partition import intake, open_group
from pipeline.stream.partition.changelog import MARKER_KEY, decode_marker
from pipeline.stream.partition.group_commit import PartitionCommitter, Surroundings
from pipeline.stream.partition.offset_gaps import MessagesSkipped
from schemas.facts import ProgressRow
from schemas.topics import Topic


class FakeLog:
    """Keeps what it is told, in order; `gate` holds the acknowledgement of states back, `failing` refuses them."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing: str | None = None
        self.headers: list[Headers] = []
        self.batches: list[tuple[Sequence[tuple[bytes, bytes]], Sequence[bytes]]] = []
        self.offset = 0

    async def send(self, topic: Topic, partition: int, value: bytes, headers: Headers) -> Awaitable[int]:
        self.headers.append(headers)
        if self.failing == "outputs":
            raise ConnectionError("outputs")
        self.journal.append(f"sent {topic}")
        self.offset += 1
        return self._acknowledge(topic, self.offset)

    async def _acknowledge(self, topic: Topic, offset: int) -> int:
        self.journal.append(f"acknowledged {topic}")
        return offset

    async def append_states(self, partition: int, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]) -> int:
        await self.gate.wait()
        if self.failing == "changelog":
            raise ConnectionError("changelog")
        self.journal.append("changelog")
        self.batches.append((puts, deletes))
        return len(self.batches) * 100


class Bench:
    """A committer with everything around it faked, the clock too."""

    def __init__(self, partition: Any, tracer: Tracer | None = None) -> None:
        self.journal: list[str] = []
        self.log = FakeLog(self.journal)
        self.reports: list[tuple[ProgressRow, bool]] = []
        self.fatal: list[BaseException] = []
        self.now = 1_000.0
        self.partition = partition
        self.store = partition.store
        write = self.store.write

        def noted_write(*arguments: Any) -> None:
            self.journal.append("store")
            write(*arguments)

        self.store.write = noted_write
        surroundings = Surroundings(
            log=self.log,
            clock=lambda: self.now,
            reported_at_ms=lambda: 5,
            end_offset=lambda _partition: 0,
            check_gap=self.note_gap,
            check_ownership=lambda: self.journal.append("owner?"),
            report=lambda row, at_once: self.reports.append((row, at_once)),
            on_fatal=self.fatal.append,
            publish_interval_seconds=1.0,
            idle_seconds=10.0,
            partitions=4,
            tracer=tracer,
        )
        self.gaps: list[tuple[int, int, int]] = []
        self.skipped: Exception | None = None
        derived = {Topic.SESSIONS.value: 40, Topic.TOUCHES.value: 0}
        self.committer = PartitionCommitter(0, partition.working_set, self.store, surroundings, derived, {})
        self.task = asyncio.create_task(self.committer.run())

    async def submit(self, offset: int, value: bytes, traceparent: bytes = b"") -> None:
        async def acknowledge() -> None:
            self.journal.append(f"message {offset}")

        decoded = self.partition.decoded(offset, value)
        await self.committer.submit(
            replace(decoded, place=replace(decoded.place, traceparent=traceparent)), acknowledge
        )

    async def note_gap(self, *gap: int) -> None:
        self.gaps.append(gap)  # type: ignore[arg-type]
        if self.skipped is not None:
            raise self.skipped

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)

    def acknowledged(self) -> list[str]:
        return [line for line in self.journal if line.startswith("message")]


@pytest.fixture
async def bench(make_partition: Callable[[], Any]) -> AsyncIterator[Bench]:
    made = Bench(make_partition())
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def test_a_flush_takes_its_steps_in_order(bench: Bench, messages: list[bytes]) -> None:
    bench.now += 1
    await bench.submit(0, messages[0])
    await bench.until(lambda: "message 0" in bench.journal)
    steps = bench.journal[: bench.journal.index("message 0") + 1]
    sends = [index for index, line in enumerate(steps) if line.startswith(("sent", "acknowledged"))]
    assert f"sent {Topic.SESSIONS}" in steps
    assert steps[0] == "owner?"
    assert max(sends) < steps.index("owner?", 1) < steps.index("changelog") < steps.index("store")
    assert steps[-1] == "message 0"


async def test_marker_and_states_are_one_batch_and_the_store_gets_the_same(bench: Bench, messages: list[bytes]) -> None:
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.acknowledged()))
    puts, _ = bench.log.batches[0]
    assert puts[0][0] == MARKER_KEY
    marker = decode_marker(puts[0][1])
    assert marker is not None
    assert (marker.offset, marker.index) == (1, 0)
    assert bench.store.get_many([key for key, _ in puts]) == [value for _, value in puts]
    assert bench.store.offset == 100


async def test_the_next_group_is_applied_while_one_is_flushed_and_no_further(
    bench: Bench, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_group, "GROUP_BYTES", 60_000)
    bench.log.gate.clear()
    submitting = asyncio.create_task(_submit_all(bench, messages))
    await bench.until(lambda: bench.committer.working_set.is_inside_message)
    await asyncio.sleep(0.05)
    ahead = bench.committer.working_set.next_offset
    assert 1 < ahead < len(messages) - 1
    assert not bench.acknowledged()
    bench.log.gate.set()
    await submitting
    await bench.until(lambda: len(bench.acknowledged()) == len(messages))
    assert bench.acknowledged() == [f"message {offset}" for offset in range(len(messages))]


async def _submit_all(bench: Bench, messages: list[bytes]) -> None:
    for offset, value in enumerate(messages):
        await bench.submit(offset, value)


@pytest.mark.parametrize("where", ["outputs", "changelog"])
async def test_a_failed_flush_is_fatal_and_acknowledges_nothing(
    bench: Bench, messages: list[bytes], where: str
) -> None:
    bench.log.failing = where
    bench.now += 1
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.fatal))
    assert not bench.acknowledged()
    assert "store" not in bench.journal


async def test_a_message_the_marker_covers_is_acknowledged_and_not_applied(bench: Bench, messages: list[bytes]) -> None:
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.acknowledged()))
    batches = len(bench.log.batches)
    await bench.submit(0, messages[0])
    assert bench.acknowledged() == ["message 0", "message 0"]
    await asyncio.sleep(0.01)
    assert len(bench.log.batches) == batches


async def test_progress_tells_what_is_committed_and_what_is_owed(bench: Bench, messages: list[bytes]) -> None:
    await bench.until(lambda: bool(bench.reports))
    assert bench.reports[0][0].next_offset == 0
    assert bench.reports[0][0].derived_offsets["sessions"] == 40
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.acknowledged()))
    owing, at_once = bench.reports[-1]
    assert owing.next_offset == 1
    assert owing.pending_sessions > 0
    assert not at_once
    bench.now += 0.5
    await bench.submit(1, messages[1])
    bench.now += 0.5
    await bench.until(lambda: bench.reports[-1][0].pending_sessions == 0)
    settled, at_once = bench.reports[-1]
    assert settled.next_offset == 2
    assert settled.derived_offsets["sessions"] > 1
    assert at_once


async def test_a_silent_partition_lets_time_pass_and_closes_its_sessions(bench: Bench, messages: list[bytes]) -> None:
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.acknowledged()))
    before = bench.committer.working_set.watermark_ms
    bench.now += 3_600
    bench.committer._woken.set()
    await bench.until(lambda: bench.committer.working_set.watermark_ms >= before + 3_600_000)
    await bench.until(lambda: not bench.committer.working_set.agenda.is_due)
    await bench.until(lambda: bench.reports[-1][0].watermark_ms >= before + 3_600_000)


async def test_stopping_commits_what_was_applied(bench: Bench, messages: list[bytes]) -> None:
    bench.log.gate.clear()
    await bench.submit(0, messages[0])
    await bench.submit(1, messages[1])
    bench.committer.stop()
    await asyncio.sleep(0.01)
    assert not bench.task.done()
    bench.log.gate.set()
    await bench.task
    assert bench.acknowledged() == ["message 0", "message 1"]
    assert bench.committer.committed_offset == 2
    assert not bench.fatal


async def test_under_large_messages_publication_gets_its_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_group, "GROUP_BYTES", 30_000)
    monkeypatch.setattr(intake, "_SLICE", 16)
    traffic = stream_traffic.events(1_200, 60, seed=11)
    large = [value for _, value in stream_traffic.packed(traffic, 300, 1)]
    for offset, value in enumerate(large):
        bench.now += 5
        await bench.submit(offset, value)
    await bench.until(lambda: len(bench.acknowledged()) == len(large))
    published = [index for index, line in enumerate(bench.journal) if line == f"sent {Topic.SESSIONS}"]
    assert any(index < bench.journal.index(f"message {len(large) - 1}") for index in published)


async def test_offsets_that_are_passed_over_are_asked_for(bench: Bench, messages: list[bytes]) -> None:
    await bench.submit(0, messages[0])
    await bench.submit(1, messages[1])
    assert not bench.gaps
    await bench.submit(4, messages[2])
    assert bench.gaps == [(0, 2, 4)]
    assert bench.committer.working_set.next_offset == 5


async def test_a_message_after_one_that_was_skipped_is_not_applied(bench: Bench, messages: list[bytes]) -> None:
    await bench.submit(0, messages[0])
    bench.skipped = MessagesSkipped("offset 1 is in the log")
    with pytest.raises(MessagesSkipped):
        await bench.submit(2, messages[2])
    assert bench.committer.working_set.next_offset == 1


@pytest.fixture
async def traced(make_partition: Callable[[], Any]) -> AsyncIterator[tuple[Bench, KeptSpans]]:
    kept = KeptSpans(sample_ratio=1.0)
    made = Bench(make_partition(), kept.tracer)
    yield made, kept
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def test_the_rows_of_a_traced_message_carry_its_trace_on(
    traced: tuple[Bench, KeptSpans], messages: list[bytes]
) -> None:
    bench, kept = traced
    await bench.submit(0, messages[0], RECORDED)
    await bench.until(lambda: "message 0" in bench.journal)
    spans = kept.by_name()
    assert spans.keys() == {"apply events", "flush group"}
    assert parent_of(spans["apply events"]) == (int(TRACE, 16), int(PARENT, 16))
    assert parent_of(spans["flush group"]) == (int(TRACE, 16), int(PARENT, 16))
    trace, own = traceparent_of(spans["flush group"])
    assert {tuple(headers) for headers in bench.log.headers} == {
        (("traceparent", f"00-{trace:032x}-{own:016x}-01".encode()),)
    }
    assert (spans["apply events"].attributes or {})["messaging.kafka.offset"] == 0
    assert (spans["flush group"].attributes or {})["attrikit.events"] == 50


async def test_a_group_of_several_traced_messages_is_linked_to_all(
    traced: tuple[Bench, KeptSpans], messages: list[bytes]
) -> None:
    bench, kept = traced
    bench.log.gate.clear()
    await bench.submit(0, messages[0])
    await bench.until(lambda: bool(bench.log.headers))
    for offset, traceparent in ((1, RECORDED), (2, recorded(1)), (3, b"")):
        await bench.submit(offset, messages[offset], traceparent)
    bench.log.gate.set()
    await bench.until(lambda: "message 3" in bench.journal)
    (flush,) = [span for span in kept.all if span.name == "flush group"]
    assert parent_of(flush) == (int(TRACE, 16), int(PARENT, 16))
    assert [link.context.trace_id for link in flush.links] == [2]


async def test_messages_without_a_trace_begin_none(traced: tuple[Bench, KeptSpans], messages: list[bytes]) -> None:
    bench, kept = traced
    await bench.submit(0, messages[0])
    await bench.until(lambda: "message 0" in bench.journal)
    assert kept.all == []
    assert not any(bench.log.headers)
