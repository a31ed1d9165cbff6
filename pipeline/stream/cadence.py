"""When a partition flushes, publishes its sessions, and lets time pass. Pure: facts and a time in, a decision out."""

from dataclasses import dataclass
from typing import Final

QUIET_SECONDS: Final = 0.02
"""A partition is silent when nothing has come for this long and the topic is not known to hold more."""
TICK_SECONDS: Final = 1.0
"""How often a silent partition's watermark is moved on."""


@dataclass(frozen=True)
class Facts:
    """Times are of the monotonic clock, in seconds."""

    has_changes: bool
    """There is something to flush, whatever else is decided: applied events, or timers that are due."""
    pending_sessions: int
    has_backlog: bool
    """The topic is known to hold messages that have not come yet."""
    last_message_at: float
    last_published_at: float
    """When the pending sessions were last all published."""
    last_tick_at: float
    """When the idle watermark was last moved."""


@dataclass(frozen=True)
class Decision:
    flush: bool
    publish: bool
    tick: bool
    """Move the watermark on: the partition is idle."""
    wait_seconds: float
    """If nothing is to be done now: when to look again, unless woken."""


def decide(facts: Facts, now: float, publish_interval_seconds: float, idle_seconds: float) -> Decision:
    """Changes are flushed at once. Pending sessions are published when the partition falls silent, at once, and under
    load every `publish_interval_seconds`, together with the changes of that moment."""
    publish_at = facts.last_published_at + publish_interval_seconds
    if not facts.has_backlog:
        publish_at = min(publish_at, facts.last_message_at + QUIET_SECONDS)
    owes = facts.pending_sessions > 0
    publish = (owes or facts.has_changes) and now >= publish_at
    tick_at = max(facts.last_message_at + idle_seconds, facts.last_tick_at + TICK_SECONDS)
    tick = now >= tick_at
    next_at = min(publish_at, tick_at) if owes else tick_at
    return Decision(
        flush=facts.has_changes or (owes and publish),
        publish=publish,
        tick=tick,
        wait_seconds=max(0.0, next_at - now),
    )
