"""Gather all observations for the doctor. A part that cannot be read is noted, and the rest goes on."""

import asyncio
import shutil
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from deploy.doctor.findings import Clock, Disk, Migrations, Observations, Refusals, Server, TableParts
from deploy.doctor.kafka import KafkaFacts, observe_kafka
from deploy.ledger.sources import StoreAway, open_store
from pipeline.control.engine import build_engine
from pipeline.control.migrate import known_and_applied
from pipeline.readmodel.progress import TopicsMissing
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from services.query.operator.answers import LedgerCounts, MigrationState, StoreState

_HOUR_MS: Final = 3_600_000
_PROBE_SECONDS: Final = 3.0
_DATE_STEP_MS: Final = 1_000
"""Resolution of the time in HTTP's Date header: whole seconds (RFC 9110, section 5.6.7)."""


async def observe(settings: Settings) -> Observations:
    away: dict[str, str] = {}
    kafka = await _kafka(settings, away)
    store, counts, clocks = await _store(settings, away)
    clocks += await _gateway_clock(settings)
    return Observations(
        now_ms=now_ms(),
        away=away,
        lags=kafka.lags,
        reported=kafka.reported,
        refusals=None if counts is None else _refusals(counts),
        tables=() if store is None else tuple(TableParts(t.table, t.parts, t.rows, t.bytes) for t in store.tables),
        longest_merge_seconds=None if store is None else store.merges.longest_seconds,
        changelogs=kafka.changelogs,
        disks=_disks(settings, store),
        clocks=tuple(clocks),
        migrations=(
            *await asyncio.to_thread(_control_plane_migrations, settings, away),
            *([] if store is None else [_clickhouse_migrations(store.migrations)]),
        ),
        servers=kafka.servers + await observe_redis_if_any(settings.quota_redis_url.get_secret_value(), away),
    )


async def observe_redis_if_any(url: str, away: dict[str, str]) -> tuple[Server, ...]:
    """Observe Redis, where requests are counted in one. Its client is imported only there (see `RedisCounter`)."""
    if not url:
        return ()
    from redis.exceptions import RedisError

    from deploy.doctor.quota_redis import observe_redis

    try:
        return (await observe_redis(url),)
    except (RedisError, OSError) as error:
        away["Redis"] = type(error).__name__  # not its words: they may hold the address with its password
        return ()


async def _kafka(settings: Settings, away: dict[str, str]) -> KafkaFacts:
    try:
        return await observe_kafka(settings)
    except TopicsMissing as error:
        away["Kafka"] = f"{error} (attrikit topics create)"
    except (KafkaError, TimeoutError) as error:
        away["Kafka"] = f"{settings.kafka_bootstrap}: {error or type(error).__name__}"
    return KafkaFacts((), (), ())


async def _store(
    settings: Settings, away: dict[str, str]
) -> tuple[StoreState | None, LedgerCounts | None, list[Clock]]:
    try:
        async with open_store(settings) as store:
            before = now_ms()
            state = await store.state()
            took = now_ms() - before
            counts = await store.ledger((before - _HOUR_MS) * 1000, before * 1000)
    except StoreAway as error:
        away["ClickHouse"] = str(error)
        return None, None, []
    return state, counts, [Clock("ClickHouse", state.now_ms - before - took // 2, took)]


def _refusals(counts: LedgerCounts) -> Refusals:
    def total(name: str) -> int:
        return sum(row.count for row in counts[name])

    rejected = max(total("refused"), total("rejected"))
    accepted = total("stored") + total("duplicates")
    return Refusals(accepted, rejected, total("put_aside"), total("late"), total("without_order"))


async def _gateway_clock(settings: Settings) -> list[Clock]:
    """Read the gateway's clock; None if no gateway runs at the configured address: installations of several machines
    have none there.
    """
    url = f"http://{settings.host}:{settings.port}/healthz"
    before = now_ms()
    try:
        async with httpx.AsyncClient(timeout=_PROBE_SECONDS, trust_env=False) as client:
            told = parsedate_to_datetime((await client.get(url)).headers["date"])
    except (httpx.HTTPError, KeyError, ValueError):
        return []
    took = now_ms() - before
    middle_ms = int(told.timestamp() * 1000) + _DATE_STEP_MS // 2
    return [Clock(f"gateway {settings.host}:{settings.port}", middle_ms - before - took // 2, took + _DATE_STEP_MS)]


def _disks(settings: Settings, store: StoreState | None) -> tuple[Disk, ...]:
    found = []
    if Path(settings.data_dir).exists():
        usage = shutil.disk_usage(settings.data_dir)
        found.append(Disk(f"data folder {settings.data_dir}", usage.free, usage.total))
    if store is not None and settings.clickhouse_url:
        found += [Disk(f"ClickHouse {disk.name}", disk.free_bytes, disk.total_bytes) for disk in store.disks]
    return tuple(found)


def _clickhouse_migrations(applied: list[MigrationState]) -> Migrations:
    known = {migration.number: migration for migration in load_migrations()}
    there = {row.number: row for row in applied}
    return Migrations(
        "ClickHouse",
        pending=tuple(f"{number:04}" for number in known if number not in there),
        unknown=tuple(f"{number:04}" for number in there if number not in known),
        changed=tuple(f"{n:04}" for n, row in there.items() if n in known and known[n].checksum != row.checksum),
    )


def _control_plane_migrations(settings: Settings, away: dict[str, str]) -> list[Migrations]:
    engine = build_engine(settings.control_plane_dsn(), writes=False)
    try:
        known, applied = known_and_applied(engine)
    except SQLAlchemyError as error:
        away["control plane"] = type(error).__name__
        return []
    finally:
        engine.dispose()
    if applied is not None and applied not in known:
        return [Migrations("control plane", unknown=(applied,))]
    done = known.index(applied) + 1 if applied is not None else 0
    return [Migrations("control plane", pending=tuple(known[done:]))]
