"""The routes: authenticate, read the question, run its statements, shape the answer. What is decided is decided in the
pure modules; here it is only waited for."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer
from starlette.responses import Response

from pipeline.runtime.control_plane import SnapshotNotLoaded
from pipeline.runtime.http.auth import Caller, authenticate
from pipeline.runtime.http.documents import Envelope, error_responses
from pipeline.runtime.http.errors import ApiError, Text, invalid, server_error
from pipeline.runtime.http.handlers import success_response
from schemas.control import AttributionSettings, Scope
from schemas.errors import ErrorCode
from services.query import (
    answers,
    arguments,
    attribution,
    attribution_path,
    conversion_report,
    conversions,
    costs,
    event_detail,
    events,
    examples,
    funnels,
    parameters,
    performance,
    rejected,
    report_answers,
    users,
    whoever,
)
from services.query.cursors import Cursors
from services.query.paths import WithSlashes
from services.query.reader import RETRY_AFTER_SECONDS, Reader
from services.query.report_rows import MAX_REPORT_ROWS, refuse_long
from services.query.signing import signing_key_of
from services.query.times import TimeRange, time_in_zone

SettingsVersions = dict[tuple[str, int], AttributionSettings]
REPEATABLE: Final = frozenset({"code", "event_name", "goal", "metric", "model", "status", "steps", "type"})
USER_EVENTS_LIST: Final = "user_events"
_PROPERTIES: Final[dict[str, Any]] = {
    "name": "properties",
    "in": "query",
    "style": "form",
    "explode": True,
    "description": "`property.<name>=<value>`: events whose property of that name has that value. A string is compared "
    "as it is, anything else by its JSON text, numbers by what they amount to. All given ones must hold; at most 10.",
    "schema": {
        "type": "object",
        "maxProperties": parameters.MAX_PROPERTIES,
        "propertyNames": {"pattern": "^property\\..+$"},
        "additionalProperties": {"type": "string", "maxLength": parameters.MAX_PROPERTY_CHARACTERS},
    },
    "example": {"property.page_title": "首页"},
}
_key_scheme = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A key with the scope `read`.")


def reader_of(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


def caller_of(request: Request) -> Caller:
    """Authenticate the caller, before the parameters are looked at: a stranger learns nothing about them."""
    try:
        snapshot = request.app.state.snapshots.current()
    except SnapshotNotLoaded:
        raise server_error(RETRY_AFTER_SECONDS) from None
    authorization = request.headers.get("Authorization", "").encode("latin-1", "replace")
    caller = authenticate(authorization, snapshot, Scope.READ)
    request.app.state.snapshots.note_use(caller.key.key_id)
    return caller


def refuse_repeats(request: Request, _caller: Annotated[Caller, Depends(caller_of)]) -> None:
    """Refuse parameters given twice: one of the two values would be silently ignored."""
    given = Counter(name for name, _value in request.query_params.multi_items() if name not in REPEATABLE)
    for name, count in given.items():
        if count > 1:
            raise invalid(name[:100], Text("重复给出", "is given more than once"))


def cursors_of(request: Request, caller: Annotated[Caller, Depends(caller_of)]) -> Cursors:
    return Cursors(signing_key_of(request), caller.app.app_id)


def versions_of(request: Request) -> SettingsVersions:
    versions: SettingsVersions = request.app.state.snapshots.current().attribution_versions
    return versions


Key = Annotated[Caller, Depends(caller_of)]
Versions = Annotated[SettingsVersions, Depends(versions_of)]
Sealed = Annotated[Cursors, Depends(cursors_of)]
Rows = Annotated[Reader, Depends(reader_of)]
EventId = Annotated[str, Path(max_length=128, examples=["evt_01hm5rxqe0x5jw3kq8n4v2t6yz"])]
UserId = Annotated[WithSlashes, Path(max_length=200, description="A user id or an anonymous id.", examples=["u_42"])]


def new_router() -> APIRouter:
    """Make a router with what all routes have in common: the prefix, the key, the errors."""
    return APIRouter(
        prefix="/v1",
        dependencies=[Security(_key_scheme), Depends(refuse_repeats)],
        responses=error_responses(
            ErrorCode.INVALID_PARAMETER,
            ErrorCode.INVALID_API_KEY,
            ErrorCode.FORBIDDEN,
            ErrorCode.METHOD_NOT_ALLOWED,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            ErrorCode.SERVER_ERROR,
        ),
    )


router = new_router()
_NOT_FOUND: Final = error_responses(ErrorCode.NOT_FOUND)


def documented(model: Any, example: Any, more: dict[int | str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the arguments of a route. Answers are built as they are described, so FastAPI need not check them
    again.
    """
    content = {"application/json": {"example": {"success": True, "data": example}}}
    return {
        "response_model": None,
        "responses": {200: {"model": Envelope[model], "description": "OK", "content": content}} | (more or {}),
    }


