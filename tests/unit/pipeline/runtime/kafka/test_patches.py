"""Over aiokafka's own code, with the network in front of it replaced."""

import asyncio
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import Fetcher, OffsetResetStrategy
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    KafkaError,
    NoOffsetForPartitionError,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.structs import OffsetAndMetadata

from pipeline.runtime.kafka import patches
from pipeline.runtime.retry import Pauses

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
    monkeypatch.setattr(patches, "_COORDINATOR_PAUSES", Pauses(0.0, 0.0))

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
    monkeypatch.setattr(patches, "COORDINATOR_SECONDS", -1.0)
    with pytest.raises(GroupLoadInProgressError):
        await admin_of(refusal(LOADING)).list_consumer_group_offsets("webhooks", 1)


class Unsought:
    """A partition with nothing committed, which no reset is wanted for."""

    has_valid_position, awaiting_reset = False, False

    async def fetch_committed(self) -> OffsetAndMetadata:
        await asyncio.sleep(0)  # gives way once, as waiting for a broker does, so that the other lookup starts
        return OffsetAndMetadata(-1, "")


class Assigned:
    def state_value(self, _tp: TopicPartition) -> Unsought:
        return Unsought()


@pytest.fixture
async def fetcher() -> Fetcher:
    made = Fetcher.__new__(Fetcher)
    made._records, made._fetch_waiters, made._prefetch_backoff = {}, set(), 0.1
    made._default_reset_strategy = OffsetResetStrategy.NONE
    made._subscriptions = SimpleNamespace(reassignment_in_progress=False)
    made._loop, made._closed, made._wait_consume_future = asyncio.get_running_loop(), False, None
    made._fetch_task = made._loop.create_future()
    return made


async def test_a_partition_whose_leader_moves_may_be_found_without_a_position_twice(fetcher: Fetcher) -> None:
    looks = [fetcher._update_fetch_positions(Assigned(), node, [PLACE]) for node in (1, 2)]
    assert await asyncio.gather(*looks) == [True, True]
    with pytest.raises(NoOffsetForPartitionError):
        await fetcher.fetched_records([PLACE])
    assert await fetcher.fetched_records([PLACE]) == {}


async def test_a_consumer_that_fetches_no_more_says_so(fetcher: Fetcher) -> None:
    assert await fetcher.fetched_records([PLACE], timeout=0.001) == {}
    fetcher._fetch_task.set_exception(KafkaError("Unexpected error during data retrieval"))
    with pytest.raises(patches.FetchingEnded):
        await fetcher.fetched_records([PLACE], timeout=0.001)


def test_every_patch_names_the_release_that_is_installed() -> None:
    """After an upgrade somebody has to look whether the defect is still there."""
    assert patches.needed(version("aiokafka")) == list(patches.PATCHES)


def test_a_release_nobody_looked_at_is_not_patched() -> None:
    assert patches.needed("0.15.0") == []
