"""Sizes of an installation for its traffic. Pure: numbers in, numbers out, each with its arithmetic in words."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from deploy.sizing.figures import FIGURES, Figures

_DAY_SECONDS: Final = 86_400
_MICROSECONDS: Final = 1_000_000
_GB: Final = 1e9
_MOST_PARTITIONS: Final = 1024
_PARTITION_STEPS: Final = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, _MOST_PARTITIONS)
_SHARD_CORES: Final = 16
"""Cores of one ClickHouse server, half of them for inserts and merges; the rest reads."""


@dataclass(frozen=True)
class Traffic:
    """Traffic to plan for. `peak_factor`: the busiest minutes over the day's average; `busy`: share of a core used at
    the peak, so that what an outage left can be caught up with at twice the speed.
    """

    events_per_day: float
    persons: float
    events_per_request: float = 10.0
    peak_factor: float = 3.0
    busy: float = 0.5
    deliveries_per_day: float = 0.0
    source_days: float = 30.0
    derived_days: float = 7.0
    table_days: float = 400.0
    kafka_replicas: int = 3
    clickhouse_replicas: int = 2
    live_persons_share: float = 0.1


@dataclass(frozen=True)
class Need:
    """One number of the plan."""

    name: str
    value: float
    unit: str
    arithmetic: str


@dataclass(frozen=True)
class Plan:
    peak_events: Need
    partitions: Need
    stream_workers: Need
    stream_memory_gb: Need
    stream_disk_gb: Need
    gateways: Need
    loaders: Need
    dispatchers: Need
    clickhouse_shards: Need
    clickhouse_disk_gb: Need
    kafka_disk_gb: Need
    kafka_mb_per_second: Need
    limits: tuple[str, ...]

    def needs(self) -> tuple[Need, ...]:
        return tuple(value for value in vars(self).values() if isinstance(value, Need))


def plan(traffic: Traffic, figures: Figures = FIGURES) -> Plan:
    """Return what the traffic needs."""
    peak = _peak(traffic)
    workers = _cores("stream workers", peak.value, figures.stream_us_per_event, traffic, at_least=2)
    partitions = _partitions(workers.value)
    found = Plan(
        peak_events=peak,
        partitions=partitions,
        stream_workers=workers,
        stream_memory_gb=_stream_memory(traffic, workers.value, figures),
        stream_disk_gb=_stream_disk(traffic, workers.value, figures),
        gateways=_gateways(traffic, peak.value, figures),
        loaders=_cores("loaders", peak.value, figures.loader_us_per_event, traffic, at_least=2),
        dispatchers=_dispatchers(traffic, figures),
        clickhouse_shards=_shards(traffic, peak.value, figures),
        clickhouse_disk_gb=_table_disk(traffic, figures),
        kafka_disk_gb=_kafka_disk(traffic, figures),
        kafka_mb_per_second=_bandwidth(traffic, peak.value, figures),
        limits=(),
    )
    return replace(found, limits=tuple(_limits(found)))


def _peak(traffic: Traffic) -> Need:
    average = traffic.events_per_day / _DAY_SECONDS
    words = f"{traffic.events_per_day:,.0f} events / 86,400 s × {traffic.peak_factor:g} at the peak"
    return Need("events at the peak", average * traffic.peak_factor, "events/s", words)


def _cores(name: str, rate: float, microseconds: float, traffic: Traffic, at_least: int) -> Need:
    """Processes of one core each for so many events a second."""
    exact = rate * microseconds / _MICROSECONDS / traffic.busy
    words = (
        f"{rate:,.0f}/s × {microseconds:g} µs / {traffic.busy:g} busy = {exact:.1f}; at least {at_least}, to lose one"
    )
    return Need(name, max(at_least, ceil(exact)), "processes of one core", words)


def _partitions(workers: float) -> Need:
    wanted = workers * 4
    found = next((step for step in _PARTITION_STEPS if step >= wanted), _MOST_PARTITIONS)
    words = (
        f"{workers:.0f} workers × 4, rounded up: they can never change, and a worker less or more shares them evenly"
    )
    return Need("partitions", found, "of every topic", words)


def _gateways(traffic: Traffic, rate: float, figures: Figures) -> Need:
    event = figures.gateway_us_per_request / traffic.events_per_request + figures.gateway_us_per_event
    need = _cores("gateways", rate, event, traffic, at_least=2)
    words = f"an event in requests of {traffic.events_per_request:g}: {event:.1f} µs; {need.arithmetic}"
    return replace(need, arithmetic=words)


def _dispatchers(traffic: Traffic, figures: Figures) -> Need:
    rate = traffic.deliveries_per_day / _DAY_SECONDS * traffic.peak_factor
    return _cores("webhook dispatchers", rate, figures.webhooks_us_per_delivery, traffic, at_least=2)


def _stream_memory(traffic: Traffic, workers: float, figures: Figures) -> Need:
    live = traffic.persons * traffic.live_persons_share / workers
    value = (live * figures.live_state_bytes_per_person + 500e6) / _GB
    words = (
        f"{traffic.persons:,.0f} persons × {traffic.live_persons_share:g} active / {workers:.0f} workers × "
        f"{figures.live_state_bytes_per_person:,.0f} bytes + 0.5 GB (ATTRIKIT_LIVE_STATE_BYTES bounds it)"
    )
    return Need("memory of a worker", value, "GB", words)


def _stream_disk(traffic: Traffic, workers: float, figures: Figures) -> Need:
    value = traffic.persons * figures.state_bytes_per_person * 2 / workers / _GB
    words = (
        f"{traffic.persons:,.0f} persons × {figures.state_bytes_per_person:,.0f} bytes × 2 for compaction / "
        f"{workers:.0f} workers"
    )
    return Need("disk of a worker", value, "GB", words)


def _shards(traffic: Traffic, rate: float, figures: Figures) -> Need:
    cores = rate * figures.clickhouse_us_per_event / _MICROSECONDS / traffic.busy
    words = (
        f"{rate:,.0f}/s × {figures.clickhouse_us_per_event:g} µs / {traffic.busy:g} busy = {cores:.1f} cores for "
        f"inserts and merges; half of {_SHARD_CORES} cores a server"
    )
    return Need(
        "ClickHouse shards",
        max(1, ceil(cores / (_SHARD_CORES / 2))),
        f"of {traffic.clickhouse_replicas} replicas",
        words,
    )


def _table_disk(traffic: Traffic, figures: Figures) -> Need:
    value = traffic.events_per_day * traffic.table_days * figures.table_bytes * traffic.clickhouse_replicas * 1.5 / _GB
    words = (
        f"{traffic.events_per_day:,.0f} × {traffic.table_days:g} days × {figures.table_bytes:g} bytes × "
        f"{traffic.clickhouse_replicas} replicas × 1.5 for merges"
    )
    return Need("ClickHouse disks in all", value, "GB", words)


def _kafka_disk(traffic: Traffic, figures: Figures) -> Need:
    logs = traffic.events_per_day * (
        traffic.source_days * figures.source_bytes + traffic.derived_days * figures.derived_bytes
    )
    changelog = traffic.persons * figures.state_bytes_per_person * 2
    value = (logs + changelog) * traffic.kafka_replicas / 0.7 / _GB
    words = (
        f"({traffic.events_per_day:,.0f} × ({traffic.source_days:g} days × {figures.source_bytes:g} + "
        f"{traffic.derived_days:g} days × {figures.derived_bytes:g} bytes) + {traffic.persons:,.0f} persons × "
        f"{figures.state_bytes_per_person:,.0f} × 2) × {traffic.kafka_replicas} replicas / 70 % full at most"
    )
    return Need("Kafka disks in all", value, "GB", words)


def _bandwidth(traffic: Traffic, rate: float, figures: Figures) -> Need:
    written = figures.source_bytes + figures.derived_bytes + figures.changelog_bytes
    value = rate * written * traffic.kafka_replicas / 1e6
    words = (
        f"{rate:,.0f}/s × ({figures.source_bytes:g} source + {figures.derived_bytes:g} derived + "
        f"{figures.changelog_bytes:g} changelog) bytes × {traffic.kafka_replicas} replicas; "
        "readers take as much again"
    )
    return Need("Kafka, written in all", value, "MB/s", words)


def _limits(found: Plan) -> list[str]:
    """Return the limits that this plan meets: what more of the same processes does not help."""
    said = []
    if found.stream_workers.value > found.partitions.value:
        said.append(
            f"{found.stream_workers.value:.0f} workers are more than {_MOST_PARTITIONS} partitions allow: split the "
            "apps over several installations."
        )
    if found.clickhouse_shards.value > 1:
        said.append(
            "More than one shard: a report asks every shard and is as slow as the slowest; inserts grow with shards, "
            "the time of a report does not shrink below its merge."
        )
    if found.loaders.value > 4:
        said.append(
            f"{found.loaders.value:.0f} loaders insert at once: raise ATTRIKIT_LOADER_MAX_AGE_SECONDS to 1, or "
            "small blocks cost ClickHouse twice the processor time (37 against 94 µs an event)."
        )
    if found.stream_workers.value > 8:
        said.append("A rebalance moves partitions of every worker: with many workers scale seldom, and one at a time.")
    return said
