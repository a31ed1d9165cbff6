"""Group commit: while one group of a partition is being flushed, the next is applied in memory.

A flush, in this order and no other:

1. the outputs, one packed record per topic, are sent and acknowledged by the broker;
2. the changed states and a marker with the source position they stand for go to the changelog, as one record batch;
3. the same goes to the local store, as one write, with the changelog offset;
4. the source messages are acknowledged; Faust commits their offsets later.

The records of `people` that have come by then get their turn in the next group; the marker says so (see
`stream.identity`).

A crash before 2: everything is applied again, from the same states, and gives the same rows with the same ids. A crash
after 2: the marker says what to skip. So readers of the outputs may see a row twice, never another one, and never none.

An error once step 1 has begun leaves memory ahead of the log: the process must end (`on_fatal`) and start from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.runtime.log import get_logger
from pipeline.runtime.traces.tracer import NO_HEADERS, Headers, Tracer
from pipeline.runtime.waiting import event_or_timeout
from pipeline.stream import metrics
from pipeline.stream.decode import DecodedEvents
from pipeline.stream.identity.messages import DecodedPeople
from pipeline.stream.partition.changelog import MARKER_KEY, encode_marker
from pipeline.stream.partition.group import Group
from pipeline.stream.partition.outputs import packed, rows_by_topic
from pipeline.stream.partition.schedule import Decision, Facts, decide
from pipeline.stream.partition.stores import PartitionStore
from pipeline.stream.partition.traces import begin_flush, begin_message
from pipeline.stream.partition.working_set import WorkingSet
from schemas.facts import ProgressRow
from schemas.topics import DERIVED_TOPICS, Topic

_log = get_logger("stream.group_commit")


class Log(Protocol):
    """The broker, as far as a flush needs it. Errors are those of the client."""

    async def send(self, topic: Topic, partition: int, value: bytes, headers: Headers) -> Awaitable[int]:
        """Hand the record over; what is returned resolves to its offset once it is acknowledged."""
        ...

    async def append_states(self, partition: int, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]) -> int:
        """Append one atomic record batch; returns the offset of its last record, acknowledged."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """Interfaces a committer needs from the process it runs in. `clock` is monotonic, in seconds."""

    log: Log
    clock: Callable[[], float]
    reported_at_ms: Callable[[], int]
    """Milliseconds that only rise, over a change of owner too: newer reports replace older ones by it."""
    end_offset: Callable[[int], int]
    """Return the end of the partition of `events`, as far as known without a request."""
    check_gap: Callable[[int, int, int], Awaitable[None]]
    """(partition, begin, end): raises if the log holds a message of these offsets of `events`."""
    check_ownership: Callable[[], None]
    """Raise if the partitions may be another worker's by now."""
    report: Callable[[ProgressRow, bool], None]
    """Report progress; with True: at once."""
    on_fatal: Callable[[BaseException], None]
    """Handle a fatal error; does not return in a real process."""
    publish_interval_seconds: float
    idle_seconds: float
    partitions: int
    """Number of partitions of every topic."""
    tracer: Tracer | None = None


