"""A defect of aiokafka 0.14, mended from outside. Importing `pipeline.runtime.kafka` applies it, for Faust too.

A group coordinator that has just moved or started again answers an OffsetFetch (version 2 and later) with no offsets
and an error for the whole group, "still loading" or "not mine". aiokafka looks at the offsets only, takes their absence
for "nothing was ever committed" and begins at the earliest record: weeks of events read again after a broker's restart.
Here the error is raised where aiokafka already knows what to do with it: wait, find the coordinator, ask again.
"""

from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

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


def apply() -> None:
    """Applying it again changes nothing."""
    GroupCoordinator._send_req = _send_and_check
