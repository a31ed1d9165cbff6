"""Schedule of a partition: when it flushes, publishes its sessions, and lets time pass. Pure: facts and a time in, a
decision out.

With nothing waiting in the topic, speed means latency: changes are flushed at once, sessions published at once. With
messages waiting it means work saved: groups may grow, so that a person changed twice is written once; and a partition
that is far behind publishes less often, since what it says about sessions is late either way.
"""

from dataclasses import dataclass
from typing import Final

QUIET_SECONDS: Final = 0.02
"""A partition is silent when nothing has come for this long and the topic is not known to hold more."""
TICK_SECONDS: Final = 1.0
"""Interval at which a silent partition's watermark is moved on."""
LINGER_EVENTS: Final = 2_000
LINGER_SECONDS: Final = 0.1
"""While more is waiting, a group grows to this many events, for at most this long; `BEHIND_FACTOR` times as long with
more than `BEHIND_MESSAGES` waiting: a flush has a fixed price, and nobody is served by many small ones."""
BEHIND_MESSAGES: Final = 16
BEHIND_FACTOR: Final = 5
"""Factor by which sessions are published less often, and groups may grow for longer, with more messages than this
waiting."""


@dataclass(frozen=True)
class Facts:
    """Times are of the monotonic clock, in seconds."""

    has_changes: bool
    """There is something to flush: applied events, or timers that are due."""
    open_events: int
    """Events in the open group."""
    opened_at: float
    """Time when the first of them came."""
    is_full: bool
    """A message waits for room in the group."""
    backlog: int
    """Messages the topic is known to hold that have not come yet."""
    pending_sessions: int
    last_message_at: float
    last_published_at: float
    """Time when the pending sessions were last all published."""
    last_tick_at: float
    """Time when the idle watermark was last moved."""


@dataclass(frozen=True)
class Decision:
    flush: bool
    publish: bool
    """True if sessions are published with this flush."""
    tick: bool
    """Move the watermark on: the partition is idle."""
    wait_seconds: float
    """Seconds until the next look, unless woken, if nothing is to be done now."""


def decide(facts: Facts, now: float, publish_interval_seconds: float, idle_seconds: float) -> Decision:
    """Pending sessions are published when the partition falls silent, at once, and under load once an interval."""
    flush_at = _flush_at(facts)
    publish_at = _publish_at(facts, publish_interval_seconds)
    tick_at = max(facts.last_message_at + idle_seconds, facts.last_tick_at + TICK_SECONDS)
    owes = facts.pending_sessions > 0
    publish = now >= publish_at
    is_due = facts.has_changes and now >= flush_at
    next_at = min(
        flush_at if facts.has_changes else tick_at,
        publish_at if owes else tick_at,
        tick_at,
    )
    return Decision(
        flush=is_due or (owes and publish),
        publish=publish,
        tick=now >= tick_at,
        wait_seconds=max(0.0, next_at - now),
    )


def _flush_at(facts: Facts) -> float:
    if facts.backlog and facts.open_events < LINGER_EVENTS and not facts.is_full:
        return facts.opened_at + LINGER_SECONDS * _patience(facts)
    return 0.0


def _publish_at(facts: Facts, interval_seconds: float) -> float:
    at = facts.last_published_at + interval_seconds * _patience(facts)
    return at if facts.backlog else min(at, facts.last_message_at + QUIET_SECONDS)


def _patience(facts: Facts) -> int:
    return BEHIND_FACTOR if facts.backlog > BEHIND_MESSAGES else 1
