"""`attrikit ledger`: wait until all is processed, count three times independently, compare, print.

    Step 1  choose up to which moment of receipt to look: the present, or the last full minute while traffic flows
    Step 2  wait until everything received before it is processed and loaded
    Step 3  read the topic, ask the tables, compare; if they differ, settle and count once more

The last try is because two of the accounts are read one after the other: what moves meanwhile is no loss.
"""

import asyncio
import sys
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from deploy.ledger.balance import HOUR_MS, Balance, TopicAccount, balance, folded, missing
from deploy.ledger.sources import (
    EventsReader,
    Store,
    StoreAway,
    TopicSpan,
    gateway_account,
    open_events,
    open_store,
    state_account,
    table_account,
)
from pipeline.readmodel.progress import Facts, ProgressReader, TopicsMissing, evaluate, open_reader
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.settings import Settings
from schemas.topics import Topic
from services.query.core.times import utc_text
from services.query.operator.answers import LedgerCounts

_MINUTE_MS: Final = 60_000
_IN_FLIGHT_SECONDS: Final = 3.0
"""Maximum time an event is under way: after it, the event is in the topic, or its sender was told to send it again."""
_LOOK_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.2
_TRIES: Final = 3
_RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Result:
    """Result of a comparison. `through_ms`: only events received before it were compared."""

    balance: Balance
    from_ms: int
    through_ms: int


class NotSettled(Exception):
    """Error: the pipeline did not come so far in the time given."""


@dataclass(frozen=True)
class Wanted:
    """Range to compare: events received from `since_ms` on and before `through_ms` (None: the present)."""

    since_ms: int = 0
    through_ms: int | None = None


EVERYTHING: Final = Wanted()


def run(settings: Settings, app_id: str | None, wanted: Wanted, timeout_seconds: float, as_json: bool) -> int:
    """Run the command and return the exit code: 0 if the books balance, 1 if they do not or cannot be read."""
    try:
        result = asyncio.run(examine(settings, timeout_seconds, wanted))
    except TopicsMissing as error:
        return _refuse(str(error))
    except (KafkaError, TimeoutError) as error:
        return _refuse(f"the broker does not answer: {error or type(error).__name__}")
    except (StoreAway, NotSettled) as error:
        return _refuse(str(error))
    print(to_json(result, app_id)) if as_json else show(Console(), result, app_id)
    return 0 if result.balance.holds else 1


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


async def examine(settings: Settings, timeout_seconds: float, wanted: Wanted = EVERYTHING) -> Result:
    """Count and compare. Raises `NotSettled`, `StoreAway`, `TopicsMissing` and aiokafka's errors."""
    deadline = monotonic_seconds() + timeout_seconds
    async with open_reader(settings) as progress, open_events(settings) as events, open_store(settings) as store:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_RETRY_SECONDS)
            through, ends = await _choose_through(events, wanted.through_ms)
            await _settle(progress, ends, deadline)
            topic, counts, span = await _read_accounts(events, store, ends, wanted.since_ms, through)
            has_states = wanted == EVERYTHING and _is_still(await progress.read(), ends)
            result = await _compare(events, topic, counts, span, through, has_states)
            if result.balance.holds:
                break
    return result


