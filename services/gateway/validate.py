"""Validate a raw event: `AcceptedEvent`, or the `ApiError` that says why not. Pure: time, address and randomness come
in.

The first error found is the one reported. Times are corrected for a wrong device clock when the caller says when,
by that clock, it sent the event: `timestamp + (received_at - sent_at)`.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from pipeline.runtime.client_address import MAX_ADDRESS_CHARACTERS, address_of
from schemas.caches import cache_short_texts
from schemas.events import (
    EMPTY_OBJECT,
    EVENT_ID_PATTERN,
    MAX_EVENT_BYTES,
    MAX_FUTURE_SECONDS,
    MAX_ID_CHARACTERS,
    AcceptedEvent,
)
from schemas.ids import mint_event_id
from services.gateway.bots import MAX_USER_AGENT_CHARACTERS, is_bot, is_browser
from services.gateway.context import NO_CONTEXT, accepted_event, cleaned_event
from services.gateway.errors import too_large
from services.gateway.event_fields import ABSENT, IncomingEvent, decode_event
from services.gateway.event_names import check_name, is_event_name
from services.gateway.privacy import KEEP_ALL, Privacy
from services.gateway.properties import Values, check_properties, refuse_nul
from services.web.errors import invalid
from services.web.event_reasons import (
    EVENT_TOO_LARGE,
    HAS_CONTROL,
    IN_FUTURE,
    IS_PLACEHOLDER,
    NOT_ADDRESS,
    NOT_EVENT_ID,
    NOT_READABLE,
    TOO_LONG,
    too_old,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 24 * 3600 * 1000
_FIRST_MS: Final = -2_208_988_800_000
_LAST_MS: Final = 10_413_791_999_999
"""1900-01-01 to the end of 2299: what ClickHouse can show as a time."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
NO_PROPERTIES: Final[tuple[msgspec.Raw, Values]] = (EMPTY_OBJECT, {})
_is_event_id: Final = EVENT_ID_PATTERN.match

PLACEHOLDERS: Final = frozenset(
    {
        *("", "0", "-1", "null", "none", "nil", "nan", "undefined", "(null)", "n/a", "na", "unknown"),
        *("anonymous", "guest", "true", "false", "[object object]", "id", "user_id", "distinct_id"),
        "00000000-0000-0000-0000-000000000000",
    }
)
"""Values that programs send for a person they do not know. Under one of these, strangers would become one person."""


class Receipt(msgspec.Struct, frozen=True):
    """Facts about a request that its events do not say."""

    app_id: str
    key_id: str
    history_limit_days: int
    received_us: int
    ip: str
    """The caller's address, for events that name none."""
    user_agent: str
    """User agent of the request; at most `MAX_USER_AGENT_CHARACTERS`."""
    random_80_bits: int
    """Random bits for the ids we mint: the n-th event of the request adds n, so that they stay in order (ULID,
    monotonicity).
    """
    privacy: Privacy = KEEP_ALL
    """Privacy settings of the app."""


Checked = tuple[IncomingEvent, str, tuple[int, int], tuple[msgspec.Raw, Values]]
"""An event with nothing to refuse; its id; its `timestamp_ms` and `original_timestamp_ms`; the bytes of its properties
and what they hold."""


def check_event(raw: bytes, receipt: Receipt, ordinal: int = 0) -> AcceptedEvent:
    """Run all checks, in one place for all endpoints. Raises `ApiError` with a field path relative to the event."""
    check_size(raw)
    checked = check_fields(decode_event(raw), raw, receipt, ordinal)
    (accepted,) = stamp([checked], receipt, receipt.privacy.may_drop(raw))
    return accepted


def check_size(raw: bytes) -> None:
    if len(raw) > MAX_EVENT_BYTES:
        raise too_large("", EVENT_TOO_LARGE, limit=MAX_EVENT_BYTES, actual=len(raw))


