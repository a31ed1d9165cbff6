"""The route of attribution: the report, and one conversion explained."""

import asyncio
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.responses import Response

from schemas.control import AttributionSettings
from services.query.aggregates.parameters import models_of
from services.query.aggregates.report_parts import ReportRow, refuse_long
from services.query.attribution import statements
from services.query.attribution.answers import EXAMPLE, AttributionPath, AttributionReport
from services.query.attribution.parameters import AttributionParameters, attribution_query, check_path_alone
from services.query.attribution.statements import AttributionQuery
from services.query.attribution.view import PathFacts, attribution_path, attribution_report
from services.query.conversions.statements import find_conversion
from services.query.core.answer_text import large_success
from services.query.core.answers import Meta
from services.query.core.calls import Call, ReadCall, required
from services.query.core.routing import NOT_FOUND, documented, new_router
from services.web.handlers import response_of, success_response

SettingsVersions = dict[tuple[str, int], AttributionSettings]
"""(app, configuration version) → its attribution settings."""
router = new_router()


def versions_of(request: Request) -> SettingsVersions:
    versions: SettingsVersions = request.app.state.snapshots.current().attribution_versions
    return versions


@router.get("/attribution", tags=["attribution"], **documented(AttributionReport | AttributionPath, EXAMPLE, NOT_FOUND))
async def get_attribution(
    call: ReadCall,
    versions: Annotated[SettingsVersions, Depends(versions_of)],
    given: Annotated[AttributionParameters, Query()],
) -> Response:
    """Report the credit per value of a dimension, models side by side; with `conversion_id`, one conversion touch by
    touch.
    """
    if given.conversion_id is not None:
        return success_response(await _explain(call, versions, given, given.conversion_id))
    wanted = attribution_query(given, call.app)
    meta = await call.meta(given)
    rows = await call.reader.rows(statements.attribution_rows(call.app_id, wanted))
    return await asyncio.to_thread(_answer, wanted, rows, meta)


def _answer(wanted: AttributionQuery, rows: list[ReportRow], meta: Meta) -> Response:
    report = attribution_report(wanted, rows, meta)
    refuse_long(report["items"], "dimension")
    return response_of(large_success(report))


async def _explain(
    call: Call, versions: SettingsVersions, given: AttributionParameters, conversion_id: str
) -> AttributionPath:
    check_path_alone(given)
    models = models_of(given.model)
    meta = await call.meta(given)
    app_id, reader = call.app_id, call.reader
    conversion = required(await reader.first(find_conversion(app_id, conversion_id)))
    attribution, touches, revisions = await asyncio.gather(
        reader.first(statements.find_attribution(app_id, conversion_id)),
        reader.rows(statements.touches_before(app_id, conversion)),
        reader.rows(statements.revisions_of(app_id, conversion_id)),
    )
    version = attribution.config_version if attribution else call.app.config_version
    settings = versions.get((app_id, version), call.app.attribution)
    return attribution_path(PathFacts(conversion, attribution, touches, revisions, settings), models, meta)
