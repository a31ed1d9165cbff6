"""Preview of what the stream would make of an event. Pure: the stream's own functions, on the stream's own bytes.

An event is looked at as if a session began with it, for that is all that can be known of one alone: after others of its
person's it may be a repeat, fall into a session that has its channel already, or (`may_be_late`) before what is final.
"""

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pipeline.domain.conversions.goals import conversions_of
from pipeline.domain.rules import AppRules, compile_rules
from pipeline.domain.sessions.lateness import may_be_late
from pipeline.domain.state import Conversion
from pipeline.domain.touches.touch import arrival_of, entry_of, is_marketing, marketing_touch
from schemas.amounts import ValueIssue, shown_value
from schemas.control import App
from schemas.events import AcceptedEvent, StreamEvent, decode_stream_event, encode_event
from schemas.facts import TouchType


class MetGoal(msgspec.Struct):
    """A goal the event meets."""

    goal: str
    goal_type: Annotated[str, Meta(extra_json_schema={"enum": ["macro", "micro"]})]
    value: Annotated[
        Annotated[Decimal, Meta(extra_json_schema={"minimum": 0})] | None,
        Meta(description="In whole units of `currency`. Null: an amount or currency is given that cannot be read."),
    ]
    currency: str | None
    value_issue: Annotated[
        Annotated[str, Meta(extra_json_schema={"enum": list(ValueIssue)})] | None,
        Meta(description="Why the value is not known."),
    ] = None


class Preview(msgspec.Struct):
    """Result of a preview. `channel`, `channel_rule` and `touch_type` are None if it tells of no arrival."""

    channel: Annotated[
        str | None, Meta(description="Of the session it would begin; null for an event without a person.")
    ]
    channel_rule: Annotated[
        str | None,
        Meta(
            description="Which rule decided the channel: `click_id:gclid`, `tags:medium`, `referrer:search_engine`, "
            "`app:<name>` of the app's own rules. Null for an event without a person."
        ),
    ]
    touch_type: Annotated[
        TouchType | None,
        Meta(
            description="The touch it would be: `click`, `impression` and `view` wherever in a session it stands, "
            "`visit` as the first of one. Null for an event without a person."
        ),
    ]
    goals: Annotated[list[MetGoal], Meta(description="What it would count for; none for an event without a person.")]
    may_be_late: Annotated[
        bool,
        Meta(
            description="Its time is before the present less the app's allowed lateness. It counts as imported "
            "history, unless its person has been active since and that is final: then it is stored, in no session and "
            "no credit."
        ),
    ]


NOTHING: Final = Preview(None, None, None, [], False)
"""Preview of an event without a person: it is stored, and belongs to no session, touch or conversion."""


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
    return Preview(entry.channel, rule, TouchType(entry.touch_type), _goals(read, rules), late)


def _goals(event: StreamEvent, rules: AppRules) -> list[MetGoal]:
    goals = rules.goals_by_event.get(event.event_name, ())
    return [_met(conversion) for conversion in conversions_of(event, goals, rules)]


def _met(found: Conversion) -> MetGoal:
    value, currency = shown_value(found.value_minor, found.currency, found.value_issue)
    return MetGoal(found.goal, found.goal_type, value, currency, found.value_issue or None)
