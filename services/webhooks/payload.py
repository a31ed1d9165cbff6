"""The facts that webhooks tell of, as a receiver reads them in `data`. Pure: rows in, facts out.

`conversion.created` goes out once per conversion: with the row whose reason is `initial`. Later rows of it (another
path, a refund) are restatements; what follows from them is in the `attribution.completed` of the next revision.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from schemas.amounts import shown_value
from schemas.facts import AlertRow, AttributionRow, ConversionRow, Reason, TouchHead, path_of
from schemas.money import from_minor, round_together
from schemas.topics import Topic
from schemas.webhooks import EventType
from services.webhook_calls.body import time_text

MAX_BODY_BYTES: Final = 20 * 1024
_ENVELOPE_BYTES: Final = 512
"""Bytes reserved for the envelope: more than everything around `data` takes."""
_MAX_TEXT: Final = 200
_json = msgspec.json.Encoder(decimal_format="number").encode

Entry = dict[str, Any]


class Fact(NamedTuple):
    """A fact to deliver, before its receivers are known."""

    event_type: EventType
    app_id: str
    fact_id: str
    revision: int
    order_key: str
    data: bytes


class BadRecord(ValueError):
    """Error: a record that no release of ours has written."""


def facts_of(topic: Topic, value: bytes) -> Iterator[Fact]:
    """Return the facts of one packed record. Raises `BadRecord`."""
    row_type, make = _READERS[topic]
    try:
        rows = msgspec.json.Decoder(row_type).decode_lines(value)
    except msgspec.DecodeError as error:
        raise BadRecord(str(error)) from error
    for row in rows:
        fact = make(row)
        if fact is not None:
            yield fact


# Conversions


def _conversion(row: ConversionRow) -> Fact | None:
    if row.is_deleted or row.reason != Reason.INITIAL:
        return None
    head = _conversion_head(row)
    data = _first_that_fits(head | entries for entries in _paths(path_of(row)))
    return Fact(EventType.CONVERSION_CREATED, row.app_id, row.conversion_id, 0, row.person_key, data)


def _conversion_head(row: ConversionRow) -> Entry:
    value, currency = shown_value(row.value_minor - row.refunded_minor, row.currency, row.value_issue)
    return {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "goal_type": row.goal_type,
        "goal_version": row.goal_version,
        "event_id": row.event_id,
        "converted_at": time_text(row.converted_at_ms),
        "user_id": _text(row.user_id),
        "anonymous_id": _text(row.anonymous_id),
        "session_id": _text(row.session_id),
        "order_id": _text(row.order_id),
        "value": value,
        "value_issue": _text(row.value_issue),
        "refunded": _money(row.refunded_minor, row.currency),
        "currency": currency,
        "is_bot": row.is_bot,
        "path_length": len(row.path_touch_ids),
    }


def _paths(touches: Sequence[TouchHead]) -> Iterator[Entry]:
    """Yield the path in as much detail as there may be room for."""
    yield {"path": [_touch(touch) for touch in touches]}
    yield {"path": [_touch(touch) for touch in touches[-20:]], "is_path_cut": True}
    yield {"path": [], "is_path_cut": True}


def _touch(touch: TouchHead) -> Entry:
    return {
        "touch_id": _text(touch.touch_id),
        "touched_at": time_text(touch.touched_at_ms),
        "touch_type": touch.touch_type,
        "channel": touch.channel,
        "source": _text(touch.source),
        "medium": _text(touch.medium),
        "campaign": _text(touch.campaign),
    }


# Attributions


def _attribution(row: AttributionRow) -> Fact:
    value, currency = shown_value(row.value_minor, row.currency, row.value_issue)
    head = {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "converted_at": time_text(row.converted_at_ms),
        "revision": row.revision,
        "supersedes": row.supersedes or None,
        "reason": row.reason,
        "is_taken_back": row.is_deleted,
        "value": value,
        "value_issue": _text(row.value_issue),
        "refunded": _money(row.refunded_minor, row.currency),
        "currency": currency,
        "is_bot": row.is_bot,
        "config_version": row.config_version,
    }
    data = _first_that_fits(head | entries for entries in _credits(row))
    return Fact(EventType.ATTRIBUTION_COMPLETED, row.app_id, row.conversion_id, row.revision, row.person_key, data)


def _credits(row: AttributionRow) -> Iterator[Entry]:
    """Yield the credit: touch by touch; if that is too long, by campaign; at last by channel. At each of them a model's
    credits sum to 1 and its values to the conversion's.
    """
    touches = path_of(row)
    yield {"credited_by": "touch", "credits": _credited(row, ((_touch(t), [i]) for i, t in enumerate(touches)))}
    by_campaign = _grouped((t.channel, t.source, t.medium, t.campaign) for t in touches)
    named: list[tuple[Entry, list[int]]] = [
        ({"channel": c, "source": _text(s), "medium": _text(m), "campaign": _text(n), "touches": len(places)}, places)
        for (c, s, m, n), places in by_campaign.items()
    ]
    yield {"credited_by": "campaign", "credits": _credited(row, named)}
    by_channel = _grouped((channel,) for channel in row.channels)
    named = [({"channel": channel, "touches": len(places)}, places) for (channel,), places in by_channel.items()]
    yield {"credited_by": "channel", "credits": _credited(row, named)}


def _grouped(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[int]]:
    found: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return found


def _credited(row: AttributionRow, named: Iterable[tuple[Entry, list[int]]]) -> list[Entry]:
    """Each entry with what its places in the path get, model by model; credits to six digits, adding up to 1."""
    entries = list(named)
    shares: list[Entry] = [{} for _ in entries]
    for model, nanos in row.credits_nanos.items():
        micros = round_together([sum(nanos[place] for place in places) for _, places in entries], 1_000)
        for found, credit, (_, places) in zip(shares, micros, entries, strict=True):
            value = _money(sum(row.values_minor[model][place] for place in places), row.currency)
            found[model] = {"credit": _fraction(credit), "value": value}
    return [entry | {"models": found} for (entry, _), found in zip(entries, shares, strict=True)]


# Alerts


def _alert(row: AlertRow) -> Fact:
    data = {
        "alert_id": row.alert_id,
        "rule_id": row.rule_id,
        "rule_name": row.rule_name,
        "metric": row.metric,
        "subject": _text(row.subject),
        "comparison": row.comparison,
        "threshold": row.threshold,
        "value": row.value,
        "average": row.average,
        "unit": row.unit,
        "state": row.state,
        "window_start": time_text(row.window_start_ms),
        "window_end": time_text(row.window_end_ms),
        "began_at": time_text(row.began_at_ms),
        "fired_at": time_text(row.fired_at_ms),
    }
    return Fact(EventType.THRESHOLD_ALERT, row.app_id, row.alert_id, row.revision, row.rule_id, _json(data))


_READERS: Final[dict[Topic, tuple[type[msgspec.Struct], Callable[[Any], Fact | None]]]] = {
    Topic.CONVERSIONS: (ConversionRow, _conversion),
    Topic.ATTRIBUTIONS: (AttributionRow, _attribution),
    Topic.ALERTS: (AlertRow, _alert),
}
SOURCES: Final = tuple(_READERS)


# Words and numbers


def _first_that_fits(versions: Iterable[Entry]) -> bytes:
    """Return the first short enough, or the last, which always is: it holds a bounded number of bounded texts."""
    data = b""
    for version in versions:
        data = _json(version)
        if len(data) <= MAX_BODY_BYTES - _ENVELOPE_BYTES:
            break
    return data


def _text(value: str) -> str | None:
    """Return at most 200 characters of it; null where there is none."""
    return value[:_MAX_TEXT] or None


def _money(amount_minor: int, currency: str) -> Decimal:
    return from_minor(amount_minor, currency)


def _fraction(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-6).normalize() if micros % 1_000_000 else Decimal(micros // 1_000_000)
