"""The requests that clients send, in the oldest versions that do. A broker tells which versions it takes (KIP-35), and
not its own. Pure but for `lacking_apis`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.connection import connection_options
from pipeline.runtime.kafka.patches import newest_versions

OLDEST: Final = "2.3"
"""The oldest Kafka that takes all of them."""


class Api(NamedTuple):
    name: str
    version: int
    why: str


NEEDED: Final = {
    0: Api("Produce", 7, "records in zstd"),
    1: Api("Fetch", 10, "records in zstd"),
    2: Api("ListOffsets", 1, "offsets by time"),
    3: Api("Metadata", 1, "the controller"),
    8: Api("OffsetCommit", 2, "offsets kept by the brokers"),
    9: Api("OffsetFetch", 2, "errors of a whole group"),
    10: Api("FindCoordinator", 1, "coordinators of fenced producers"),
    11: Api("JoinGroup", 5, "static members of groups"),
    12: Api("Heartbeat", 0, "groups"),
    14: Api("SyncGroup", 0, "groups"),
    19: Api("CreateTopics", 0, "topics"),
    22: Api("InitProducerId", 0, "producers that write nothing twice"),
}
"""By the key of the API."""


class BrokerTooOld(RuntimeError):
    """A broker lacks requests that this release sends; nothing was changed."""


def lacking(newest: Mapping[int, int]) -> tuple[str, ...]:
    """Return what is missing of a broker's newest versions by the key of the API."""
    return tuple(
        f"{api.name} {api.version} ({api.why})" for key, api in NEEDED.items() if newest.get(key, -1) < api.version
    )


async def lacking_apis(settings: KafkaSettings) -> tuple[str, ...]:
    """Return what the broker that answers first lacks. Raises aiokafka's errors."""
    return lacking(await newest_versions(connection_options(settings)))


async def require_apis(settings: KafkaSettings) -> None:
    """Raise `BrokerTooOld` if the broker lacks something, and aiokafka's errors."""
    if lacks := await lacking_apis(settings):
        raise BrokerTooOld(f"Kafka is too old: it lacks {', '.join(lacks)}; this release needs {OLDEST} or newer")
