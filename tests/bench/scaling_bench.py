"""Benchmark of two stream workers against one, on the same four partitions, and what limits them.

    python tests/bench/scaling_bench.py [--events N] [--persons N] [--broker best|kafka|noida]

The events lie in the topic before. The rate is that from the moment every worker owns partitions to the end, as their
own metrics tell; meanwhile the CPU each process takes is measured. Workers share nothing but the broker, so on a
machine with cores to spare two do twice as much; where workers and broker together take all the cores there are, those
are the limit.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

import stream_traffic  # noqa: E402
from figures import Figure  # noqa: E402
from processes import Patience, metric, running_broker  # noqa: E402
from stream_worker import create_control_plane, produce, worker_process  # noqa: E402

from deploy.local.ports import free_port  # noqa: E402
from deploy.local.process import ChildProcess  # noqa: E402
from pipeline.runtime.settings import Settings  # noqa: E402

PARTITIONS = 4
EVENTS = 400_000
PERSONS = 20_000
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Measurement:
    """`cores_*`: CPU seconds a second, of all workers together, of the broker, and of everything else there is."""

    workers: int
    events: int
    events_per_second: int
    cores_workers: float
    cores_broker: float
    cores_idle: float
    broker: str

    def json_line(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class _Sample:
    at: float
    applied: int
    workers: float
    broker: float
    idle: float


def measure(workers: int, events: int, persons: int, kind: str = "best") -> Measurement:
    """So many workers, from a full topic to an empty one, on a broker of their own."""
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name), kind) as broker:
        places = [_settings(Path(name), number, broker.bootstrap) for number in range(workers)]
        create_control_plane(places[0], stream_traffic.App("demo", "Demo"))
        traffic = stream_traffic.events(events, persons)
        asyncio.run(produce(places[0], stream_traffic.packed(traffic, 250, PARTITIONS)))
        running = [worker_process(place, Path(name) / f"worker{n}.log") for n, place in enumerate(places)]
        ports = [place.worker_port for place in places]
        try:
            for worker in running:
                worker.start()
            _wait_until_shared(running, ports)
            first = _sample(running, broker.process, ports)
            patience = Patience(_PATIENCE_SECONDS)
            while (last := _sample(running, broker.process, ports)).applied < events:
                _check(running)
                patience.look(f"{last.applied} of {events} events applied")
                time.sleep(0.2)
        finally:
            for worker in running:
                worker.kill()
        return _measurement(workers, first, last, broker.description)


def _measurement(workers: int, first: _Sample, last: _Sample, broker: str) -> Measurement:
    seconds = last.at - first.at
    applied = last.applied - first.applied
    return Measurement(
        workers,
        applied,
        round(applied / seconds),
        round((last.workers - first.workers) / seconds, 2),
        round((last.broker - first.broker) / seconds, 2),
        round((last.idle - first.idle) / seconds, 2),
        broker,
    )


def _settings(folder: Path, number: int, bootstrap: str) -> Settings:
    return Settings(
        data_dir=folder / f"data{number}",
        control_plane_url=f"sqlite:///{folder / 'data0' / 'control.db'}",
        kafka_bootstrap=bootstrap,
        partitions=PARTITIONS,
        worker_port=free_port(),
    )


def _wait_until_shared(running: list[ChildProcess], ports: list[int]) -> None:
    share, patience = PARTITIONS // len(ports), Patience(_PATIENCE_SECONDS)
    while (owns := _each(ports, "partitions_assigned")) != [share] * len(ports):
        _check(running)
        patience.look(f"the workers have {owns} partitions")
        time.sleep(0.1)
    while not all(applied := _each(ports, "events_total")):
        _check(running)
        patience.look(f"the workers have applied {applied} events")
        time.sleep(0.1)


def _each(ports: list[int], name: str) -> list[float]:
    return [metric(_url(port), f"attrikit_stream_{name}") for port in ports]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _check(running: list[ChildProcess]) -> None:
    for worker in running:
        if not worker.is_running:
            raise RuntimeError("\n".join(worker.log_tail()))


def _sample(running: list[ChildProcess], broker: ChildProcess, ports: list[int]) -> _Sample:
    applied = sum(_each(ports, "events_total"))
    workers = sum(_cpu_seconds(worker.pid) for worker in running)
    return _Sample(time.monotonic(), int(applied), workers, _cpu_seconds(broker.pid), _idle_seconds())


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process (Linux, proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _idle_seconds() -> float:
    """Return the idle seconds of all cores together."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def run() -> list[Figure]:
    """For `make bench`."""
    one, two = (measure(workers, EVENTS, PERSONS) for workers in (1, 2))
    return [
        Figure("stream, two workers against one", two.events_per_second, "events/s", one.events_per_second),
        Figure("cores taken by one worker and its broker", one.cores_workers + one.cores_broker, "cores"),
        Figure("cores taken by two workers and their broker", two.cores_workers + two.cores_broker, "cores"),
        Figure("cores idle beside two workers", two.cores_idle, "cores"),
    ]


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--persons", type=int, default=PERSONS)
    parser.add_argument("--broker", choices=["best", "kafka", "noida"], default="best")
    given = parser.parse_args(None if arguments is None else list(arguments))
    for workers in (1, 2):
        print(measure(workers, given.events, given.persons, given.broker).json_line(), flush=True)


if __name__ == "__main__":
    main()
