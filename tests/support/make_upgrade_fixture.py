"""Make a fixture of `tests/integration/query/test_upgrade.py`: an installation as the code of one commit leaves it.

    git worktree add /elsewhere COMMIT
    cd /elsewhere && PYTHONPATH=.:tests/support PYTHON /this/file OUT_FOLDER

It runs with the code of that commit, so it uses nothing but what all of them have. A fixture holds what the loader
inserted, block by block, the control plane as SQL, and what the query service answered.
"""

import asyncio
import gzip
import json
import sqlite3
import subprocess
import sys
import tempfile
from datetime import date
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import httpx
from query_world import insert_world, make_world

import schemas.facts
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from schemas.control import App, Scope
from schemas.facts import encode_rows
from services.query.app import create_app

APP_ID = "shop"
FIRST_MS = 1_704_067_200_000
RANGE = "from=2024-01-01&to=2024-02-20"
GOAL = f"goal=purchase&{RANGE}"
"""Totals over all goals have changed their meaning; those of one goal have not."""
PATHS = (
    f"events?limit=100&{RANGE}",
    f"users?limit=100&{RANGE}",
    "users/USER",
    "users/USER/events",
    "events/EVENT",
    f"conversions?limit=100&{RANGE}",
    f"attribution?{GOAL}",
    f"attribution?dimension=campaign&model=linear&{GOAL}",
    "attribution?conversion_id=CONVERSION",
    f"reports/performance?{GOAL}",
    f"reports/performance?granularity=day&dimension=campaign&{GOAL}",
    f"reports/performance?dimension=source&{GOAL}",
    f"reports/conversion?{GOAL}",
    f"costs?{RANGE}",
)


def control_plane() -> Any:
    """Return the module of the control plane, which has moved."""
    try:
        return import_module("pipeline.control")
    except ImportError:
        return import_module("pipeline.runtime.control_plane")


def plain(world: Any) -> Any:
    """Change the facts of a world to those that all versions understand alike: one currency, no refunds, and credits in
    whole hundredths of values that have so many parts. Rounding and what sums leave out have changed.
    """
    random = Random(7)
    for session in world.sessions:
        session.values_minor = {"CNY": sum(session.values_minor.values())} if session.values_minor else {}
    values = {}
    for conversion in world.conversions:
        conversion.currency, conversion.value_minor = "CNY", conversion.value_minor // 100 * 100
        values[conversion.conversion_id] = conversion.value_minor
    for row in (*world.conversions, *world.attributions):
        if hasattr(row, "refunded_minor"):
            row.refunded_minor = 0
    for row in world.attributions:
        row.currency, row.value_minor = "CNY", values[row.conversion_id]
        for model in row.credits_nanos:
            cuts = sorted(random.randint(0, 100) for _ in row.touch_ids[1:])
            parts = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
            row.credits_nanos[model] = [part * 10_000_000 for part in parts]
            if hasattr(row, "values_minor"):
                row.values_minor[model] = [row.value_minor // 100 * part for part in parts]
    return world


def cost_rows() -> list[Any]:
    row_type: Any = getattr(schemas.facts, "CostRow", None)
    if row_type is None:
        return []
    values = {"app_id": APP_ID, "date": date(2024, 1, 9), "currency": "CNY", "revision": 1, "imported_at_ms": FIRST_MS}
    found = [
        values | {"channel": "paid_search", "campaign": campaign, "cost_minor": 1_000 * number, "source": "baidu"}
        for number, campaign in enumerate(("brand", "other"), 1)
    ]
    return [row_type(**{name: row[name] for name in row_type.__struct_fields__ if name in row}) for row in found]


async def make(folder: Path) -> dict[str, Any]:
    settings = Settings(data_dir=folder, database="attrikit")
    plane_module = control_plane()
    plane_module.migrate_control_plane(settings.control_plane_dsn())
    plane = plane_module.ControlPlane(settings.control_plane_dsn())
    plane.create_app(App(APP_ID, "Shop"), FIRST_MS)
    key = plane.create_key(APP_ID, [Scope.READ, Scope.WRITE], FIRST_MS).secret
    plane.close()

    clickhouse = ClickHouse.open(settings)
    await migrate(clickhouse)
    blocks: list[tuple[str, str]] = []
    insert = clickhouse.insert_ndjson

    async def insert_and_keep(table: str, data: bytes, token: str = "") -> None:
        blocks.append((table, data.decode()))
        await insert(table, data, token)

    clickhouse.insert_ndjson = insert_and_keep  # type: ignore[method-assign]
    world = plain(make_world(APP_ID, seed=3, persons=12))
    await insert_world(clickhouse, world)
    tables = {name for (name,) in await clickhouse.query("SELECT name FROM system.tables WHERE database = 'attrikit'")}
    if costs := cost_rows():
        await clickhouse.insert_ndjson("spend" if "spend" in tables else "costs", encode_rows(costs))
    places = {
        "USER": next(event.user_id for event in world.events if event.user_id),
        "EVENT": world.events[0].event_id,
        "CONVERSION": world.conversions[0].conversion_id,
    }
    answers = await ask_all(create_app(settings, clickhouse), key, places)
    clickhouse.close()
    with sqlite3.connect(folder / "control.db") as database:
        control_sql = "\n".join(database.iterdump())
    return {
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
        "migrations": {str(one.number): one.checksum for one in load_migrations()},
        "key": key,
        "control_sql": control_sql,
        "files": {path.name: path.read_text() for path in folder.glob("*key*")},
        "blocks": blocks,
        "answers": answers,
    }


async def ask_all(app: Any, key: str, places: dict[str, str]) -> dict[str, Any]:
    answers = {}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://query") as client,
    ):
        for path in PATHS:
            for name, value in places.items():
                path = path.replace(name, value)
            answer = await client.get("/v1/" + path, headers={"Authorization": f"Bearer {key}"})
            if answer.status_code == 200:
                answers[path] = answer.json()["data"]
            else:
                print(path, answer.status_code, answer.text[:200], file=sys.stderr)
    return answers


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        made = asyncio.run(make(Path(temporary)))
    out = Path(sys.argv[1]) / f"{max(map(int, made['migrations'])):04}.json.gz"
    out.write_bytes(gzip.compress(json.dumps(made, ensure_ascii=False).encode(), mtime=0))
    print(out, out.stat().st_size, len(made["answers"]), file=sys.stderr)
