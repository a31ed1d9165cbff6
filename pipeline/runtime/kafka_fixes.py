"""Three defects mended from outside. Importing `pipeline.runtime.kafka` applies them, for Faust too.

aiokafka 0.14: a group coordinator that has just moved or started again answers an OffsetFetch (version 2 and later)
with no offsets and an error for the whole group, "still loading" or "not mine". aiokafka looks at the offsets only,
takes their absence for "nothing was ever committed" and begins at the earliest record: weeks of events read again after
a broker's restart. Here the error is raised where aiokafka already knows what to do with it: wait, find the
coordinator, ask again.

The same of its admin client's `list_consumer_group_offsets`: here it finds the coordinator and asks again, as Kafka's
own client does, for as long as `COORDINATOR_SECONDS`.

The small broker 0.2.3: Apache Kafka holds a fetch back while there is nothing new; this one answers at once, and
aiokafka asks again at once, hundreds of times a second, on the processors of both. Here a consumer that got nothing
does not ask again within `EMPTY_FETCH_SECONDS`. With Apache Kafka it never has to wait.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from pipeline.runtime.clock import monotonic_seconds

EMPTY_FETCH_SECONDS: Final = 0.02
COORDINATOR_SECONDS: Final = 30.0
_COORDINATOR_PAUSE_SECONDS: Final = 0.1
_COORDINATOR_ERRORS: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

_send_req = GroupCoordinator._send_req


async def _send_and_check(self: Any, request: Any) -> Any:
    response = await _send_req(self, request)
    if isinstance(request, OffsetFetchRequest):
        code = getattr(response, "error_code", 0)
        if code:
            error = for_code(code)
            if error is NotCoordinatorForGroupError:
                self.coordinator_dead()
            raise error
    return response


_send_admin_request = AIOKafkaAdminClient._send_request


async def _send_admin_request_and_check(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
    response = await _send_admin_request(self, request, *arguments, **options)
    code = getattr(response, "error_code", 0)
    if isinstance(request, OffsetFetchRequest) and code:
        raise for_code(code)
    return response


_list_offsets = AIOKafkaAdminClient.list_consumer_group_offsets


async def _list_offsets_insistently(self: Any, *arguments: Any, **options: Any) -> Any:
    deadline = monotonic_seconds() + COORDINATOR_SECONDS
    while True:
        try:
            return await _list_offsets(self, *arguments, **options)
        except _COORDINATOR_ERRORS:
            if monotonic_seconds() > deadline:
                raise
        await asyncio.sleep(_COORDINATOR_PAUSE_SECONDS)


_fetch = Fetcher._proc_fetch_request


async def _fetch_no_faster(self: Any, *arguments: Any) -> bool:
    started = monotonic_seconds()
    has_records: bool = await _fetch(self, *arguments)
    spare_seconds = EMPTY_FETCH_SECONDS - (monotonic_seconds() - started)
    if not has_records and spare_seconds > 0:
        # As in the fetch itself: a consumer that closes cancels it and waits for it to end quietly.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(spare_seconds)
    return has_records


def apply() -> None:
    """Applying it again changes nothing."""
    GroupCoordinator._send_req = _send_and_check
    AIOKafkaAdminClient._send_request = _send_admin_request_and_check
    AIOKafkaAdminClient.list_consumer_group_offsets = _list_offsets_insistently
    Fetcher._proc_fetch_request = _fetch_no_faster
