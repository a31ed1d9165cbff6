"""Answers about costs: shapes and an example. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from services.query.core.answers import META, Meta, NextCursor, Number, Text


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
