"""Prepare a rejected event to be sent again: with the given changes, and the time and the id it would have had. Pure.

Sent again twice it counts once. An event that brought an id keeps it; one that brought none gets an id made from its
`reject_id`, the same every time. One without a time gets that of its receipt, and one whose time was to be corrected by
its sender's clock (`sent_at`) is corrected here: against the clock of a later day the correction would be wrong.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from schemas.ids import digest
from schemas.unreadable import UNREADABLE

_REPLACED: Final = "\ufffd"
_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


class Impossible(StrEnum):
    """Reasons why a rejected event cannot be sent again."""

    CUT = "the end of the payload is missing: it was longer than an event may be (earlier versions kept 4 KB)"
    EMPTY = "nothing of the payload was kept"
    UNDECODABLE = "the payload held bytes that are no UTF-8, which were replaced"
    NOT_AN_EVENT = "the payload is no JSON object of one event"
    NOT_OURS = "it was accepted, and refused behind the gateway: its event is in Kafka"


@dataclass(frozen=True)
class Mending:
    """Changes to make before an event is sent again."""

    renames: dict[str, str] = field(default_factory=dict)
    """Event name → the right name."""
    drops: tuple[str, ...] = ()
    """Paths of fields to leave out, `context.ip` say."""
    moves: dict[str, str] = field(default_factory=dict)
    """Path of a field → the right path. A field that has a value there already keeps it."""


@dataclass
class Tally:
    """Counts of the rejected events found, by outcome."""

    found: int = 0
    impossible: Counter[Impossible] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Events the gateway refuses again, by what it says of them."""
    sent: int = 0
    """Events accepted; in a dry run, those that would be."""
    repeated: int = 0
    """Events under an id that another event of the same batch has."""

    def ready(self, items: list[dict[str, Any]], mending: Mending) -> list[dict[str, Any]]:
        """Count the items, and return the events of those that can be sent again."""
        self.found += len(items)
        made = [make_ready(item, mending) for item in items]
        self.impossible.update(event for event in made if isinstance(event, Impossible))
        return [event for event in made if not isinstance(event, Impossible)]

    def good(self, events: list[dict[str, Any]], errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Count the errors of a validation, and return the events without one."""
        self.refused.update(map(_named, errors))
        refused = {error["index"] for error in errors}
        return [event for index, event in enumerate(events) if index not in refused]

    def take(self, results: Iterable[dict[str, Any]]) -> None:
        """Count the results of a batch."""
        for result in results:
            if result["status"] == "accepted":
                self.sent += 1
            elif result["status"] == "duplicate":
                self.repeated += 1
            else:
                self.refused[_named(result["error"])] += 1


def _named(error: dict[str, Any]) -> str:
    about = error["details"].get("field", "").partition("].")[2]
    return " ".join(filter(None, (error["code"], about, error["details"].get("reason", ""))))


def make_ready(item: dict[str, Any], mending: Mending) -> dict[str, Any] | Impossible:
    """Return the event to send for `item`, one of `GET /v1/events/rejected`."""
    event = _read(item)
    if isinstance(event, Impossible):
        return event
    _mend(event, mending)
    _settle_time(event, item["rejected_at"])
    if not event.get("event_id"):
        event["event_id"] = "evt_" + digest("replay", item["reject_id"])
    return event


def _read(item: dict[str, Any]) -> dict[str, Any] | Impossible:
    payload = item["payload"]
    if item["stage"] != "gateway":
        return Impossible.NOT_OURS
    if item["is_cut"]:
        return Impossible.CUT
    if not payload:
        return Impossible.EMPTY
    if _REPLACED in payload:
        return Impossible.UNDECODABLE
    try:
        event = msgspec.json.decode(payload)
    except UNREADABLE:
        return Impossible.NOT_AN_EVENT
    is_event = isinstance(event, dict) and not ("events" in event and "event_name" not in event)
    return event if is_event else Impossible.NOT_AN_EVENT


def _mend(event: dict[str, Any], mending: Mending) -> None:
    for old, new in mending.moves.items():
        value = _drop(event, old)
        if value is not None:
            _put(event, new, value)
    for path in mending.drops:
        _drop(event, path)
    name = event.get("event_name")
    if isinstance(name, str) and name in mending.renames:
        event["event_name"] = mending.renames[name]


def _drop(event: dict[str, Any], path: str) -> Any:
    """Take a field out, and return what it held."""
    inside: Any = event
    *outer, last = path.split(".")
    for name in outer:
        inside = inside.get(name) if isinstance(inside, dict) else None
    return inside.pop(last, None) if isinstance(inside, dict) else None


def _put(event: dict[str, Any], path: str, value: Any) -> None:
    inside: Any = event
    *outer, last = path.split(".")
    for name in outer:
        inside = inside.setdefault(name, {}) if isinstance(inside, dict) else None
    if isinstance(inside, dict) and inside.get(last) in (None, ""):
        inside[last] = value


def _settle_time(event: dict[str, Any], rejected_at: str) -> None:
    """Set the event's time. A time that cannot be read stays: the gateway says what is wrong with it."""
    if event.get("timestamp") is None:
        event["timestamp"] = rejected_at
        event.pop("sent_at", None)
        return
    if event.get("sent_at") is None:
        return
    try:
        times = [msgspec.convert(event[name], _AwareTime) for name in ("timestamp", "sent_at")]
        corrected = times[0] + _milliseconds(msgspec.convert(rejected_at, _AwareTime) - times[1])
    except (msgspec.ValidationError, OverflowError):
        return
    event["timestamp"] = corrected.isoformat()
    del event["sent_at"]


def _milliseconds(span: timedelta) -> timedelta:
    return timedelta(milliseconds=span // timedelta(milliseconds=1))
