"""Group commit: per partition one record is on its way while the next one gathers.

No request waits for a timer. A piece that finds its lane idle goes at once, alone; pieces that arrive while a record
is out share the next one. So records grow with load and latency does not grow with quiet.

Not the packing producer of `pipeline.runtime.kafka.producer`, which waits for the broker for as long as it takes: here
a piece has a deadline, is charged to a budget, and is taken out again when its request gives up. With all that a lone
piece costs half of the processor time of a lone line there (25 to 30 µs against 50 to 60, `make bench ARGS=packing`).

    PublishError            answered with 500 SERVER_ERROR and Retry-After
    ├── BrokerAway          refused at once, nothing was sent: no connection, or a record of this lane is overdue
    ├── BrokerFull          refused at once, nothing was sent: the embedded broker has no disk space for its next save
    └── NotAcknowledged     no answer in time, or a failure: the events may still land. The caller's retry with the
                            same event_id is what makes that safe.

`services.web.budget.Overloaded` is raised when too many bytes wait already.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final

from pipeline.runtime.broker_room import BrokerRoom
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.kafka.producer import NotConnected, SendFailed
from pipeline.runtime.lifecycle import cancel
from pipeline.runtime.log import get_logger
from pipeline.runtime.traces.tracer import CURRENT, NO_HEADERS, Attributes, Kind, Span, Tracer
from schemas.topics import Topic
from services.gateway.metrics import IN_FLIGHT_BYTES, PUBLISH_FAILURES, PUBLISH_SECONDS, RECORD_BYTES, RECORD_PIECES
from services.gateway.packing import Piece
from services.gateway.sink import Sink
from services.web.budget import Budget, Overloaded, Payer

MAX_RECORD_BYTES: Final = 1024 * 1024
"""Size at which a record stops gathering. A single larger piece still goes, alone."""
_TELL_SECONDS: Final = 5.0
_log = get_logger("gateway")


class PublishError(Exception):
    """Error: events were not acknowledged."""

    retry_seconds = 1
    """Seconds to wait before sending them again."""


class BrokerAway(PublishError):
    """Error: the broker is away; nothing was sent."""


class BrokerFull(PublishError):
    """Error: the broker's disk is full; nothing was sent: it could acknowledge events that it cannot save."""

    retry_seconds = 10

    def __init__(self, shortage_bytes: int) -> None:
        super().__init__(f"the broker's disk is nearly full: {shortage_bytes:,} bytes are missing for its next save")


class NotAcknowledged(PublishError):
    """Error: no acknowledgement came; something may have been sent."""


class _State(Enum):
    WAITING = 1
    SENT = 2
    OVER = 3


class _Entry:
    """One piece in a lane. Its bytes count against the budget until it is over."""

    __slots__ = ("lines", "state", "ticket", "traceparent")

    def __init__(self, lines: bytes, ticket: "Ticket", traceparent: bytes) -> None:
        self.lines = lines
        self.ticket = ticket
        self.traceparent = traceparent
        self.state = _State.WAITING


