"""Benchmark of one stream worker: events a second, against one `table[key] = value` per event in the same frame.

    python tests/bench/stream_bench.py [--events N] [--persons N …] [--per-message N] [--store rocksdb|memory]
                                       [--broker best|kafka|noida] [--restarts]

First every person is met once; then as many of them as the events are enough for come back in sessions of some 8.
That is measured, with the states of all persons in the store. The baseline meets only those who come back, which is in
its favour. The events lie in the topic before the worker starts; its rate is that between the first flush after the
crowd and the last, as its own metrics tell. Both sides of a comparison run on the same kind of broker. On Apache Kafka
the baseline is two to three times as fast as on the small broker, which has more work per record, while the worker
hardly changes. Restarts are timed from the start of the process to `/readyz`. One JSON line per measurement.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

import stream_traffic  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: E402
from figures import Figure  # noqa: E402
from processes import Patience, metric, peak_memory_mb, running_broker  # noqa: E402
from stream_worker import create_control_plane, produce, worker_process  # noqa: E402

from deploy.local.ports import free_port  # noqa: E402
from deploy.local.process import ChildProcess  # noqa: E402
from pipeline.runtime.kafka.clients import build_producer  # noqa: E402
from pipeline.runtime.settings import Settings  # noqa: E402
from schemas.events import AcceptedEvent, encode_event  # noqa: E402
from schemas.ids import partition_for  # noqa: E402
from schemas.persons import person_key  # noqa: E402
from schemas.topics import Topic  # noqa: E402

PARTITIONS = 4
EVENTS = 400_000
NAIVE_EVENTS = 10_000
EVENTS_PER_SESSION = 8
PERSONS = [5_000, 100_000, 1_000_000]
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Measurement:
    """`peak_memory_mb` is the worker's."""

    what: str
    persons: int
    events: int
    per_message: int
    store: str
    events_per_second: int
    peak_memory_mb: float
    broker: str
    restart_intact_seconds: float | None = None
    restart_wiped_seconds: float | None = None

    def json_line(self) -> str:
        return json.dumps(asdict(self))


def measure(
    events: int,
    persons: int,
    per_message: int = 250,
    store: str = "rocksdb",
    kind: str = "best",
    *,
    restarts: bool = False,
) -> Measurement:
    """One worker from a full topic to an empty one, on a broker and in a folder of its own."""
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name), kind) as broker:
        settings = _settings(Path(name), broker.bootstrap, store)
        create_control_plane(settings, stream_traffic.App("demo", "Demo"))
        traffic = chain(stream_traffic.crowd(persons), _sessions(events, persons))
        asyncio.run(produce(settings, stream_traffic.packed(traffic, per_message, PARTITIONS)))
        worker = worker_process(settings, Path(name) / "worker.log")
        worker.start()
        try:
            rate = _watch(worker, settings.worker_port, persons, persons + events)
            peak = peak_memory_mb(worker.pid)
            worker.stop(60)
            seconds = _restarts(settings, Path(name)) if restarts else (None, None)
        finally:
            worker.kill()
    return Measurement("stream worker", persons, events, per_message, store, rate, peak, broker.description, *seconds)


def _restarts(settings: Settings, folder: Path) -> tuple[float, float]:
    """Seconds until a worker is ready again: with its disk as it was, and with nothing but the changelog."""
    intact = _start_seconds(settings, folder / "intact.log")
    shutil.rmtree(settings.data_dir / "stream")
    return intact, _start_seconds(settings, folder / "wiped.log")


def _start_seconds(settings: Settings, log_path: Path) -> float:
    worker = worker_process(settings, log_path)
    started = time.monotonic()
    worker.start()
    try:
        worker.wait_until(lambda: _is_ready(settings.worker_port), 600)
        return round(time.monotonic() - started, 1)
    finally:
        worker.stop(60)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def measure_naive(events: int, persons: int, kind: str = "best") -> Measurement:
    """The baseline (`naive_worker`) on the same kind of traffic, one event a message."""
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name), kind) as broker:
        settings = _settings(Path(name), broker.bootstrap, "rocksdb")
        settings.data_dir.mkdir()
        asyncio.run(_produce_singly(settings, events, persons))
        log_path = Path(name) / "naive.log"
        environment = {"EXPECT": str(events)}
        worker = worker_process(settings, log_path, [str(_HERE / "naive_worker.py")], environment)
        worker.start()
        try:
            worker.wait_until(lambda: "events_per_second" in log_path.read_text(), 600)
            peak = peak_memory_mb(worker.pid)
        finally:
            worker.kill()
        line = next(line for line in log_path.read_text().splitlines() if "events_per_second" in line)
    rate = json.loads(line)["events_per_second"]
    what = "table[key] = value per event"
    return Measurement(what, persons, events, 1, "rocksdb", rate, peak, broker.description)