class PartitionCommitter:
    """Owns one partition from assignment to revocation. `submit` feeds it, `run` is its task."""

    def __init__(
        self,
        partition: int,
        working_set: WorkingSet,
        store: PartitionStore,
        surroundings: Surroundings,
        derived_offsets: dict[str, int],
        people_sent: dict[str, int],
    ) -> None:
        """`derived_offsets`: where the topics it alone writes end; `people_sent`: where `people` does, by partition."""
        self.partition = partition
        self.working_set = working_set
        self._store = store
        self._around = surroundings
        self._derived_offsets = derived_offsets
        self._people_sent = people_sent
        self._tracer = surroundings.tracer
        self._unacknowledged: list[Callable[[], Awaitable[Any]]] = []
        self._woken = asyncio.Event()
        self._has_room = asyncio.Event()
        self._needs_boundary = False
        """Sessions are to be published, which the last group, closed in the middle of a message, could not."""
        self._is_full = False
        self._is_stopping = False
        self._is_committing = False
        self.committed_offset = working_set.next_offset
        """The first source offset not yet wholly contained in the log."""
        self.committed_people_offset = working_set.people.next_offset
        self._committed_watermark_ms = working_set.watermark_ms
        now = surroundings.clock()
        self._opened_at = self._last_message_at = self._last_tick_at = self._last_published_at = (
            self._last_report_at
        ) = now

    async def submit(self, decoded: DecodedEvents, acknowledge: Callable[[], Awaitable[Any]]) -> None:
        """Apply a message; returns when it is applied in memory, not when it is flushed.

        Waits while the open group is full: never more than two groups are ahead of the log, one open, one in flush.
        """
        offset, expected = decoded.place.offset, self.working_set.next_offset
        if offset < expected:
            await acknowledge()
            return
        if offset > expected:
            await self._around.check_gap(self.partition, expected, offset)
        self._last_message_at = self._around.clock()
        if not self.working_set.has_open_changes:
            self._opened_at = self._last_message_at
        span = begin_message(self._tracer, decoded) if self._tracer is not None else None
        while self._needs_boundary:
            await self._wait_for_room()
        while not self.working_set.apply(decoded):
            await self._wait_for_room()
        if span is not None:
            span.end()
        self._unacknowledged.append(acknowledge)
        self._woken.set()

    def submit_people(self, message: DecodedPeople) -> None:
        """Take a message of `people`, to be applied when it is its turn."""
        self.working_set.people.add(message)
        self._woken.set()

    async def _wait_for_room(self) -> None:
        self._is_full = True
        self._has_room.clear()
        self._woken.set()
        await self._has_room.wait()

    async def run(self) -> None:
        """Run until `stop`, which lets it finish what was applied."""
        try:
            self._report(at_once=True)
            while not self._is_stopping or self._has_changes():
                await self._step()
        except asyncio.CancelledError:
            if self._is_committing:
                self._around.on_fatal(RuntimeError("cancelled in the middle of a flush"))
            raise
        except Exception as error:
            _log.error("flush_failed", partition=self.partition, error=repr(error), exc_info=True)
            self._around.on_fatal(error)
            raise

    @property
    def lag(self) -> int:
        """Messages of the source that are known, and not contained in the log."""
        return max(0, self._around.end_offset(self.partition) - self.committed_offset)

    def stop(self) -> None:
        """`run` ends once everything applied is committed."""
        self._is_stopping = True
        self._woken.set()

    # Deciding

    async def _step(self) -> None:
        self._woken.clear()
        now = self._around.clock()
        decision = self._decide(now)
        if decision.tick:
            self._tick(now)
        waits_for_rest = self.working_set.is_inside_message and not self._has_changes()
        if decision.flush and not waits_for_rest:
            await self._flush(publish=decision.publish)
        elif not self._is_stopping:
            # What is due inside a message is done after it; the rest of it wakes us.
            await self._sleep(None if waits_for_rest else decision.wait_seconds)

    def _decide(self, now: float) -> Decision:
        working_set = self.working_set
        facts = Facts(
            has_changes=self._has_changes(),
            open_events=working_set.open_events,
            opened_at=self._opened_at,
            is_full=self._is_full or self._is_stopping,
            backlog=max(0, self._around.end_offset(self.partition) - working_set.next_offset),
            pending_sessions=working_set.pending_sessions,
            last_message_at=self._last_message_at,
            last_published_at=self._last_published_at,
            last_tick_at=self._last_tick_at,
        )
        return decide(facts, now, self._around.publish_interval_seconds, self._around.idle_seconds)

    def _has_changes(self) -> bool:
        working_set = self.working_set
        return working_set.has_open_changes or (working_set.agenda.is_due and not working_set.is_inside_message)

    def _tick(self, now: float) -> None:
        since = max(self._last_message_at, self._last_tick_at)
        self.working_set.idle_for(int((now - since) * 1000))
        self._last_tick_at = now
        if not self._has_changes():
            self._committed_watermark_ms = self.working_set.watermark_ms
        if now - self._last_report_at >= self._around.idle_seconds:
            self._report(at_once=False)

    async def _sleep(self, seconds: float | None) -> None:
        await event_or_timeout(self._woken, seconds)

    # Flushing

    async def _flush(self, *, publish: bool) -> None:
        started = self._around.clock()
        self._needs_boundary = publish and self.working_set.is_inside_message
        group = self.working_set.close_group(publish=publish)
        acknowledgements, self._unacknowledged = self._unacknowledged, []
        self._is_full = False
        self._has_room.set()
        if publish and not self._needs_boundary and not self.working_set.pending_sessions:
            self._last_published_at = started
        if group is not None:
            self._is_committing = True
            span = begin_flush(self._tracer, self.partition, group) if self._tracer is not None else None
            await self._commit(group, NO_HEADERS if span is None else span.headers)
            if span is not None:
                span.end()
            self._is_committing = False
        # Step 4: acknowledge.
        for acknowledge in acknowledgements:
            await acknowledge()
        if group is not None:
            self._count(group, self._around.clock() - started)
        is_done = not self._has_changes() and not self.working_set.pending_sessions
        self._report(at_once=is_done)

    async def _commit(self, group: Group, headers: Headers) -> None:
        # Step 1: the outputs.
        self._around.check_ownership()
        log, partition = self._around.log, self.partition
        outputs = packed(group, partition, self._around.partitions)
        sent = [(topic, target, await log.send(topic, target, value, headers)) for topic, target, value in outputs]
        for topic, target, acknowledged in sent:
            offset = await acknowledged
            if topic in DERIVED_TOPICS:
                self._derived_offsets[topic.value] = offset + 1
            elif topic is Topic.PEOPLE:
                self._people_sent[str(target)] = offset + 1
        # Step 2: the changelog.
        self._around.check_ownership()
        puts = [(MARKER_KEY, encode_marker(group.marker)), *group.puts]
        last_offset = await log.append_states(partition, puts, group.deletes)
        # Step 3: the store.
        self._store.write(puts, group.deletes, last_offset, group.wakeups)
        self.working_set.stored()
        self.committed_offset = group.marker.offset
        self.committed_people_offset = group.marker.people_offset
        self._committed_watermark_ms = group.marker.watermark_ms

    def _count(self, group: Group, seconds: float) -> None:
        label = str(self.partition)
        metrics.FLUSHES.labels(label).inc()
        metrics.FLUSH_SECONDS.observe(seconds)
        metrics.EVENTS.labels(label).inc(group.events)
        metrics.STATES.inc(len(group.puts) + len(group.deletes))
        metrics.REJECTED.inc(len(group.rejected))
        metrics.LIVE.labels(label).set(self.working_set.live_persons)
        metrics.PENDING.labels(label).set(group.pending_sessions)
        for topic, rows in rows_by_topic(group).items():
            if rows:
                metrics.ROWS.labels(topic.value).inc(len(rows))
        for mark in group.effects.marks:
            metrics.MARKS.labels(mark.mark).inc()
        for record in group.outbox:
            metrics.PEOPLE_SENT.labels(str(record.__struct_config__.tag)).inc()
        if group.failures:
            metrics.FAILURES.inc(len(group.failures))
            _log.error("domain_failed", partition=self.partition, count=len(group.failures), first=group.failures[0])

    def _report(self, *, at_once: bool) -> None:
        """Say what is committed: nothing newer."""
        self._last_report_at = self._around.clock()
        waiting = self.working_set.people.next_to_receive - self.committed_people_offset
        row = ProgressRow(
            partition=self.partition,
            next_offset=self.committed_offset,
            watermark_ms=self._committed_watermark_ms,
            pending_sessions=self.working_set.pending_sessions + waiting,
            derived_offsets=dict(self._derived_offsets),
            reported_at_ms=self._around.reported_at_ms(),
            people_next_offset=self.committed_people_offset,
            people_sent=dict(self._people_sent),
        )
        self._around.report(row, at_once)
