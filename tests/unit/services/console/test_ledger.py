"""Ledgers are read once for all who look, and a failure is no reason to ask again at once."""

from typing import Any

import pytest

from services.console.ledger import KEPT_SECONDS, Ledgers
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
    assert asked == ["a", "b", "a"]
