"""Checks that topics, control plane and tables have what this release needs, and the wait until they do.

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
from pipeline.control.migrate import known_and_applied
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import ClickHouseSettings, ControlPlaneSettings, KafkaSettings
from pipeline.runtime.kafka.clients import open_admin
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from schemas.topics import Topic

_LOOK_SECONDS: Final = 1.0


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
            applied = {int(row[0]) for row in await clickhouse.query("SELECT number FROM schema_migrations FINAL")}
    except ClickHouseError as error:
        return f"ClickHouse: {str(error)[:200]}"
    lacking = [f"{migration.number:04}" for migration in load_migrations() if migration.number not in applied]
    return f"ClickHouse migrations {', '.join(lacking)}" if lacking else ""
