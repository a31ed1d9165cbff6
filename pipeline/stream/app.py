"""The stream worker: a Faust app that turns `events` into sessions, touches, conversions and attributions.

Faust brings the group membership, the assignment of partitions with their tables, recovery before processing, and the
commit of offsets. Decoding is `decode`, decisions are `pipeline.domain`, the writing is `group_commit`.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from faust.types import TP
from faust.worker import Worker as FaustWorker

from pipeline.control import SnapshotSource
from pipeline.runtime.kafka.connection import connection_options
from pipeline.runtime.kafka.topics import TopicMismatch
from pipeline.runtime.log import configure_logging, get_logger
from pipeline.runtime.retry import retry
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.topics import ensure_topics
from pipeline.stream.agents import register_agent
from pipeline.stream.beginning import ensure_changelog
from pipeline.stream.recovery import BulkTableManager
from pipeline.stream.rules_book import Snapshots
from pipeline.stream.source_consumer import SourceConsumer
from pipeline.stream.table import TABLE_NAME, PersonTable, store_factory
from pipeline.stream.worker import Worker, exit_process
from schemas.ids import digest
from schemas.topics import MAX_MESSAGE_BYTES, STREAM_GROUP, Topic

CHANGELOG_TOPIC: Final = f"{STREAM_GROUP}-{TABLE_NAME}-changelog"
_log = get_logger("stream.app")


class StreamApp(faust.App):
    """A Faust app with a `Worker` that starts before partitions are taken and ends after they are given up."""

    worker: Worker

    async def on_start(self) -> None:
        await self.worker.start()
        await super().on_start()

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:
        # Called on every revocation and at shutdown. Once Faust has seen every message acknowledged, finish the flushes
        # that belong to no message (timers, publication), while the stores are still open.
        await super()._consumer_wait_empty(consumer, logger)
        await self.worker.release()

    async def on_stop(self) -> None:
        await super().on_stop()
        await self.worker.stop()


def build_app(settings: WorkerSettings, source: Snapshots) -> StreamApp:
    """The app, ready to run. Topics must exist."""
    directory = settings.data_dir.resolve() / "stream"
    directory.mkdir(parents=True, exist_ok=True)
    app = StreamApp(STREAM_GROUP, **_faust_settings(settings, str(directory)))
    transport: Any = app.transport
    transport.Consumer = SourceConsumer
    table = PersonTable(app, name=TABLE_NAME, partitions=settings.partitions, key_type=bytes, value_type=bytes)
    app.tables.add(table)
    table.factory = store_factory(settings.stream_store, directory / "tables")
    table.settings = settings
    app.worker = Worker(
        settings,
        source,
        table.partition,
        CHANGELOG_TOPIC,
        EventsTopic(app),
        settings.worker_session_timeout_seconds,
    )
    table.on_ready = app.worker.take
    topic = app.topic(
        Topic.EVENTS.value, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    register_agent(app, topic, app.worker.committers, app.worker.directory, exit_process)
    return app


class EventsTopic:
    """`events` through the consumer of the running app."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    async def commit(self, offsets: dict[int, int]) -> None:
        """Faust seeks to the committed offsets next; the log's own position is what they must be."""
        consumer: Any = self._app.consumer
        await consumer._commit({TP(Topic.EVENTS.value, p): offset for p, offset in offsets.items()})

    def end_offset(self, partition: int) -> int:
        try:
            return self._app.consumer.highwater(TP(Topic.EVENTS.value, partition)) or 0
        except (AssertionError, KeyError):
            return 0  # not assigned any more


def _faust_settings(settings: WorkerSettings, directory: str) -> dict[str, Any]:
    brokers = ";".join(f"kafka://{server}" for server in settings.kafka_bootstrap.split(","))
    return {
        "broker": brokers,
        "broker_credentials": broker_credentials(connection_options(settings)),
        "store": "memory://",  # Faust's default; the table brings its own
        "datadir": directory,
        "version": 1,
        "autodiscover": False,
        "web_enabled": False,
        "canonical_url": f"http://{socket.gethostname()}:{settings.worker_port or 6066}",
        "TableManager": BulkTableManager,
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication_factor,
        "table_standby_replicas": 0,  # a standby re-reads the changelog record by record
        "stream_wait_empty": True,  # finish and commit what was applied before giving partitions up
        "stream_buffer_maxsize": 16,  # messages, each up to 8 MB
        "stream_recovery_delay": 0.0,
        "topic_disable_leader": True,  # nothing here runs on the leader only
        "stream_processing_timeout": 300.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": MAX_MESSAGE_BYTES,
        "consumer_group_instance_id": instance_id(socket.gethostname(), directory),
        "broker_commit_every": 1_000_000,  # messages; by time instead: the marker, not the commit, is the truth
        "broker_commit_interval": 1.0,
        "broker_session_timeout": settings.worker_session_timeout_seconds,
        "broker_heartbeat_interval": min(3.0, settings.worker_session_timeout_seconds / 4),
        "broker_request_timeout": 60.0,
        "broker_rebalance_timeout": 60.0,
        "producer_max_request_size": MAX_MESSAGE_BYTES,
        "cython_optimizations": True,
        "worker_redirect_stdouts": False,
    }


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


def instance_id(hostname: str, directory: str) -> str:
    """Return the id of a worker: the same for one started again in the same place (static membership, KIP-345).

    It then gets its partitions back at once, instead of the group waiting for the session of the killed one to end.
    """
    return f"{hostname}-{digest(hostname, directory)[:12]}"


def main(settings: WorkerSettings, source: Snapshots | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT, then exit with 0; with another code if it failed."""
    configure_logging("stream", settings.log_level)
    # What is loaded now stays. States are plain data without cycles; the default thresholds would have the collector
    # walk them all the time.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    gc.enable()
    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    # Until Faust takes the signals over there is nothing to finish.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    try:
        loop.run_until_complete(_prepare(settings))
    except TopicMismatch as error:
        _log.error("cannot_start", kafka=settings.kafka_bootstrap, error=str(error))
        sys.exit(1)
    source = source or SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)
    app = build_app(settings, source)
    worker = _Process(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


class _Process(FaustWorker):
    """Signal handling and exit code. Faust's own lingers for a second after everything has stopped."""

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)


async def _prepare(settings: WorkerSettings) -> None:
    async def prepare() -> None:
        await ensure_topics(settings)
        await ensure_changelog(settings, CHANGELOG_TOPIC)

    await retry(prepare, (KafkaError, OSError), _log, "waiting", waiting_for="broker")


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
