"""Checks that find what is wrong with an installation, with advice. Pure: observations in, findings out.

The bounds are rules of thumb of those who run such systems, named where they stand; ClickHouse's own are quoted.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from deploy.doctor.units import duration, size

_GIGABYTE: Final = 1024**3
_HOUR_SECONDS: Final = 3600.0


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """Result of one check of one thing. `advice` is empty if all is well."""

    check: str
    about: str
    level: Level
    value: str
    advice: str = ""


@dataclass(frozen=True)
class Lag:
    """Lag of a consumer group behind the end of a partition. `oldest_unread_ms`: when the next record it will read was
    written; None where there is none. `retention_ms`: how long the topic keeps a record; None: for ever. `waits_ms`:
    how long a record is to wait there before it is read.
    """

    group: str
    topic: str
    partition: int
    messages: int
    oldest_unread_ms: int | None = None
    retention_ms: int | None = None
    waits_ms: int = 0
    deleted: int = 0
    """Records that Kafka deleted before the group had read them."""

    def overdue_seconds(self, now_ms: int) -> float:
        """Return the seconds since the next record could have been read."""
        return 0.0 if self.oldest_unread_ms is None else max(0, now_ms - self.waits_ms - self.oldest_unread_ms) / 1000


@dataclass(frozen=True)
class Reported:
    """Latest status the stream wrote for a partition of `events`; times are None where it never wrote any."""

    partition: int
    lag: int
    reported_at_ms: int | None
    watermark_ms: int | None


@dataclass(frozen=True)
class Refusals:
    """Events refused, put aside or late in the last hour."""

    accepted: int
    rejected: int
    """Events rejected by gateways."""
    put_aside: int
    """Lines in the log that the stream could not read or ClickHouse refused."""
    late: int = 0
    """Accepted events that came too late: stored, but in no session and no credit."""
    without_order: int = 0
    """Accepted refunds that name no order, or one of which no conversion is known."""


@dataclass(frozen=True)
class TableParts:
    table: str
    parts: int
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Changelog:
    topic: str
    records: int
    cleanup_policy: str
    """`cleanup.policy` in the broker's configuration; empty if the broker does not report it."""


@dataclass(frozen=True)
class Disk:
    name: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Clock:
    """Clock of another machine, compared with ours."""

    name: str
    ahead_ms: int
    uncertain_ms: int
    """Uncertainty of the difference: how long the request took, plus the resolution of the clock."""


@dataclass(frozen=True)
class Migrations:
    """Migrations by number or name: known to this release and missing in the database, and the other way round."""

    database: str
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    """A server and its version, `7.0.15` say; empty: it tells none. `tested`: the oldest release that tests run on.
    `lacks`: what of it is needed and missing.
    """

    name: str
    version: str
    tested: tuple[int, int] = (0, 0)
    lacks: tuple[str, ...] = ()

    @property
    def is_older(self) -> bool:
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return found is not None and (int(found[1]), int(found[2])) < self.tested


@dataclass(frozen=True)
class Observations:
    """Everything observed. `away`: parts that could not be read, with the reason; their values are missing below."""

    now_ms: int
    away: Mapping[str, str] = field(default_factory=dict)
    lags: tuple[Lag, ...] = ()
    reported: tuple[Reported, ...] = ()
    refusals: Refusals | None = None
    tables: tuple[TableParts, ...] = ()
    longest_merge_seconds: float | None = None
    changelogs: tuple[Changelog, ...] = ()
    disks: tuple[Disk, ...] = ()
    clocks: tuple[Clock, ...] = ()
    migrations: tuple[Migrations, ...] = ()
    servers: tuple[Server, ...] = ()


def findings(seen: Observations) -> list[Finding]:
    """Run all checks; findings come in the order in which they explain each other."""
    checks: tuple[Callable[[Observations], Iterable[Finding]], ...] = (
        _away,
        _versions,
        _lag,
        _deleted,
        _retention,
        _stream,
        _refusals,
        _late,
        _refunds,
        _parts,
        _merges,
        _changelogs,
        _disks,
        _migrations,
        _clocks,
    )
    return [finding for check in checks for finding in check(seen)]


def has_failed(found: Iterable[Finding]) -> bool:
    return any(finding.level is Level.FAIL for finding in found)


def _graded(value: float, warn: float, fail: float) -> Level:
    if value >= fail:
        return Level.FAIL
    return Level.WARN if value >= warn else Level.OK


def _away(seen: Observations) -> Iterator[Finding]:
    for name, reason in seen.away.items():
        yield Finding("reachable", name, Level.FAIL, reason, f"Start {name}, or say where it is (ATTRIKIT_… settings).")


def _versions(seen: Observations) -> Iterator[Finding]:
    for server in seen.servers:
        level, value, advice = Level.OK, server.version or "not told", ""
        if server.lacks:
            level, value = Level.FAIL, f"lacks {', '.join(server.lacks)}"
            advice = "It is too old for this release: upgrade it (deploy/docs/connections.md, Versions)."
        elif server.is_older:
            oldest = ".".join(map(str, server.tested))
            level, advice = Level.WARN, f"Older than what this release is tested with: upgrade it to {oldest} or newer."
        yield Finding("version", server.name, level, value, advice)


