"""Waiting in Kafka: any due time, kept in order, in bounded memory, over restarts, without looking in vain. Pure.

A Kafka partition can only be read in order, so a partition of waiting messages must hold them in the order of their
times. Rungs with jitter and `Retry-After` give any times at all. So the topic `webhook-retries` has one partition per
*delay* (1 s, 4 s, 16 s … 4.6 h), and a message waits in a partition for exactly its delay: within a partition, then,
the order of writing is the order of times, and the first message tells how long the reader can pause it. A message
waits in the longest delay that fits into the time that is left; when that is over, in the next, until it is due. It
comes at most the shortest delay after its time, never before, and moves at most three times per delay: 13 on average
for ten hours. (Hierarchical timing wheels: Varghese and Lauck, 1987; delay levels are how RocketMQ does it.)
"""

from schemas.webhooks import RETRY_DELAYS_MS


def partition_for_wait(remaining_ms: int) -> int:
    """The partition of `webhook-retries` for a message that is due in `remaining_ms` (more than 0)."""
    fitting = [level for level, delay_ms in enumerate(RETRY_DELAYS_MS) if delay_ms <= remaining_ms]
    return fitting[-1] if fitting else 0


def wait_until_ms(partition: int, now_ms: int) -> int:
    """When a message written now to that partition is to be looked at again."""
    return now_ms + int(RETRY_DELAYS_MS[partition])