async def _choose_through(events: EventsReader, wanted_ms: int | None) -> tuple[int, dict[int, int]]:
    """Choose the end of the range, by time of receipt, and the offsets below which everything received before it
    lies.
    """
    began_ms = now_ms()
    ends = await events.ends()
    await asyncio.sleep(_LOOK_SECONDS)
    is_quiet = ends == await events.ends()
    # To a full minute, because that is what gateways count by: the one that runs, unless it still fills.
    through_ms = (began_ms // _MINUTE_MS + is_quiet) * _MINUTE_MS
    through_ms = min(through_ms, wanted_ms) if wanted_ms is not None else through_ms
    if not is_quiet:
        await asyncio.sleep(max(0.0, through_ms / 1000 + _IN_FLIGHT_SECONDS - now_ms() / 1000))
    return through_ms, await events.ends()


async def _settle(progress: ProgressReader, ends: dict[int, int], deadline: float) -> None:
    """Wait until all below `ends` is processed, and that and its marks are in the tables; where nothing more comes,
    until the sessions are too.
    """
    marks: dict[int, int] = {}
    while True:
        facts = await progress.read()
        waiting = _waiting(facts, ends, marks)
        is_counted = waiting == 0 and len(marks) == len(ends) and _others_done(facts)
        if evaluate(facts).is_settled or (is_counted and not _is_still(facts, ends)):
            return
        if monotonic_seconds() > deadline:
            raise NotSettled(
                f"not settled: {waiting or evaluate(facts).loader_lag} messages wait to be processed and loaded; "
                "see `attrikit progress` and `attrikit doctor`, or wait longer (--timeout-seconds)"
            )
        await asyncio.sleep(_POLL_SECONDS)


def _waiting(facts: Facts, ends: dict[int, int], marks: dict[int, int]) -> int:
    """Return the number of messages still to be processed or loaded. Notes in `marks` where the marks of a processed
    partition end.
    """
    waiting = 0
    for partition, end in ends.items():
        row = facts.reported.get(partition)
        processed = row.next_offset if row else 0
        loaded = facts.loader_committed.get((Topic.EVENTS, partition), 0)
        waiting += max(0, end - processed) + max(0, end - loaded)
        if processed >= end and partition not in marks:
            marks[partition] = row.derived_offsets.get(Topic.EVENT_MARKS, 0) if row else 0
        if partition in marks:
            waiting += max(0, marks[partition] - facts.loader_committed.get((Topic.EVENT_MARKS, partition), 0))
    return waiting


def _others_done(facts: Facts) -> bool:
    """Tell whether all refusals are loaded. Refusals have no order with the events; they arrive within moments of
    them.
    """
    rejected = [(topic, p) for topic, p in facts.end_offsets if topic is Topic.REJECTED]
    return all(facts.loader_committed.get(place, 0) >= facts.end_offsets[place] for place in rejected)


def _is_still(facts: Facts, ends: dict[int, int]) -> bool:
    """Return True if nothing came after `ends`."""
    return all(facts.end_offsets.get((Topic.EVENTS, partition), 0) == end for partition, end in ends.items())


async def _read_accounts(
    events: EventsReader, store: Store, ends: dict[int, int], since_ms: int, through_ms: int
) -> tuple[TopicAccount, LedgerCounts, TopicSpan]:
    span = await events.span(ends, since_ms)
    topic = await events.count(span, through_ms)
    return topic, await store.ledger(span.from_ms * 1000, through_ms * 1000), span


async def _compare(
    events: EventsReader,
    topic: TopicAccount,
    counts: LedgerCounts,
    span: TopicSpan,
    through_ms: int,
    has_states: bool,
) -> Result:
    """Count and compare. `has_states`: nothing came while the tables were read, so session counts can be compared
    too.
    """
    tables, gateways = table_account(counts), gateway_account(counts)
    wanted = set(missing(topic, tables))
    if wanted:
        tables = replace(tables, folded=folded(topic, tables, await events.repeats(span, through_ms, wanted)))
    if has_states:
        tables = replace(tables, states=state_account(counts))
    return Result(balance(topic, tables, gateways), span.from_ms, through_ms)


def to_json(result: Result, app_id: str | None) -> str:
    lines = [
        {
            "app_id": line.bucket.app_id,
            "hour": utc_text(line.bucket.hour * HOUR_MS),
            "acknowledged": line.acknowledged,
            "accepted": line.accepted,
            "stored": line.stored,
            "duplicates": line.duplicates,
            "late": line.late,
            "rejected": line.rejected,
        }
        for line in result.balance.lines
        if app_id in (None, line.bucket.app_id)
    ]
    problems = [
        {
            "app_id": problem.app_id,
            "hour": None if problem.hour is None else utc_text(problem.hour * HOUR_MS),
            "partition": problem.partition,
            "problem": problem.text,
        }
        for problem in result.balance.problems
    ]
    body = {
        "balances": result.balance.holds,
        "from": utc_text(result.from_ms) if result.from_ms else None,
        "through": utc_text(result.through_ms),
        "lines": lines,
        "problems": problems,
        "notes": result.balance.notes,
    }
    return msgspec.json.format(msgspec.json.encode(body)).decode()


def show(console: Console, result: Result, app_id: str | None) -> None:
    """Print a line per app and hour, the totals, then what does not balance."""
    names = ("acknowledged", "accepted", "stored", "duplicates", "late", "rejected", "difference")
    table = Table(
        title="Events by hour of receipt", title_justify="left", pad_edge=False, padding=(0, 1, 0, 0), box=None
    )
    table.add_column("app", overflow="fold", min_width=8)
    # Nine columns have to fit into 80 characters, and neither an hour nor a number may be cut.
    for name in ("hour (UTC)", "acked", "accepted", "stored", "dupl.", "late", "rej.", "diff."):
        table.add_column(name, justify="right", no_wrap=True)
    for column in table.columns[2:]:
        column.justify = "right"
    lines = [line for line in result.balance.lines if app_id in (None, line.bucket.app_id)]
    for line in lines:
        hour = utc_text(line.bucket.hour * HOUR_MS)[:16].replace("T", " ")
        table.add_row(line.bucket.app_id, hour, *(f"{getattr(line, name):,}" for name in names))
    table.add_section()
    table.add_row("all", "", *(f"{sum(getattr(line, name) for line in lines):,}" for name in names))
    console.print(table)
    since = f"from {utc_text(result.from_ms)} on " if result.from_ms else ""
    console.print(f"received {since}before {utc_text(result.through_ms)}", highlight=False)
    for note in result.balance.notes:
        console.print(f"note: {note}", highlight=False)
    for problem in result.balance.problems:
        where = [problem.app_id] if problem.app_id else []
        where += [utc_text(problem.hour * HOUR_MS)] if problem.hour is not None else []
        where += [f"partition {problem.partition}"] if problem.partition is not None else []
        console.print(f"[red]{', '.join(where)}: {problem.text}[/]", highlight=False)
    console.print("the books balance" if result.balance.holds else "[red]the books do not balance[/]")
