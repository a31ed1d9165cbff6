"""What changes when an event does not simply make the open session longer: sessions, touches, and credits restated."""

from typing import Final

from pipeline.domain.effects import Effects
from pipeline.domain.paths import path_at
from pipeline.domain.rows import attribution_row, conversion_row, touch_row
from pipeline.domain.rules import AppRules
from pipeline.domain.segments import (
    Session,
    add_conversions,
    insert,
    neighbourhood,
    segment_of,
    session_key,
    session_touches,
    sessions_of,
)
from pipeline.domain.state import MAX_CONVERSIONS, Conversion, PersonState, Touch
from pipeline.domain.touches import entry_of
from schemas.events import StreamEvent
from schemas.ids import digest, session_id

INITIAL: Final = "initial"
LATE_TOUCH: Final = "late_touch"

SessionKey = tuple[int, str]


class _View:
    """The sessions of a neighbourhood as they stand: which there are, and their touches."""

    __slots__ = ("sizes", "touches")

    def __init__(self, sessions: list[Session]) -> None:
        self.sizes: dict[SessionKey, int] = {}
        self.touches: dict[str, tuple[SessionKey, Touch]] = {}
        for session in sessions:
            key = session_key(session)
            self.sizes[key] = len(session)
            for touch in session_touches(session):
                self.touches[touch.touch_id] = (key, touch)


def restructure(
    state: PersonState,
    event: StreamEvent,
    person: str,
    rules: AppRules,
    marketing: Touch | None,
    conversions: list[Conversion],
    effects: Effects,
) -> None:
    """Fold the event in where it belongs and write what that changed about touches and earlier conversions."""
    gap_ms, segments = rules.gap_ms, state.segments
    low, high = neighbourhood(segments, event.timestamp_ms, gap_ms)
    before = _View(sessions_of(segments[low:high], gap_ms))
    new = segment_of(event, entry_of(event, marketing), marketing, state.version)
    add_conversions(new, conversions)
    high = insert(segments, low, high, new, gap_ms)
    sessions = sessions_of(segments[low:high], gap_ms)
    after = _View(sessions)
    _stamp(state, sessions, before)
    _retire(state, before, after)
    has_changed = _write_touches(event.app_id, person, before, after, 2 * state.version, effects)
    if state.conversions and has_changed:
        _restate(state, event.app_id, person, rules, sessions, effects)


def _stamp(state: PersonState, sessions: list[Session], before: _View) -> None:
    """A session that is new, or is made of other segments than before, changed now, whatever its segments did."""
    for session in sessions:
        head, key = session[0], session_key(session)
        if key not in before.sizes:
            head.version, head.published = state.version, 0
        elif before.sizes[key] != len(session):
            head.version = state.version


def _retire(state: PersonState, before: _View, after: _View) -> None:
    """Sessions that are no more are to be taken back.

    Whether they were published is not asked: after a crash between the writing of rows and of state, the state would
    not know. Only events that come before their session's first make one vanish, so this is rare.
    """
    if state.retired:
        state.retired = [key for key in state.retired if key not in after.sizes]
    state.retired += [key for key in before.sizes if key not in after.sizes]


def _write_touches(app_id: str, person: str, before: _View, after: _View, revision: int, effects: Effects) -> bool:
    """Rows for touches that came, changed session or went; returns whether there were any."""
    count = len(effects.touches)
    for touch_id, (key, touch) in after.touches.items():
        if before.touches.get(touch_id) != (key, touch):
            effects.touches.append(touch_row(app_id, person, touch, key, revision))
    for touch_id, (key, touch) in before.touches.items():
        if touch_id not in after.touches:
            effects.touches.append(touch_row(app_id, person, touch, key, revision, is_deleted=True))
    return len(effects.touches) > count


def _restate(
    state: PersonState,
    app_id: str,
    person: str,
    rules: AppRules,
    sessions: list[Session],
    effects: Effects,
) -> None:
    """Conversions whose path or session changed get new rows; credits a new revision only if the path differs.

    A session that gets another id changes touch rows too, for every session has a touch: where no touch row changed,
    nothing is to be restated.
    """
    from_ms = sessions[0][0].start_ms
    for conversion in state.conversions:
        if conversion.at_ms < from_ms:
            continue
        session = _session_at(sessions, conversion.at_ms)
        named = session_id(app_id, person, *session_key(session)) if session else conversion.session_id
        path = path_at(state, conversion.at_ms, rules)
        path_digest = _digest(path)
        has_new_path = path_digest != conversion.path_digest
        if not has_new_path and named == conversion.session_id:
            continue
        conversion.session_id = named
        effects.conversions.append(conversion_row(app_id, person, conversion, path, 2 * state.version))
        if has_new_path:
            _attribute(app_id, person, rules, conversion, path, path_digest, LATE_TOUCH, effects)


def attribute_new(
    state: PersonState,
    app_id: str,
    person: str,
    rules: AppRules,
    conversions: list[Conversion],
    effects: Effects,
) -> None:
    """First credits of the conversions one event made."""
    at_ms = conversions[0].at_ms
    session = _session_at(sessions_of(state.segments, rules.gap_ms), at_ms)
    assert session is not None, "an event is in a session once it is folded in"
    named = session_id(app_id, person, *session_key(session))
    path = path_at(state, at_ms, rules)
    path_digest = _digest(path)
    for conversion in conversions:
        conversion.session_id = named
        effects.conversions.append(conversion_row(app_id, person, conversion, path, 2 * state.version))
        _attribute(app_id, person, rules, conversion, path, path_digest, INITIAL, effects)
    state.conversions = sorted(
        [*state.conversions, *conversions], key=lambda found: (found.at_ms, found.event_id, found.goal)
    )[-MAX_CONVERSIONS:]


def _attribute(
    app_id: str,
    person: str,
    rules: AppRules,
    conversion: Conversion,
    path: list[Touch],
    path_digest: str,
    reason: str,
    effects: Effects,
) -> None:
    conversion.path_digest = path_digest
    conversion.attribution_revision += 1
    effects.attributions.append(attribution_row(app_id, person, conversion, path, rules, reason))


def _session_at(sessions: list[Session], at_ms: int) -> Session | None:
    return next((s for s in sessions if s[0].start_ms <= at_ms <= s[-1].end_ms), None)


def _digest(path: list[Touch]) -> str:
    """A touch is a function of its event, so the ids say it all. Empty for an empty path."""
    return digest(*(touch.touch_id for touch in path)) if path else ""
