"""Migrates control plane and tables, checks that they and the topics have what this release needs, waits until they do.

`attrikit topics create` and `attrikit migrate` make it; what starts beside them waits (`attrikit migrate --wait`).
What a newer release has made is enough: two releases run side by side while one takes the place of the other.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Final

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from pipeline.control.engine import build_engine
from pipeline.control.migrate import known_and_applied, one_runner, prepare_control_plane
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError, lacking_migrations, migrate
from pipeline.runtime.clickhouse.versions import check_version
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import ClickHouseSettings, ControlPlaneSettings, KafkaSettings
from pipeline.runtime.kafka.clients import open_admin
from pipeline.runtime.settings import Settings
from schemas.topics import Topic

_LOOK_SECONDS: Final = 1.0


def migrate_all(settings: Settings, say: Callable[[str], None]) -> list[int]:
    """Migrate the control plane and ClickHouse, one runner at a time. Returns the ClickHouse migrations applied now.
    `say` is told what it waits for. No table is touched while a server is too old.
    """

    async def run() -> list[int]:
        with closing(ClickHouse.open(settings)) as clickhouse:
            await check_version(clickhouse)
            await asyncio.to_thread(prepare_control_plane, settings)
            return await migrate(clickhouse)

    with one_runner(settings.control_plane_dsn(), say):
        return asyncio.run(run())


def migrate_at_start(settings: Settings, say: Callable[[str], None]) -> None:
    """Bring the control plane up to date, and the tables of a server. Embedded ones are the store's, which alone opens
    them.
    """
    if settings.clickhouse_url.get_secret_value():
        migrate_all(settings, say)
    else:
        prepare_control_plane(settings)


async def wait_until_ready(settings: Settings, seconds: float, say: Callable[[str], None]) -> list[str]:
    """Return when nothing is missing, or after `seconds` what still is. `say` is told whenever that changes."""
    deadline, told = monotonic_seconds() + seconds, [""]
    while (lacking := await missing(settings)) and monotonic_seconds() < deadline:
        if lacking != told:
            say("waiting for " + "; ".join(lacking))
            told = lacking
        await asyncio.sleep(_LOOK_SECONDS)
    return lacking


async def missing(settings: Settings) -> list[str]:
    """Return what is not there yet, one line for each store."""
    found = [await _topics(settings), await asyncio.to_thread(_control_plane, settings), await _clickhouse(settings)]
    return [line for line in found if line]


async def _topics(settings: KafkaSettings) -> str:
    try:
        async with open_admin(settings) as admin:
            there = set(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        return f"Kafka: {error}"
    lacking = sorted(topic.value for topic in Topic if topic.value not in there)
    return f"topics: {', '.join(lacking)}" if lacking else ""


def _control_plane(settings: ControlPlaneSettings) -> str:
    engine = build_engine(settings.control_plane_dsn(), writes=False)
    try:
        known, applied = known_and_applied(engine)
    except SQLAlchemyError as error:
        return f"the control plane's database: {type(error).__name__}"
    finally:
        engine.dispose()
    is_older = applied is None or applied in known[:-1]  # one unknown here is a newer release's
    return f"the control plane's revision {known[-1]}, it is at {applied or 'none'}" if is_older else ""


async def _clickhouse(settings: ClickHouseSettings) -> str:
    try:
        with closing(ClickHouse.open(settings)) as clickhouse:
            lacking = await lacking_migrations(clickhouse)
    except ClickHouseError as error:
        return f"ClickHouse: {str(error)[:200]}"
    return f"ClickHouse migrations {', '.join(lacking)}" if lacking else ""