def _lag(seen: Observations) -> Iterator[Finding]:
    by_group: dict[tuple[str, str], list[Lag]] = defaultdict(list)
    for lag in seen.lags:
        by_group[lag.group, lag.topic].append(lag)
    for (group, topic), lags in sorted(by_group.items()):
        messages = sum(lag.messages for lag in lags)
        overdue_seconds = max(lag.overdue_seconds(seen.now_ms) for lag in lags)
        level = _graded(overdue_seconds, warn=60, fail=_HOUR_SECONDS)
        worst = max(lags, key=lambda lag: lag.messages)
        value = f"{messages:,} messages"
        if messages:
            word = "overdue" if worst.waits_ms else "old"
            value += f", the oldest {duration(overdue_seconds)} {word}; most in partition {worst.partition}"
        advice = f"Is {group} running? If it is and this grows, add replicas (at most one a partition helps)."
        yield Finding("lag", f"{group} on {topic}", level, value, "" if level is Level.OK else advice)


def _deleted(seen: Observations) -> Iterator[Finding]:
    """Check whether records are gone that a group had still to read."""
    for lag in seen.lags:
        if lag.deleted:
            value = f"{lag.deleted:,} records were deleted before it read them, and are lost to it"
            advice = (
                f"It stops until you say so. Raise retention.ms of {lag.topic}, then start it once with "
                "ATTRIKIT_SKIP_LOST_RECORDS=true: it goes on with the oldest record there is. Events that their sender "
                "still has may be sent again: those that were stored are counted once by their event_id."
            )
            yield Finding("deleted", f"{lag.group} on {lag.topic}[{lag.partition}]", Level.FAIL, value, advice)


def _retention(seen: Observations) -> Iterator[Finding]:
    """Check how long until a record expires that a group has still to read."""
    for lag in seen.lags:
        if lag.oldest_unread_ms is None or lag.retention_ms is None:
            continue
        left_seconds = (lag.oldest_unread_ms + lag.retention_ms - seen.now_ms) / 1000
        share_used = 1 - left_seconds * 1000 / lag.retention_ms
        level = _graded(share_used, warn=0.5, fail=0.9)
        if level is not Level.OK:
            value = f"unread records expire in {duration(max(0.0, left_seconds))}"
            advice = f"Raise retention.ms of {lag.topic} now, then get {lag.group} going: what expires unread is lost."
            yield Finding("retention", f"{lag.group} on {lag.topic}[{lag.partition}]", level, value, advice)
    if seen.lags and not any(lag.oldest_unread_ms is not None for lag in seen.lags):
        yield Finding("retention", "all groups", Level.OK, "nothing unread can expire")


def _stream(seen: Observations) -> Iterator[Finding]:
    for row in seen.reported:
        about = f"events[{row.partition}]"
        if row.lag and (row.reported_at_ms is None or seen.now_ms - row.reported_at_ms > 60_000):
            silent = "never" if row.reported_at_ms is None else duration((seen.now_ms - row.reported_at_ms) / 1000)
            value = f"{row.lag:,} messages wait, last report: {silent}" + ("" if silent == "never" else " ago")
            yield Finding("stream", about, Level.FAIL, value, "No worker is at it: start one, or see its log.")
            continue
        if row.watermark_ms is None:
            yield Finding("watermark", about, Level.OK, "no event yet")
            continue
        age_seconds = (seen.now_ms - row.watermark_ms) / 1000
        # Old events that are being sent in hold event time back; that is only a delay if there is a backlog too.
        level = _graded(age_seconds, warn=600, fail=6 * _HOUR_SECONDS) if row.lag else Level.OK
        advice = "Sessions and alerts of this partition come late until the stream has caught up."
        value = f"{duration(age_seconds)} behind the clock"
        yield Finding("watermark", about, level, value, "" if level is Level.OK else advice)


def _refusals(seen: Observations) -> Iterator[Finding]:
    found = seen.refusals
    if found is None:
        return
    share = found.rejected / max(1, found.accepted + found.rejected)
    level = _graded(share, warn=0.05, fail=0.5) if found.rejected >= 20 else Level.OK
    advice = "`attrikit rejected list` says what and why; after a fix `attrikit rejected replay` sends it again."
    value = f"{found.rejected:,} of {found.accepted + found.rejected:,} events refused in the last hour ({share:.1%})"
    yield Finding("refusals", "gateways", level, value, "" if level is Level.OK else advice)
    if found.put_aside:
        advice = "The log held lines that are no events, or rows the tables do not take: `attrikit rejected list`."
        yield Finding("refusals", "stream, loader", Level.WARN, f"{found.put_aside:,} lines put aside", advice)


