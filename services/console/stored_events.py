"""Events as the API shows them: in the form that the domain takes, and with what they say. Pure."""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Final

import msgspec

from pipeline.domain.preview import preview, rules_of
from schemas.control import App
from schemas.events import FIELDS, AcceptedEvent
from services.web.envelope import encode_json

_ABOUT_CHARACTERS: Final = 160
_OLD_SECONDS: Final = 60


@dataclass(frozen=True)
class LiveRow:
    """A row of the live view. Times are RFC 3339. `channel` and `rule` are of a session that would begin with the
    event; None: it tells of no arrival."""

    event_id: str
    event_name: str
    received_at: str
    own_time: str | None
    """The event's time; None: it is about that of its receipt."""
    person: str
    is_bot: bool
    channel: str | None
    rule: str | None
    about: str
    """The page, else the properties, cut to a line."""
    stored_at_ms: int


def row_of(app: App, item: dict[str, Any]) -> LiveRow:
    """Make the row of an item of the list of recent events."""
    verdict = preview(event_of(app.app_id, item), rules_of(app))
    apart = datetime.fromisoformat(item["received_at"]) - datetime.fromisoformat(item["timestamp"])
    return LiveRow(
        event_id=item["event_id"],
        event_name=item["event_name"],
        received_at=item["received_at"],
        own_time=item["timestamp"] if abs(apart.total_seconds()) > _OLD_SECONDS else None,
        person=item["user_id"] or item["anonymous_id"] or "",
        is_bot=item["is_bot"],
        channel=verdict.channel,
        rule=verdict.channel_rule,
        about=_about(item),
        stored_at_ms=item["stored_at_ms"],
    )


def event_of(app_id: str, item: dict[str, Any]) -> AcceptedEvent:
    """Return the stored event that an item of the API shows."""
    shown = {one.name: value_at(item, one.shown.path) for one in FIELDS}
    return AcceptedEvent(
        app_id=app_id,
        event_id=item["event_id"],
        event_name=item["event_name"],
        timestamp_ms=_ms(item["timestamp"]),
        received_us=_ms(item["received_at"]) * 1000,
        user_id=item["user_id"] or "",
        anonymous_id=item["anonymous_id"] or "",
        properties=msgspec.Raw(encode_json(item["properties"])),
        **{name: value for name, value in shown.items() if value is not None},
    )


def _about(item: dict[str, Any]) -> str:
    text = item["context"]["page"]["url"] or ", ".join(f"{name}: {value}" for name, value in item["properties"].items())
    return text if len(text) <= _ABOUT_CHARACTERS else text[: _ABOUT_CHARACTERS - 1] + "…"


def value_at(item: Any, path: str) -> Any:
    """Return the value at a path such as `context.page.url`; None: there is none."""
    return reduce(lambda found, name: found.get(name) if isinstance(found, dict) else None, path.split("."), item)


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
