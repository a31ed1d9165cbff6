"""`attrikit copy-tables`: all rows of one ClickHouse written into the empty tables of another, and both compared.

    Step 1  refuse a source of another release, and a target that holds rows that this copy did not bring
    Step 2  make the target's tables
    Step 3  copy page by page in the order of each table's sort key: every revision and every row taken back, so that
            what is loaded later replaces rows as it would have. How far each table is stands in the target's
            `table_copies`
    Step 4  compare, as they are read, the number of rows and a sum of their hashes

A copy that was stopped goes on after the last page that was noted. A page that comes twice changes nothing: the tables
replace rows by their ids. How far the tables are loaded is read first, so what is loaded into the source meanwhile is
loaded into the target again from Kafka.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from deploy.backup.tables import what_is_there
from deploy.table_copy.pages import Columns, Key, Page, page_of, rows_after
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseUnavailable, migrate, plan
from pipeline.runtime.clock import now_ms
from schemas.clickhouse.cluster import SHARDING_KEYS, for_cluster
from services.query.core.rows import BrokenRows

Say = Callable[[str], None]

FILLED_BY_VIEWS: Final = ("narrow_sessions", "narrow_touches", "sessions_by_person")
"""Tables that fill as the rows of others arrive."""
TABLES: Final = ("loaded_offsets", "progress", *sorted(SHARDING_KEYS.keys() - {*FILLED_BY_VIEWS}))
"""Copied in this order: attributions before their revisions, which a view makes too, with later times that give way."""
_NOTES: Final = """CREATE TABLE IF NOT EXISTS table_copies
(
    name String,
    source String,
    last_key String,
    rows Int64,
    is_done Bool,
    copied_at_ms Int64
)
ENGINE = ReplacingMergeTree(copied_at_ms)
ORDER BY name"""
_PIECE_BYTES: Final = 1 << 20
_NO_TIME_LIMIT: Final = "SETTINGS max_execution_time = 0"
_LOW_CARDINALITY: Final = re.compile(r"^LowCardinality\((.*)\)\Z")
_NOT_COMPARED: Final = {("events", "stored_at_ms"), ("sessions", "stored_at_ms"), ("conversions", "stored_at_ms")}
"""Columns in which two deliveries of one row differ; either of them may stand."""
_COMPARED_ROWS: Final = {"webhook_attempts": "WHERE attempted_at_ms > {since_ms:Int64}"}
"""Rows of a table whose rows end by age (90 days) are compared if they are younger than this."""
_COMPARED_MS: Final = 89 * 86_400_000


class CopyRefused(RuntimeError):
    """The copy cannot be begun; nothing was changed."""


@dataclass(frozen=True)
class PageSize:
    """A page ends at either of them."""

    rows: int = 50_000
    bytes: int = 16 << 20


_PAGE: Final = PageSize()


@dataclass(frozen=True)
class Progress:
    """How far the copy of a table is. `source`: the identity of the source's tables. `last_key` is empty before the
    first page."""

    source: str
    last_key: Key = ()
    rows: int = 0
    is_done: bool = False


async def copy_tables(source: ClickHouse, target: ClickHouse, say: Say, size: PageSize = _PAGE) -> list[str]:
    """Copy all tables, then return `differences`. Raises `CopyRefused`, and the errors of `ClickHouse`, after which it
    may be run again.
    """
    progress = await _begin(source, target)
    await migrate(target)
    for table in TABLES:
        if progress[table].is_done:
            say(f"{table}: {progress[table].rows:,} rows were copied before")
        else:
            await _copy(source, target, table, progress[table], size, say)
    return await differences(source, target, say)


async def differences(source: ClickHouse, target: ClickHouse, say: Say) -> list[str]:
    """Return a line for each table that does not say the same in both, as it is read. `say` is told of every table.
    Raises `CopyRefused` where both are one.
    """
    await _refuse_itself(source, target)
    since_ms, lines = now_ms() - _COMPARED_MS, []
    for table in (*TABLES, *FILLED_BY_VIEWS):
        compared = [name for name in (await _columns(source, table)).types if (table, name) not in _NOT_COMPARED]
        row = ", ".join(f"`{name}`" for name in sorted(compared))
        sql = (
            f"SELECT count(), sum(cityHash64(toString(tuple({row})))) FROM {table} FINAL "
            f"{_COMPARED_ROWS.get(table, '')} {_NO_TIME_LIMIT}"
        )
        there, here = [(await each.query(sql, {"since_ms": since_ms}))[0] for each in (source, target)]
        if there == here:
            say(f"{table}: {there[0]:,} rows, the same in both")
        else:
            lines.append(f"{table}: {there[0]:,} rows in the source, {here[0]:,} here, or their values differ")
    return lines


async def _begin(source: ClickHouse, target: ClickHouse) -> dict[str, Progress]:
    """Return the progress by table of a copy that may go on. The first note comes before the first row."""
    origin = await _origin(source)
    await target.create_database()
    await _refuse_itself(source, target)
    for statement in for_cluster(_NOTES, target.cluster):
        await target.command(statement)
    found = await _noted(target)
    if any(each.source != origin for each in found.values()):
        raise CopyRefused("a copy of other tables was begun here: nothing is overwritten")
    if not found:
        if table := await what_is_there(target):
            raise CopyRefused(f"the tables to copy into hold something already ({table}): nothing is overwritten")
        await _note(target, TABLES[0], Progress(origin))
    return {table: found.get(table, Progress(origin)) for table in TABLES}


async def _origin(source: ClickHouse) -> str:
    """Return the identity of the source's tables, which have to be those of this release."""
    if behind := [f"{each.number:04}" for each in await plan(source) if each.statements]:
        raise CopyRefused(f"the source lacks migrations {', '.join(behind)}: run `attrikit migrate` there first")
    return await _identity(source)


