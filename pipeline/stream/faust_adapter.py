"""Adapter of Faust: the only file that imports it, and so the only one that touches its private members.

Faust brings the group membership, the assignment of partitions, and the commit of offsets. What is done with partitions
and messages is the owner's (`PartitionOwner`). Four things are replaced, because Faust has no setting for them:

- *State.* The table is declared, so that its changelog is assigned with the source, and stays empty: states are
  written a group at a time (`group_commit`), more than ten times as fast as `table[key] = value`.
- *Recovery.* Faust reads a changelog record by record. Here it finds nothing to read: taking a partition includes the
  reading (`assignment`). Faust still decides when, and resumes the streams afterwards.
- *Waiting.* Partitions are paused until they are recovered, and Faust then looks away for a second at a time; it lets
  the broker hold a fetch back for 1.5 s when there is nothing new, and since a broker is asked by one fetch at a time,
  what comes to another partition meanwhile waits that long. Together with the second it sleeps before the tables start
  and the one after everything has stopped, that was more than three seconds of every restart.
- *Position.* The log's own position is committed before Faust seeks to what is committed.

`MEMBERS` in `tests/contract/stream/test_faust_contract.py` has one entry per member of Faust used here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import faust
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from faust.worker import Worker

from pipeline.runtime.kafka.clients import FETCHER_LOOK_MS
from pipeline.runtime.kafka.patches import set_fetch_waits
from pipeline.runtime.log import get_logger
from pipeline.runtime.traces.tracer import traceparent_of
from pipeline.stream.decode import Place
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.source_topic import SourceTopic

_LOOK_SECONDS: Final = 0.05
_FETCH_WAIT_MS: Final = 100
_log = get_logger("stream.agent")

Acknowledge = Callable[[], Awaitable[Any]]


class PartitionOwner(Protocol):
    """The worker, as Faust drives it: start, then any number of (take, handle …, release), then stop."""

    async def start(self) -> None: ...

    async def take(self, partitions: set[int], source: SourceTopic) -> None:
        """Work on these partitions. Returns when that has begun; messages flow afterwards."""
        ...

    async def handle(self, place: Place, value: bytes | None, acknowledge: Acknowledge) -> None:
        """Take a message of the source; `acknowledge` is to be awaited when it need not come again."""
        ...

    async def release(self) -> None:
        """Finish what was applied and give all partitions up."""
        ...

    async def stop(self) -> None: ...

    def fail(self, error: BaseException) -> None:
        """End the process: a message could not be handled."""
        ...


class StreamApp(faust.App):
    """A Faust app with one source, one table and one owner of both."""

    def __init__(self, name: str, source: str, table: str, owner: PartitionOwner, stores: OpenStores, **options: Any):
        """`options`: settings of Faust."""
        super().__init__(name, TableManager=BulkTableManager, **options)
        self._owner = owner
        transport: Any = self.transport
        transport.Consumer = SourceConsumer
        self.tables.add(PersonTable(self, table, _Source(self, source), owner, stores))
        self._read(source)

    def _read(self, source: str) -> None:
        """Hand the messages to the owner, in order. One at a time: more could commit past a message not processed."""
        topic = self.topic(source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @self.agent(topic, concurrency=1, name=source)
        async def read(stream: Any) -> None:
            stream = stream.noack()
            async for event in stream.events():
                try:
                    message = event.message
                    await self._owner.handle(_place(message), message.value, partial(stream.ack, event))
                except Exception as error:
                    _log.error("agent_failed", error=repr(error), exc_info=True)
                    self._owner.fail(error)
                    raise

    async def on_start(self) -> None:
        await self._owner.start()
        await super().on_start()

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:
        # Called on every revocation and at shutdown. Once Faust has seen every message acknowledged, finish the flushes
        # that belong to no message (timers, publication), while the stores are still open.
        await super()._consumer_wait_empty(consumer, logger)
        await self._owner.release()

    async def on_stop(self) -> None:
        await super().on_stop()
        await self._owner.stop()


def _place(message: Any) -> Place:
    traceparent = traceparent_of(message.headers) if message.headers else b""
    return Place(message.topic, message.partition, message.offset, int(message.timestamp * 1000), traceparent)


class _Source:
    """`SourceTopic` of a running app."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._app = app
        self._topic = topic

    async def commit(self, offsets: dict[int, int]) -> None:
        consumer: Any = self._app.consumer
        await consumer._commit({TP(self._topic, partition): offset for partition, offset in offsets.items()})

    def end_offset(self, partition: int) -> int:
        try:
            return self._app.consumer.highwater(TP(self._topic, partition)) or 0
        except (AssertionError, KeyError):
            return 0  # not assigned any more


class PersonTable(faust.Table):  # type: ignore[type-arg]
    """The table as Faust sees it: it is recovered once its partitions are taken, and its stores close with them."""

    def __init__(self, app: faust.App, name: str, source: SourceTopic, owner: PartitionOwner, stores: OpenStores):
        super().__init__(app, name=name, partitions=app.conf.topic_partitions, key_type=bytes, value_type=bytes)
        self._source = source
        self._owner = owner
        self._stores = stores

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        self._stores.close(tp.partition for tp in revoked if tp.topic in self.changelog_topic.topics)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        await super().on_recovery_completed(active_tps, standby_tps)
        await self._owner.take({tp.partition for tp in active_tps}, self._source)


class BulkRecovery(Recovery):
    """Faust's recovery, in which nothing is left to read when offsets are compared."""

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        if title == "active":
            for tp in tps:  # it is a counter: `update` would add
                destination[tp] = self.active_highwaters[tp]
        await super()._build_offsets(consumer, tps, destination, title)


class BulkTableManager(TableManager):
    """Plugged in by `faust.App(TableManager=…)`."""

    async def on_start(self) -> None:
        # Faust's own sleeps a second first, for tables that are still to be declared; ours is.
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class _ConsumerThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        set_fetch_waits(consumer, _FETCH_WAIT_MS, FETCHER_LOOK_MS)  # Faust has no settings for these
        return consumer


class SourceConsumer(Consumer):
    """Plugged in by `app.transport.Consumer`."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109 - Faust's signature
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(_LOOK_SECONDS)
            return {}, set()
        return await super()._wait_next_records(timeout)


class _Process(Worker):
    """Signal handling and exit code, without a progress display and without lingering once everything has stopped."""

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
        self.spinner = None

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)


def broker_credentials(options: Mapping[str, Any]) -> Credentials | None:
    """Return Faust's form of `connection_options`; None: no TLS and no login."""
    context, mechanism = options.get("ssl_context"), options.get("sasl_mechanism")
    if mechanism is None:
        return None if context is None else SSLCredentials(context)
    if mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    return SASLCredentials(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        mechanism=mechanism,
        ssl_context=context,
    )


def run_until_signal(app: StreamApp, loop: asyncio.AbstractEventLoop) -> None:
    """Run until SIGTERM or SIGINT, then exit with 0; with another code if it failed."""
    _Process(app, loop).execute_from_commandline()
