"""The ClickHouse wrapper, as far as it works without an engine."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from pipeline.runtime.clickhouse import (
    ClickHouse,
    ClickHouseError,
    ClickHouseLocked,
    ClickHouseRejected,
    ClickHouseTimeout,
    ClickHouseUnavailable,
)
from pipeline.runtime.clickhouse.errors import classify
from pipeline.runtime.settings import Settings


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError("Unknown identifier", code=47), ClickHouseRejected),
        (DatabaseError("Timeout exceeded", code=159), ClickHouseTimeout),
        (DatabaseError("Memory limit exceeded", code=241), ClickHouseUnavailable),
        (DatabaseError("Database does not exist", code=81), ClickHouseUnavailable),
        (OperationalError("connection refused"), ClickHouseUnavailable),
        (ProgrammingError("bad parameter"), ClickHouseRejected),
    ],
)
def test_an_error_of_a_query_says_what_to_do(error: DatabaseError, expected: type[ClickHouseError]) -> None:
    assert type(classify(error, is_insert=False)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError("Cannot parse input", code=27), ClickHouseRejected),
        (DatabaseError("Constraint violated", code=469), ClickHouseRejected),
        (DatabaseError("'utf-8' codec can't decode byte 0xff in position 92"), ClickHouseRejected),
        (DatabaseError("no such table", code=60), ClickHouseUnavailable),
        (DatabaseError("a code nobody has met", code=12345), ClickHouseUnavailable),
        (OperationalError("connection refused"), ClickHouseUnavailable),
        (ProgrammingError("the client has been closed"), ClickHouseUnavailable),
    ],
)
def test_an_insert_is_tried_again_unless_the_data_is_surely_at_fault(
    error: DatabaseError, expected: type[ClickHouseError]
) -> None:
    found = classify(error, is_insert=True)
    assert type(found) is expected
    assert found.code == error.code


@pytest.mark.parametrize("name", ["", "a b", "a;DROP", "1a", "a.b", "a\n"])
def test_a_database_name_is_an_identifier(name: str, make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ClickHouseRejected, match="not a database name"):
        ClickHouse.open(make_settings(database=name))


async def test_a_table_name_is_an_identifier(make_settings: Callable[..., Settings]) -> None:
    clickhouse = ClickHouse.open(make_settings())
    try:
        with pytest.raises(ClickHouseRejected, match="not a table name"):
            await clickhouse.insert_ndjson("events; DROP TABLE events", b"{}")
    finally:
        clickhouse.close()


def test_one_process_may_open_a_directory_twice_and_another_not_at_all(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    first, second = ClickHouse.open(settings), ClickHouse.open(settings)
    first.close()
    assert _opens_elsewhere(settings) == f"in use by process {os.getpid()}"
    second.close()
    second.close()
    assert _opens_elsewhere(settings) == "opened"


def test_a_refused_open_leaves_the_lock_with_its_owner(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    with pytest.raises(ClickHouseRejected):
        ClickHouse.open(make_settings(database="no name"))
    clickhouse = ClickHouse.open(settings)
    clickhouse.close()
    assert _opens_elsewhere(settings) == "opened"


def _opens_elsewhere(settings: Settings) -> str:
    """`opened`, or the part of the error that names the owner."""
    code = (
        "import sys, re; from pathlib import Path\n"
        "from pipeline.runtime.clickhouse import ClickHouse, ClickHouseLocked\n"
        "from pipeline.runtime.settings import Settings\n"
        "try: ClickHouse.open(Settings(data_dir=Path(sys.argv[1]))); print('opened')\n"
        f"except {ClickHouseLocked.__name__} as error: print(re.search(r'in use by process \\d+', str(error))[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(settings.data_dir)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_a_killed_insert_left_behind_is_swept_at_the_next_start(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    spool = settings.data_dir / "clickhouse-spool"
    spool.mkdir()
    (spool / "left.ndjson").write_text("somebody's events")
    ClickHouse.open(settings).close()
    assert list(spool.iterdir()) == []
    assert spool.stat().st_mode & 0o077 == 0
