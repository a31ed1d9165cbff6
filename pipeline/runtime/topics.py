"""The topics of the installation on its broker: created with the settings' number of partitions."""

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.topics import WantedTopic, create_topics
from schemas.topics import Topic


async def ensure_topics(settings: KafkaSettings) -> None:
    """Create the topics that are missing. Raises `TopicMismatch` if one has another number of partitions."""
    wanted = [WantedTopic(topic.value, partitions_of(topic, settings), topic.spec.broker_config()) for topic in Topic]
    await create_topics(settings, wanted)


def partitions_of(topic: Topic, settings: KafkaSettings) -> int:
    return topic.spec.partitions or settings.partitions
