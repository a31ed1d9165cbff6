"""A loader killed in the middle, again and again: readers see what they would have seen anyway."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import loader_process
import pytest
from loader_log import Log, dump, random_events, until
from tables import read_tables

from pipeline.runtime.clickhouse import ClickHouse
from schemas.facts import EventMarkRow, encode_rows
from schemas.topics import Topic

KILLS = 3
MESSAGES = 160
ROWS = 50
GROUP = "killed"


@pytest.mark.timeout(300)
async def test_killed_anywhere_the_tables_are_those_of_an_undisturbed_run(
    log: Log, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    for seed in range(MESSAGES):
        await log.send(Topic.EVENTS, random_events(seed, ROWS), partition=seed % 4)
        if seed % 10 == 0:
            await log.send(Topic.EVENT_MARKS, _marks(seed), partition=seed % 4)
            await log.send(Topic.EVENTS, b'{"app_id":"app","event_id"', partition=seed % 4)

    data_dir = tmp_path / "killed"
    bootstrap = log.settings.kafka_bootstrap
    for _ in range(KILLS):
        before = sum((await log.committed(GROUP)).values())
        with loader_process.started(data_dir, bootstrap, GROUP, max_rows=3 * ROWS) as process:
            await _wait_for_progress(log, process, before)
    assert not await log.is_loaded(GROUP), "killed too late to show anything: send more"

    with loader_process.started(data_dir, bootstrap, GROUP, max_rows=3 * ROWS) as process:
        await until(lambda: log.is_loaded(GROUP))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0

    await log.load(clickhouse, "undisturbed")
    tables = ("events", "event_marks", "rejected")
    queries = {table: f"SELECT * FROM {table} FINAL ORDER BY ALL" for table in tables}
    found = await asyncio.to_thread(read_tables, data_dir, queries)
    for table, lines in (await dump(clickhouse, tables)).items():
        expected = [json.loads(line) for line in lines.splitlines()]
        assert len(found[table]) == len(expected) > 0, table
        assert found[table] == expected, table
    assert len(found["rejected"]) == MESSAGES // 10


async def _wait_for_progress(log: Log, process: subprocess.Popen[bytes], before: int) -> None:
    async def has_moved() -> bool:
        assert process.poll() is None
        return sum((await log.committed(GROUP)).values()) > before + 5

    await until(has_moved)


def _marks(seed: int) -> bytes:
    return encode_rows(
        [EventMarkRow("app", f"evt_{seed}_1", "duplicate", 1_700_000_000_000 + n, 1, 1, 0, seed, n) for n in range(5)]
    )
