"""Narrow copies of tables agree with the tables, whatever was restated, taken back or written twice."""

import pytest
from query_world import World, insert_world

from pipeline.runtime.clickhouse import ClickHouse

PAIRS = {
    "narrow_sessions": (
        "sessions",
        "app_id, start_ms, end_ms, sipHash64(session_id) AS session_hash, sipHash64(person_key) AS person_hash,"
        " channel, source, medium, campaign, conversions, revision",
    ),
    "narrow_touches": (
        "touches",
        "app_id, touched_at_ms, sipHash64(touch_id) AS touch_hash, touch_type, channel, source, medium, campaign,"
        " revision",
    ),
}


@pytest.mark.parametrize("narrow", PAIRS)
async def test_a_narrow_table_has_the_rows_of_its_own(facts: ClickHouse, alpha: World, narrow: str) -> None:
    table, columns = PAIRS[narrow]
    names = [column.rsplit(" ", 1)[-1] for column in columns.split(", ")]
    wanted = await facts.query(f"SELECT {columns} FROM {table} FINAL WHERE app_id = 'alpha'")
    found = await facts.query(f"SELECT {', '.join(names)} FROM {narrow} FINAL WHERE app_id = 'alpha'")
    assert sorted(found) == sorted(wanted)
    assert len(found) > 10


async def test_a_block_that_comes_again_runs_its_views_again(clickhouse: ClickHouse, alpha: World) -> None:
    """After a crash between a table and its view the same block comes once more."""
    await insert_world(clickhouse, alpha)
    for narrow in PAIRS:
        await clickhouse.command(f"TRUNCATE TABLE {narrow}")
    await insert_world(clickhouse, alpha)
    for narrow, (table, _columns) in PAIRS.items():
        [(missing,)] = await clickhouse.query(
            f"SELECT (SELECT count() FROM {table} FINAL) - (SELECT count() FROM {narrow} FINAL)"
        )
        assert missing == 0, narrow
