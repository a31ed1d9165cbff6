"""Sessions by plain SQL window functions over the raw rows: another way than the stream, which sees event by event.

A chain of events of one person has gaps under the session gap. A chain longer than 24 h is cut at UTC midnights.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class RawEvent:
    person: str
    timestamp_ms: int
    event_id: str
    event_name: str
    page_url: str


@dataclass(frozen=True, order=True)
class Session:
    person: str
    start_ms: int
    end_ms: int
    events: int
    page_views: int
    entry_page: str
    exit_page: str
    first_event_id: str


_SQL = """
WITH gaps AS (
    SELECT *, timestamp_ms - lag(timestamp_ms) OVER in_order AS gap_ms
    FROM raw
    WINDOW in_order AS (PARTITION BY person ORDER BY timestamp_ms, event_id)
),
chains AS (
    SELECT *, sum(gap_ms IS NULL OR gap_ms >= :gap_ms) OVER in_order AS chain
    FROM gaps
    WINDOW in_order AS (PARTITION BY person ORDER BY timestamp_ms, event_id ROWS UNBOUNDED PRECEDING)
),
spans AS (
    SELECT *, max(timestamp_ms) OVER whole - min(timestamp_ms) OVER whole AS span_ms
    FROM chains
    WINDOW whole AS (PARTITION BY person, chain)
),
pieces AS (
    SELECT *, CASE WHEN span_ms > 86400000 THEN timestamp_ms / 86400000 ELSE 0 END AS piece
    FROM spans
),
described AS (
    SELECT
        person, chain, piece, timestamp_ms, event_name,
        first_value(event_id) OVER in_order AS first_event_id,
        first_value(page_url) OVER pages_first AS entry_page,
        last_value(page_url) OVER pages_last AS exit_page
    FROM pieces
    WINDOW
        in_order AS (PARTITION BY person, chain, piece ORDER BY timestamp_ms, event_id),
        pages_first AS (
            PARTITION BY person, chain, piece ORDER BY page_url = '', timestamp_ms, event_id
        ),
        pages_last AS (
            PARTITION BY person, chain, piece ORDER BY page_url != '', timestamp_ms, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
)
SELECT
    person, min(timestamp_ms), max(timestamp_ms), count(*), sum(event_name = 'page_view'),
    min(entry_page), min(exit_page), min(first_event_id)
FROM described
GROUP BY person, chain, piece
"""


def sessions_of(events: Iterable[RawEvent], gap_ms: int = 30 * 60 * 1000) -> list[Session]:
    """Each event once: repeats must be gone already."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE raw (person, timestamp_ms, event_id, event_name, page_url)")
        rows = [(e.person, e.timestamp_ms, e.event_id, e.event_name, e.page_url) for e in events]
        database.executemany("INSERT INTO raw VALUES (?, ?, ?, ?, ?)", rows)
        return sorted(Session(*row) for row in database.execute(_SQL, {"gap_ms": gap_ms}))
