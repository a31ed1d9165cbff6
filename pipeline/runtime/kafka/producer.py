"""Producers that outlive the broker's absence: one that reconnects, and one that also packs and never gives up.

    SendFailed           the record may or may not have been written; the same may be sent again
    └── NotConnected     there is no connection: the record was certainly not written

aiokafka's idempotent producer retries what can be retried for as long as it takes. So any error it does raise means
that its numbering and the broker's have parted (a broker that lost its disk, say), and every later record of the
partition would fail as well: the producer is replaced.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.kafka.patches import abort
from pipeline.runtime.lifecycle import Background, cancel
from pipeline.runtime.retry import SHORT, reason_of, retry
from pipeline.runtime.traces.tracer import NO_HEADERS, Headers

MAX_RECORD_BYTES: Final = 512 * 1024
"""Size at which a packed record stops growing. A single larger line still goes, alone."""
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
"""Limit on waiting bytes: above it, those who read from Kafka what they write should pause (`room`)."""
_OPEN_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 5.0
ACKNOWLEDGE_SECONDS: Final = 30.0
"""After so long without an acknowledgement the producer is replaced: topics may have to be made again, or the broker
has moved."""


class SendFailed(Exception):
    """Error: a record was not acknowledged."""


class NotConnected(SendFailed):
    """Error: there is no connection to the broker."""


class ReconnectingProducer:
    """An aiokafka producer, opened in the background, opened again when it fails for good.

    `prepare`: is awaited before each opening. What it raises of `fatal` no retry will mend: `on_fatal` is told, and
    nothing more is tried. `topics`: looked up while opening, so that the first record does not wait for that.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        log: Any,
        *,
        acknowledge_seconds: float = ACKNOWLEDGE_SECONDS,
        prepare: Callable[[], Awaitable[None]] | None = None,
        fatal: tuple[type[Exception], ...] = (),
        on_fatal: Callable[[Exception], None] = lambda _: None,
        on_connected: Callable[[], None] = lambda: None,
        topics: tuple[str, ...] = (),
    ) -> None:
        self._settings = settings
        self._log = log
        self._acknowledge_seconds = acknowledge_seconds
        self._prepare = prepare
        self._fatal = fatal
        self._on_fatal = on_fatal
        self._on_connected = on_connected
        self._topics = topics
        self._producer: AIOKafkaProducer | None = None
        self._is_open = asyncio.Event()
        self._unanswered: set[asyncio.Future[object]] = set()
        self._background = Background()
        self._is_stopping = False

    @property
    def is_connected(self) -> bool:
        return self._producer is not None

    async def start(self) -> None:
        """Begin connecting; does not wait for it."""
        self._background.start(self._connect())

    async def connected(self) -> None:
        """Wait until there is a connection."""
        await self._is_open.wait()

    async def send(self, topic: str, partition: int, value: bytes, headers: Headers = NO_HEADERS) -> None:
        """Send a record; returns when all in-sync replicas have acknowledged it; raises `SendFailed`."""
        producer = self._producer
        if producer is None:
            raise NotConnected("there is no connection to the broker")
        try:
            await self._send(producer, topic, partition, value, headers)
        except (SendFailed, asyncio.CancelledError):
            raise
        except MessageSizeTooLargeError as error:
            raise SendFailed(str(error)) from error
        except Exception as error:
            self._replace(producer, error)
            raise SendFailed(f"{type(error).__name__}: {error}") from error

    async def stop(self) -> None:
        """Close. Calls that still await `send` get a `SendFailed`."""
        self._is_stopping = True
        await self._background.stop()
        producer = self._take()
        if producer is not None:
            await self._close(producer)

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, partition: int, value: bytes, headers: Headers
    ) -> None:
        async with asyncio.timeout(self._acknowledge_seconds):
            future: asyncio.Future[object] = await producer.send(topic, value, partition=partition, headers=headers)
            self._unanswered.add(future)
            try:
                await future
            finally:
                self._unanswered.discard(future)

    async def _connect(self) -> None:
        try:
            self._producer = await retry(self._try_open, (_OpenFailed,), self._log, "broker_away", pauses=SHORT)
        except self._fatal as error:
            self._log.error("broker_unusable", error=str(error))
            self._on_fatal(error)
            return
        self._is_open.set()
        self._on_connected()
        self._log.info("broker_connected", bootstrap=self._settings.kafka_bootstrap)

    async def _try_open(self) -> AIOKafkaProducer:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                return await self._open()
        except self._fatal:
            raise
        except Exception as error:
            raise _OpenFailed(reason_of(error)) from error

    async def _open(self) -> AIOKafkaProducer:
        if self._prepare is not None:
            await self._prepare()
        # NDJSON shrinks to a tenth or less: what that costs here, the broker saves several times over.
        producer = build_producer(self._settings, compression="zstd")
        try:
            await producer.start()
            for topic in self._topics:
                await producer.partitions_for(topic)
        except BaseException:
            await self._close(producer)
            raise
        return producer

    def _take(self) -> AIOKafkaProducer | None:
        """Take the producer out of service."""
        producer, self._producer = self._producer, None
        self._is_open.clear()
        return producer

    def _replace(self, producer: AIOKafkaProducer, error: Exception) -> None:
        """Take the failed producer out of service and open another; called once per producer."""
        if self._producer is not producer or self._is_stopping:
            return
        self._take()
        self._log.error("producer_failed", error=reason_of(error))
        self._fail_unanswered()
        self._background.start(self._reopen(producer))

    async def _reopen(self, failed: AIOKafkaProducer) -> None:
        await abort(failed)  # not `stop`: what was told to have failed is not to be written later
        await self._connect()

    def _fail_unanswered(self) -> None:
        for future in self._unanswered:
            if not future.done():
                future.set_exception(SendFailed("the connection to the broker was given up"))

    async def _close(self, producer: AIOKafkaProducer) -> None:
        """Flush and close; a producer that cannot flush because the broker is away is broken off."""
        try:
            await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)
        except Exception as error:
            self._log.warning("producer_aborted", error=reason_of(error))
            self._fail_unanswered()
            await abort(producer)


