"""What it costs the gateway to tell bots by their user agents, in processor time.

Of agents never seen, against crawlerdetect's own expression; and of a batch whose every event bears an agent of its
own, against one of ten agents that are remembered. The batches are checked as the gateway does, without HTTP.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from crawlerdetect import CrawlerDetect
from figures import Figure
from gateway_bench import make_event

from services.gateway.body_split import parse_batch
from services.gateway.bots import is_bot
from services.gateway.validate import Receipt
from services.gateway.whole_batch import accept_all

ROUNDS: Final = 9
BATCH_EVENTS: Final = 500
RECEIPT: Final = Receipt("bench", "key", 400, 1_790_000_000_000_000, "203.0.113.9", "curl/8.5.0", 7)
_PLATFORMS: Final = (
    "Windows NT 10.0; Win64; x64",
    "Linux; Android 14; SM-S928B Build/UP1A.231005.007; wv",
    "Macintosh; Intel Mac OS X 10_15_7",
)


def run() -> list[Figure]:
    rng = random.Random(1)
    prepared = [f"{number:04}" + "java" * 127 for number in range(20)]
    return [
        _lookup("a browser never seen", browsers(rng, 200)),
        _lookup("512 characters prepared to be slow, never seen", prepared),
        Figure(
            "agents, batch of 500 with as many agents never seen",
            _batch_us(browsers(rng, BATCH_EVENTS), is_bot.cache_clear),
            "us/event",
            _batch_us(browsers(rng, 10), lambda: None),
        ),
    ]


def browsers(rng: random.Random, count: int) -> list[str]:
    return [
        f"Mozilla/5.0 ({rng.choice(_PLATFORMS)}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{build % 150}.0.{build} Safari/537.36"
        for build in rng.sample(range(10_000_000), count)
    ]


def _lookup(name: str, agents: Sequence[str]) -> Figure:
    """A detector of the library remembers what it has seen, so that each round takes a new one."""
    ours = _median_us(lambda: list(map(is_bot, agents)), is_bot.cache_clear)
    its = _median_us(lambda: list(map(CrawlerDetect().is_crawler, agents)), lambda: None)
    return Figure(f"agents, {name}", ours / len(agents), "us", its / len(agents))


def _batch_us(agents: Sequence[str], before: Callable[[], None]) -> float:
    rng = random.Random(2)
    events = [make_event(rng, number) for number in range(BATCH_EVENTS)]
    for number, event in enumerate(events):
        event["context"] = {"user_agent": agents[number % len(agents)]}
    body = json.dumps({"events": events}).encode()
    return _median_us(lambda: accept_all(parse_batch(body, b"application/json"), RECEIPT), before) / BATCH_EVENTS


def _median_us(work: Callable[[], Any], before: Callable[[], None]) -> float:
    """`before`: run ahead of each round, not measured."""
    rounds = []
    for _ in range(ROUNDS):
        before()
        began = time.process_time()
        assert work() is not None
        rounds.append(time.process_time() - began)
    return statistics.median(rounds) * 1e6
