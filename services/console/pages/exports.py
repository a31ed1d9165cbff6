"""Exports: files of reports. A form, the jobs with how far they are, the link of a file."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control.audit import write_entry
from pipeline.control.exports import ExportJob, ExportJobs
from schemas.facts import Model
from services.console import setting_words, words
from services.console.export_form import COMPRESSIONS, DEFAULTS, FIELDS, FORMATS, REPORTS, body_of
from services.console.page import Page, go
from services.console.reading import ReadFailed
from services.console.report_filters import PLACES
from services.console.visitor import Form, OfApp, Refused, field, required

router = APIRouter()
EXPORT: Final = "/v1/reports/export"
_JOBS: Final = 50
_UNFINISHED: Final = ("queued", "running")
_FILTERS: Final = setting_words.EXPORT_FILTERS | words.DIMENSIONS
_CHOICES: Final = {
    "model": words.MODELS,
    "dimension": words.DIMENSIONS,
    "channel": words.CHANNELS,
    "leave_out": {"direct": words.CHANNELS["direct"], "impression": words.TOUCH_TYPES["impression"]},
}
"""Names of what a filter may be, by the filter."""


@router.get("/apps/{app_id}/exports")
async def show_exports(page: OfApp) -> Response:
    """The form takes the fields of a report's address, so that a view is exported as it is shown."""
    given = {name: page.request.query_params.get(name, DEFAULTS.get(name, "")) for name in FIELDS}
    if page.request.query_params.get("part") == "jobs":
        return page.render("export_jobs.html", **await _jobs(page))
    return await _exports_page(page, given)


@router.post("/apps/{app_id}/exports")
async def create_export(page: OfApp, fields: Form) -> Response:
    given = {name: field(fields, name) for name in FIELDS}
    body = body_of(given)
    try:
        job = await page.console.api.send("POST", page.app_id, page.language, EXPORT, body)
    except ReadFailed as error:
        if error.status >= 500:
            raise
        return await _exports_page(page, given, 400, error.message)
    await asyncio.to_thread(write_entry, page.console.dsn, page.entry("export.create", job["job_id"], after=body))
    return go(page.url("exports"))


@router.post("/apps/{app_id}/exports/{job_id}/cancel")
async def cancel_export(page: OfApp, job_id: str, fields: Form) -> Response:
    await _known(page, job_id)
    await page.console.api.send("DELETE", page.app_id, page.language, f"{EXPORT}/{job_id}")
    await asyncio.to_thread(write_entry, page.console.dsn, page.entry("export.cancel", job_id))
    return go(page.url("exports"))


@router.get("/apps/{app_id}/exports/{job_id}/file")
async def fetch_file(page: OfApp, job_id: str) -> Response:
    """Lead to the file, at the API's address, by a link that opens for a limited time."""
    await _known(page, job_id)
    job = await page.read(f"{EXPORT}/{job_id}")
    if job["download_url"] is None:
        raise Refused(404)
    return go(page.console.api_url.rstrip("/") + job["download_url"])


async def _known(page: Page, job_id: str) -> ExportJob:
    return required(await asyncio.to_thread(ExportJobs(page.console.dsn).find, job_id, page.app_id))


async def _jobs(page: Page) -> dict[str, Any]:
    jobs = await asyncio.to_thread(ExportJobs(page.console.dsn).newest, page.app_id, _JOBS)
    return {
        "jobs": jobs,
        "are_done": all(job.state not in _UNFINISHED for job in jobs),
        "setting_words": setting_words,
        "share_of": _share,
        "filter_of": lambda name, value: _filter(page, name, value),
    }


def _filter(page: Page, name: str, value: Any) -> str:
    """Return a filter of a job as its form shows it: `Model: Linear`."""
    label, names = page.text(_FILTERS.get(name, name)), _CHOICES.get(name, {})
    if value is True:
        return label
    values = value if isinstance(value, list) else [value]
    return f"{label}: {', '.join(page.text(names[one]) if one in names else str(one) for one in values)}"


def _share(job: ExportJob) -> float | None:
    """Return how much of the file is written, from 0 to 1; None: not known yet."""
    return min(1.0, job.rows_done / job.rows_total) if job.rows_total else None


async def _exports_page(page: Page, given: dict[str, str], status: int = 200, problem: str = "") -> Response:
    values = {
        "given": given,
        "problem": problem,
        "reports": REPORTS,
        "formats": FORMATS,
        "compressions": COMPRESSIONS,
        "place": {name: given[name] for name in (*PLACES, "leave_out") if given[name]},
        "models": [model.value for model in Model],
        "words": words,
    }
    return page.render("exports.html", status, **values, **await _jobs(page))