class _OpenFailed(Exception):
    """Error: a producer could not be opened now."""


_Waiting = deque[tuple[bytes, "asyncio.Future[None]"]]


class PackingProducer:
    """Producer of lines: those that wait for the same partition share a record, and each waits until its record is
    acknowledged.

    While one record is on its way the next one gathers, so records grow with load and a lone line goes at once. It
    never gives up and never loses a line: while the broker is away it tries again. A line may then be written twice;
    lines need ids that tell.
    """

    def __init__(self, settings: KafkaSettings, log: Any) -> None:
        self._log = log
        self._producer = ReconnectingProducer(settings, log)
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._waiting_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_connected(self) -> bool:
        return self._producer.is_connected

    async def start(self) -> None:
        """Connect; returns when the broker answers."""
        await self._producer.start()
        await self._producer.connected()

    async def put(self, topic: str, partition: int, line: bytes) -> None:
        """Write a line (without its newline); returns when all in-sync replicas have acknowledged it."""
        place = (topic, partition)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, deque()).append((line, acknowledged))
        self._took(len(line))
        if place not in self._sending:
            self._sending[place] = asyncio.create_task(self._send_all(place))
        await acknowledged

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._has_room.wait()

    async def stop(self) -> None:
        """Stop. Lines still waiting are dropped, and the calls that wait for them are cancelled."""
        await cancel(*self._sending.values())
        for waiting in self._waiting.values():
            for _, acknowledged in waiting:
                acknowledged.cancel()
        await self._producer.stop()

    def _took(self, size_bytes: int) -> None:
        self._waiting_bytes += size_bytes
        if self._waiting_bytes < MAX_WAITING_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send_all(self, place: tuple[str, int]) -> None:
        waiting, lines = self._waiting[place], _Waiting()
        try:
            while waiting:
                lines = _next_record(waiting)
                await self._send(place, b"".join([line + b"\n" for line, _ in lines]))
                self._took(-sum(len(line) for line, _ in lines))
                for _, acknowledged in lines:
                    if not acknowledged.done():
                        acknowledged.set_result(None)
        finally:
            del self._sending[place]
            for _, acknowledged in lines:
                acknowledged.cancel()  # it was stopped; where it was not, all are done

    async def _send(self, place: tuple[str, int], value: bytes) -> None:
        async def send() -> None:
            await self._producer.connected()
            await self._producer.send(*place, value)

        await retry(send, (SendFailed,), self._log, "not_acknowledged", pauses=SHORT, topic=place[0])


def _next_record(waiting: _Waiting) -> _Waiting:
    """Take the lines of the next record."""
    lines = deque([waiting.popleft()])
    size_bytes = len(lines[0][0])
    while waiting and size_bytes + len(waiting[0][0]) <= MAX_RECORD_BYTES:
        lines.append(waiting.popleft())
        size_bytes += len(lines[-1][0])
    return lines
