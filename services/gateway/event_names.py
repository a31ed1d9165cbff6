"""Check of event names: `snake_case`. Pure."""

from typing import Any, Final

from schemas.caches import cache_short_texts
from schemas.errors import ErrorCode
from schemas.event_names import MAX_NAME_CHARACTERS, suggest_name
from schemas.events import EVENT_NAME_PATTERN
from services.gateway.event_fields import required
from services.web.errors import ApiError

_MAX_SHOWN: Final = 256


@cache_short_texts(4_096, MAX_NAME_CHARACTERS)
def is_event_name(name: str) -> bool:
    """An app has few names, and a lookup is a third of a match."""
    return len(name) <= MAX_NAME_CHARACTERS and EVENT_NAME_PATTERN.match(name) is not None


def check_name(given: str | None) -> str:
    """Return the name; else raise `MISSING_REQUIRED_FIELD`, or `INVALID_EVENT_NAME` with a suggestion if there is
    one.
    """
    name = required(given, "event_name")
    if is_event_name(name):
        return name
    shown = name[:_MAX_SHOWN]
    suggestion = suggest_name(shown)
    details: dict[str, Any] = {"suggestion": suggestion} if suggestion else {}
    raise ApiError(ErrorCode.INVALID_EVENT_NAME, field="event_name", value=shown, **details)
