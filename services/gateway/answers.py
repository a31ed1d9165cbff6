"""The data that the endpoints of events answer, built from the outcomes of a request. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache  # noqa: TID251 of numbers
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pipeline.domain.preview import Preview, preview, rules_of
from pipeline.domain.rules import AppRules
from schemas.control import App
from schemas.events import FIELDS, MAX_BATCH_EVENTS, AcceptedEvent
from services.gateway.outcomes import Accepted, Duplicate, Outcome, Rejected
from services.gateway.warnings import MAX_WARNINGS, EventWarning, TrackWarning, Warned, told
from services.web.envelope import Language, encode_json
from services.web.errors import Error

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339."""
_WARNINGS: Final = Meta(description="Absent if there are none. A warning refuses nothing.")
_MORE: Final = Meta(
    description=f"How many there are beside the {MAX_WARNINGS} that are listed; absent if there are none."
)


class Tracked(msgspec.Struct, omit_defaults=True):
    event_id: str
    received_at: Time
    warnings: Annotated[list[TrackWarning], _WARNINGS] = []


class Preflight(msgspec.Struct):
    """For people who look: browsers read the headers."""

    methods: list[str]


IS_KEPT: Final = "is_kept"
"""False in the details of an error: the refusal is in no list, and cannot be replayed."""


class EventResult(msgspec.Struct, omit_defaults=True, gc=False):
    """Result of one event. A refused event has its caller's id, if it could be read."""

    index: int
    event_id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    error: Annotated[Error | None, Meta(description="Present on rejected events.")] = None


class BatchResult(msgspec.Struct, omit_defaults=True):
    accepted: int
    rejected: int
    results: list[EventResult]
    warnings: Annotated[list[EventWarning], _WARNINGS] = []
    more_warnings: Annotated[int, _MORE] = 0
    is_kept: Annotated[
        bool,
        Meta(
            description="False if the refused events could not be written down: `GET /v1/events/rejected` does not "
            "list them, and they cannot be replayed. Absent otherwise."
        ),
    ] = True


class EventError(Error):
    index: int


_CAMPAIGN: Final = {one.name: one.shown.path.rpartition(".")[2] for one in FIELDS if ".campaign." in one.shown.path}
_FLAT: Final = tuple(one for one in FIELDS if one.name not in _CAMPAIGN)
"""The fields that a normalised event has under their own names."""


class _Event(msgspec.Struct, kw_only=True):
    index: int
    event_id: Annotated[str | None, Meta(description="Null where the event has none: one is minted when it is stored.")]
    event_name: str
    timestamp: Time
    original_timestamp: Annotated[
        Time | None, Meta(description="The event's own `timestamp` where `sent_at` corrected it.")
    ]
    user_id: str | None
    anonymous_id: str | None
    properties: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
    campaign: dict[str, str]


if TYPE_CHECKING:
    NormalizedEvent: TypeAlias = Any
else:
    NormalizedEvent = msgspec.defstruct(
        "NormalizedEvent",
        [(one.name, one.type) for one in (*msgspec.structs.fields(Preview), *_FLAT)],
        bases=(_Event,),
        namespace={
            "__doc__": "The event as it would be stored, and the result if a session began with it: after others of "
            "its person's it may also be a repeat, fall into a session that has its channel already, or be late (see "
            "`may_be_late`)."
        },
        kw_only=True,
    )


class Validation(msgspec.Struct, omit_defaults=True):
    valid: bool
    errors: list[EventError]
    normalized: list[NormalizedEvent]
    warnings: Annotated[list[EventWarning], _WARNINGS] = []
    more_warnings: Annotated[int, _MORE] = 0


_ACCEPTED_STARTS: Final = [f'{{"index":{index},"event_id":"' for index in range(MAX_BATCH_EVENTS)]
_ACCEPTED_END: Final = '","status":"accepted"},'


@lru_cache(maxsize=64)
def utc_seconds(seconds: int) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_milliseconds(time_ms: int) -> str:
    """RFC 3339 in UTC, three decimals."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def batch_result(
    outcomes: Sequence[Outcome],
    language: Language,
    errors_only: bool,
    found: Sequence[Warned] = (),
    is_kept: bool = True,
) -> BatchResult:
    """Build the result of a batch. `errors_only`: list only the events that were not accepted. `is_kept`: all that were
    refused are written down."""
    accepted = sum(isinstance(outcome, Accepted) for outcome in outcomes)
    rejected = sum(isinstance(outcome, Rejected) for outcome in outcomes)
    listed = (outcome for outcome in outcomes if not (errors_only and isinstance(outcome, Accepted)))
    results = [_result(outcome, language) for outcome in listed]
    return BatchResult(accepted, rejected, results, *told(found, language), is_kept)


def all_accepted(
    event_ids: Sequence[str], errors_only: bool, language: Language = "zh", found: Sequence[Warned] = ()
) -> msgspec.Raw:
    """Encode `batch_result` in JSON for a batch with nothing but accepted events. Ids of events need no escapes
    there.
    """
    listed = "" if errors_only else _ACCEPTED_END.join(map(add, _ACCEPTED_STARTS, event_ids)) + _ACCEPTED_END[:-1]
    rest = _warned(language, found) if found else "}"
    return msgspec.Raw(f'{{"accepted":{len(event_ids)},"rejected":0,"results":[{listed}]{rest}'.encode())


def _warned(language: Language, found: Sequence[Warned]) -> str:
    """The end of a result with warnings, from the comma on."""
    warnings, more = told(found, language)
    return "," + encode_json({"warnings": warnings} | ({"more_warnings": more} if more else {})).decode()[1:]


def _result(outcome: Outcome, language: Language) -> EventResult:
    if isinstance(outcome, Accepted):
        return EventResult(outcome.index, outcome.event.event_id, "accepted")
    if isinstance(outcome, Duplicate):
        return EventResult(outcome.index, outcome.event_id, "duplicate")
    return EventResult(outcome.index, outcome.event_id, "rejected", outcome.error.body(language))


def validation(
    outcomes: Iterable[Outcome], minted: frozenset[str], app: App, language: Language, found: Sequence[Warned] = ()
) -> Validation:
    """Build the answer of a validation. `minted`: event ids we made up for the check, which mean nothing to the caller.
    `app`: whose rules hold.
    """
    rules = rules_of(app)
    errors: list[EventError] = []
    normalized: list[NormalizedEvent] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            body = outcome.error.body(language)
            errors.append(EventError(body.code, body.message, body.details, outcome.index))
        elif isinstance(outcome, Accepted):
            normalized.append(_normalized(outcome.index, outcome.event, minted, rules))
    return Validation(not errors, errors, normalized, *told(found, language))


def _normalized(index: int, event: AcceptedEvent, minted: frozenset[str], rules: AppRules) -> NormalizedEvent:
    original_ms = event.original_timestamp_ms
    return NormalizedEvent(
        index=index,
        event_id=None if event.event_id in minted else event.event_id,
        event_name=event.event_name,
        timestamp=utc_milliseconds(event.timestamp_ms),
        original_timestamp=utc_milliseconds(original_ms) if original_ms else None,
        user_id=event.user_id or None,
        anonymous_id=event.anonymous_id or None,
        properties=event.properties,
        campaign={name: value for field, name in _CAMPAIGN.items() if (value := getattr(event, field))},
        **{one.name: getattr(event, one.name) for one in _FLAT},
        **msgspec.structs.asdict(preview(event, rules)),
    )
