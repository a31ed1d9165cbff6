"""Likely mends of refused events, by what was wrong with them; and the mend that a form asks for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pipeline.control.errors import InvalidRecord
from pipeline.domain.rejected_replay import Mending
from schemas.errors import ErrorCode
from schemas.event_names import suggest_name
from schemas.events import EVENT_NAME_PATTERN
from schemas.unreadable import UNREADABLE
from services.console.i18n.catalogue import text

NAME: Final = "event_name"
_MEANT_FOR_A_NAME: Final = ("event", "eventName", "event_type", "eventType", "name", "type")
_HISTORY: Final = "history limit"
_NO_FIELDS: Final = ("body", "events", "Content-Encoding")
"""Names in reasons that are no fields of an event: leaving them out mends nothing."""
_LONGEST_PATH: Final = 200
_BAD_NAME: Final = text("The new event name must be snake_case: a letter, then letters, digits or _, at most 64.")
_HALF_A_MOVE: Final = text("To rename a field, say both its path and the new one.")


@dataclass(frozen=True)
class Mend:
    """A change that would let refused events in: rename the event or a field, or leave a field out. `advice`: its text
    in the catalogue. An empty field: not that change."""

    advice: str
    new_name: str = ""
    """Event name in place of theirs."""
    from_path: str = ""
    to_path: str = ""
    """Field that is moved, and where."""
    drop: str = ""
    """Field that is left out."""


def likely_mend(group: Mapping[str, Any], payload: str) -> Mend:
    """Return the mend to begin with. `payload`: one of the group's events, as it came."""
    code, about, reason = group["code"], group["about"], group["reason"]
    if code == ErrorCode.INVALID_EVENT_NAME:
        return Mend(text("Rename the event to a snake_case name."), new_name=suggest_name(group[NAME]))
    if code == ErrorCode.MISSING_REQUIRED_FIELD and about == NAME:
        meant = next((name for name in _MEANT_FOR_A_NAME if isinstance(_fields_of(payload).get(name), str)), "")
        return Mend(text("Say which field holds the event's name."), from_path=meant, to_path=NAME)
    if _HISTORY in reason:
        return Mend(text("It is too old for this app. Raise the app's history limit, then send it again."))
    if code == ErrorCode.INVALID_PARAMETER and about and about not in _NO_FIELDS:
        return Mend(text("Leave the field out, if the event is good without it."), drop=about)
    return Mend(text("Nothing here mends it. Mend the sender; the events it sends from then on are taken."))


def _fields_of(payload: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(payload)
    except UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def mend_of(given: Mapping[str, str]) -> Mend:
    """Read a form. Raises `InvalidRecord`, with a text of the catalogue."""
    mend = Mend("", *(given[name][:_LONGEST_PATH] for name in ("new_name", "from_path", "to_path", "drop")))
    if mend.new_name and not EVENT_NAME_PATTERN.match(mend.new_name):
        raise InvalidRecord(_BAD_NAME)
    if bool(mend.from_path) != bool(mend.to_path):
        raise InvalidRecord(_HALF_A_MOVE)
    return mend


def mending_of(mend: Mend, event_name: str, items: list[dict[str, Any]]) -> Mending:
    """Return the changes to the events of a group. They may give themselves a name longer than the group's, which is
    cut, so each is renamed by its own."""
    names = {name for item in items if isinstance(name := _fields_of(item["payload"]).get(NAME), str)} | {event_name}
    moves = {mend.from_path: mend.to_path} if mend.from_path else {}
    if mend.to_path == NAME:
        names |= {str(_fields_of(item["payload"]).get(mend.from_path, "")) for item in items}
    renames = dict.fromkeys(names, mend.new_name) if mend.new_name else {}
    return Mending(renames, (mend.drop,) if mend.drop else (), moves)
