"""Answers about export jobs: shapes, examples, and a job as callers see it. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from pipeline.control.exports import ExportJob, ExportState
from schemas.control import App
from schemas.errors import ErrorCode
from services.query.core.answers import JsonObject, Number, Text
from services.query.core.numbers import rate
from services.query.core.times import time_in_zone
from services.query.exports.download_links import download_path
from services.web.envelope import Language

_EXAMPLE_ID: Final = "exp_0b9c2f6f5d3e4a1b8c7d6e5f"


class ExportProgress(TypedDict):
    rows_done: int
    rows_total: Annotated[int | None, Field(description="Null: not counted yet.")]
    share: Annotated[Number | None, Field(description="From 0 to 1; null: not known yet.")]
    bytes_written: int


class ExportError(TypedDict):
    code: str
    message: str
    details: JsonObject


class Export(TypedDict):
    job_id: str
    state: Annotated[
        str,
        Field(
            description="queued, running; done: the file can be fetched; failed: see `error`; cancelled; expired: the "
            "file is gone, ask for it again."
        ),
    ]
    report: str
    format: str
    compression: str
    spreadsheet: bool
    filters: JsonObject
    created_at: str
    started_at: Text
    finished_at: Text
    expires_at: Annotated[Text, Field(description="When the file goes and its link ends.")]
    progress: ExportProgress
    file_name: Annotated[Text, Field(description="Null until the file is there.")]
    download_url: Annotated[
        Text,
        Field(
            description="Path and query, on this host: opens without a key until `expires_at`, so pass it on with care."
        ),
    ]
    complete_through: Annotated[Text, Field(description="As `meta.complete_through` was when the job began.")]
    error: ExportError | None


EXAMPLE: Final[dict[str, Any]] = {
    "job_id": _EXAMPLE_ID,
    "state": "done",
    "report": "conversions",
    "format": "parquet",
    "compression": "zstd",
    "spreadsheet": False,
    "filters": {"from": "2024-01-01", "to": "2024-01-31", "goal": ["purchase"]},
    "created_at": "2024-02-01T16:00:00.000+08:00",
    "started_at": "2024-02-01T16:00:00.100+08:00",
    "finished_at": "2024-02-01T16:00:01.200+08:00",
    "expires_at": "2024-02-02T16:00:01.200+08:00",
    "progress": {"rows_done": 4210, "rows_total": 4210, "share": 1, "bytes_written": 183204},
    "file_name": f"attrikit-conversions-{_EXAMPLE_ID}.parquet",
    "download_url": f"/v1/reports/export/{_EXAMPLE_ID}/download?expires=1706860801&signature=6f1c…",
    "complete_through": "2024-02-01T15:59:00.000+08:00",
    "error": None,
}
EXAMPLE_QUEUED: Final[dict[str, Any]] = EXAMPLE | {
    "state": "queued",
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "progress": {"rows_done": 0, "rows_total": None, "share": None, "bytes_written": 0},
    "file_name": None,
    "download_url": None,
    "complete_through": None,
}
EXAMPLE_REQUEST: Final[dict[str, Any]] = {
    name: EXAMPLE[name] for name in ("report", "filters", "format", "compression")
}


def export_of(job: ExportJob, app: App, signing_key: bytes, language: Language) -> Export:
    """Return the job as callers see it. Times are in the zone that the filters name, by default the app's."""
    zone = job.request["filters"].get("tz") or app.timezone
    is_there = job.state is ExportState.DONE and job.expires_at_ms is not None
    expires_s = (job.expires_at_ms or 0) // 1000
    return {
        "job_id": job.job_id,
        "state": job.state.value,
        "report": job.request["report"],
        "format": job.request["format"],
        "compression": job.request["compression"],
        "spreadsheet": job.request.get("spreadsheet", False),
        "filters": job.request["filters"],
        "created_at": time_in_zone(job.created_at_ms, zone),
        "started_at": time_in_zone(job.started_at_ms, zone),
        "finished_at": time_in_zone(job.finished_at_ms, zone),
        "expires_at": time_in_zone(job.expires_at_ms, zone),
        "progress": {
            "rows_done": job.rows_done,
            "rows_total": job.rows_total,
            "share": _share(job),
            "bytes_written": job.bytes_written,
        },
        "file_name": job.file_name if is_there else None,
        "download_url": download_path(signing_key, job.job_id, expires_s) if is_there else None,
        "complete_through": time_in_zone(job.complete_through_ms, zone),
        "error": None if job.error is None else _error(job.error, language),
    }


def _share(job: ExportJob) -> Any:
    if job.state is ExportState.DONE:
        return 1
    return rate(min(job.rows_done, job.rows_total), job.rows_total) if job.rows_total else None


def _error(error: dict[str, Any], language: Language) -> ExportError:
    code = ErrorCode(error["code"])
    return {"code": code.value, "message": code.message(language), "details": error["details"][language]}
