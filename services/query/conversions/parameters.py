"""Query parameters of conversions, parsed into `ConversionFilter`. Pure."""

from typing import Annotated

from pydantic import Field

from schemas.control import App
from services.query.conversions.statements import ConversionFilter, TouchFilter
from services.query.core.parameters import Amount, ButBots, Currency, ListParameters, Names, PersonId, range_of

TouchText = Annotated[str | None, Field(max_length=500)]


class ConversionsParameters(ButBots, ListParameters):
    goal: Names = Field((), description="May be repeated: any of them.", examples=[["purchase"]])
    user_id: PersonId | None = None
    channel: TouchText = Field(None, description="With a touch of this channel in its path, credited or not.")
    source: TouchText = Field(
        None,
        description="With a touch of this source in its path; together with `channel`, "
        "`medium`, `campaign` and `content`, one touch that has them all.",
    )
    medium: TouchText = Field(None, description="With a touch of this medium in its path.")
    campaign: TouchText = Field(None, description="With a touch of this campaign in its path.")
    content: TouchText = Field(
        None, description="With a touch of this content (which ad it was) in its path; empty: with one that has none."
    )
    currency: Currency | None = Field(None, description="Only conversions in it.")
    min_value: Amount | None = Field(
        None,
        description="In whole units of `currency`, by default the app's; conversions in other currencies are left out.",
    )


def conversion_filter(given: ConversionsParameters, app: App) -> ConversionFilter:
    currency = given.currency or (app.currency if given.min_value is not None else None)
    return ConversionFilter(
        goals=given.goal,
        user_id=given.user_id,
        touch=TouchFilter(given.channel, given.source, given.medium, given.campaign, given.content),
        time_range=range_of(given, app),
        currency=currency,
        min_value=given.min_value,
        include_bots=given.include_bots,
    )
