"""Preview of what the stream would make of an event. Pure: the stream's own functions, on the stream's own bytes.

An event is looked at as if a visit began with it, for that is all that can be known of one alone: after others of its
person's it may be a repeat, fall into a visit that has its channel already, or (`may_be_late`) before what is final.
"""

from decimal import Decimal
from typing import Final

import msgspec

from pipeline.domain.conversions.goals import conversions_of
from pipeline.domain.rules import AppRules, compile_rules
from pipeline.domain.sessions.lateness import may_be_late
from pipeline.domain.state import Conversion
from pipeline.domain.touches.touch import arrival_of, entry_of, is_marketing, marketing_touch
from schemas.amounts import shown_value
from schemas.control import App
from schemas.events import AcceptedEvent, StreamEvent, decode_stream_event, encode_event


class MetGoal(msgspec.Struct):
    """A goal the event meets. `value` in whole units of `currency`. Null: not known, for the reason `value_issue`."""

    goal: str
    goal_type: str
    value: Decimal | None
    currency: str | None
    value_issue: str | None = None


class Preview(msgspec.Struct):
    """Result of a preview. `channel`: of the visit that begins with the event. `touch_type`: `click`, `impression` or
    `view` wherever in a visit the event stands, `visit` where only its being the first makes it a touch.
    `channel_rule`: the rule that decided. All three None: it is no visit.
    """

    channel: str | None
    channel_rule: str | None
    touch_type: str | None
    goals: list[MetGoal]
    may_be_late: bool = False
    """True if its time is so long ago that it does not count if its person has been active since then and that is
    final.
    """


NOTHING: Final = Preview(None, None, None, [])
"""Preview of an event without a person: it is stored, and belongs to no visit, touch or conversion."""


def rules_of(app: App) -> AppRules:
    """Return an app's rules as the stream has them: settings that cannot be used are as good as none."""
    try:
        return compile_rules(app)
    except ValueError:
        return compile_rules(App(app.app_id, app.name, currency=app.currency, goals=app.goals))


def preview(event: AcceptedEvent, rules: AppRules) -> Preview:
    if not (event.user_id or event.anonymous_id):
        return NOTHING
    read = decode_stream_event(encode_event(event))
    channels = rules.channels
    _, entry = entry_of(read, marketing_touch(read, channels) if is_marketing(read) else None, channels)
    rule = arrival_of(read, channels).rule
    late = may_be_late(event.timestamp_ms, event.received_us, rules)
    if not entry.channel:
        return Preview(None, None, None, _goals(read, rules), late)
    return Preview(entry.channel, rule, entry.touch_type, _goals(read, rules), late)


def _goals(event: StreamEvent, rules: AppRules) -> list[MetGoal]:
    goals = rules.goals_by_event.get(event.event_name, ())
    return [_met(conversion) for conversion in conversions_of(event, goals, rules)]


def _met(found: Conversion) -> MetGoal:
    value, currency = shown_value(found.value_minor, found.currency, found.value_issue)
    return MetGoal(found.goal, found.goal_type, value, currency, found.value_issue or None)
