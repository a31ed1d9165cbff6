"""Delay queue in Kafka: any due time, in order, in bounded memory, over restarts, without polling in vain. Pure.

A Kafka partition can only be read in order, so a partition of waiting messages must hold them in the order of their
times. Delays with jitter and `Retry-After` give any times at all. So the topic `webhook-retries` has one partition per
*delay* (1 s, 4 s, 16 s … 4.6 h), and a message waits in a partition for exactly its delay: within a partition, then,
the order of writing is the order of times, and the first message tells how long the reader can pause it. A message
waits in the longest delay that fits into the time that is left (or is longer by a sixteenth: it saves many moves); when
that is over, in the next, until it is due. It never comes before its time, and at most a sixteenth of its wait or the
shortest delay after it. (Hierarchical timing wheels: Varghese and Lauck, 1987; delay levels are how RocketMQ does it.)
"""

from typing import Final

from schemas.webhooks import RETRY_DELAYS_MS

_SLACK: Final = 16


def partition_for_wait(remaining_ms: int) -> int:
    """Return the partition of `webhook-retries` for a message that is due in `remaining_ms` (more than 0)."""
    fitting = [
        level for level, delay_ms in enumerate(RETRY_DELAYS_MS) if delay_ms <= remaining_ms + remaining_ms // _SLACK
    ]
    return fitting[-1] if fitting else 0


def wait_until_ms(partition: int, now_ms: int) -> int:
    """Return when a message written now to that partition is to be looked at again."""
    return now_ms + RETRY_DELAYS_MS[partition]
