"""Refused events in groups of those that are alike, and the events of one group, for the console's mending of them.

Routes of the console alone: they stand beside the API, which gateways forward, and not in its document.
"""

from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from schemas.control import App
from services.query.core.calls import ReadCall, ReadListCall
from services.query.core.lists import ResourceList
from services.query.core.parameters import InRange, range_of
from services.query.core.times import time_in_zone
from services.query.rejected import statements
from services.query.rejected.answers import rejected_event_of
from services.query.rejected.parameters import RejectedParameters, rejected_filter
from services.web.handlers import success_response

router = APIRouter(prefix="/console", include_in_schema=False)


class GroupParameters(RejectedParameters):
    """Filters of refused events, and what else they have in common."""

    reason: Annotated[str, Field(max_length=1_000)] | None = None
    event_name: Annotated[str, Field(max_length=64)] | None = None


def _filter(given: GroupParameters, app: App) -> statements.RejectedFilter:
    return replace(rejected_filter(given, app), reason=given.reason, event_name=given.event_name)


OF_GROUP: Final = ResourceList("rejected_group", _filter, statements.list_rejected, statements.ORDER, rejected_event_of)


@router.get("/rejected")
async def list_of_group(call: ReadListCall, given: Annotated[GroupParameters, Query()]) -> Response:
    """List the refused events of a group, newest first."""
    return await call.answer(OF_GROUP, given)


@router.get("/rejected/groups")
async def list_groups(call: ReadCall, given: Annotated[InRange, Query()]) -> Response:
    """List the groups of refused events, the largest first."""
    meta = await call.meta(given)
    rows = await call.reader.rows(statements.group_rejected(call.app_id, range_of(given, call.app)))
    items: list[dict[str, Any]] = [
        msgspec.structs.asdict(row) | {"newest": time_in_zone(row.newest_ms, meta["timezone"])} for row in rows
    ]
    return success_response({"items": items, "meta": meta})
