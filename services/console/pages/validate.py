"""The validator: paste events, see what the gateway would say of them. Nothing is stored."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.console import words
from services.console.page import Page
from services.console.reading import ReadFailed
from services.console.report_page import key_name
from services.console.visitor import Form, OfApp, field

router = APIRouter()
VALIDATE: Final = "/v1/events/validate"
EXAMPLE: Final = """\
{
  "event_name": "purchase",
  "anonymous_id": "first-visitor",
  "properties": {"order_id": "O-1001", "revenue": 199.90, "currency": "CNY"},
  "context": {"page": {"url": "https://example.com/?utm_source=baidu&utm_medium=cpc"}}
}"""


@router.get("/apps/{app_id}/validate")
async def show_validator(page: OfApp) -> Response:
    return _validator_page(page, EXAMPLE)


@router.post("/apps/{app_id}/validate")
async def validate(page: OfApp, fields: Form) -> Response:
    """Show errors, warnings, and what would become of each event. A text that is no JSON is told as such."""
    given = field(fields, "events")
    try:
        found = await page.report(VALIDATE, _as_sent(given).encode())
    except ReadFailed as error:
        if error.status >= 500:
            raise
        return _validator_page(page, given, problem=error.reason or error.message, status=400)
    return _validator_page(page, given, found)


def _as_sent(given: str) -> str:
    """Return the text as the API takes it: a list is the events of a batch."""
    return f'{{"events": {given}}}' if given.lstrip().startswith("[") else given


def _validator_page(page: Page, given: str, found: Any = None, problem: str = "", status: int = 200) -> Response:
    return page.render("validate.html", status, given=given, problem=problem, **verdict_values(page, found))


def verdict_values(page: Page, found: Any) -> dict[str, Any]:
    """Return what `validation.html` needs to show the gateway's verdict."""
    channel_of = partial(key_name, page, "channel")
    return {"found": found, "words": words, "channel_of": channel_of, "rest_of": _rest_of}


_TOLD_APART: Final = ("index", "channel", "channel_rule", "touch_type", "goals", "may_be_late")


def _rest_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that would be stored, those with a value."""
    return {name: value for name, value in event.items() if name not in _TOLD_APART and value not in (None, "", {})}
