"""The shape of a job in an answer. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from pipeline.runtime.control_plane.exports import ExportJob, ExportState
from pipeline.runtime.http.envelope import Language
from schemas.errors import ErrorCode
from services.query.answers import JsonObject, Number, Text
from services.query.links import download_path
from services.query.numbers import rate
from services.query.times import utc_text

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


def export_of(job: ExportJob, signing_key: bytes, language: Language) -> Export:
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
        "created_at": utc_text(job.created_at_ms),
        "started_at": _time(job.started_at_ms),
        "finished_at": _time(job.finished_at_ms),
        "expires_at": _time(job.expires_at_ms),
        "progress": {
            "rows_done": job.rows_done,
            "rows_total": job.rows_total,
            "share": _share(job),
            "bytes_written": job.bytes_written,
        },
        "file_name": job.file_name if is_there else None,
        "download_url": download_path(signing_key, job.job_id, expires_s) if is_there else None,
        "complete_through": _time(job.complete_through_ms),
        "error": None if job.error is None else _error(job.error, language),
    }


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else utc_text(at_ms)


def _share(job: ExportJob) -> Any:
    if job.state is ExportState.DONE:
        return 1
    return rate(min(job.rows_done, job.rows_total), job.rows_total) if job.rows_total else None


def _error(error: dict[str, Any], language: Language) -> ExportError:
    code = ErrorCode(error["code"])
    return {"code": code.value, "message": code.message(language), "details": error["details"][language]}


EXAMPLE: Final[dict[str, Any]] = {
    "job_id": _EXAMPLE_ID,
    "state": "done",
    "report": "conversions",
    "format": "parquet",
    "compression": "zstd",
    "spreadsheet": False,
    "filters": {"from": "2024-01-01", "to": "2024-01-31", "goal": ["purchase"]},
    "created_at": "2024-02-01T08:00:00.000Z",
    "started_at": "2024-02-01T08:00:00.100Z",
    "finished_at": "2024-02-01T08:00:01.200Z",
    "expires_at": "2024-02-02T08:00:01.200Z",
    "progress": {"rows_done": 4210, "rows_total": 4210, "share": 1, "bytes_written": 183204},
    "file_name": f"attrikit-conversions-{_EXAMPLE_ID}.parquet",
    "download_url": f"/v1/reports/export/{_EXAMPLE_ID}/download?expires=1706860801&signature=6f1c…",
    "complete_through": "2024-02-01T07:59:00.000Z",
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
