"""What the pages of reports share: filters, the names of keys, the call of the API that gives the numbers."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from pipeline.runtime.clock import now_ms
from services.console import words
from services.console.page import Page
from services.console.report_filters import RANGES, ReportFilters, filters_of
from services.console.snippets import curl_of_read

PERFORMANCE: Final = "/v1/reports/performance"
CONVERSION: Final = "/v1/reports/conversion"
_KEPT: Final = ("from", "to", "goal", "model", "include_bots")


def today_of(page: Page) -> date:
    """Return the day it is in the app's time zone."""
    assert page.app is not None
    return datetime.fromtimestamp(now_ms() / 1000, UTC).astimezone(ZoneInfo(page.app.timezone)).date()


def report_filters(page: Page) -> ReportFilters:
    return filters_of(page.request.query_params, today_of(page))


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, "")}


def key_name(page: Page, dimension: str, key: str | None) -> str:
    """Return a key of a report as people read it."""
    if key is None:
        return page.text("(none)")
    return page.text(words.CHANNELS[key]) if dimension == "channel" and key in words.CHANNELS else key


def render_report(
    page: Page,
    template: str,
    filters: ReportFilters,
    meta: dict[str, Any],
    api: tuple[str, dict[str, Any]],
    **values: Any,
) -> Response:
    """Render a report with its freshness, its filters and the call that gives its numbers."""
    path, parameters = api
    kept = {name: page.request.query_params[name] for name in _KEPT if page.request.query_params.get(name)}
    today = today_of(page)
    ranges = [(label, page.here(**{"from": today - timedelta(days=days - 1), "to": today})) for days, label in RANGES]
    shared: dict[str, Any] = {
        "filters": filters,
        "meta": meta,
        "ranges": [
            (label, address, filters.end == today.isoformat() and filters.days == days)
            for (label, address), (days, _) in zip(ranges, RANGES, strict=True)
        ],
        "call": curl_of_read(page.console.api_url, path, urlencode(given(parameters))),
        "query": urlencode(kept),
        "words": words,
        "name_of": lambda dimension, key: key_name(page, dimension, key),
    }
    return page.render(template, **shared, **values)
