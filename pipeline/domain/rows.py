"""Rows from facts. A row's content is a function of the person's events alone, its revision of the person's version.

What a conversion and its rows have under the same name is copied (`_copier`): only what differs is named here.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from pipeline.domain.attribution.models import credit_path
from pipeline.domain.channels.tables import Channel
from pipeline.domain.context import PersonContext, Place
from pipeline.domain.sessions.event_ids import Seen
from pipeline.domain.sessions.segments import Session, values_of, whole
from pipeline.domain.state import Conversion, Touch
from pipeline.domain.touches.touch import VISIT
from schemas.events import StreamEvent
from schemas.facts import (
    CONVERSION_PATH_COLUMNS,
    HASHED_ID,
    NO_PLACE,
    PATH_COLUMNS,
    AttributionRow,
    ConversionRow,
    EventMarkRow,
    SessionRow,
    TouchRow,
)
from schemas.ids import conversion_id, person_hash, session_id
from schemas.persons import ANONYMOUS, id_of, is_user


def _copier(row: type[msgspec.Struct], state: type[msgspec.Struct], *others: str) -> Callable[[Any], dict[str, Any]]:
    """Return a function that reads the fields of a state that its row has too; not `others`, which mean something else
    there."""
    names = [name for name in state.__struct_fields__ if name in row.__struct_fields__ and name not in others]
    read = attrgetter(*names)
    return lambda found: dict(zip(names, read(found), strict=True))


_conversion_columns: Final = _copier(ConversionRow, Conversion, "anonymous_id")
_attribution_columns: Final = _copier(AttributionRow, Conversion, "value_minor")
_EMPTY_SESSION: Final = {name: kind() for name, kind in get_type_hints(SessionRow).items() if kind in (str, int, bool)}


def user_of(person: str) -> str:
    return id_of(person) if is_user(person) else ""


def anonymous_of(person: str, known: str) -> str:
    """An anonymous person's own id, else the one `known` of a user."""
    return id_of(person) if person.startswith(ANONYMOUS) else known


def session_row(context: PersonContext, session: Session, is_closed: bool, revision: int) -> SessionRow:
    app_id, person, total = context.app_id, context.person, whole(session)
    entry, events = total.entry, total.events
    conversions = total.conversions + len(total.firsts)
    return SessionRow(
        app_id=app_id,
        session_id=session_id(app_id, person, total.start_ms, total.first_id),
        person_key=person,
        user_id=user_of(person),
        anonymous_id=anonymous_of(person, total.anonymous[2] if total.anonymous else ""),
        start_ms=total.start_ms,
        end_ms=total.end_ms,
        events=events,
        page_views=total.page_views,
        entry_page=total.entry_page[2] if total.entry_page else "",
        exit_page=total.exit_page[2] if total.exit_page else "",
        channel=entry.channel,
        source=entry.source,
        medium=entry.medium,
        campaign=entry.campaign,
        conversions=conversions,
        values_minor=values_of(total),
        is_bounce=events == 1 and conversions == 0 and entry.channel != "",
        is_closed=is_closed,
        revision=revision,
        is_bot=total.is_bot,
    )


def session_tombstone(app_id: str, person: str, key: tuple[int, str], revision: int) -> SessionRow:
    return SessionRow(
        **_EMPTY_SESSION
        | {
            "app_id": app_id,
            "session_id": session_id(app_id, person, *key),
            "person_key": person,
            "user_id": user_of(person),
            "anonymous_id": anonymous_of(person, ""),
            "start_ms": key[0],
            "end_ms": key[0],
            "is_closed": True,
            "revision": revision,
            "is_deleted": True,
        },
        values_minor={},
    )


def touch_row(
    context: PersonContext, touch: Touch, key: tuple[int, str], revision: int, is_deleted: bool = False
) -> TouchRow:
    """`key` names the touch's session inside the person. Columns are named: copying them by name would cost 2 of the
    52 µs that an ad click takes."""
    return TouchRow(
        app_id=context.app_id,
        touch_id=touch.touch_id,
        person_key=context.person,
        session_id=session_id(context.app_id, context.person, *key),
        touched_at_ms=touch.at_ms,
        touch_type=touch.touch_type,
        channel=touch.channel,
        source=touch.source,
        medium=touch.medium,
        campaign=touch.campaign,
        revision=revision,
        is_deleted=is_deleted,
        is_bot=touch.is_bot,
    )


