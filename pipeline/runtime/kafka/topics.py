"""Create the topics that are missing, and refuse those with another number of partitions than wanted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import open_admin


class TopicMismatch(RuntimeError):
    """A topic exists with another number of partitions than the settings say. Stop: a person would change place."""


class WantedTopic(NamedTuple):
    """A topic as it is to be. `config`: what the broker is told when it is created."""

    name: str
    partitions: int
    config: Mapping[str, str]


async def create_topics(settings: KafkaSettings, wanted: Sequence[WantedTopic]) -> set[str]:
    """Create the topics that are missing; return the names of those that nobody else created meanwhile.

    Raises `TopicMismatch` if a topic has another number of partitions, and aiokafka's errors.
    """
    async with open_admin(settings) as admin:
        existing = set(await admin.list_topics())
        await _require_partitions(admin, [topic for topic in wanted if topic.name in existing])
        missing = [_new_topic(topic, settings) for topic in wanted if topic.name not in existing]
        return _created(await admin.create_topics(missing)) if missing else set()


async def _require_partitions(admin: AIOKafkaAdminClient, wanted: Sequence[WantedTopic]) -> None:
    partitions = {topic.name: topic.partitions for topic in wanted}
    # An empty list would describe every topic of the broker, its internal ones too.
    for description in await admin.describe_topics(list(partitions)) if partitions else ():
        name, found = description["topic"], len(description["partitions"])
        if found != partitions[name]:
            raise TopicMismatch(f"topic {name} has {found} partitions, settings say {partitions[name]}")


def _new_topic(topic: WantedTopic, settings: KafkaSettings) -> NewTopic:
    config = dict(topic.config) | {"min.insync.replicas": str(settings.min_insync_replicas)}
    return NewTopic(topic.name, topic.partitions, settings.replication_factor, topic_configs=config)


def _created(response: object) -> set[str]:
    created = set()
    for name, code, message in response.topic_errors:  # type: ignore[attr-defined]
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(message)
        if not code:
            created.add(name)
    return created
