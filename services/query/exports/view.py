"""An export job as an answer. Pure."""

from typing import Any

from pipeline.runtime.control_plane.exports import ExportJob, ExportState
from pipeline.runtime.http.envelope import Language
from schemas.control import App
from schemas.errors import ErrorCode
from services.query.core.numbers import rate
from services.query.core.times import time_in_zone
from services.query.exports.answers import Export, ExportError
from services.query.exports.download_links import download_path


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