@router.get(
    "/events",
    tags=["events"],
    openapi_extra={"parameters": [_PROPERTIES]},
    **documented(answers.EventList, examples.EVENT_LIST),
)
async def list_events(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[parameters.EventsParameters, Query()]
) -> Response:
    """List events, newest first. An event is in a session if its person and time are; an unknown session has none."""
    page = arguments.page_of(given, events.LIST_NAME, cursors)
    wanted = arguments.event_filter(given, caller.app)
    meta = await meta_of(reader, given, caller)
    if given.session_id is not None:
        found = await whoever.session(caller.app.app_id, reader, given.session_id)
        if found is None:
            return success_response(events.event_page([], page, meta))
        wanted = replace(wanted, session=found[0], session_keys=found[1])
    rows = await reader.page(events.list_events(caller.app.app_id, wanted, page))
    return success_response(events.event_page(rows, page, meta))


# Before the route of single events, which would take its name for an id.
@router.get("/events/rejected", tags=["events"], **documented(answers.RejectedList, examples.REJECTED_LIST))
async def list_rejected(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[parameters.RejectedParameters, Query()]
) -> Response:
    """List refused events, newest first, with reason and payload. `attrikit rejected replay` sends them again after a
    fix.
    """
    page = arguments.page_of(given, rejected.LIST_NAME, cursors)
    wanted = arguments.rejected_filter(given, caller.app)
    meta = await meta_of(reader, given, caller)
    rows = await reader.rows(rejected.list_rejected(caller.app.app_id, wanted, page))
    return success_response(rejected.rejected_page(rows, page, meta))


@router.get("/events/{event_id}", tags=["events"], **documented(answers.EventDetail, examples.EVENT_DETAIL, _NOT_FOUND))
async def get_event(
    event_id: EventId, caller: Key, reader: Rows, given: Annotated[parameters.InZone, Query()]
) -> Response:
    """Show one event, its session, and how far it has come: accepted, stored, sessionised, converted, attributed,
    delivered to a webhook.
    """
    app_id = caller.app.app_id
    meta = await meta_of(reader, given, caller)
    event = await reader.first(event_detail.find_event(app_id, event_id))
    if event is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    owner = await whoever.owner_key(app_id, reader, event.person_key)
    session, found, marks, refund = await asyncio.gather(
        reader.first(event_detail.find_session(app_id, event, owner or event.person_key)),
        reader.rows(event_detail.find_conversions(app_id, event)),
        reader.rows(event_detail.count_marks(app_id, event_id)),
        whoever.refund_outcome(caller.app, reader, event, meta["timezone"]),
    )
    ids = tuple(conversion.conversion_id for conversion in found)
    attributed, delivered = await _of_conversions(reader, app_id, ids) if ids else ([], [])
    facts = event_detail.facts_of(event, session, found, attributed, delivered, marks, refund)
    return success_response(event_detail.event_detail(facts, meta))


async def _of_conversions(
    reader: Reader, app_id: str, ids: tuple[str, ...]
) -> tuple[list[event_detail.AttributionOfEvent], list[event_detail.DeliveredRow]]:
    return await asyncio.gather(
        reader.rows(event_detail.find_attributed(app_id, ids)), reader.rows(event_detail.find_delivered(app_id, ids))
    )


