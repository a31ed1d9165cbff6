"""The data of the reporting endpoints' answers, built from the outcomes of a request. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache  # noqa: TID251 of numbers
from operator import add
from typing import Any, Final

import msgspec

from pipeline.domain.preview import MetGoal, preview, rules_of
from pipeline.domain.rules import AppRules
from schemas.control import App
from schemas.events import FIELDS, MAX_BATCH_EVENTS, AcceptedEvent
from services.gateway.outcomes import Accepted, Duplicate, Outcome, Rejected
from services.gateway.warnings import Warned, WarningBody, told
from services.web.envelope import Language, encode_json
from services.web.errors import ErrorBody


class Tracked(msgspec.Struct, omit_defaults=True):
    event_id: str
    received_at: str
    warnings: list[WarningBody] = []


class Preflight(msgspec.Struct):
    """For people who look: browsers read the headers."""

    methods: list[str]


IS_KEPT: Final = "is_kept"
"""False in the details of an error: the refusal is in no list, and cannot be replayed."""


class EventResult(msgspec.Struct, omit_defaults=True, gc=False):
    """Result of one event in a batch answer. A refused event has its caller's id, if it could be read."""

    index: int
    event_id: str | None
    status: str
    error: ErrorBody | None = None


class BatchResult(msgspec.Struct, omit_defaults=True):
    accepted: int
    rejected: int
    results: list[EventResult]
    warnings: list[WarningBody] = []
    more_warnings: int = 0
    """Number of warnings beside those that are listed."""
    is_kept: bool = True
    """False if the refused events could not be written down, so that they are in no list and cannot be replayed."""


class EventError(msgspec.Struct):
    index: int
    code: str
    message: str
    details: dict[str, Any]


_CAMPAIGN: Final = {one.name: one.shown.path.rpartition(".")[2] for one in FIELDS if ".campaign." in one.shown.path}
FLAT_FIELDS: Final = tuple(one for one in FIELDS if one.name not in _CAMPAIGN)
"""The fields that a normalised event has under their own names."""


class _Normalized(msgspec.Struct, kw_only=True):
    """An event as it would be stored, and its consequences (see `preview`). The `FLAT_FIELDS` are added below."""

    index: int
    event_id: str | None
    """The caller's; null where we would mint one."""
    event_name: str
    timestamp: str
    original_timestamp: str | None
    """The caller's own time where `sent_at` corrected it."""
    user_id: str | None
    anonymous_id: str | None
    properties: msgspec.Raw
    campaign: dict[str, str]
    channel: str | None
    channel_rule: str | None
    touch_type: str | None
    goals: list[MetGoal]
    may_be_late: bool


NormalizedEvent: Final[Any] = msgspec.defstruct(
    "NormalizedEvent", [(one.name, one.type) for one in FLAT_FIELDS], bases=(_Normalized,), kw_only=True
)


class Validation(msgspec.Struct, omit_defaults=True):
    valid: bool
    errors: list[EventError]
    normalized: list[_Normalized]
    warnings: list[WarningBody] = []
    more_warnings: int = 0


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
    return BatchResult(accepted, rejected, results, *told(found, language, has_index=True), is_kept)


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
    warnings, more = told(found, language, has_index=True)
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
    normalized: list[_Normalized] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            body = outcome.error.body(language)
            errors.append(EventError(outcome.index, body.code, body.message, body.details))
        elif isinstance(outcome, Accepted):
            normalized.append(_normalized(outcome.index, outcome.event, minted, rules))
    return Validation(not errors, errors, normalized, *told(found, language, has_index=True))


def _normalized(index: int, event: AcceptedEvent, minted: frozenset[str], rules: AppRules) -> _Normalized:
    original_ms = event.original_timestamp_ms
    would_be = preview(event, rules)
    normalized: _Normalized = NormalizedEvent(
        index=index,
        event_id=None if event.event_id in minted else event.event_id,
        event_name=event.event_name,
        timestamp=utc_milliseconds(event.timestamp_ms),
        original_timestamp=utc_milliseconds(original_ms) if original_ms else None,
        user_id=event.user_id or None,
        anonymous_id=event.anonymous_id or None,
        properties=event.properties,
        campaign={name: value for field, name in _CAMPAIGN.items() if (value := getattr(event, field))},
        **{one.name: getattr(event, one.name) for one in FLAT_FIELDS},
        **msgspec.structs.asdict(would_be),
    )
    return normalized