def check_fields(event: IncomingEvent, raw: bytes, receipt: Receipt, ordinal: int, is_plain: bool = False) -> Checked:
    """Check the fields. `event`: `raw`, decoded. `is_plain`: `raw` is known to hold neither line breaks nor NUL
    characters.

    The checks that rarely find anything are called only where there is something to find; this function's cost is most
    of what a batch costs.
    """
    name = event.event_name
    if name is None or not is_event_name(name):
        check_name(name)
    times = check_times(event.timestamp, event.sent_at, receipt)
    properties = NO_PROPERTIES if event.properties is ABSENT else check_properties(event.properties, is_plain)
    if not is_plain and b"\\u0000" in raw:
        _refuse_nul(event, properties[0])
    event_id = _check_event_id(event.event_id) if event.event_id else mint(receipt, ordinal)
    if event.user_id:
        _check_person(event.user_id, "user_id")
    if event.anonymous_id:
        _check_person(event.anonymous_id, "anonymous_id")
    if event.context is not None and event.context.ip:
        _check_address(event.context.ip)
    return event, event_id, times, properties


def stamp(checked: Iterable[Checked], receipt: Receipt, may_drop: bool) -> list[AcceptedEvent]:
    """Return the events as they stand in the log. `may_drop`: one of them may hold a parameter that is not to be
    stored. Raises `ApiError` if a `context.ip` was not checked and is none.

    The loop calls little and passes by position, in the order of `context.RULED`: keywords cost seven times as much.
    """
    # The request's own agent, where the event names none, tells of bots only if a browser sent it.
    is_callers_bot = is_browser(receipt.user_agent) and is_bot(receipt.user_agent)
    app_id, received_us, key_id, privacy = receipt.app_id, receipt.received_us, receipt.key_id, receipt.privacy
    caller_ip = privacy.address(receipt.ip)
    make = partial(cleaned_event, privacy.url) if may_drop else accepted_event
    accepted = []
    for event, event_id, (timestamp_ms, original_ms), (properties, values) in checked:
        context = event.context or NO_CONTEXT
        if context.user_agent:
            user_agent = context.user_agent[:MAX_USER_AGENT_CHARACTERS]
            bot = is_bot(user_agent)
        else:
            user_agent, bot = receipt.user_agent, is_callers_bot
        accepted.append(
            make(
                context,
                values,
                app_id,
                event_id,
                event.event_name or "",
                timestamp_ms,
                received_us,
                event.user_id or "",
                event.anonymous_id or "",
                privacy.properties(properties) if may_drop else properties,
                privacy.address(_check_address(context.ip)) if context.ip else caller_ip,
                user_agent,
                original_ms,
                bot,
                key_id,
            )
        )
    return accepted


def check_times(own: datetime | None, sent_at: datetime | None, receipt: Receipt) -> tuple[int, int]:
    """Return the event's corrected time, and the caller's own where that differs (else 0)."""
    received_ms = receipt.received_us // 1000
    if own is None:
        return received_ms, 0
    own_ms = (own - _EPOCH) // _MILLISECOND
    skew_ms = received_ms - (sent_at - _EPOCH) // _MILLISECOND if sent_at is not None else 0
    corrected_ms = own_ms + skew_ms
    if skew_ms and not _FIRST_MS <= own_ms <= _LAST_MS:
        raise invalid("timestamp", NOT_READABLE)
    if corrected_ms > received_ms + MAX_FUTURE_SECONDS * 1000:
        raise invalid("timestamp", IN_FUTURE)
    if corrected_ms < max(received_ms - receipt.history_limit_days * _DAY_MS, 0):
        raise invalid("timestamp", too_old(receipt.history_limit_days))
    return corrected_ms, own_ms if skew_ms else 0


def mint(receipt: Receipt, ordinal: int) -> str:
    return mint_event_id(receipt.received_us // 1000, receipt.random_80_bits + ordinal)


def _check_event_id(given: str) -> str:
    if not _is_event_id(given):
        raise invalid("event_id", NOT_EVENT_ID)
    return given


def _check_person(given: str, field: str) -> None:
    if len(given) > MAX_ID_CHARACTERS:
        raise invalid(field, TOO_LONG)
    if given.strip().lower() in PLACEHOLDERS:
        raise invalid(field, IS_PLACEHOLDER)
    if not given.isprintable() and _CONTROL.search(given):
        raise invalid(field, HAS_CONTROL)


@cache_short_texts(8_192, MAX_ADDRESS_CHARACTERS)
def _check_address(given: str) -> str:
    address = address_of(given)
    if address is None:
        raise invalid("context.ip", NOT_ADDRESS)
    return address


def _refuse_nul(event: IncomingEvent, properties: msgspec.Raw) -> None:
    refuse_nul(msgspec.json.decode(properties), "properties")
    refuse_nul(msgspec.to_builtins(event.context), "context")
