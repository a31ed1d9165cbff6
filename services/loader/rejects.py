"""Turn a row that ClickHouse refuses into a row of `rejected`. Pure, and the same on every replay."""

import re
from typing import Final

import msgspec

from schemas.facts import RejectedRow
from schemas.ids import reject_id
from schemas.rejected_payload import kept_text
from schemas.unreadable import UNREADABLE
from services.loader.blocks import Line
from services.web.event_reasons import INVALID_ROW

STAGE: Final = "loader"
_MAX_REASON_CHARACTERS: Final = 300
# What differs between two refusals of one row: the name of a temporary file, the engine's version and its stages.
_NOISE: Final = re.compile(r"\s*: \(in file/uri .*|: While executing .*|\s*\(version .*", re.DOTALL)


class _Named(msgspec.Struct):
    app_id: str = ""


_decode_named = msgspec.json.Decoder(_Named).decode


def rejected_row(line: Line, error: str) -> RejectedRow:
    """Build the row of `rejected`. `error`: ClickHouse's message. The time is that of the message, so a replay gives
    the same row.
    """
    message = line.message
    return RejectedRow(
        app_id=_app_id(line.value),
        reject_id=reject_id(message.topic, str(message.partition), str(message.offset), str(line.index)),
        rejected_at_ms=message.timestamp_ms,
        stage=STAGE,
        code=INVALID_ROW,
        field="",
        reason=f"{message.topic}: {reason_of(error)}"[:_MAX_REASON_CHARACTERS],
        payload=kept_text(line.value),
    )


def reason_of(error: str) -> str:
    """Return the sentence of ClickHouse's message that is about the data."""
    sentence = _NOISE.sub("", error).rpartition("DB::Exception: ")[2]
    return sentence.strip() or error.strip()


def _app_id(value: bytes) -> str:
    try:
        return _decode_named(value).app_id
    except UNREADABLE:
        return ""
