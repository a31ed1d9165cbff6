"""The pause of a consumer that got nothing, and what ends it."""

import asyncio

import pytest
from waiting import until

from pipeline.runtime.bell import Bells
from pipeline.runtime.kafka import fetch_pause, patches


@pytest.mark.parametrize("has_records", [True, False])
async def test_only_a_fetch_that_brought_nothing_is_followed_by_a_pause(
    has_records: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def fetch(_self: object, *_arguments: object) -> bool:
        return has_records

    async def wait(seconds: float) -> None:
        pauses.append(seconds)

    (patch,) = [patch for patch in patches.PATCHES if patch.method == "_proc_fetch_request"]
    monkeypatch.setattr(fetch_pause.arrivals, "wait", wait)
    assert await patch.wrap(fetch)(None, "assignment", 1, "request") is has_records
    assert len(pauses) == (0 if has_records else 1)
    assert all(0 < seconds <= fetch_pause.IDLE_FETCH_SECONDS for seconds in pauses)


@pytest.mark.parametrize(
    ("idle_seconds", "fetch_seconds", "expected"),
    [(0.0, 0.0, 0.02), (0.0, 0.005, 0.015), (2.0, 0.0, 0.4), (600.0, 0.0, 1.0), (600.0, 0.02, 0.0), (0.0, 0.5, 0.0)],
)
def test_the_pause_grows_with_the_silence_and_a_fetch_that_was_held_back_has_none(
    idle_seconds: float, fetch_seconds: float, expected: float
) -> None:
    assert fetch_pause.pause_seconds(idle_seconds, fetch_seconds) == pytest.approx(expected)


async def test_a_record_ends_the_waits_of_all_consumers_of_the_process() -> None:
    arrivals = fetch_pause.Arrivals(0.0)
    waiting = [asyncio.create_task(arrivals.wait(60.0)) for _ in range(2)]
    elsewhere = asyncio.create_task(asyncio.to_thread(asyncio.run, arrivals.wait(60.0)))
    await until(lambda: len(arrivals._waiting) == 3, "all three wait", 20)
    assert arrivals.idle_seconds(5.0) == 5.0
    arrivals.note(5.0)
    await asyncio.wait_for(asyncio.gather(*waiting, elsewhere), 20)
    assert arrivals.idle_seconds(6.0) == 1.0
    assert arrivals._waiting == {}


async def test_a_ring_ends_the_waits_too() -> None:
    arrivals = fetch_pause.Arrivals(0.0)
    waiting = asyncio.create_task(arrivals.wait(60.0))
    await until(lambda: bool(arrivals._waiting), "it waits", 20)
    arrivals.heard()
    await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize(("rings_before", "expected"), [(2, fetch_pause.RUNG_FETCH_SECONDS), (1, 0.015)])
def test_with_bells_a_consumer_waits_for_a_ring_unless_there_was_one_during_its_fetch(
    rings_before: int, expected: float
) -> None:
    """However long the fetch took and the silence lasts."""
    arrivals = fetch_pause.Arrivals(0.0)
    arrivals.bells, arrivals.rings = Bells(None, ()), 2
    for now in (0.0, 600.0):
        assert arrivals.pause_seconds(rings_before, now, 0.005) == pytest.approx(expected)