def _refunds(seen: Observations) -> Iterator[Finding]:
    found = seen.refusals
    if found is not None and found.without_order:
        value = f"{found.without_order:,} refunds of the last hour have no order that is known"
        advice = (
            "They take nothing back. Those that name an order wait for it, and `GET /v1/events?awaiting_order=true`"
            " lists them; the others need an `order_id`."
        )
        yield Finding("refunds", "stream", Level.WARN, value, advice)


def _late(seen: Observations) -> Iterator[Finding]:
    found = seen.refusals
    if found is None or not found.late:
        return
    share = found.late / max(1, found.accepted)
    level = Level.WARN if found.late >= 20 and share >= 0.01 else Level.OK
    advice = (
        "They fall before what is final for their person: stored, in no session and no credit. Import the past of "
        "people before their new events, or raise the app's allowed lateness."
    )
    value = f"{found.late:,} of {found.accepted:,} events of the last hour came too late to count ({share:.1%})"
    yield Finding("late", "stream", level, value, "" if level is Level.OK else advice)


def _parts(seen: Observations) -> Iterator[Finding]:
    """Check the number of parts. ClickHouse slows inserts down at 1,000 active parts and refuses them at 3,000
    (`parts_to_delay_insert`, `parts_to_throw_insert`).
    """
    for table in seen.tables:
        level = _graded(table.parts, warn=300, fail=1_000)
        value = f"{table.parts} parts, {table.rows:,} rows, {size(table.size_bytes)}"
        advice = "Merging does not keep up: larger blocks (ATTRIKIT_LOADER_MAX_AGE_SECONDS), more CPU or faster disks."
        yield Finding("parts", table.table, level, value, "" if level is Level.OK else advice)


def _merges(seen: Observations) -> Iterator[Finding]:
    if seen.longest_merge_seconds is None:
        return
    level = _graded(seen.longest_merge_seconds, warn=900, fail=4 * _HOUR_SECONDS)
    advice = "Look at system.merges: a merge this long usually waits for the disk."
    value = f"longest runs for {duration(seen.longest_merge_seconds)}" if seen.longest_merge_seconds else "none long"
    yield Finding("merges", "ClickHouse", level, value, "" if level is Level.OK else advice)


_RECOVERED_A_SECOND: Final = 30_000
"""Records of the changelog a second that a worker without its disk reads, measured on two cores."""


def _changelogs(seen: Observations) -> Iterator[Finding]:
    for log in seen.changelogs:
        seconds = log.records / _RECOVERED_A_SECOND
        level = _graded(seconds, warn=300, fail=1_800)
        value = f"{log.records:,} records, about {duration(seconds)} to recover from"
        advice = "Compaction is behind: see the broker's log cleaner; more partitions and workers recover side by side."
        if log.cleanup_policy not in ("", "compact"):
            level, value = Level.FAIL, f"cleanup.policy is {log.cleanup_policy}"
            advice = "Set cleanup.policy=compact: as it is, the state of people not seen lately expires."
        yield Finding("changelog", log.topic, level, value, "" if level is Level.OK else advice)


def _disks(seen: Observations) -> Iterator[Finding]:
    for disk in seen.disks:
        share = disk.free_bytes / max(1, disk.total_bytes)
        level = Level.OK
        if disk.free_bytes < 5 * _GIGABYTE or share < 0.15:
            level = Level.WARN
        if disk.free_bytes < _GIGABYTE or share < 0.03:
            level = Level.FAIL
        value = f"{size(disk.free_bytes)} of {size(disk.total_bytes)} free ({share:.0%})"
        advice = "Make room or grow the disk: a full one stops the broker and the tables."
        yield Finding("disk", disk.name, level, value, "" if level is Level.OK else advice)


def _migrations(seen: Observations) -> Iterator[Finding]:
    for state in seen.migrations:
        if state.changed or state.unknown:
            odd = [*(f"{name} changed" for name in state.changed), *(f"{name} unknown" for name in state.unknown)]
            advice = "It was made by another release: run that one, or restore the backup from before."
            yield Finding("migrations", state.database, Level.FAIL, ", ".join(odd), advice)
        elif state.pending:
            value = f"pending: {', '.join(state.pending)}"
            yield Finding("migrations", state.database, Level.FAIL, value, "Run `attrikit migrate`.")
        else:
            yield Finding("migrations", state.database, Level.OK, "up to date")


def _clocks(seen: Observations) -> Iterator[Finding]:
    for clock in seen.clocks:
        off_ms = max(0, abs(clock.ahead_ms) - clock.uncertain_ms)
        level = _graded(off_ms, warn=1_000, fail=10_000)
        if off_ms:
            value = f"{off_ms / 1000:.1f} s {'ahead of' if clock.ahead_ms > 0 else 'behind'} this machine"
        else:
            value = "the same, as far as it can be told"
        advice = "Keep the clocks together (NTP): receipts, watermarks and quotas go by them."
        yield Finding("clock", clock.name, level, value, "" if level is Level.OK else advice)
