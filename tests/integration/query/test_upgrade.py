"""Installations of earlier versions, upgraded: what was answered before is answered after.

`tests/fixtures/upgrade/<migration>.json.gz`: one for each schema version that was in use, made with the code of then
(`tests/support/make_upgrade_fixture.py`): the blocks its loader inserted, its control plane, its answers. Tables are
built by the same migrations up to that one (their checksums are compared), filled, and brought to this release. The
control plane is brought to it too, whatever revision it had. The ordinary run takes three of them, `make chaos` all
(`ATTRIKIT_TEST_UPGRADES=all`).
"""

import gzip
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pipeline.control import migrate_control_plane
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from services.query.app import create_app

_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)\Z")
_LOADED_AT = re.compile(
    r"\.(steps|revisions)\[\d+\]\.at$|\.status\..*(converted|attributed|restated|delivered)_at$|next_cursor$"
)
"""Times at which rows were loaded, which are those of this run; and cursors, which are signed."""
IS_FULL = os.environ.get("ATTRIKIT_TEST_UPGRADES") == "all"
FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "upgrade").glob("*.json.gz"))[:: 1 if IS_FULL else 4]


@pytest.fixture(params=FIXTURES, ids=lambda path: path.name[:4])
def before(request: pytest.FixtureRequest) -> Any:
    return json.loads(gzip.decompress(request.param.read_bytes()))


@pytest.fixture
def settings(before: Any, clickhouse_dir: Path, tmp_path: Path) -> Settings:
    """Those of an installation whose control plane is as it was."""
    with sqlite3.connect(tmp_path / "control.db") as database:
        database.executescript(before["control_sql"])
    for name, text in before["files"].items():
        (tmp_path / name).write_text(text)
    return Settings(
        data_dir=clickhouse_dir,
        database=f"upgrade_{uuid4().hex[:12]}",
        control_plane_url=f"sqlite:///{tmp_path}/control.db",
        export_url=tmp_path.as_uri(),
    )


async def fill_as_before(clickhouse: ClickHouse, before: Any) -> None:
    """Make the tables of that version, and insert what its loader did."""
    known = load_migrations()
    of_then = tuple(migration for migration in known if str(migration.number) in before["migrations"])
    assert {str(one.number): one.checksum for one in of_then} == before["migrations"]
    assert await migrate(clickhouse, of_then) == [migration.number for migration in of_then]
    for table, lines in before["blocks"]:
        await clickhouse.insert_ndjson(table, lines.encode())


async def test_reports_say_the_same_after_an_upgrade(before: Any, settings: Settings) -> None:
    clickhouse = ClickHouse.open(settings)
    await fill_as_before(clickhouse, before)
    migrate_control_plane(settings.control_plane_dsn())
    await migrate(clickhouse)
    app = create_app(settings, clickhouse)
    headers = {"Authorization": f"Bearer {before['key']}"}
    changed: dict[str, Any] = {}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://query", headers=headers) as client,
    ):
        for path, answer in before["answers"].items():
            now = await client.get("/v1/" + path)
            assert now.status_code == 200, now.text
            changed |= {f"{path} {place}": pair for place, pair in differences(answer, now.json()["data"], "")}
    await clickhouse.command(f"DROP DATABASE {settings.database}")
    clickhouse.close()
    assert changed == {}


def differences(old: Any, new: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the places where an answer of before does not stand in that of now. Fields and steps may have been added,
    and what was not told may be told; nothing else may change.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if name not in new:
                yield f"{place}.{name}", ("gone", value)
            else:
                yield from differences(value, new[name], f"{place}.{name}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new) and not place.endswith(".steps"):
            yield place, (len(old), len(new))
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
    elif old is not None and instant_of(old) != instant_of(new) and not _LOADED_AT.search(place):
        yield place, (old, new)


def instant_of(value: Any) -> Any:
    """Return a time as an instant: once they were given in UTC, now in the zone of the answer."""
    return datetime.fromisoformat(value) if isinstance(value, str) and _TIME.match(value) else value
