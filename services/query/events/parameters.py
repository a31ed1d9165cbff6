"""Query parameters of events, parsed into `EventFilter`. Pure."""

from typing import Any, Final

from pydantic import ConfigDict, Field

from pipeline.domain.conversions.goals import REFUND
from schemas.control import App
from services.query.core.parameters import ListParameters, Names, PersonId, RowId, range_of
from services.query.events.refunds import awaiting_order
from services.query.events.statements import EventFilter
from services.web.errors import Text, invalid

PROPERTY_PREFIX: Final = "property."
MAX_PROPERTIES: Final = 10
MAX_PROPERTY_CHARACTERS: Final = 1_000


class UserEventsParameters(ListParameters):
    event_name: Names = Field((), description="May be repeated: any of them.", examples=[["page_view"]])


class EventsParameters(UserEventsParameters):
    """Parameters of events. Also takes `property.<name>=<value>`: pydantic keeps them in `model_extra`, `properties_of`
    looks at their names.
    """

    model_config = ConfigDict(extra="allow")

    user_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    session_id: RowId | None = None
    awaiting_order: bool = Field(
        False, description="Only refunds that name an order of which no conversion is known (yet)."
    )


PROPERTIES: Final[dict[str, Any]] = {
    "name": "properties",
    "in": "query",
    "style": "form",
    "explode": True,
    "description": "`property.<name>=<value>`: events whose property of that name has that value. A string is compared "
    "as it is, anything else by its JSON text, numbers by what they amount to. All given ones must hold; at most 10.",
    "schema": {
        "type": "object",
        "maxProperties": MAX_PROPERTIES,
        "propertyNames": {"pattern": "^property\\..+$"},
        "additionalProperties": {"type": "string", "maxLength": MAX_PROPERTY_CHARACTERS},
    },
    "example": {"property.page_title": "首页"},
}


def event_filter(given: EventsParameters, app: App) -> EventFilter:
    return EventFilter(
        event_names=given.event_name or ((REFUND,) if given.awaiting_order else ()),
        user_id=given.user_id,
        anonymous_id=given.anonymous_id,
        time_range=range_of(given, app),
        properties=properties_of(given),
        awaiting=(awaiting_order(),) if given.awaiting_order else (),
    )


def user_event_filter(given: UserEventsParameters, app: App) -> EventFilter:
    return EventFilter(event_names=given.event_name, time_range=range_of(given, app))


def properties_of(given: EventsParameters) -> tuple[tuple[str, str], ...]:
    """Read the parameters without a name of their own, all of which must be `property.<name>`."""
    extras = given.model_extra or {}
    for parameter in extras:
        if not parameter.startswith(PROPERTY_PREFIX) or parameter == PROPERTY_PREFIX:
            raise invalid(parameter[:100], Text("没有这个参数", "there is no such parameter"))
    pairs = tuple((parameter.removeprefix(PROPERTY_PREFIX), value) for parameter, value in extras.items())
    if len(pairs) > MAX_PROPERTIES:
        reason = Text(f"最多 {MAX_PROPERTIES} 个属性条件", f"at most {MAX_PROPERTIES} properties can be asked for")
        raise invalid(PROPERTY_PREFIX + "*", reason)
    for name, value in pairs:
        if not isinstance(value, str):
            raise invalid(PROPERTY_PREFIX + name, Text("重复给出", "is given more than once"))
        if len(name) > MAX_PROPERTY_CHARACTERS or len(value) > MAX_PROPERTY_CHARACTERS:
            raise invalid(
                PROPERTY_PREFIX + name[:100],
                Text(f"最多 {MAX_PROPERTY_CHARACTERS} 个字符", f"at most {MAX_PROPERTY_CHARACTERS} characters"),
            )
    return pairs
