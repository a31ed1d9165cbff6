"""Filters of reports, as they stand in a page's address and as the API takes them. Pure.

A page without dates shows the last 28 days of the app, today included.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from starlette.datastructures import QueryParams

from schemas.facts import Model
from services.console.i18n.catalogue import text

DAYS: Final = 28
RANGES: Final = ((7, text("7 days")), (28, text("28 days")), (90, text("90 days")))
DIMENSIONS: Final = ("channel", "source", "medium", "campaign", "content")
"""In the order in which each divides the one before."""
LEFT_OUT: Final = ("direct", "impression")
"""Kinds of touches that credit can be divided without."""
PLACES: Final = DIMENSIONS[:-1]
"""Dimensions that a report can be narrowed by."""
DEFAULT_MODEL: Final = Model.POSITION_BASED
_LONGEST: Final = 64


@dataclass(frozen=True)
class ReportFilters:
    """`start` and `end`: dates, both included. A text of the address that is no date is handed on, for the API to say
    what is wrong with it."""

    start: str
    end: str
    goal: str = ""
    model: str = DEFAULT_MODEL.value
    dimension: str = DIMENSIONS[0]
    include_bots: bool = False

    @property
    def days(self) -> int | None:
        """Number of days; None where the texts are no dates."""
        try:
            return (date.fromisoformat(self.end) - date.fromisoformat(self.start)).days + 1
        except ValueError:
            return None

    def parameters(self) -> dict[str, Any]:
        """Return what every report of the API takes."""
        return {
            "from": self.start,
            "to": self.end,
            "goal": self.goal or None,
            "include_bots": "true" if self.include_bots else None,
        }


def filters_of(given: QueryParams, today: date) -> ReportFilters:
    """Read the filters of an address. What is none of the choices is taken as not given."""
    dimension, model = given.get("dimension", ""), given.get("model", "")
    return ReportFilters(
        start=given.get("from", "")[:_LONGEST] or (today - timedelta(days=DAYS - 1)).isoformat(),
        end=given.get("to", "")[:_LONGEST] or today.isoformat(),
        goal=given.get("goal", "")[:_LONGEST],
        model=model if model in set(Model) else DEFAULT_MODEL.value,
        dimension=dimension if dimension in DIMENSIONS else DIMENSIONS[0],
        include_bots=given.get("include_bots") == "true",
    )
