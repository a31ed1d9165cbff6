"""Help: what the words mean, with the numbers of the reader's own app as examples."""

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from schemas.facts import Model
from services.console import words
from services.console.page import Page
from services.console.report_page import CONVERSION, report_filters
from services.console.visitor import OfApp, SignedIn

router = APIRouter()
_MODELS: Final = tuple(model.value for model in Model)


@router.get("/help")
async def show_help(page: SignedIn) -> Response:
    return page.render("help.html", words=words, models=_MODELS, example=None)


@router.get("/apps/{app_id}/help")
async def show_help_of_app(page: OfApp) -> Response:
    """With the app's own numbers of the last days."""
    filters = report_filters(page)
    report = await page.read(CONVERSION, filters.parameters())
    return page.render("help.html", words=words, models=_MODELS, example=_example(page, report))


def _example(page: Page, report: dict[str, dict[str, object]]) -> dict[str, object] | None:
    totals = report["totals"]
    return {**totals, "currency": report["meta"]["currency"]} if totals["conversions"] else None
