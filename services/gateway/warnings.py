"""Warnings for the sender of an event that is accepted all the same. Pure.

A warning refuses nothing and costs ordinary events next to nothing: a batch accepted at once is filtered by four
comparisons an event, and only what they find is looked at closely. An answer holds `MAX_WARNINGS` and says how many
more there are.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache  # noqa: TID251 of names that are cut
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from pipeline.domain.conversions.goals import REFUND, order_id_of
from pipeline.domain.conversions.refunds import VALUE_PROPERTIES
from schemas.amounts import Problem, ValueIssue, is_amount, read_money, value_problems
from schemas.control import App
from schemas.currencies import currencies_of_mark
from schemas.errors import WarningCode
from schemas.events import AcceptedEvent
from schemas.unreadable import UNREADABLE
from services.gateway.event_fields import IncomingEvent, decode_parts

MAX_WARNINGS: Final = 100
_MAX_NAMES: Final = 5
"""Maximum number of unknown fields of one event that are named, and of its properties that may have been meant for a
value.
"""
_MAX_LOOKED_UP: Final = 50
"""Maximum number of different names in a request for which it is looked up what was meant."""
_MAX_CHARACTERS: Final = 64
_KNOWN: Final = IncomingEvent.__struct_fields__
_TOTALS: Final = frozenset(
    {
        *("total", "ordertotal", "grandtotal", "totalprice", "totalamount", "ordervalue", "orderamount"),
        *("value", "paid", "payment"),
    }
)
"""Other common names of an order's value, letters and digits alone."""

_decode_own: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Own", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in _KNOWN], forbid_unknown_fields=True
    )
).decode
_decode_properties: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Warned(msgspec.Struct, frozen=True):
    """A warning. `field`: a path in the event. `suggestion`: what may have been meant; empty where that is not
    known.
    """

    index: int
    code: WarningCode
    field: str
    suggestion: str = ""


class TrackWarning(msgspec.Struct, omit_defaults=True):
    """A warning about an event that is accepted all the same."""

    code: WarningCode
    field: Annotated[str, Meta(description="A path in the event.")]
    message: Annotated[str, Meta(description="For people, in the language of `Accept-Language`.")]
    suggestion: Annotated[
        str, Meta(description="The name that may have been meant; absent where that is not known.")
    ] = ""


class EventWarning(TrackWarning, kw_only=True):
    index: Annotated[int, Meta(description="Of the event in the batch.")]


def warnings_of(
    events: Iterable[tuple[int, AcceptedEvent]], pieces: Sequence[bytes | msgspec.Raw] | None, app: App
) -> list[Warned]:
    """Return the warnings of accepted events with their places in the request. `pieces`: what came for each place; None
    where it is known that no event has an unknown field.
    """
    found: list[Warned] = []
    meant = Meant()
    for index, event in events:
        if pieces is not None:
            found += _unknown_fields(index, bytes(pieces[index]), meant)
        found += _of_event(index, event, app, meant)
    return found


def doubtful(events: Sequence[AcceptedEvent], app: App) -> list[tuple[int, AcceptedEvent]]:
    """Return the events that `warnings_of` may find something in, unknown fields aside."""
    valued = {goal.event_name for goal in app.goals if goal.value_properties} | {REFUND}
    oldest_ms = _oldest_ms(events[0], app)
    return [
        (index, event)
        for index, event in enumerate(events)
        if event.is_bot
        or not (event.anonymous_id or event.user_id)
        or event.timestamp_ms < oldest_ms
        or event.event_name in valued
    ]


def told(found: Sequence[Warned], language: str) -> tuple[list[EventWarning], int]:
    """Return the first warnings of a batch in the caller's language, and how many more there are."""
    listed = found[:MAX_WARNINGS]
    warnings = [
        EventWarning(one.code, one.field, _message(one, language), one.suggestion, index=one.index) for one in listed
    ]
    return warnings, len(found) - len(listed)


def told_of_one(found: Sequence[Warned], language: str) -> list[TrackWarning]:
    """Return the first warnings of a single event in the caller's language."""
    return [TrackWarning(one.code, one.field, _message(one, language), one.suggestion) for one in found[:MAX_WARNINGS]]


def _message(one: Warned, language: str) -> str:
    meant = _MEANT[language].format(one.suggestion) if one.suggestion else ""
    return one.code.message(language).format(field=one.field) + meant


_MEANT: Final = {"zh": "，是否应为 {}？", "en": "; was {} meant?"}


def _oldest_ms(event: AcceptedEvent, app: App) -> int:
    """Return the time before which an event may be late (see `pipeline.domain.sessions.lateness`)."""
    return event.received_us // 1000 - app.attribution.allowed_lateness_seconds * 1000


