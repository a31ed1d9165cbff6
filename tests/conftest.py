"""Fixtures every room may use.

`broker`      the small broker, one per test run: its bootstrap address
`kafka`       Apache Kafka, one per test run; skips with the reason where Java or Maven is missing
`noida`, `kafka_broker`  the same as processes
`s3`          an S3 server with a bucket, which this process's clients find
`redis_server`  a Redis of one's own, as a process; skips with the reason where there is none
`free_port`   a function giving a port nobody listens on
`make_settings`  Settings for a test: own data folder, given broker, whatever else is passed
`clickhouse_dir`  the data folder of the run's one chDB engine (a process can host no second one)
`clickhouse`  a migrated database of its own in that engine

Tests under `tests/unit` can open neither a network socket nor a database.
"""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from secrets import randbelow
from typing import Any
from uuid import uuid4

import pytest
import pytest_socket
import structlog
import structlog.testing
from _pytest.terminal import TerminalReporter
from certificates import Authority
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from redis_process import RedisServer, redis_is_missing
from s3_server import s3_server
from secured_kafka import SecuredKafka
from xdist.scheduler import LoadScopeScheduling

from deploy.local import ports
from deploy.local.apache_kafka import fetch_jars, find_java, kafka_version
from deploy.local.broker import NoidaBroker
from deploy.local.process import LaunchError
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings

_UNIT = Path(__file__).parent / "unit"
# Where processes share the tests, each has ports of its own: one that is free may be that of another's next server.
ports.turn = count(4_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + randbelow(1_000))

# A busy machine is no fault of the code: no example of a property has a time it must end in. In CI a commit is tried
# with the same examples every time, as hypothesis' own profile for CI does; any other run looks for new ones.
hypothesis_settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    database=None if "CI" in os.environ else hypothesis_settings.default.database,
)
hypothesis_settings.load_profile("untimed")


# A traceback drawn with its surroundings, as structlog's own settings do where `rich` is, takes a second each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


class _OwnLines(structlog.testing.LogCapture):
    """Lines that are logged while a unit test captures them, but for those of threads that ran before: servers of other
    tests' fixtures, in the same process.
    """

    def __init__(self) -> None:
        super().__init__()
        is_unit = os.environ.get("PYTEST_CURRENT_TEST", "").startswith("tests/unit/")
        self._strangers = set(threading.enumerate()) - {threading.current_thread()} if is_unit else set()

    def __call__(self, logger: Any, method_name: str, event_dict: Any) -> Any:
        if threading.current_thread() in self._strangers:
            raise structlog.DropEvent
        return super().__call__(logger, method_name, event_dict)


structlog.testing.LogCapture = _OwnLines  # type: ignore[misc]


def _is_unit(path: Path) -> bool:
    return path.is_relative_to(_UNIT)


@pytest.fixture(autouse=True)
def _unit_tests_stay_inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A unit test that reaches for the network or a database fails, whatever it would have found there."""
    if not _is_unit(request.path):
        yield
        return

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("a unit test opened a database: move it to tests/integration")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", refuse)
    monkeypatch.setattr("clickhouse_connect.get_client", refuse)
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def _a_test_configures_the_log_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands run inside a test set level and format; the next test's `capture_logs` must not depend on them."""
    monkeypatch.setattr("pipeline.runtime.log.keep_loggers", False)
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    return ports.free_port


@pytest.fixture(scope="session")
def noida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NoidaBroker]:
    folder = tmp_path_factory.mktemp("broker")
    process = NoidaBroker(folder / "data", folder / "broker.log")
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def broker(noida: NoidaBroker) -> str:
    """`host:port` of a running Kafka-protocol broker. Shared: use topics or groups of your own."""
    return noida.bootstrap


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars; skips where it cannot run."""
    missing = _kafka_is_missing()
    if missing:
        pytest.skip(missing)
    return fetch_jars()


@pytest.fixture(scope="session")
def kafka_broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    folder = tmp_path_factory.mktemp("kafka")
    process = SecuredKafka(folder / "data", folder / "kafka.log")
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def kafka(kafka_broker: SecuredKafka) -> str:
    """`host:port` of a running Apache Kafka. Shared: use topics or groups of your own. Mark the test `kafka`."""
    return kafka_broker.bootstrap


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    missing = redis_is_missing()
    if missing:
        pytest.skip(missing)
    server = RedisServer(tmp_path / "redis", Authority(tmp_path / "redis"))
    server.start()
    yield server
    server.kill()


@cache
def _kafka_is_missing() -> str:
    """Return why Apache Kafka cannot run here; empty: it can. Fetches its jars if need be."""
    try:
        find_java()
        fetch_jars()
    except LaunchError as error:
        return str(error)
    return ""


class _ByCostlyFixture(LoadScopeScheduling):
    """Scheduler that keeps tests with a costly fixture in common together where processes share the tests (`-n 2`): the
    tests of a file, and all that meet the one running product. The long ones come first, as the folders are in that
    order.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "e2e" if "/e2e/" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Instead of `--dist loadgroup`, whose groups pytest-xdist 3.8 loses under pytest 9.2."""
    config.option.loadscopereorder = False
    return _ByCostlyFixture(config, log)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what the run stood on and what it left out, also when pytest is quiet."""
    line = terminalreporter.write_line
    line(f"broker: noida-db {version('noida-db')}; Apache Kafka: {_kafka_state(terminalreporter)}")
    postgres = "local server" if shutil.which("postgres") else "skipped, no postgres on the PATH"
    line("ClickHouse over HTTP: chDB behind a stand-in for a server; a server: where Docker is (testcontainers)")
    line(f"engine: chDB {version('chdb')}; SQLite {sqlite3.sqlite_version}; PostgreSQL: {postgres}")
    missing = redis_is_missing()
    line(f"quota: memory; Redis: {f'skipped, {missing}' if missing else 'local server'}")


def _kafka_state(reporter: TerminalReporter) -> str:
    outcomes = ("passed", "failed", "error", "skipped")
    reports = (report for outcome in outcomes for report in reporter.getreports(outcome))
    if not any("kafka" in getattr(report, "keywords", ()) for report in reports):
        return "not asked for"
    missing = _kafka_is_missing()
    return f"skipped, {missing}" if missing else kafka_version()


@pytest.fixture(scope="session")
def s3_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("s3")) as variables:
        yield variables


@pytest.fixture
def s3(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An S3 server that this process finds by its variables; its bucket is `s3_server.S3`."""
    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def clickhouse_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`Settings(data_dir=clickhouse_dir, database=…)`. The engine stays up for the whole run, as its start is slow."""
    folder = tmp_path_factory.mktemp("chdb")
    keeper = ClickHouse.open(Settings(data_dir=folder))
    asyncio.run(keeper.create_database())
    asyncio.run(keeper.query("SELECT 1"))
    yield folder
    keeper.close()


@pytest.fixture
async def clickhouse(clickhouse_dir: Path) -> AsyncIterator[ClickHouse]:
    opened = ClickHouse.open(Settings(data_dir=clickhouse_dir, database=f"test_{uuid4().hex[:12]}"))
    await migrate(opened)
    yield opened
    await opened.command(f"DROP DATABASE {opened.database}")
    opened.close()


@pytest.fixture
def make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings untouched by the environment the tests run in."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ATTRIKIT_{name.upper()}", raising=False)

    def make(**given: Any) -> Settings:
        return Settings(**({"data_dir": tmp_path} | given))

    return make
