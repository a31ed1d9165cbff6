"""`/v1/reports/export`: ask for a file, see how far it is, cancel it, fetch it."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response, StreamingResponse

from pipeline.control.exports import ExportJob, ExportJobs, ExportState
from pipeline.runtime.clock import now_ms
from schemas.errors import ErrorCode
from services.query.core.calls import Key, required
from services.query.core.parameters import Parameters
from services.query.core.reader import RETRY_AFTER_SECONDS
from services.query.core.routing import NOT_FOUND, documented, new_router
from services.query.core.signing_key import SigningKey
from services.query.exports import answers
from services.query.exports.download_links import opens
from services.query.exports.files import file_name, media_type
from services.query.exports.parameters import (
    MAX_BODY_BYTES,
    Compression,
    FileFormat,
    PerformanceExport,
    body_schema,
    parse_export,
    stored,
)
from services.query.exports.performance_rows import performance_query_of
from services.query.exports.statements import source_of
from services.query.exports.storage import NoSuchFile, StorageFailed
from services.web.errors import ApiError, Text, invalid, server_error
from services.web.handlers import request_language, success_response
from services.web.openapi import error_responses

T = TypeVar("T")
JobId = Annotated[str, Path(max_length=64, pattern="^exp_[0-9a-f]{24}$", examples=["exp_0b9c2f6f5d3e4a1b8c7d6e5f"])]
_LINK_OVER: Final = Text("链接无效或已过期，请重新查询导出任务", "the link is wrong or over; ask for the job again")
_TOO_MANY: Final = Text("未完成的导出任务过多，请稍后再试", "too many exports are waiting; let some finish")

_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}

router = new_router()
downloads = APIRouter(prefix="/v1")
"""Router of the links that open without a key."""


def jobs_of(request: Request) -> ExportJobs:
    jobs: ExportJobs = request.app.state.export_jobs
    return jobs


@dataclass(frozen=True)
class ExportCall:
    """A call about an export job of the caller's app: a dependency of routes."""

    caller: Key
    request: Request
    jobs: Annotated[ExportJobs, Depends(jobs_of)]
    signing_key: SigningKey

    def response(self, job: ExportJob, status: int = 200) -> Response:
        language = request_language(self.request)
        return success_response(answers.export_of(job, self.caller.app, self.signing_key, language), status)


ReadExportCall = Annotated[ExportCall, Depends()]


async def _ask(call: Callable[..., T], *arguments: Any) -> T:
    """Call the control plane's database, from a thread. It being away is an error of ours."""
    try:
        return await asyncio.to_thread(call, *arguments)
    except SQLAlchemyError as error:
        raise server_error(RETRY_AFTER_SECONDS) from error


_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": body_schema(), "example": answers.EXAMPLE_REQUEST}},
    }
}


@router.post(
    "/reports/export",
    tags=["exports"],
    openapi_extra=_BODY,
    **documented(
        answers.Export,
        answers.EXAMPLE_QUEUED,
        error_responses(ErrorCode.MISSING_REQUIRED_FIELD, ErrorCode.INVALID_PARAMETER, ErrorCode.PAYLOAD_TOO_LARGE),
        status=201,
    ),
)
async def create_export(call: ReadExportCall) -> Response:
    """Ask for a file. It is written in the background; rows beyond the plan's limit (free 10,000, pro 1,000,000,
    enterprise 100,000,000) make the job fail."""
    app, state = call.caller.app, call.request.app.state
    export = parse_export(await _body(call.request))
    if isinstance(export, PerformanceExport):
        performance_query_of(export.filters, app)
    else:
        source_of(app, export)  # what is wrong with it is told now
    job_id = "exp_" + secrets.token_hex(12)
    name = file_name(export.report, job_id, export.format, export.compression)
    job = ExportJob(job_id, app.app_id, ExportState.QUEUED, stored(export), now_ms(), file_name=name)
    if not await _ask(call.jobs.add, job, state.export_max_unfinished):
        raise invalid("report", _TOO_MANY)
    if state.export_runner is not None:
        state.export_runner.wake()
    return call.response(job, 201)


async def _body(request: Request) -> bytes:
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > MAX_BODY_BYTES:
            limit = f"{MAX_BODY_BYTES // 1024} KB"
            reason = Text(f"请求体不能超过 {limit}", f"the body must not exceed {limit}")
            raise ApiError(
                ErrorCode.PAYLOAD_TOO_LARGE, field="body", reason=reason, limit=MAX_BODY_BYTES, actual=len(received)
            )
    return bytes(received)


@router.get("/reports/export/{job_id}", tags=["exports"], **documented(answers.Export, answers.EXAMPLE, NOT_FOUND))
async def get_export(job_id: JobId, call: ReadExportCall, _given: Annotated[Parameters, Query()]) -> Response:
    """Show how far the export is; once it is done, where to fetch it."""
    return call.response(required(await _ask(call.jobs.find, job_id, call.caller.app.app_id)))


@router.delete("/reports/export/{job_id}", tags=["exports"], **documented(answers.Export, answers.EXAMPLE, NOT_FOUND))
async def cancel_export(job_id: JobId, call: ReadExportCall, _given: Annotated[Parameters, Query()]) -> Response:
    """Cancel the export if it is not finished; a finished one stays as it is. The answer says which."""
    return call.response(required(await _ask(call.jobs.cancel, job_id, call.caller.app.app_id, now_ms())))


class DownloadParameters(Parameters):
    expires: Annotated[int, Query(ge=0, le=2**53, description="Seconds since the epoch.")]
    signature: Annotated[str, Query(max_length=128)]


@downloads.get(
    "/reports/export/{job_id}/download",
    tags=["exports"],
    response_class=Response,
    responses=_FILE
    | error_responses(
        ErrorCode.MISSING_REQUIRED_FIELD,
        ErrorCode.INVALID_PARAMETER,
        ErrorCode.FORBIDDEN,
        ErrorCode.NOT_FOUND,
        ErrorCode.METHOD_NOT_ALLOWED,
        ErrorCode.SERVER_ERROR,
    ),
)
async def download_export(
    job_id: JobId,
    request: Request,
    jobs: Annotated[ExportJobs, Depends(jobs_of)],
    signing_key: SigningKey,
    given: Annotated[DownloadParameters, Query()],
) -> Response:
    """Download the file of a job that is done, by its `download_url`. Takes no key: the link is the permission."""
    if not opens(signing_key, job_id, given.expires, given.signature, now_ms() / 1000):
        raise ApiError(ErrorCode.FORBIDDEN, reason=_LINK_OVER)
    job = await _ask(jobs.find, job_id)
    if job is None or job.state is not ExportState.DONE or request.app.state.export_storage is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    try:
        size, pieces = await request.app.state.export_storage.read(job.stored_name)
    except NoSuchFile:
        raise ApiError(ErrorCode.NOT_FOUND) from None
    except StorageFailed as error:
        raise server_error(RETRY_AFTER_SECONDS) from error
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{job.file_name}"',
        "Cache-Control": "private, no-store",
    }
    kind = media_type(FileFormat(job.request["format"]), Compression(job.request["compression"]))
    return StreamingResponse(pieces, headers=headers, media_type=kind)