async def _refuse_itself(source: ClickHouse, target: ClickHouse) -> None:
    """Tables say the same as themselves, whatever was copied: the settings name the source, where they should name the
    target.
    """
    if (identity := await _identity(source)) and identity == await _identity(target):
        raise CopyRefused("the source's tables are those to copy into: the settings have to name the other ClickHouse")


async def _identity(clickhouse: ClickHouse) -> str:
    """Return the id of the table of events; empty if there is none."""
    sql = "SELECT toString(uuid) FROM system.tables WHERE database = {database:String} AND name = 'events'"
    rows = await clickhouse.query(sql, {"database": clickhouse.database})
    return str(rows[0][0]) if rows else ""


async def _copy(
    source: ClickHouse, target: ClickHouse, table: str, progress: Progress, size: PageSize, say: Say
) -> None:
    columns = await _columns(source, table)
    while not progress.is_done:
        page = await _read(source, table, columns, progress.last_key, size)
        if page.lines:
            await target.insert_ndjson(table, page.data, columns=tuple(columns.types))
        progress = _after(page, columns, progress, size)
        await _note(target, table, progress)
    say(f"{table}: {progress.rows:,} rows copied")


def _after(page: Page, columns: Columns, progress: Progress, size: PageSize) -> Progress:
    last_key = columns.key_of(page.lines[-1]) if page.lines else progress.last_key
    is_done = not page.is_cut and len(page.lines) < size.rows
    return replace(progress, last_key=last_key, rows=progress.rows + len(page.lines), is_done=is_done)


async def _read(source: ClickHouse, table: str, columns: Columns, last_key: Key, size: PageSize) -> Page:
    names, key = [", ".join(f"`{name}`" for name in of) for of in (columns.types, columns.sort_key)]
    where, bound = rows_after(last_key, columns)
    sql = f"SELECT {names} FROM {table}{where} ORDER BY {key} LIMIT {size.rows:d} WITH TIES {_NO_TIME_LIMIT}"
    use = partial(page_of, columns=columns, page_bytes=size.bytes)
    try:
        return await source.read(sql, bound, use=use, piece_bytes=_PIECE_BYTES)
    except BrokenRows as error:
        raise ClickHouseUnavailable(f"the answer broke off: {error}") from error


async def _columns(source: ClickHouse, table: str) -> Columns:
    bound = {"database": source.database, "table": table}
    of_table = "database = {database:String} AND table = {table:String} AND default_kind != 'ALIAS'"
    found = await source.query(f"SELECT name, type FROM system.columns WHERE {of_table} ORDER BY position", bound)
    keys = await source.query(
        "SELECT sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}", bound
    )
    types = {name: _LOW_CARDINALITY.sub(r"\1", kind) for name, kind in found}
    return Columns(types, tuple(name.strip("` ") for name in keys[0][0].split(",")))


async def _noted(target: ClickHouse) -> dict[str, Progress]:
    rows = await target.query("SELECT name, source, last_key, rows, is_done FROM table_copies FINAL")
    return {name: Progress(source, tuple(json.loads(key)), count, done) for name, source, key, count, done in rows}


async def _note(target: ClickHouse, table: str, progress: Progress) -> None:
    row: dict[str, Any] = {"name": table, "source": progress.source, "last_key": json.dumps(progress.last_key)}
    row |= {"rows": progress.rows, "is_done": progress.is_done, "copied_at_ms": now_ms()}
    await target.insert_ndjson("table_copies", json.dumps(row).encode())
