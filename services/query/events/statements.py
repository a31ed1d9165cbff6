"""Statements of the lists of events: of the app, and of one person. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.events import AcceptedEvent
from schemas.persons import USER
from services.query.core.lists import Page, PageListing
from services.query.core.sql import (
    OF_FEW_ROWS,
    Condition,
    Horizon,
    Listing,
    Newest,
    SortKey,
    Statement,
    Table,
    columns,
    equals,
    newest_first,
    older_than,
    one_of,
    peeking_statement,
    raw_source,
    reaching_to,
    source,
    time_horizon_of,
    within,
)
from services.query.core.times import ALL_TIME, TimeRange
from services.query.identity.sessions import FoundSession

ORDER: Final = SortKey("timestamp_ms", "event_id")

_NUMBER: Final = re.compile(r"^-?[0-9]{1,15}(\.[0-9]{1,15})?\Z")


class EventRow(AcceptedEvent, gc=False):
    """The columns of an event. `properties` is the caller's object as text."""

    properties: str = "{}"  # type: ignore[assignment]


@dataclass(frozen=True)
class EventFilter:
    event_names: tuple[str, ...] = ()
    user_id: str | None = None
    anonymous_id: str | None = None
    person_keys: tuple[str, ...] = ()
    session: FoundSession | None = None
    time_range: TimeRange = ALL_TIME
    properties: tuple[tuple[str, str], ...] = ()
    """Pairs (name, value), all of which must hold; see `property_condition`."""
    awaiting: tuple[Condition, ...] = ()
    """See `events.refunds.awaiting_order`."""


def list_events(app_id: str, wanted: EventFilter, page: Page) -> Listing[EventRow]:
    in_session = () if wanted.session is None else (wanted.session.around(),)
    around = (*within("timestamp_ms", wanted.time_range), *in_session)
    others = (
        *one_of("event_name", wanted.event_names),
        *equals("anonymous_id", wanted.anonymous_id),
        *older_than(ORDER, page.after),
    )
    exact = (*(property_condition(index, *pair) for index, pair in enumerate(wanted.properties)), *wanted.awaiting)
    persons = _persons(wanted)
    if persons:
        return NewestOfPersons(app_id, page, persons, around, (*others, *exact))
    hints = (*(property_hint(index, *pair) for index, pair in enumerate(wanted.properties)), *wanted.awaiting)
    plain = (*around, *others)
    return Newest(
        EventRow,
        app_id,
        Table.EVENTS,
        ORDER,
        (*plain, *exact),
        page.row_limit,
        (*plain, *hints),
    )


def _persons(wanted: EventFilter) -> tuple[tuple[str, ...], ...]:
    """Return the person keys whose events are asked for: of each group one."""
    groups = [wanted.person_keys] if wanted.person_keys else []
    if wanted.user_id is not None:
        groups.append((USER + wanted.user_id,))
    if wanted.session is not None:
        groups.append(wanted.session.person_keys)
    return tuple(groups)


@dataclass(frozen=True)
class NewestOfPersons(PageListing):
    """The `Listing` of some people's events.

    The projection `by_person` tells when they did anything; the events of those times are read by the key of the table.
    What else is asked of an event is asked of those alone: if few of them meet it, the next try reaches further.
    """

    persons: tuple[tuple[str, ...], ...]
    around: tuple[Condition, ...]
    """Condition that the event lies about that time."""
    others: tuple[Condition, ...]

    def horizon(self, reach: int) -> Statement[Horizon]:
        found = time_horizon_of(self.app_id, Table.EVENTS, "timestamp_ms", self._places(), reach)
        return replace(found, settings=OF_FEW_ROWS)

    def rows(self, horizon: Horizon) -> Statement[EventRow]:
        places = [*self._places(), *reaching_to("timestamp_ms", horizon)]
        then = Condition(f"timestamp_ms IN (SELECT timestamp_ms FROM {raw_source(Table.EVENTS, places)})")
        rows = source(Table.EVENTS, [then, *self._keys(), *self.others])
        sql = f"SELECT {columns(EventRow)} FROM {rows}" + newest_first(ORDER)
        found = peeking_statement(EventRow, self.app_id, sql, [*places, *self.others], row_limit=self.row_limit)
        return replace(found, settings=OF_FEW_ROWS)

    def _keys(self) -> list[Condition]:
        return [
            Condition(f"person_key IN {{persons_{index}:Array(String)}}", {f"persons_{index}": list(keys)})
            for index, keys in enumerate(self.persons)
        ]

    def _places(self) -> list[Condition]:
        found = self._keys()
        if self.page.after is not None:
            found.append(Condition("timestamp_ms <= {newest_ms:Int64}", {"newest_ms": self.page.after.time_ms}))
        return [*found, *self.around]


def property_hint(index: int, name: str, value: str) -> Condition:
    """Return a condition that holds of every event that `property_condition` holds of, and hardly of another: cheap, by
    an index.

    The hash is to the letter that of the column `property_hashes`. Of nulls it knows nothing.
    """
    if value == "null":
        return property_condition(index, name, value)
    name_sql, text_sql = f"{{property_{index}:String}}", f"{{property_{index}_text:String}}"
    wanted = f"toUInt32(cityHash64({name_sql}, ifNull(toString(toFloat64OrNull({text_sql})), {text_sql})))"
    return Condition(f"has(property_hashes, {wanted})", {f"property_{index}": name, f"property_{index}_text": value})


def property_condition(index: int, name: str, value: str) -> Condition:
    """Return the condition that the property `name` at the top of the object equals `value`.

    A string is compared with the value as it is, anything else by its JSON text (`true`, `null`, `12`), and a number
    also by what it amounts to, so 19.9 finds 19.90. Before that, hashes say where it cannot be. `index` keeps the
    parameters of several conditions apart.
    """
    property_name, text, number = f"property_{index}", f"property_{index}_text", f"property_{index}_number"
    name_sql, text_sql = f"{{{property_name}:String}}", f"{{{text}:String}}"
    alternatives = [
        f"if(JSONType(properties, {name_sql}) = 'String', JSONExtractString(properties, {name_sql}),"
        f" JSONExtractRaw(properties, {name_sql})) = {text_sql}"
    ]
    parameters: dict[str, Any] = {property_name: name, text: value}
    if _NUMBER.match(value):
        alternatives.append(
            f"(JSONType(properties, {name_sql}) IN ('Int64', 'UInt64', 'Double')"
            f" AND JSONExtractFloat(properties, {name_sql}) = {{{number}:Float64}})"
        )
        parameters[number] = float(value)
    exact = f"JSONHas(properties, {name_sql}) AND ({' OR '.join(alternatives)})"
    if value == "null":
        return Condition(exact, parameters)
    return Condition(f"{property_hint(index, name, value).sql} AND {exact}", parameters)