@router.get("/conversions", tags=["conversions"], **documented(answers.ConversionList, examples.CONVERSION_LIST))
async def list_conversions(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[parameters.ConversionsParameters, Query()]
) -> Response:
    """List conversions, newest first."""
    page = arguments.page_of(given, conversions.LIST_NAME, cursors)
    wanted = arguments.conversion_filter(given, caller.app)
    meta = await meta_of(reader, given, caller)
    rows = await reader.page(conversions.list_conversions(caller.app.app_id, wanted, page))
    return success_response(conversions.conversion_page(rows, page, meta))


@router.get(
    "/attribution",
    tags=["attribution"],
    **documented(answers.AttributionReport | answers.AttributionPath, examples.ATTRIBUTION, _NOT_FOUND),
)
async def get_attribution(
    caller: Key, reader: Rows, versions: Versions, given: Annotated[parameters.AttributionParameters, Query()]
) -> Response:
    """Report the credit per value of a dimension, models side by side; with `conversion_id`, one conversion touch by
    touch.
    """
    if given.conversion_id is not None:
        return success_response(await _explain(caller, reader, versions, given, given.conversion_id))
    wanted = arguments.attribution_query(given, caller.app)
    meta = await meta_of(reader, given, caller)
    app_id = caller.app.app_id
    rows = await reader.rows(attribution.attribution_rows(app_id, wanted))
    report = attribution.attribution_report(wanted, rows, meta)
    return success_response(_refuse_long(report, "dimension"))


async def _explain(
    caller: Caller,
    reader: Reader,
    versions: SettingsVersions,
    given: parameters.AttributionParameters,
    conversion_id: str,
) -> answers.AttributionPath:
    arguments.check_path_alone(given)
    models = arguments.models_of(given.model)
    meta = await meta_of(reader, given, caller)
    app_id = caller.app.app_id
    conversion = await reader.first(conversions.find_conversion(app_id, conversion_id))
    if conversion is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    found, touches, revisions = await asyncio.gather(
        reader.first(attribution_path.find_attribution(app_id, conversion_id)),
        reader.rows(attribution_path.touches_before(app_id, conversion)),
        reader.rows(attribution_path.revisions_of(app_id, conversion_id)),
    )
    version = found.config_version if found else caller.app.config_version
    settings = versions.get((app_id, version), caller.app.attribution)
    facts = attribution_path.PathFacts(conversion, found, touches, revisions, settings)
    return attribution_path.attribution_path(facts, models, meta)


@router.get("/users", tags=["users"], **documented(answers.UserList, examples.USER_LIST))
async def list_users(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[parameters.UsersParameters, Query()]
) -> Response:
    """List people with sessions, the most recently first seen first; `from` and `to` are about that first time."""
    page = arguments.page_of(given, users.LIST_NAME, cursors)
    wanted = arguments.user_filter(given, caller.app)
    meta = await meta_of(reader, given, caller)
    rows = await reader.page(users.list_users(caller.app.app_id, wanted, page))
    rows = await _less_refunds(caller, reader, rows, given.include_bots)
    return success_response(users.user_page(await whoever.with_links(caller.app.app_id, reader, rows), page, meta))


@router.get("/users/{user_id}", tags=["users"], **documented(answers.UserDetail, examples.USER_DETAIL, _NOT_FOUND))
async def get_user(
    user_id: UserId, caller: Key, reader: Rows, given: Annotated[parameters.InZone, Query()]
) -> Response:
    """Show one person, known from the first session on, which follows the first event after about a second."""
    meta = await meta_of(reader, given, caller)
    person = await whoever.person(caller.app.app_id, reader, user_id)
    row = await reader.first(users.find_user(caller.app.app_id, person)) if person else None
    if row is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    (row,) = await whoever.with_links(
        caller.app.app_id, reader, await _less_refunds(caller, reader, [row], include_bots=True)
    )
    return success_response(users.user_detail(row, meta))


async def _less_refunds(
    caller: Caller, reader: Reader, rows: list[users.UserRow], include_bots: bool
) -> list[users.UserRow]:
    keys = [row.person_key for row in rows if row.totals_minor]
    if not keys:
        return rows
    return users.less_refunds(rows, await reader.rows(users.find_refunds(caller.app.app_id, keys, include_bots)))


