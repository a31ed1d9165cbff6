"""Ten million events with the rows the stream would derive from them, made inside ClickHouse from `numbers()`.

    python tests/bench/fill.py DATA_DIR [EVENTS]

Everything is a function of a row's number, so the same arguments give the same rows. What matters to a reader's speed
is as in life: rows come in blocks by time, some in an older revision first, a few taken back later; two in five
sessions are somebody's first; one session in five converts. The arrival order makes parts that overlap a little, and
merges run as they always do: nothing is optimised by hand.
"""

import asyncio
import sys
import time
from pathlib import Path

from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings

APP_ID = "bench"
OTHER_APP_ID = "neighbour"
FIRST_MS = 1_704_067_200_000
DAYS = 90
EVENTS_PER_SESSION = 5
BLOCKS = 40
_CHANNELS = (
    "['paid_search','paid_social','organic_search','email','direct','referral','display','organic_social',"
    "'ai_assistant','affiliate']"
)
_SOURCES = "['baidu','douyin','google','newsletter','','blog.example.org','gdn','weibo','chatgpt.com','partner']"
_TYPES = "['click','click','visit','click','visit','visit','impression','visit','visit','click']"

# `n`: number of the session; `s`: a hash of it; `p`: number of its person. Sessions begin in order, to about an hour.
_SESSION = f"""
    number AS n, sipHash64(n) AS s, intDiv(s, 7) % {{persons}} AS p,
    toInt64({FIRST_MS} + intDiv(n * {DAYS} * 86400000, {{sessions}}) + s % 3600000) AS start_ms,
    if(p % 5 < 2, concat('u:user', toString(p)), concat('a:visitor', toString(p))) AS person_key,
    if(p % 5 < 2, concat('user', toString(p)), '') AS user_id,
    concat('visitor', toString(p)) AS anonymous_id,
    concat('ses_', lower(hex(sipHash128(n)))) AS session_id,
    1 + intDiv(s, 100) % 10 AS c, {_CHANNELS}[c] AS channel, {_SOURCES}[c] AS source,
    if(c <= 2, 'cpc', '') AS medium, if(c <= 4, concat('campaign', toString(intDiv(s, 1000) % 50)), '') AS campaign,
    s % 5 = 0 AS is_converted, toInt64(1000 + intDiv(s, 3) % 90000) AS value_minor,
    if(intDiv(s, 5) % 40 = 0, intDiv(value_minor, 2), 0) AS refunded_minor,
    if(s % 10 = 0, 'purchase', 'add_to_cart') AS goal,
    if(s % 50 = 0, 'USD', 'CNY') AS currency
"""
_PATH = """
    1 + intDiv(s, 17) % 4 AS k, range(k) AS r,
    arrayMap(i -> concat('evt_', toString(n), '_', toString(i)), r) AS ids,
    arrayMap(i -> start_ms - toInt64(k - 1 - i) * 86400000, r) AS times,
    arrayMap(i -> 1 + (intDiv(s, 11) + i * 3) % 10, r) AS cs,
    intDiv(1000000000, k) AS share, intDiv(value_minor - refunded_minor, k) AS part,
    arrayMap(i -> if(i = k - 1, 1000000000 - share * (k - 1), share), r) AS even,
    arrayMap(i -> if(i = k - 1, value_minor - refunded_minor - part * (k - 1), part), r) AS evenly,
    arrayMap(i -> if(i = k - 1, 1000000000, 0), r) AS last, arrayMap(i -> if(i = 0, 1000000000, 0), r) AS first,
    arrayMap(i -> if(i = k - 1, value_minor - refunded_minor, 0), r) AS lastly,
    arrayMap(i -> if(i = 0, value_minor - refunded_minor, 0), r) AS firstly
"""
_MODELS = "'last_click', 'first_click', 'linear', 'time_decay', 'position_based', 'last_non_direct'"


def _of_sessions(select: str, path: bool = False, where: str = "1") -> str:
    inner = f"SELECT {_SESSION}{',' + _PATH if path else ''} FROM numbers({{offset}}, {{count}})"
    return f"SELECT {select} FROM ({inner}) WHERE {where}"


_EVENTS = f"""INSERT INTO events (app_id, event_id, event_name, timestamp_ms, received_us, user_id, anonymous_id,
    properties, page_url, page_title, referrer, campaign_source, ip, user_agent, locale, key_id)
SELECT '{{app}}', concat('evt_', toString(n), '_', toString(e)),
    multiIf(e = 4 AND is_converted, goal, e = 3 AND s % 3 = 0, 'search', 'page_view'),
    start_ms + e * 60000 + s % 7919, (start_ms + e * 60000 + 1500) * 1000, user_id, anonymous_id,
    concat('{{{{"page_title":"Page ', toString(s % 90), '","price":', toString(s % 500), '.5,"sku":"sku-',
        toString(intDiv(s, 13) % 100000), '","is_new":', if(s % 2 = 0, 'true', 'false'), '}}}}'),
    concat('https://shop.example/', toString(s % 997)), concat('Page ', toString(s % 90)), '', source,
    '203.0.113.7', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15', 'zh-CN', 'key_1'
FROM (SELECT {_SESSION}, arrayJoin(range({EVENTS_PER_SESSION})) AS e FROM numbers({{offset}}, {{count}}))"""

