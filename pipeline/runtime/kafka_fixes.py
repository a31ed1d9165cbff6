"""Two defects mended from outside. Importing `pipeline.runtime.kafka` applies both, for Faust too.

aiokafka 0.14: a group coordinator that has just moved or started again answers an OffsetFetch (version 2 and later)
with no offsets and an error for the whole group, "still loading" or "not mine". aiokafka looks at the offsets only,
takes their absence for "nothing was ever committed" and begins at the earliest record: weeks of events read again after
a broker's restart. Here the error is raised where aiokafka already knows what to do with it: wait, find the
coordinator, ask again.

The small broker 0.2.3: Apache Kafka holds a fetch back while there is nothing new; this one answers at once, and
aiokafka asks again at once, hundreds of times a second, on the processors of both. Here a consumer that got nothing
does not ask again within `EMPTY_FETCH_SECONDS`. With Apache Kafka it never has to wait.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from pipeline.runtime.clock import monotonic_seconds

EMPTY_FETCH_SECONDS: Final = 0.02

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
    Fetcher._proc_fetch_request = _fetch_no_faster
