"""A broker for each module, as the loader reads whole topics."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from loader_log import Log

from deploy.local.broker import NoidaBroker
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NoidaBroker]:
    folder = tmp_path_factory.mktemp("loader-broker")
    process = NoidaBroker(folder / "data", folder / "broker.log")
    process.start()
    yield process
    process.kill()


@pytest.fixture
async def log(own_broker: NoidaBroker, make_settings: Callable[..., Settings]) -> AsyncIterator[Log]:
    async with _log(make_settings(kafka_bootstrap=own_broker.bootstrap)) as made:
        yield made


@pytest.fixture
async def kafka_log(kafka: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Log]:
    async with _log(make_settings(kafka_bootstrap=kafka)) as made:
        yield made


@asynccontextmanager
async def _log(settings: Settings) -> AsyncIterator[Log]:
    await ensure_topics(settings)
    producer = build_producer(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    await admin.start()
    yield Log(settings, producer, admin)
    await producer.stop()
    await admin.close()