class PathColumns(NamedTuple):
    """A path as the columns of rows."""

    touches: list[Touch]
    columns: list[Any]
    """In the order of `PATH_COLUMNS`."""


def columns_of(path: list[Touch]) -> PathColumns:
    """Columns are named here: reading them by `attrgetter` takes twice as long."""
    columns = [
        [touch.touch_id for touch in path],
        [touch.at_ms for touch in path],
        [touch.touch_type for touch in path],
        [touch.channel for touch in path],
        [touch.source for touch in path],
        [touch.medium for touch in path],
        [touch.campaign for touch in path],
    ]
    return PathColumns(path, columns)


NO_TOUCH: Final = columns_of([])


def conversion_row(
    context: PersonContext, conversion: Conversion, path: PathColumns, reason: str, is_deleted: bool = False
) -> ConversionRow:
    """Revision `conversion.row_revision`."""
    app_id, person = context.app_id, context.person
    return ConversionRow(
        app_id=app_id,
        conversion_id=conversion_id(app_id, conversion.goal, conversion.event_id),
        person_key=person,
        user_id=user_of(person),
        anonymous_id=anonymous_of(person, conversion.anonymous_id),
        converted_at_ms=conversion.at_ms,
        revision=conversion.row_revision,
        is_deleted=is_deleted,
        reason=reason,
        **dict(zip(CONVERSION_PATH_COLUMNS, path.columns, strict=True)),
        **_conversion_columns(conversion),
    )


def attribution_row(
    context: PersonContext, conversion: Conversion, path: PathColumns, reason: str, is_deleted: bool = False
) -> AttributionRow:
    """Revision `conversion.attribution_revision`. The value credited is what refunds have left of it."""
    value_minor = conversion.value_minor - conversion.refunded_minor
    credited = path
    if not path.touches:
        credited = columns_of([Touch(conversion.at_ms, "", VISIT, Channel.DIRECT.value, "", "", "")])
    credits_nanos, values_minor = credit_path(credited.touches, value_minor, context.rules)
    return AttributionRow(
        app_id=context.app_id,
        conversion_id=conversion_id(context.app_id, conversion.goal, conversion.event_id),
        person_key=context.person,
        converted_at_ms=conversion.at_ms,
        value_minor=value_minor,
        credits_nanos=credits_nanos,
        values_minor=values_minor,
        reason=reason,
        revision=conversion.attribution_revision,
        is_deleted=is_deleted,
        supersedes=conversion.attribution_revision - 1,
        **dict(zip(PATH_COLUMNS.values(), credited.columns, strict=True)),
        **_attribution_columns(conversion),
    )


def twin_mark_row(app_id: str, person: str, event_id: str, first: Seen, later: Seen) -> EventMarkRow:
    """Return the mark of an event whose place is no longer known. Empty where not known: `person`, whose it was, and
    `event_id`.
    """
    return EventMarkRow(
        app_id=app_id,
        event_id=event_id or HASHED_ID + later.mark.hex(),
        mark="duplicate",
        timestamp_ms=later.at_ms,
        first_timestamp_ms=first.at_ms,
        received_us=later.received_ms * 1000,
        partition=NO_PLACE,
        offset=NO_PLACE,
        index=person_hash(app_id, person),
        person_key=person,
    )


def mark_row(event: StreamEvent, mark: str, first_timestamp_ms: int, place: Place) -> EventMarkRow:
    return EventMarkRow(
        app_id=event.app_id,
        event_id=event.event_id,
        mark=mark,
        timestamp_ms=event.timestamp_ms,
        first_timestamp_ms=first_timestamp_ms,
        received_us=event.received_us,
        partition=place[0],
        offset=place[1],
        index=place[2],
    )
