"""The figures of `make bench` that sizing reckons with, in one place: processor time and bytes of an event.

Measured on one kind of core (AMD EPYC, Python 3.11). Run the named part on yours and change them here.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figures:
    gateway_us_per_request: float = 133.0
    """`gateway`: a request with one event."""
    gateway_us_per_event: float = 6.5
    """`gateway`: an event in batches of 500."""
    stream_us_per_event: float = 93.0
    """`touches`: a worker, each event a session and a touch of its own; page views take half (`stream`: 50)."""
    loader_us_per_event: float = 29.0
    """`touches`: the store's 109 less the tables'; not measured apart from them."""
    clickhouse_us_per_event: float = 80.0
    """`touches`: inserts and merges, blocks between 1,300 events (94) and 8,000 (37), per replica."""
    webhooks_us_per_delivery: float = 450.0
    """`webhooks`: 2,200 deliveries a second of one dispatcher."""
    source_bytes: float = 70.0
    """`bytes`: an event in the topics `events` and `people`, one replica."""
    derived_bytes: float = 75.0
    """`bytes`: its rows in the topics of derived rows, one replica."""
    table_bytes: float = 125.0
    """`bytes`: its rows in the tables, compressed, one replica."""
    changelog_bytes: float = 105.0
    """`bytes`: the states written for an event, before compaction, one replica."""
    state_bytes_per_person: float = 880.0
    """`bytes`: a person's state in the compacted changelog, not compressed; in the worker's store it takes 570."""
    live_state_bytes_per_person: float = 7_000.0
    """`stream`: a decoded state in a worker's memory; 95,000 persons more take 715 less 494 MB; × 3."""


FIGURES: Final = Figures()
