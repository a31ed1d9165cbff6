"""Several processes that want the tables of one server: one makes them, the others wait."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_over_chdb import StandIn, standing_in
from structlog.testing import capture_logs
from waiting import until

from pipeline.runtime.clickhouse import ClickHouse, lacking_migrations
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from services.loader.app import Loader

pytestmark = pytest.mark.timeout(120)
_SECONDS = 60
_CHANGES = ("CREATE", "ALTER", "DROP", "RENAME", "INSERT")
_ALL = [migration.number for migration in load_migrations()]


class _Gate:
    """Holds the first statement in the middle of a migration until it is opened."""

    def __init__(self) -> None:
        middle = load_migrations()[2].statements[-1][:60]
        self._is_middle = re.compile(re.escape(middle)).search
        self._is_reached, self._is_open = threading.Event(), threading.Event()

    def __call__(self, statement: str) -> None:
        if self._is_middle(statement):
            self._is_reached.set()
            assert self._is_open.wait(_SECONDS)

    def wait_reached(self) -> None:
        assert self._is_reached.wait(_SECONDS)

    def open(self) -> None:
        self._is_open.set()


class _Command:
    """`attrikit migrate` in a process of its own."""

    def __init__(self, settings: Settings, output: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
        own |= settings.as_environment() | {"PYTHONUNBUFFERED": "1"}
        self._output = output
        with output.open("wb") as file:
            argv = [sys.executable, "-P", "-m", "deploy.cli", "migrate"]
            self.process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, env=own)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def applied(self) -> list[int]:
        """Return what it says it has applied, once it has ended well."""
        assert self.process.wait(_SECONDS) == 0, self.output
        said = re.search(r"migrations applied: (.*);", self.output)
        assert said is not None, self.output
        return [] if said[1] == "none" else [int(number) for number in said[1].split(", ")]


@pytest.fixture
def server(clickhouse_dir: Path) -> Iterator[StandIn]:
    with standing_in(clickhouse_dir / "clickhouse") as running:
        yield running


@pytest.fixture
def gate(server: StandIn) -> Iterator[_Gate]:
    made = server.before = _Gate()
    yield made
    made.open()


@pytest.fixture
def settings(server: StandIn, broker: str, make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(kafka_bootstrap=broker, clickhouse_url=f"{server.url}/at_once_{uuid4().hex[:12]}")


@pytest.fixture
def migrate(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], _Command]]:
    folder = tmp_path_factory.mktemp("output")
    started: list[_Command] = []

    def start() -> _Command:
        started.append(_Command(settings, folder / f"{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(_SECONDS)


def _changes(server: StandIn) -> list[str]:
    """Return the statements that change something, in order."""
    found = [each["query"].strip() for each in server.requests]
    return [sql for sql in found if sql.startswith(_CHANGES) and "schema_migrations" not in sql[:60]]


async def test_of_two_that_migrate_one_does_and_the_other_finds_it_done(
    server: StandIn, gate: _Gate, migrate: Callable[[], _Command]
) -> None:
    first = migrate()
    gate.wait_reached()
    before = _changes(server)
    second = migrate()
    await until(lambda: "waiting for another that migrates" in second.output, "the second waits", _SECONDS)
    assert _changes(server) == before
    gate.open()
    assert first.applied() == _ALL
    assert second.applied() == []
    assert len(_changes(server)) == 1 + sum(len(migration.statements) for migration in load_migrations())


async def test_after_a_migration_that_was_killed_the_next_completes_it(
    server: StandIn, gate: _Gate, migrate: Callable[[], _Command], settings: Settings
) -> None:
    killed = migrate()
    gate.wait_reached()
    killed.process.kill()
    killed.process.wait(_SECONDS)
    gate.open()
    assert migrate().applied() == _ALL[2:]
    with closing(ClickHouse.open(settings)) as clickhouse:
        assert await lacking_migrations(clickhouse) == []
    assert migrate().applied() == []


async def test_loaders_beside_a_migration_wait_and_change_no_table(
    server: StandIn, gate: _Gate, migrate: Callable[[], _Command], settings: Settings
) -> None:
    stop = asyncio.Event()
    with closing(ClickHouse.open(settings)) as clickhouse, capture_logs() as logs:
        loaders = [Loader(settings, clickhouse, uuid4().hex) for _ in range(2)]
        running = [asyncio.create_task(each.run(stop)) for each in loaders]

        def wait_for(numbers: list[int]) -> bool:
            named = ", ".join(f"{number:04}" for number in numbers)
            reason = f"ClickHouseUnavailable: migrations {named} are missing: run `attrikit migrate`"
            return sum(line.get("reason") == reason for line in logs) >= len(loaders)

        await until(lambda: wait_for(_ALL), "the loaders wait", _SECONDS)
        assert _changes(server) == []
        assert ["tables" in await each.missing() for each in loaders] == [True, True]
        command = migrate()
        await asyncio.to_thread(gate.wait_reached)
        before = _changes(server)
        await until(lambda: wait_for(_ALL[2:]), "they wait on", _SECONDS)
        assert _changes(server) == before
        gate.open()
        assert await asyncio.to_thread(command.applied) == _ALL
        await until(lambda: [line["event"] for line in logs].count("loader_started") == 2, "both start", _SECONDS)
        stop.set()
        await asyncio.gather(*running)
        assert ["tables" in await each.missing() for each in loaders] == [False, False]
