"""The stream worker: a Faust app that turns `events` into sessions, touches, conversions and attributions.

Faust and what is replaced of it is `faust_adapter`; taking partitions is `assignment`, decoding `decode`, decisions are
`pipeline.domain`, the writing is `group_commit`.
"""

import asyncio
import gc
import signal
import socket
import sys
from typing import Any

from aiokafka.errors import KafkaError

from pipeline.control import SnapshotSource
from pipeline.runtime.kafka.connection import connection_options
from pipeline.runtime.kafka.topics import TopicMismatch
from pipeline.runtime.log import configure_logging, get_logger
from pipeline.runtime.retry import retry
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.topics import ensure_topics
from pipeline.runtime.traces.tracer import Tracer, tracing
from pipeline.stream.beginning import ensure_changelog
from pipeline.stream.faust_adapter import StreamApp, broker_credentials, run_until_signal
from pipeline.stream.partition.changelog import CHANGELOG_TOPIC, TABLE_NAME
from pipeline.stream.partition.open_stores import OpenStores, store_factory
from pipeline.stream.rules_book import Snapshots
from pipeline.stream.worker import Worker
from schemas.ids import digest
from schemas.topics import MAX_MESSAGE_BYTES, STREAM_GROUP, Topic

_log = get_logger("stream.app")


async def build_app(settings: WorkerSettings, control_plane: Snapshots, tracer: Tracer | None = None) -> StreamApp:
    """The app, ready to run on this event loop. Topics must exist."""
    directory = settings.data_dir.resolve() / "stream"
    directory.mkdir(parents=True, exist_ok=True)
    stores = OpenStores(store_factory(settings.stream_store, directory / "tables"))
    worker = Worker(settings, control_plane, stores, CHANGELOG_TOPIC, tracer)
    faust_settings = _faust_settings(settings, str(directory))
    return StreamApp(STREAM_GROUP, Topic.EVENTS.value, TABLE_NAME, worker, stores, **faust_settings)


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


def instance_id(hostname: str, directory: str) -> str:
    """Return the id of a worker: the same for one started again in the same place (static membership, KIP-345).

    It then gets its partitions back at once, instead of the group waiting for the session of the killed one to end.
    """
    return f"{hostname}-{digest(hostname, directory)[:12]}"


def main(settings: WorkerSettings, source: Snapshots | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT, then exit with 0; with another code if it failed."""
    configure_logging("stream", settings.log_level)
    with tracing(settings, "worker") as tracer:
        _run(settings, source, tracer)


def _run(settings: WorkerSettings, source: Snapshots | None, tracer: Tracer | None) -> None:
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
    run_until_signal(loop.run_until_complete(build_app(settings, source, tracer)), loop)


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
