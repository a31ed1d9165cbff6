"""Parse the CSV lines of advertising costs into rows, and pack those into records. Pure."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, TypeAlias

from pipeline.domain.channels.campaign_tags import normalize_campaign, normalize_channel, normalize_source
from pipeline.domain.channels.tables import Channel
from schemas.control import App
from schemas.currencies import read_currency
from schemas.facts import CostRow, encode_rows
from schemas.ids import partition_for
from schemas.money import to_minor

REQUIRED: Final = ("date", "channel", "cost")
OPTIONAL: Final = ("campaign", "source", "currency")
ROWS_PER_RECORD: Final = 5_000
_CHANNEL: Final = re.compile(r"^[a-z][a-z0-9_]{0,63}\Z")
_DATE: Final = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_AMOUNT: Final = re.compile(r"^[0-9]{1,15}(\.[0-9]{1,12})?\Z")
_FIRST_DAY: Final = date(1970, 1, 1)
_LAST_DAY: Final = date(2149, 6, 6)
"""The last day that ClickHouse's Date can hold."""


@dataclass(frozen=True)
class Problem:
    """A line that cannot be imported, and the reason: a text with places for `values`. The header is line 1."""

    line: int
    reason: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason % self.values}"


CostKey: TypeAlias = tuple[date, str, str, str, str]
"""Key of a cost row: date, source, channel, campaign, currency."""


NO_COLUMN: Final = "no column %(missing)s; the columns are %(columns)s"
UNKNOWN_COLUMN: Final = "unknown column %(names)s"
TWICE_A_COLUMN: Final = "a column stands twice"
AGAIN: Final = "the day, channel, campaign, source and currency of line %(line)s again: add them up"
NOT_CSV: Final = "this is no CSV: %(reason)s"
WRONG_NUMBER: Final = "it has more or fewer values than the header has columns"
CURRENCY: Final = "currency %(given)s is no ISO 4217 code such as CNY"
DATE: Final = "date %(given)s is no day such as 2024-01-15"
CHANNEL: Final = "channel %(given)s is no name such as paid_search"
CAMPAIGN: Final = "campaign %(given)s is not printable"
AMOUNT: Final = "cost %(given)s is no amount such as 1234.50"
REASONS: Final = (
    *(NO_COLUMN, UNKNOWN_COLUMN, TWICE_A_COLUMN, AGAIN, NOT_CSV, WRONG_NUMBER),
    *(CURRENCY, DATE, CHANNEL, CAMPAIGN, AMOUNT),
)


class _Refused(ValueError):
    """Error for a line that cannot be imported, for one of the `REASONS`."""

    def __init__(self, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values


def read_costs(lines: Iterable[str], app: App, imported_at_ms: int) -> tuple[list[CostRow], list[Problem]]:
    """Read a CSV file into rows and problems. Import nothing if there is a problem: half a file is worse than none."""
    reader = csv.DictReader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in reader.fieldnames or ()]
        _check_header(header)
        reader.fieldnames = header
        return _read(reader, app, imported_at_ms)
    except _Refused as error:
        return [], [Problem(1, error.reason, error.values)]
    except csv.Error as error:
        return [], [Problem(reader.line_num, NOT_CSV, {"reason": str(error)})]


def _check_header(header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise _Refused(NO_COLUMN, missing=", ".join(missing), columns=", ".join((*REQUIRED, *OPTIONAL)))
    unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        raise _Refused(UNKNOWN_COLUMN, names=", ".join(map(repr, unknown)))
    if len(set(header)) < len(header):
        raise _Refused(TWICE_A_COLUMN)


def _read(reader: "csv.DictReader[str]", app: App, imported_at_ms: int) -> tuple[list[CostRow], list[Problem]]:
    rows: list[CostRow] = []
    problems: list[Problem] = []
    known: dict[CostKey, int] = {}
    for given in reader:
        try:
            row = _row(given, app, imported_at_ms)
        except _Refused as error:
            problems.append(Problem(reader.line_num, error.reason, error.values))
            continue
        first = known.setdefault(key_of(row), reader.line_num)
        if first != reader.line_num:
            problems.append(Problem(reader.line_num, AGAIN, {"line": first}))
        rows.append(row)
    return rows, problems


def key_of(row: CostRow) -> CostKey:
    return row.date, row.source, row.channel, row.campaign, row.currency


def with_markers(rows: list[CostRow]) -> list[CostRow]:
    """Return the rows with a marker for each day and source before them: costs of earlier imports that this one lacks
    are removed.
    """
    marked = {(row.date, row.source): row for row in rows}
    return [*(marker(row.app_id, day, source, row.revision) for (day, source), row in marked.items()), *rows]


def marker(app_id: str, day: date, source: str, revision: int) -> CostRow:
    """Return the row that voids everything imported before for that day and source."""
    return CostRow(app_id, day, "", "", 0, "", revision, revision, source, is_marker=True)


def unknown_channels(rows: Iterable[CostRow], app: App) -> list[str]:
    """List the channels of the rows that no touch can have: neither built-in ones nor of the app's own rules."""
    known = {*Channel, *(rule.channel for rule in app.attribution.channels.rules)}
    return sorted({row.channel for row in rows} - known)


def _row(given: dict[str, str], app: App, imported_at_ms: int) -> CostRow:
    if None in given or None in given.values():
        raise _Refused(WRONG_NUMBER)
    text = {name: value.strip() for name, value in given.items()}
    named = text.get("currency") or app.currency
    currency = read_currency(named)
    if currency is None:
        raise _Refused(CURRENCY, given=repr(named))
    return CostRow(
        app_id=app.app_id,
        date=_day(text["date"]),
        channel=_channel(text["channel"]),
        campaign=_campaign(text.get("campaign", "")),
        source=normalize_source(text.get("source", "")),
        cost_minor=_amount(text["cost"], currency),
        currency=currency,
        imported_at_ms=imported_at_ms,
        revision=imported_at_ms,
    )


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text) if _DATE.match(text) else None
    except ValueError:
        day = None
    if day is None or not _FIRST_DAY <= day <= _LAST_DAY:
        raise _Refused(DATE, given=repr(text))
    return day


def _channel(text: str) -> str:
    """Write a channel as touches have it: `Paid Search` becomes `paid_search`."""
    channel = normalize_channel(text)
    if not _CHANNEL.match(channel):
        raise _Refused(CHANNEL, given=repr(text))
    return channel


def _campaign(text: str) -> str:
    """Write a campaign as touches have it: cut at the same length; a placeholder becomes empty."""
    if not text.isprintable():
        raise _Refused(CAMPAIGN, given=repr(text[:40]))
    return normalize_campaign(text)


def _amount(text: str, currency: str) -> int:
    """Parse an amount; rounds half to even where there are more digits than the currency has: networks report
    millionths.
    """
    minor = to_minor(text, currency) if _AMOUNT.match(text) else None
    if minor is None:
        raise _Refused(AMOUNT, given=repr(text))
    return minor


def cost_records(rows: list[CostRow], per_record: int = ROWS_PER_RECORD) -> Iterator[bytes]:
    """Return the rows as records of the topic, for one partition per app: that keeps imports in their order."""
    for start in range(0, len(rows), per_record):
        yield encode_rows(rows[start : start + per_record])


def cost_partition(app_id: str, partitions: int) -> int:
    return partition_for(app_id, "", partitions)