class Ticket:
    """Result of one request's pieces: the acknowledgement of all, a failure, or its time running out."""

    __slots__ = ("_budget", "_open_pieces", "_payer", "_timer", "entries", "future")

    def __init__(
        self, budget: Budget, payer: Payer, pieces: Sequence[Piece], timeout_seconds: float, traceparent: bytes
    ) -> None:
        """`traceparent`: of the request; empty: it is not traced."""
        loop = asyncio.get_running_loop()
        self._budget = budget
        self._payer = payer
        self._open_pieces = len(pieces)
        self.future: asyncio.Future[None] = loop.create_future()
        self.entries = [_Entry(piece.lines, self, traceparent) for piece in pieces]
        self._timer = loop.call_later(timeout_seconds, self._expire)

    def finish(self, entry: _Entry, error: PublishError | None) -> None:
        """Note that `entry` was acknowledged, or failed with `error`."""
        self._release(entry)
        self._open_pieces -= 1
        if error is not None:
            self._settle(error)
        elif self._open_pieces == 0:
            self._settle(None)

    def _expire(self) -> None:
        """Give up waiting. What has not been sent is taken out; what is on its way may still land."""
        for entry in self.entries:
            if entry.state is _State.WAITING:
                self._release(entry)
        self._settle(NotAcknowledged("the broker did not acknowledge in time"))

    def _release(self, entry: _Entry) -> None:
        if entry.state is not _State.OVER:
            entry.state = _State.OVER
            self._budget.give_back(self._payer, len(entry.lines))
            entry.lines = b""

    def _settle(self, error: PublishError | None) -> None:
        self._timer.cancel()
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Lane:
    """One partition of one topic."""

    def __init__(self, sink: Sink, topic: Topic, partition: int, tracer: Tracer | None) -> None:
        self._sink = sink
        self._tracer = tracer
        self._topic = topic
        self._partition = partition
        self._waiting: deque[_Entry] = deque()
        self._sent_at_seconds: float | None = None
        self.task: asyncio.Task[None] | None = None

    def is_overdue(self, timeout_seconds: float) -> bool:
        """Tell whether a record has been out longer than any request would have waited for it."""
        return self.out_seconds() > timeout_seconds

    def out_seconds(self) -> float:
        """Return for how long the present record has been out; 0 if none is."""
        return 0.0 if self._sent_at_seconds is None else monotonic_seconds() - self._sent_at_seconds

    def add(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        if self.task is None:
            self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Send until nothing waits. Runs only while there is something to do."""
        try:
            while group := self._next_group():
                await self._send(group)
        finally:
            self.task = None

    def _next_group(self) -> list[_Entry]:
        group: list[_Entry] = []
        size_bytes = 0
        while self._waiting:
            entry = self._waiting[0]
            if entry.state is _State.WAITING:
                if group and size_bytes + len(entry.lines) > MAX_RECORD_BYTES:
                    break
                size_bytes += len(entry.lines)
                entry.state = _State.SENT
                group.append(entry)
            self._waiting.popleft()
        return group

    async def _send(self, group: list[_Entry]) -> None:
        record = b"".join([entry.lines for entry in group]) if len(group) > 1 else group[0].lines
        RECORD_BYTES.observe(len(record))
        RECORD_PIECES.observe(len(group))
        span = self._begin_span(group, len(record)) if self._tracer is not None else None
        self._sent_at_seconds = started_seconds = monotonic_seconds()
        error: PublishError | None = NotAcknowledged("the gateway is stopping")
        try:
            await self._sink.send(self._topic, self._partition, record, NO_HEADERS if span is None else span.headers)
            error = None
            PUBLISH_SECONDS.observe(monotonic_seconds() - started_seconds)
        except NotConnected as away:
            error = BrokerAway(str(away))
        except SendFailed as failed:
            error = NotAcknowledged(str(failed))
        except Exception as bug:
            _log.exception("publish_crashed", topic=self._topic.value, partition=self._partition)
            error = NotAcknowledged(type(bug).__name__)
        finally:
            self._sent_at_seconds = None
            if span is not None:
                span.end("" if error is None else type(error).__name__)
            for entry in group:
                entry.ticket.finish(entry, error)

    def _begin_span(self, group: list[_Entry], size_bytes: int) -> Span | None:
        """Begin the step of the traced requests that share a record; None if there are none."""
        traceparents = [entry.traceparent for entry in group if entry.traceparent]
        if self._tracer is None or not traceparents:
            return None
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": self._topic.value,
            "messaging.destination.partition.id": str(self._partition),
            "messaging.batch.message_count": len(group),
            "messaging.message.body.size": size_bytes,
        }
        return self._tracer.follow(f"publish {self._topic.value}", Kind.PRODUCER, traceparents, attributes)


class Publisher:
    """All lanes, and the budget they share with the bodies being read."""

    def __init__(
        self,
        sink: Sink,
        partitions: int,
        budget: Budget,
        timeout_seconds: float,
        room: BrokerRoom | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Prepare the lanes. `room`: of an embedded broker's disk; None: the broker refuses by itself what it cannot
        keep.
        """
        self.sink = sink
        self._is_traced = tracer is not None
        self._room = room
        self.partitions = partitions
        self.budget = budget
        IN_FLIGHT_BYTES.set_function(lambda: budget.used_bytes)
        self._timeout_seconds = timeout_seconds
        self._untold_failures = 0
        self._tell_at_seconds = 0.0
        self._lanes = {
            topic: [Lane(sink, topic, partition, tracer) for partition in range(partitions)]
            for topic in (Topic.EVENTS, Topic.PEOPLE, Topic.REJECTED)
        }

    async def start(self) -> None:
        await self.sink.start()

    @property
    def is_ready(self) -> bool:
        """True if connected, and no lane that events wait for is stuck."""
        lanes = self._lanes[Topic.EVENTS] + self._lanes[Topic.PEOPLE]
        return self.sink.is_connected and not any(lane.is_overdue(self._timeout_seconds) for lane in lanes)

    def stalled(self, limit_seconds: float) -> dict[str, float]:
        """Lanes whose record has been out for longer than that, which must be longer than a sink takes to give up: the
        sink is stuck. For how many seconds each."""
        out = {
            f"{topic.value}/{number}": lane.out_seconds()
            for topic, lanes in self._lanes.items()
            for number, lane in enumerate(lanes)
        }
        return {name: seconds for name, seconds in out.items() if seconds > limit_seconds}

    @property
    def lacks_room(self) -> bool:
        """True if the embedded broker's disk has too little space for what more events would make it save."""
        return self._shortage_bytes() > 0

    def require_room(self) -> None:
        """Raise `BrokerFull` where an acknowledged record might not be saved."""
        if shortage_bytes := self._shortage_bytes():
            raise BrokerFull(shortage_bytes)

    def _shortage_bytes(self) -> int:
        return self._room.shortage_bytes() if self._room is not None else 0

    def submit(
        self, topic: Topic, pieces: Sequence[Piece], payer: Payer, links: Sequence[Piece] = ()
    ) -> asyncio.Future[None]:
        """Queue pieces and return what resolves when all of them are acknowledged, or fails with a `PublishError`.

        `payer`: whom their bytes are charged to. `links`: pieces for `people` that belong to them.

        Raises `BrokerAway`, `BrokerFull` or `Overloaded` at once where there is no use in waiting.
        """
        if not self.sink.is_connected:
            raise BrokerAway("there is no connection to the broker")
        self.require_room()
        lanes = self._lanes[topic]
        pairs = [(lanes[piece.partition], piece) for piece in pieces]
        if links:
            lanes = self._lanes[Topic.PEOPLE]
            pairs += [(lanes[piece.partition], piece) for piece in links]
        size_bytes = 0
        for lane, piece in pairs:
            size_bytes += len(piece.lines)
            if lane.is_overdue(self._timeout_seconds):
                raise BrokerAway("the broker is not answering")
        if not self.budget.take(payer, size_bytes):
            raise Overloaded
        if self._room is not None:
            self._room.note_sent(size_bytes)
        traceparent = CURRENT.get() if self._is_traced else b""
        ticket = Ticket(self.budget, payer, [piece for _, piece in pairs], self._timeout_seconds, traceparent)
        for (lane, _), entry in zip(pairs, ticket.entries, strict=True):
            lane.add(entry)
        return ticket.future

    async def publish(self, pieces: Sequence[Piece], payer: Payer, links: Sequence[Piece] = ()) -> None:
        """Write events, and their links to `people`; returns when the broker has all. Raises `PublishError` or
        `Overloaded`."""
        try:
            await self.submit(Topic.EVENTS, pieces, payer, links)
        except (PublishError, Overloaded) as error:
            self._note_failure(error)
            raise

    def _note_failure(self, error: Exception) -> None:
        """Count it, and say so in the log every few seconds at most."""
        PUBLISH_FAILURES.labels(type(error).__name__).inc()
        self._untold_failures += 1
        now_seconds = monotonic_seconds()
        if now_seconds >= self._tell_at_seconds:
            reason = f"{type(error).__name__}: {error}"
            _log.warning("events_not_acknowledged", requests=self._untold_failures, last_reason=reason)
            self._untold_failures = 0
            self._tell_at_seconds = now_seconds + _TELL_SECONDS

    def submit_rejects(self, pieces: Sequence[Piece], payer: Payer) -> asyncio.Future[None] | None:
        """Queue refusals where there is room to spare; None if there is not: good events come first."""
        if self.budget.is_half_used:
            return None
        try:
            return self.submit(Topic.REJECTED, pieces, payer)
        except (PublishError, Overloaded):
            return None

    async def stop(self) -> None:
        """Let what is on its way arrive, for as long as a request would have waited, then close the sink."""
        running = [lane.task for lanes in self._lanes.values() for lane in lanes if lane.task is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=self._timeout_seconds)
            await cancel(*late)
        await self.sink.stop()
