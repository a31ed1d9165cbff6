"""Ledgers are read once for all who look, and a failure is no reason to ask again at once."""

import asyncio
from typing import Any

import pytest

from services.console.ledger import KEPT_SECONDS, SHOWN_SECONDS, Ledgers
from services.console.reading import ReadFailed


@pytest.mark.parametrize("fails", [False, True])
async def test_a_reading_serves_all_who_look_for_a_while(fails: bool) -> None:
    asked: list[str] = []
    now = 100.0

    async def read(app_id: str) -> dict[str, Any]:
        asked.append(app_id)
        if fails:
            raise ReadFailed(503, "SERVER_ERROR", "")
        return {"sent": len(asked)}

    ledgers = Ledgers(read, lambda: now)
    first = await ledgers.of("a")
    assert first == (None if fails else {"sent": 1})
    now += KEPT_SECONDS - 1
    assert await ledgers.of("a") == first
    await ledgers.of("b")
    now += 1
    await ledgers.of("a")
    await asyncio.sleep(0)
    assert asked == ["a", "b", "a"]


async def test_the_kept_one_is_shown_while_the_next_is_read() -> None:
    now, answers = 100.0, [asyncio.Event() for _ in range(3)]
    asked: list[str] = []

    async def read(app_id: str) -> dict[str, Any]:
        asked.append(app_id)
        await answers[len(asked) - 1].wait()
        return {"sent": len(asked)}

    ledgers = Ledgers(read, lambda: now)
    answers[0].set()
    assert await asyncio.gather(ledgers.of("a"), ledgers.of("a")) == [{"sent": 1}] * 2
    now += KEPT_SECONDS
    assert await asyncio.gather(ledgers.of("a"), ledgers.of("a")) == [{"sent": 1}] * 2, "nobody waits"
    now += SHOWN_SECONDS
    looking = asyncio.create_task(ledgers.of("a"))
    await asyncio.sleep(0)
    assert not looking.done(), "too old to be shown"
    assert asked == ["a", "a"]
    answers[1].set()
    assert await looking == {"sent": 2}
    now += KEPT_SECONDS
    await ledgers.of("a")
    await asyncio.sleep(0)
    await ledgers.stop()
    assert asked == ["a", "a", "a"], "the last was under way and is ended"