def _unknown_fields(index: int, raw: bytes, meant: "Meant") -> list[Warned]:
    if _has_own_fields(raw):
        return []
    try:
        unknown = [name for name in decode_parts(raw) if name not in _KNOWN]
    except UNREADABLE:
        return []
    return [
        Warned(index, WarningCode.UNKNOWN_FIELD, name[:_MAX_CHARACTERS], meant.by(name[:_MAX_CHARACTERS], _KNOWN))
        for name in unknown[:_MAX_NAMES]
    ]


def _has_own_fields(raw: bytes) -> bool:
    try:
        _decode_own(raw)
    except UNREADABLE:
        return False
    return True


def _of_event(index: int, event: AcceptedEvent, app: App, meant: "Meant") -> list[Warned]:
    found: list[Warned] = []
    if not (event.user_id or event.anonymous_id):
        found.append(Warned(index, WarningCode.NO_PERSON, "user_id"))
    elif event.timestamp_ms < _oldest_ms(event, app):
        found.append(Warned(index, WarningCode.MAY_BE_LATE, "timestamp"))
    if event.is_bot:
        found.append(Warned(index, WarningCode.BOT, "context.user_agent"))
    names = _value_names(event.event_name, app)
    if names or event.event_name == REFUND:
        found += _of_value(index, event, names, app, meant)
    return found


def _value_names(event_name: str, app: App) -> tuple[str, ...]:
    """Return the properties in which the app's goals look for the event's value."""
    goals = (goal for goal in app.goals if goal.event_name == event_name)
    return tuple(dict.fromkeys(name for goal in goals for name in goal.value_properties))


def _of_value(index: int, event: AcceptedEvent, names: tuple[str, ...], app: App, meant: "Meant") -> list[Warned]:
    properties: dict[str, Any] = _decode_properties(event.properties)
    found: list[Warned] = []
    if event.event_name == REFUND and not order_id_of(properties):
        found.append(Warned(index, WarningCode.NO_ORDER, "properties.order_id"))
    given = names or (VALUE_PROPERTIES if event.event_name == REFUND else ())
    money = read_money(properties, given, app.currency)
    problems = value_problems(money, app.currency) if names else money.problems
    found += [_of_problem(index, problem, properties[problem.field]) for problem in problems]
    if names and not money.amount and not problems:
        found += _meant_for_a_value(index, properties, names, meant)
    return found


def _of_problem(index: int, problem: Problem, given: object) -> Warned:
    field = f"properties.{problem.field}"
    if problem.issue is not ValueIssue.CURRENCY:
        return Warned(index, WarningCode.UNREADABLE_VALUE, field)
    possible = currencies_of_mark(given) if isinstance(given, str) else ()
    return Warned(index, WarningCode.UNREADABLE_CURRENCY, field, *possible if len(possible) == 1 else ())


def _meant_for_a_value(index: int, properties: dict[str, Any], names: tuple[str, ...], meant: "Meant") -> list[Warned]:
    numbers = (name for name, value in properties.items() if is_amount(value) and len(name) <= _MAX_CHARACTERS)
    for name in islice(numbers, _MAX_NAMES):
        suggestion = meant.by(name, names) or (names[0] if _letters(name) in _TOTALS else "")
        if suggestion:
            return [Warned(index, WarningCode.UNKNOWN_VALUE_PROPERTY, f"properties.{name}", suggestion)]
    return []


class Meant:
    """What the names of one request mean. Looking one up takes up to 0.1 ms; a sender's mistakes are few different
    ones, so past `_MAX_LOOKED_UP` of them no name is taken for another."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, tuple[str, ...]], str] = {}

    def by(self, name: str, names: tuple[str, ...]) -> str:
        """Return the one of `names` that `name` means; empty if there is none."""
        known = self._found.get((name, names))
        if known is None:
            known = nearest(name, names) if len(self._found) < _MAX_LOOKED_UP else ""
            if len(self._found) < _MAX_LOOKED_UP:
                self._found[name, names] = known
        return known


@lru_cache(maxsize=4_096)
def nearest(name: str, names: tuple[str, ...]) -> str:
    """Return the one of `names` that `name` is a way of writing, or a slip of; empty if there is none."""
    by_letters = {_letters(one): one for one in names}
    close = get_close_matches(_letters(name), by_letters, 1, 0.8)
    return by_letters[close[0]] if close else ""


def _letters(name: str) -> str:
    """Reduce a name to its letters: `userId`, `User-ID` and `user_id` are one."""
    return "".join(filter(str.isalnum, name.lower()))