@router.get("/users/{user_id}/events", tags=["users"], **documented(answers.EventList, examples.EVENT_LIST, _NOT_FOUND))
async def list_user_events(
    user_id: UserId,
    caller: Key,
    reader: Rows,
    cursors: Sealed,
    given: Annotated[parameters.UserEventsParameters, Query()],
) -> Response:
    """List a person's events, newest first."""
    page = arguments.page_of(given, USER_EVENTS_LIST, cursors)
    person = await whoever.person(caller.app.app_id, reader, user_id)
    # Before the first session there may be events: they are found by the id itself.
    keys: tuple[str, ...] = (users.USER_PREFIX + user_id, users.ANONYMOUS_PREFIX + user_id)
    if person:
        keys = await whoever.event_keys(caller.app.app_id, reader, person)
    wanted = arguments.user_event_filter(given, caller.app, keys)
    meta = await meta_of(reader, given, caller)
    rows = await reader.page(events.list_events(caller.app.app_id, wanted, page))
    if not rows and person is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    return success_response(events.event_page(rows, page, meta, USER_EVENTS_LIST))


@router.get("/costs", tags=["reports"], **documented(answers.CostList, examples.COST_LIST))
async def list_costs(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[parameters.CostsParameters, Query()]
) -> Response:
    """List stored imported costs, newest date first. `attrikit costs import | remove` changes them."""
    page = arguments.page_of(given, costs.LIST_NAME, cursors)
    wanted = arguments.cost_filter(given, caller.app)
    meta = await meta_of(reader, given, caller)
    rows = await reader.rows(costs.list_costs(caller.app.app_id, wanted, page))
    return success_response(costs.cost_page(rows, page, meta))


@router.get(
    "/reports/performance", tags=["reports"], **documented(report_answers.PerformanceReport, examples.PERFORMANCE)
)
async def get_performance(
    caller: Key, reader: Rows, given: Annotated[parameters.PerformanceParameters, Query()]
) -> Response:
    """Report touches, sessions, conversions and credit per value of a dimension, and per period with `granularity`."""
    wanted = arguments.performance_query(given, caller.app)
    meta = await meta_of(reader, given, caller)
    app_id = caller.app.app_id
    rows = await reader.rows(performance.performance_rows(app_id, wanted))
    report = performance.performance_report(wanted, rows, meta)
    return success_response(_refuse_long(report, "granularity" if wanted.granularity else "dimension"))


@router.get(
    "/reports/conversion", tags=["reports"], **documented(report_answers.ConversionReport, examples.CONVERSION_REPORT)
)
async def get_conversion_report(
    caller: Key, reader: Rows, given: Annotated[parameters.ConversionReportParameters, Query()]
) -> Response:
    """Report per goal the number, value, time and paths of conversions; with `steps`, where people stop on the way."""
    wanted = arguments.conversion_query(given, caller.app)
    steps = arguments.funnel_query(given, caller.app)
    meta = await meta_of(reader, given, caller)
    app_id = caller.app.app_id
    rows, funnel = await asyncio.gather(
        reader.rows(conversion_report.conversion_rows(app_id, wanted)), _funnel(reader, app_id, steps)
    )
    return success_response(conversion_report.conversion_report(wanted, caller.app.goals, rows, funnel, meta))


async def _funnel(reader: Reader, app_id: str, wanted: funnels.FunnelQuery | None) -> report_answers.Funnel | None:
    if wanted is None:
        return None
    found = await reader.rows(funnels.funnel_row(app_id, wanted))
    return funnels.funnel_of(wanted, found[0])


async def meta_of(reader: Reader, given: parameters.InZone, caller: Caller) -> answers.Meta:
    """Return the answer's `meta`. Read it before the rows, so that they are at least as fresh as it says."""
    zone = arguments.zone_of(given, caller.app)
    asked = arguments.range_of(given, caller.app) if isinstance(given, parameters.InRange) else TimeRange()
    through_ms = await reader.complete_through_ms()
    return {
        "complete_through": time_in_zone(through_ms, zone),
        "timezone": zone,
        "from": time_in_zone(asked.from_ms, zone),
        "to": time_in_zone(asked.to_ms, zone),
    }


def _refuse_long(report: Any, field: str) -> Any:
    refuse_long(report["items"], field, MAX_REPORT_ROWS)
    return report
