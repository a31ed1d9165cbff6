"""Compare the accounts of the topic, the tables and the gateways. Pure.

Three accounts, each kept by somebody else:

    acknowledged         the gateways' own counts: events whose sender was answered 2xx
    accepted             lines of the topic `events`, counted by reading it
    stored, duplicates   final rows of the tables
    counted              events in the sessions of all persons: what their states have seen

accepted = stored + duplicates must hold in every hour of every app, in each partition. Acknowledged may be less than
accepted, never more: a gateway that is killed takes its last second of counts with it, and an event whose
acknowledgement came too late is in the topic all the same. Hours are those of receipt.

counted = stored - late must hold of every app, for events that are somebody's. Sessions know no hours of receipt, so it
is compared only where all accounts are of everything, and nothing is under way.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.facts import NO_PLACE

HOUR_MS: Final = 3_600_000


class Bucket(NamedTuple):
    app_id: str
    hour: int
    """Hours since the epoch, UTC."""


class PartitionHour(NamedTuple):
    app_id: str
    hour: int
    partition: int

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.app_id, self.hour)


@dataclass(frozen=True)
class TopicAccount:
    lines: Counter[PartitionHour] = field(default_factory=Counter)
    unreadable: Counter[int] = field(default_factory=Counter)
    """Lines that are no events, by partition."""


@dataclass(frozen=True)
class TableAccount:
    stored: Counter[PartitionHour] = field(default_factory=Counter)
    duplicates: Counter[PartitionHour] = field(default_factory=Counter)
    swapped: Counter[PartitionHour] = field(default_factory=Counter)
    """Repeats with the receipt time that the stored row carries: the copy with the other receipt time came into the
    topic first.
    """
    folded: Counter[PartitionHour] = field(default_factory=Counter)
    """Events sent under two unlinked ids with one time: the row of another place is stored for both."""
    late: Counter[Bucket] = field(default_factory=Counter)
    rejected: Counter[Bucket] = field(default_factory=Counter)
    """Gateway refusals stored as rows."""
    put_aside: Counter[Bucket] = field(default_factory=Counter)
    """Lines the stream could not read or ClickHouse refused."""
    states: "StateAccount | None" = None
    """Session counts; None if they cannot be compared."""


@dataclass(frozen=True)
class StateAccount:
    """Numbers of events by app, over all time."""

    counted: Counter[str]
    """Events counted in sessions."""
    countable: Counter[str]
    """Stored events of persons that were not late."""
    resent: Counter[str]
    """Rows that share their id with a row of another time. Those of one person are counted once."""


@dataclass(frozen=True)
class GatewayAccount:
    acknowledged: Counter[Bucket] = field(default_factory=Counter)
    rejected: Counter[Bucket] = field(default_factory=Counter)


@dataclass(frozen=True)
class Line:
    """The counts of one app and hour."""

    bucket: Bucket
    acknowledged: int
    accepted: int
    stored: int
    duplicates: int
    late: int
    rejected: int
    """Rejected events: the gateways' count or the number of their stored rows, whichever is greater."""

    @property
    def difference(self) -> int:
        """Return the imbalance: greater than 0 if events are missing in the tables, less if there are too many."""
        return self.accepted - self.stored - self.duplicates


@dataclass(frozen=True)
class Problem:
    """Something that does not balance. `partition` is None where it cannot be told."""

    app_id: str
    hour: int | None
    partition: int | None
    text: str


@dataclass(frozen=True)
class Balance:
    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.problems


def balance(topic: TopicAccount, tables: TableAccount, gateways: GatewayAccount) -> Balance:
    """Compare the accounts, which must cover about the same span of time."""
    problems = [*_stored_problems(topic, tables), *_acknowledged_problems(topic, gateways)]
    problems += _unreadable_problems(topic, tables)
    problems += _state_problems(tables)
    return Balance(tuple(_lines(topic, tables, gateways)), tuple(problems), tuple(_notes(topic, tables, gateways)))


def missing(topic: TopicAccount, tables: TableAccount) -> dict[PartitionHour, int]:
    """Return the places with more lines than the tables account for."""
    return {place: count for place, count in _differences(topic, tables).items() if count > 0}


def folded(topic: TopicAccount, tables: TableAccount, repeats: Counter[PartitionHour]) -> Counter[PartitionHour]:
    """Return the missing lines that are explained by one row stored for two lines. `repeats`: lines that repeat an id
    of their partition, or an id and a time of another one. All of the former are marked, and as many of the latter as
    belong to persons who became one; so at least `repeats` less the marks are unmarked, and their rows are elsewhere.
    """
    found = missing(topic, tables)
    return Counter({p: n for p, n in found.items() if n <= repeats[p] - tables.duplicates[p]})


def _differences(topic: TopicAccount, tables: TableAccount) -> dict[PartitionHour, int]:
    places = sorted({*topic.lines, *tables.stored, *tables.duplicates})
    found = {p: topic.lines[p] - tables.stored[p] - tables.duplicates[p] - tables.folded[p] for p in places}
    return {place: count for place, count in found.items() if count}


