"""Faust's consumer, but for how long it lets a message wait that it could have.

Partitions are paused until they are recovered, and Faust's own then looks away for a second at a time. And it lets the
broker hold a fetch back for 1.5 s when there is nothing new. A broker is asked by one fetch at a time, for all
partitions that have nothing buffered, so what comes to another partition meanwhile, or is sought back to at the start,
waits that long. Together that was more than two seconds between a worker's being ready and its first message.
"""

from typing import Any, Final

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from pipeline.runtime.kafka.clients import FETCHER_LOOK_MS
from pipeline.runtime.kafka.patches import set_fetch_waits

_LOOK_SECONDS: Final = 0.05
_FETCH_WAIT_MS: Final = 100


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        set_fetch_waits(consumer, _FETCH_WAIT_MS, FETCHER_LOOK_MS)  # Faust has no settings for these
        return consumer


class SourceConsumer(Consumer):
    """Plugged in by `app.transport.Consumer`."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109 - Faust's signature
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(_LOOK_SECONDS)
            return {}, set()
        return await super()._wait_next_records(timeout)
