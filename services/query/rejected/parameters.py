"""Query parameters of refused events, parsed into `RejectedFilter`. Pure."""

from typing import Annotated

from pydantic import Field

from schemas.control import App
from services.query.core.parameters import ListParameters, range_of
from services.query.rejected.statements import RejectedFilter

Code = Annotated[str, Field(pattern="^[A-Z][A-Z_]{0,63}$")]


class RejectedParameters(ListParameters):
    """Parameters of rejected events: `from` and `to` are about when something was refused."""

    code: Annotated[tuple[Code, ...], Field(max_length=20)] = Field(
        (), description="May be repeated: any of them.", examples=[["INVALID_EVENT_NAME"]]
    )
    field: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None,
        description="The field's path in the event, wherever in its batch that stood: `user_id` also finds "
        "`events[3].user_id`.",
        examples=["user_id"],
    )


def rejected_filter(given: RejectedParameters, app: App) -> RejectedFilter:
    return RejectedFilter(tuple(dict.fromkeys(given.code)), given.field, range_of(given, app))