def _settings(folder: Path, bootstrap: str, store: str) -> Settings:
    return Settings(
        data_dir=folder / "data",
        kafka_bootstrap=bootstrap,
        stream_store="memory" if store == "memory" else "rocksdb",
        partitions=PARTITIONS,
        worker_port=free_port(),
    )


def _sessions(events: int, persons: int) -> Iterator[AcceptedEvent]:
    returning = min(persons, max(1, events // EVENTS_PER_SESSION))
    return stream_traffic.events(events, returning, stride=persons // returning)


def _watch(worker: ChildProcess, port: int, crowd: int, events: int) -> int:
    """Events per second between the first flush seen after `crowd` events and the last."""
    first: tuple[float, int] | None = None
    patience = Patience(_PATIENCE_SECONDS)
    while True:
        if not worker.is_running:
            raise RuntimeError("\n".join(worker.log_tail()))
        count, now = _applied(port), time.monotonic()
        patience.look(f"{count} of {events} events applied")
        if count > crowd and first is None:
            first = now, count
        if first is not None and count >= events:
            return round((count - first[1]) / max(now - first[0], 1e-9))
        time.sleep(0.1)


def _applied(port: int) -> int:
    return int(metric(f"http://127.0.0.1:{port}", "attrikit_stream_events_total"))


async def _produce_singly(settings: Settings, events: int, persons: int) -> None:
    topic = "naive-events"
    outputs = ("naive-sessions", "naive-touches", "naive-conversions", "naive-attributions", "naive-marks")
    config = Topic.EVENTS.spec.broker_config()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.create_topics(
        [NewTopic(name, settings.partitions, 1, topic_configs=config) for name in (topic, *outputs)]
    )
    await admin.close()
    producer = build_producer(settings)
    await producer.start()
    sent = []
    for event in _sessions(events, persons):
        person = person_key(event.user_id, event.anonymous_id, event.event_id)
        partition = partition_for(event.app_id, person, settings.partitions)
        sent.append(await producer.send(topic, encode_event(event), partition=partition))
    await asyncio.gather(*sent)
    await producer.stop()


def run() -> list[Figure]:
    """For `make bench`: the worker at 5k, 100k and 1M persons, each against the table write per event."""
    figures = []
    for persons in PERSONS:
        # On the broker the product starts with, but for the million: that one would save a gigabyte every second.
        kind = "noida" if persons < PERSONS[-1] else "best"
        ours = measure(EVENTS, persons, kind=kind, restarts=persons == PERSONS[-1])
        theirs = measure_naive(NAIVE_EVENTS, persons, kind)
        name = f"stream worker, {persons:,} persons"
        figures += [
            Figure(name, ours.events_per_second, "events/s", theirs.events_per_second),
            Figure(f"{name}, peak memory", ours.peak_memory_mb, "MB"),
        ]
        if ours.restart_intact_seconds is not None and ours.restart_wiped_seconds is not None:
            figures += [
                Figure(f"{name}, ready after a restart", ours.restart_intact_seconds, "s"),
                Figure(f"{name}, ready from the changelog alone", ours.restart_wiped_seconds, "s"),
            ]
    return figures


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--persons", type=int, nargs="+", default=PERSONS)
    parser.add_argument("--per-message", type=int, default=250)
    parser.add_argument("--store", choices=["rocksdb", "memory"], default="rocksdb")
    parser.add_argument("--broker", choices=["best", "kafka", "noida"], default="best")
    parser.add_argument("--restarts", action="store_true", help="time restarts too")
    parser.add_argument("--naive-events", type=int, default=NAIVE_EVENTS, help="0 leaves the baseline out")
    given = parser.parse_args(None if arguments is None else list(arguments))
    for persons in given.persons:
        ours = measure(given.events, persons, given.per_message, given.store, given.broker, restarts=given.restarts)
        print(ours.json_line(), flush=True)
        if given.naive_events:
            print(measure_naive(given.naive_events, persons, given.broker).json_line(), flush=True)


if __name__ == "__main__":
    main()
