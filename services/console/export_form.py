"""An export as a form has it, and as the API takes it. Pure."""

from typing import Any, Final

from services.console.report_filters import PLACES, ReportFilters

REPORTS: Final = ("performance", "conversions", "attribution", "events", "sessions", "touches", "users")
FORMATS: Final = ("spreadsheet", "csv", "jsonl", "parquet")
"""`spreadsheet`: CSV that spreadsheets open as it is meant."""
COMPRESSIONS: Final = ("none", "gzip", "zstd")
FIELDS: Final = (
    "report",
    "format",
    "compression",
    "from",
    "to",
    "goal",
    "model",
    "dimension",
    "include_bots",
    *PLACES,
    "leave_out",
)
DEFAULTS: Final = {"report": "performance", "format": "spreadsheet", "compression": "none", "dimension": "channel"}
_WITH_BOTS: Final = frozenset(REPORTS) - {"events"}
_WITH_GOAL: Final = frozenset({"conversions", "attribution", "performance"})
_WITH_MODEL: Final = frozenset({"attribution", "performance"})


def fields_of_view(filters: ReportFilters, **more: str) -> dict[str, str]:
    """Return the form's fields for a file of the performance report that a page shows. `more`: model and place."""
    given = DEFAULTS | {"from": filters.start, "to": filters.end, "goal": filters.goal, "dimension": filters.dimension}
    given |= {"include_bots": "true" if filters.include_bots else ""} | more
    return {name: value for name, value in given.items() if value}


def body_of(given: dict[str, str]) -> dict[str, Any]:
    """Return the request's body; what the report does not take is left out."""
    report, file_format = given["report"], given["format"]
    filters: dict[str, Any] = {name: given[name] for name in ("from", "to") if given.get(name)}
    if report in _WITH_BOTS and given.get("include_bots"):
        filters["include_bots"] = True
    if report in _WITH_GOAL and given.get("goal"):
        filters["goal"] = [given["goal"]]
    if report in _WITH_MODEL and given.get("model"):
        filters["model"] = [given["model"]]
    if report == "performance":
        filters |= {name: given[name] for name in ("dimension", *PLACES) if given.get(name)}
        if given.get("leave_out"):
            filters["leave_out"] = given["leave_out"].split(",")
    is_spreadsheet = file_format == "spreadsheet"
    return {
        "report": report,
        "format": "csv" if is_spreadsheet else file_format,
        "compression": given.get("compression") or "none",
        "spreadsheet": is_spreadsheet,
        "filters": filters,
    }