_SESSIONS = """INSERT INTO sessions (app_id, session_id, person_key, user_id, anonymous_id, start_ms, end_ms, events,
    page_views, entry_page, exit_page, channel, source, medium, campaign, conversions, values_minor, is_bounce,
    is_closed, revision, is_deleted)
""" + _of_sessions(
    f"""'{{app}}', session_id, person_key, user_id, anonymous_id, start_ms, start_ms + 250000, {EVENTS_PER_SESSION}, 4,
    concat('https://shop.example/', toString(s % 997)), 'https://shop.example/checkout', channel, source, medium,
    campaign, is_converted * (revision > 3), if(is_converted, map(currency, value_minor), map()), false, revision > 3,
    revision, revision = 9""",
    where="1",
).replace("FROM (SELECT", "FROM (SELECT arrayJoin({revisions}) AS revision,")

_TOUCHES = """INSERT INTO touches (app_id, touch_id, person_key, session_id, touched_at_ms, touch_type, channel, source,
    medium, campaign, revision)
""" + _of_sessions(
    f"""'{{app}}', concat('evt_', toString(n), '_0'), person_key, session_id, start_ms, {_TYPES}[c], channel, source,
    medium, campaign, 4"""
)

_CONVERSIONS = """INSERT INTO conversions (app_id, conversion_id, goal, goal_type, event_id, person_key, user_id,
    anonymous_id, session_id, converted_at_ms, value_minor, currency, order_id, path_touch_ids, path_touched_at_ms,
    path_touch_types, path_channels, path_sources, path_mediums, path_campaigns, revision, refunded_minor)
""" + _of_sessions(
    f"""'{{app}}', concat('cnv_', lower(hex(sipHash128(n, 1)))), goal, 'macro', concat('evt_', toString(n), '_4'),
    person_key, user_id, anonymous_id, session_id, start_ms + 240000 + s % 7919, value_minor, currency,
    concat('O-', toString(n)), ids, times, arrayMap(i -> {_TYPES}[i], cs), arrayMap(i -> {_CHANNELS}[i], cs),
    arrayMap(i -> {_SOURCES}[i], cs), arrayMap(i -> '', cs), arrayMap(i -> '', cs), 2, refunded_minor""",
    path=True,
    where="is_converted",
)

_ATTRIBUTIONS = """INSERT INTO attributions (app_id, conversion_id, goal, person_key, converted_at_ms, value_minor,
    currency, touch_ids, touched_at_ms, touch_types, channels, sources, mediums, campaigns, credits_nanos, values_minor,
    reason, revision, refunded_minor)
""" + _of_sessions(
    f"""'{{app}}', concat('cnv_', lower(hex(sipHash128(n, 1)))), goal, person_key, start_ms + 240000 + s % 7919,
    value_minor - refunded_minor, currency, ids, times, arrayMap(i -> {_TYPES}[i], cs),
    arrayMap(i -> {_CHANNELS}[i], cs), arrayMap(i -> {_SOURCES}[i], cs), arrayMap(i -> '', cs), arrayMap(i -> '', cs),
    mapFromArrays([{_MODELS}], [last, first, even, even, even, last]),
    mapFromArrays([{_MODELS}], [lastly, firstly, evenly, evenly, evenly, lastly]), 'initial', 1, refunded_minor""",
    path=True,
    where="is_converted",
)

_ONCE = (_EVENTS, _TOUCHES, _CONVERSIONS, _ATTRIBUTIONS)


async def fill(clickhouse: ClickHouse, events: int, app_id: str = APP_ID) -> float:
    """Seconds it took. Every statement is one block of one table, as the loader would have written it."""
    sessions = events // EVENTS_PER_SESSION
    shape = {"app": app_id, "sessions": sessions, "persons": max(1, sessions * 2 // 5)}
    started = time.perf_counter()
    for block in range(BLOCKS):
        offset = sessions * block // BLOCKS
        place = {"offset": offset, "count": sessions * (block + 1) // BLOCKS - offset}
        for sql in _ONCE:
            await clickhouse.command(sql.format(**shape, **place))
        # In every fifth block the sessions were written open first, and one in a hundred is taken back.
        for revisions in ("[3]", "if(number % 100 = 0, [4, 9], [4])") if block % 5 == 0 else ("[4]",):
            await clickhouse.command(_SESSIONS.format(**shape, **place, revisions=revisions))
    return time.perf_counter() - started


async def _main(data_dir: Path, events: int) -> None:
    clickhouse = ClickHouse.open(Settings(data_dir=data_dir))
    try:
        await migrate(clickhouse)
        seconds = await fill(clickhouse, events)
        seconds += await fill(clickhouse, events // 20, OTHER_APP_ID)
        print(f"{events:,} events in {seconds:.0f} s")
    finally:
        clickhouse.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000))