def _lines(topic: TopicAccount, tables: TableAccount, gateways: GatewayAccount) -> Iterator[Line]:
    accepted, stored = _by_bucket(topic.lines), _by_bucket(tables.stored)
    duplicates = _by_bucket(tables.duplicates + tables.folded)
    counted = (accepted, stored, duplicates, tables.late, tables.rejected, gateways.acknowledged, gateways.rejected)
    for bucket in sorted({bucket for counts in counted for bucket in counts}):
        yield Line(
            bucket=bucket,
            acknowledged=gateways.acknowledged[bucket],
            accepted=accepted[bucket],
            stored=stored[bucket],
            duplicates=duplicates[bucket],
            late=tables.late[bucket],
            rejected=max(gateways.rejected[bucket], tables.rejected[bucket]),
        )


def _by_bucket(counts: Counter[PartitionHour]) -> Counter[Bucket]:
    found: Counter[Bucket] = Counter()
    for place, count in counts.items():
        found[place.bucket] += count
    return found


def _stored_problems(topic: TopicAccount, tables: TableAccount) -> Iterator[Problem]:
    by_app: dict[str, dict[PartitionHour, int]] = defaultdict(dict)
    for place, difference in _differences(topic, tables).items():
        by_app[place.app_id][place] = difference
    for app_id, differences in by_app.items():
        if not _is_swap(app_id, differences, tables):
            for place, difference in differences.items():
                yield Problem(app_id, place.hour, place.partition, _describe(difference))


def _is_swap(app_id: str, differences: dict[PartitionHour, int], tables: TableAccount) -> bool:
    """Tell whether places differ only because of repeats: those that stand in the topic the other way round (the table
    keeps the earlier receipt, the mark names the later line; they may be in two hours, or in the partitions of two ids
    that became one person's), and those whose mark does not know its partition.
    """
    known = _of_app(tables.swapped, app_id)
    known += sum(
        count for place, count in tables.duplicates.items() if (place.app_id, place.partition) == (app_id, NO_PLACE)
    )
    return sum(differences.values()) == 0 and sum(map(abs, differences.values())) <= 2 * known


def _describe(difference: int) -> str:
    if difference > 0:
        return f"{difference} accepted events are neither stored nor marked as duplicates"
    return f"{-difference} more events are stored or marked as duplicates than were accepted"


def _acknowledged_problems(topic: TopicAccount, gateways: GatewayAccount) -> Iterator[Problem]:
    accepted = _by_bucket(topic.lines)
    for bucket, count in sorted(gateways.acknowledged.items()):
        if count > accepted[bucket]:
            missing = count - accepted[bucket]
            yield Problem(
                *bucket, None, f"{missing} events were acknowledged to their senders and are not in the topic"
            )


def _unreadable_problems(topic: TopicAccount, tables: TableAccount) -> Iterator[Problem]:
    if topic.unreadable and not tables.put_aside:
        for partition, count in sorted(topic.unreadable.items()):
            yield Problem("", None, partition, f"{count} lines of the topic are unreadable and nobody put them aside")


def _state_problems(tables: TableAccount) -> Iterator[Problem]:
    """Compare session counts with stored events. Repeats leave some room: one row may stand for two persons' events,
    two rows for one event of a person, and which of two receipts was late may differ.
    """
    if tables.states is None:
        return
    counted, countable, resent = tables.states.counted, tables.states.countable, tables.states.resent
    for app_id in sorted({*counted, *countable}):
        swapped, folded = _of_app(tables.swapped, app_id), _of_app(tables.folded, app_id)
        difference = counted[app_id] - countable[app_id]
        if not -resent[app_id] - swapped <= difference <= folded + swapped:
            text = f"{countable[app_id]} stored events belong into sessions, which have counted {counted[app_id]}"
            yield Problem(app_id, None, None, text)


def _of_app(counts: Counter[PartitionHour], app_id: str) -> int:
    return sum(count for place, count in counts.items() if place.app_id == app_id)


def _notes(topic: TopicAccount, tables: TableAccount, gateways: GatewayAccount) -> Iterable[str]:
    unreadable, aside = topic.unreadable.total(), tables.put_aside.total()
    if unreadable or aside:
        yield f"{unreadable} unreadable lines in the topic; {aside} rows put aside (attrikit rejected list)"
    if tables.folded:
        count = tables.folded.total()
        yield f"{count} events were sent again under another person's id, and are one row with the first"
    unwritten = sum(max(0, count - tables.rejected[bucket]) for bucket, count in gateways.rejected.items())
    if unwritten:
        yield f"{unwritten} refusals were counted and not written down: accepted events had gone first"
    if tables.states is None:
        yield "what sessions have counted was not compared: it is only for all events, while none arrive"
    else:
        yield f"sessions have counted {tables.states.counted.total()} events"
