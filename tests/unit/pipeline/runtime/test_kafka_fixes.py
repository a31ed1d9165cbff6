"""Over aiokafka's own coordinator code, with the network in front of it replaced."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from waiting import until

from pipeline.runtime import (
    kafka,  # noqa: F401 - importing it applies the fixes
    kafka_fixes,
)
from pipeline.runtime.bell import Bells

LOADING, NOT_MINE, UNAUTHORIZED = 14, 16, 30
PLACE = TopicPartition("events", 0)


class Client:
    def __init__(self, answers: list[OffsetFetchResponse_v3]) -> None:
        self._answers = answers

    async def send(self, *_args, **_kwargs) -> OffsetFetchResponse_v3:
        return self._answers.pop(0)


@pytest.fixture
def coordinator_of():
    """A coordinator that is given these answers, one after the other."""

    def make(*answers: OffsetFetchResponse_v3) -> GroupCoordinator:
        coordinator = GroupCoordinator.__new__(GroupCoordinator)
        coordinator.group_id = "loader"
        coordinator.coordinator_id = 1
        coordinator._client = Client(list(answers))
        coordinator._retry_backoff_ms = 1
        coordinator.deaths = 0

        async def known() -> None: ...

        def dead() -> None:
            coordinator.deaths += 1

        coordinator.ensure_coordinator_known = known
        coordinator.coordinator_dead = dead
        return coordinator

    return make


def refusal(code: int) -> OffsetFetchResponse_v3:
    return OffsetFetchResponse_v3(throttle_time_ms=0, topics=[], error_code=code)


def offset(value: int) -> OffsetFetchResponse_v3:
    return OffsetFetchResponse_v3(throttle_time_ms=0, topics=[("events", [(0, value, "", 0)])], error_code=0)


async def test_a_coordinator_that_is_still_loading_is_asked_again(coordinator_of):
    coordinator = coordinator_of(refusal(LOADING), refusal(NOT_MINE), refusal(LOADING), offset(250))
    found = await coordinator.fetch_committed_offsets([PLACE])
    assert found[PLACE].offset == 250
    assert coordinator.deaths == 1


async def test_nothing_committed_is_still_nothing(coordinator_of):
    assert await coordinator_of(offset(-1)).fetch_committed_offsets([PLACE]) == {}


async def test_what_cannot_be_mended_by_asking_again_is_raised(coordinator_of):
    with pytest.raises(GroupAuthorizationFailedError):
        await coordinator_of(refusal(UNAUTHORIZED)).fetch_committed_offsets([PLACE])


@pytest.fixture
def admin_of(monkeypatch: pytest.MonkeyPatch):
    """An admin client that is given these answers, one after the other."""
    monkeypatch.setattr(kafka_fixes, "_COORDINATOR_PAUSE_SECONDS", 0.0)

    def make(*answers: OffsetFetchResponse_v3) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient.__new__(AIOKafkaAdminClient)
        admin._client = Client(list(answers))
        admin._closed = True
        return admin

    return make


async def test_the_admin_client_asks_a_coordinator_that_is_loading_again(admin_of) -> None:
    """Or its caller takes "still loading" for "nothing was ever committed", and begins at the earliest record."""
    admin = admin_of(refusal(LOADING), refusal(NOT_MINE), offset(250))
    assert (await admin.list_consumer_group_offsets("webhooks", 1))[PLACE].offset == 250


async def test_the_admin_client_raises_what_does_not_pass(admin_of, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await admin_of(refusal(UNAUTHORIZED)).list_consumer_group_offsets("webhooks", 1)
    monkeypatch.setattr(kafka_fixes, "COORDINATOR_SECONDS", -1.0)
    with pytest.raises(GroupLoadInProgressError):
        await admin_of(refusal(LOADING)).list_consumer_group_offsets("webhooks", 1)


@pytest.mark.parametrize("has_records", [True, False])
async def test_only_a_fetch_that_brought_nothing_is_followed_by_a_pause(
    has_records: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def fetch(_self: object, *_arguments: object) -> bool:
        return has_records

    async def wait(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(kafka_fixes, "_fetch", fetch)
    monkeypatch.setattr(kafka_fixes._arrivals, "wait", wait)
    assert await Fetcher._proc_fetch_request(None, "assignment", 1, "request") is has_records
    assert len(pauses) == (0 if has_records else 1)
    assert all(0 < seconds <= kafka_fixes.IDLE_FETCH_SECONDS for seconds in pauses)


@pytest.mark.parametrize(
    ("idle_seconds", "fetch_seconds", "expected"),
    [(0.0, 0.0, 0.02), (0.0, 0.005, 0.015), (2.0, 0.0, 0.4), (600.0, 0.0, 1.0), (600.0, 0.02, 0.0), (0.0, 0.5, 0.0)],
)
def test_the_pause_grows_with_the_silence_and_a_fetch_that_was_held_back_has_none(
    idle_seconds: float, fetch_seconds: float, expected: float
) -> None:
    assert kafka_fixes.pause_seconds(idle_seconds, fetch_seconds) == pytest.approx(expected)


async def test_a_record_ends_the_waits_of_all_consumers_of_the_process() -> None:
    arrivals = kafka_fixes.Arrivals(0.0)
    waiting = [asyncio.create_task(arrivals.wait(60.0)) for _ in range(2)]
    elsewhere = asyncio.create_task(asyncio.to_thread(asyncio.run, arrivals.wait(60.0)))
    await until(lambda: len(arrivals._waiting) == 3, "all three wait", 20)
    assert arrivals.idle_seconds(5.0) == 5.0
    arrivals.note(5.0)
    await asyncio.wait_for(asyncio.gather(*waiting, elsewhere), 20)
    assert arrivals.idle_seconds(6.0) == 1.0
    assert arrivals._waiting == {}


async def test_a_ring_ends_the_waits_too() -> None:
    arrivals = kafka_fixes.Arrivals(0.0)
    waiting = asyncio.create_task(arrivals.wait(60.0))
    await until(lambda: bool(arrivals._waiting), "it waits", 20)
    arrivals.heard()
    await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize(("rings_before", "expected"), [(2, kafka_fixes.RUNG_FETCH_SECONDS), (1, 0.015)])
def test_with_bells_a_consumer_waits_for_a_ring_unless_there_was_one_during_its_fetch(
    rings_before: int, expected: float
) -> None:
    """However long the fetch took and the silence lasts."""
    arrivals = kafka_fixes.Arrivals(0.0)
    arrivals.bells, arrivals.rings = Bells(None, ()), 2
    for now in (0.0, 600.0):
        assert arrivals.pause_seconds(rings_before, now, 0.005) == pytest.approx(expected)
