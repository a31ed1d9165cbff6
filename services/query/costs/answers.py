"""Answers about costs: shapes, an example, and rows as items; their dates belong to no zone. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from services.query.core.answers import META, Meta, NextCursor, Number, Text
from services.query.core.numbers import money
from services.query.costs.statements import StandingCost


class Cost(TypedDict):
    date: Annotated[str, Field(description="A calendar day; it belongs to no time zone.")]
    channel: str
    campaign: Text
    source: Annotated[Text, Field(description="The platform the cost is of.")]
    cost: Number
    currency: str


class CostList(TypedDict):
    items: list[Cost]
    next_cursor: NextCursor
    meta: Meta


EXAMPLE_LIST: Final = {
    "items": [
        {
            "date": "2024-01-15",
            "channel": "paid_search",
            "campaign": "brand",
            "source": "baidu",
            "cost": 100.5,
            "currency": "CNY",
        }
    ],
    "next_cursor": None,
    "meta": META,
}


def cost_of(row: StandingCost, _zone: str) -> Cost:
    return {
        "date": row.date.isoformat(),
        "channel": row.channel,
        "campaign": row.campaign or None,
        "source": row.source or None,
        "cost": money(row.cost_minor, row.currency),
        "currency": row.currency,
    }
