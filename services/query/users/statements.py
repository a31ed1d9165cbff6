"""Statements of people, from their sessions: the list, and one of them. Pure.

The list is ordered by when a person was first seen, newest first: unlike the last sighting that hardly ever changes,
so a walk through the pages meets everybody once while data arrives.
"""

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from services.query.core.lists import Page, PageListing
from services.query.core.sql import (
    OF_FEW_ROWS,
    Condition,
    Horizon,
    SortKey,
    Statement,
    Table,
    but_bots,
    equals,
    newest_first,
    older_than,
    peeking_statement,
    raw_source,
    reaching_to,
    source,
    statement,
    time_horizon_of,
    within,
)
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("first_seen_ms", "person_key")

MAX_LINKED_IDS: Final = 100


class UserRow(msgspec.Struct):
    person_key: str
    linked_ids: list[str]
    first_seen_ms: int
    last_seen_ms: int
    session_count: int
    event_count: int
    page_view_count: int
    conversion_count: int
    totals_minor: dict[str, int]
    first_channel: str
    last_channel: str
    has_only_bots: bool
    """True if all of its sessions are a bot's."""


class RefundRow(msgspec.Struct):
    person_key: str
    taken_back: dict[str, int]
    """Value of the person's conversions that refunds took back, by currency."""


@dataclass(frozen=True)
class UserFilter:
    first_seen: TimeRange = ALL_TIME
    include_bots: bool = False
    """True to look at bots' sessions beside people's. Of a person with both, only the former are looked at else."""


# A session without a channel began with no arrival (see SEMANTICS.md): a backend's purchase, say.
SELECT: Final = f"""SELECT person_key,
    arraySort(groupUniqArrayIf({MAX_LINKED_IDS})(anonymous_id, anonymous_id != '')) AS linked_ids,
    min(start_ms) AS first_seen_ms,
    max(end_ms) AS last_seen_ms,
    countIf(channel != '') AS session_count,
    sum(events) AS event_count,
    sum(page_views) AS page_view_count,
    sum(conversions) AS conversion_count,
    sumMap(values_minor) AS totals_minor,
    argMinIf(channel, (start_ms, session_id), channel != '') AS first_channel,
    argMaxIf(channel, (start_ms, session_id), channel != '') AS last_channel,
    toBool(min(is_bot)) AS has_only_bots"""


def list_users(app_id: str, wanted: UserFilter, page: Page) -> "NewestUsers":
    return NewestUsers(app_id, page, wanted)


@dataclass(frozen=True)
class NewestUsers(PageListing):
    """The `Listing` of people, the most recently first seen first.

    Whoever was first seen in a time has a session that began in it, and none before. So the sessions of the newest
    time give the candidates, and a glance over the hashes of all earlier sessions tells who of them was not new. What
    else is told of a person is then added up for those on the page alone.
    """

    wanted: UserFilter
    raw_rows_per_item = 40
    """Sessions looked at first for each newcomer: the more people come back, the more it takes. It costs little beside
    the glance over all.
    """

    def horizon(self, reach: int) -> Statement[Horizon]:
        return time_horizon_of(self.app_id, Table.NARROW_SESSIONS, "start_ms", self._window(), reach)

    def rows(self, horizon: Horizon) -> Statement[UserRow]:
        window = [*self._window(), *reaching_to("start_ms", horizon)]
        after = older_than(ORDER, self.page.after)
        known = _seen_before(window, self.wanted.include_bots)
        newest = newest_first(ORDER)
        sql = f"""{SELECT} FROM
(
    SELECT * FROM {raw_source(Table.SESSIONS_BY_PERSON)} AND person_key IN
    (
        SELECT person_key FROM
        (
            SELECT person_key, any(person_hash) AS known_by, min(start_ms) AS first_seen_ms
            FROM {source(Table.SESSIONS, window)} GROUP BY person_key
        )
        WHERE known_by NOT IN ({known}){"".join(f" AND {condition.sql}" for condition in after)}{newest}
    )
    ORDER BY revision DESC LIMIT 1 BY person_key, start_ms, session_id
)
WHERE NOT is_deleted{self._of_persons()} GROUP BY person_key{newest}"""
        found = peeking_statement(UserRow, self.app_id, sql, [*window, *after], row_limit=self.row_limit)
        return replace(found, settings=OF_FEW_ROWS)

    def _of_persons(self) -> str:
        return "".join(f" AND {condition.sql}" for condition in but_bots(self.wanted.include_bots))

    def _window(self) -> list[Condition]:
        found = [*within("start_ms", self.wanted.first_seen), *but_bots(self.wanted.include_bots)]
        if self.page.after is not None:
            found.append(Condition("start_ms <= {newest_ms:Int64}", {"newest_ms": self.page.after.time_ms}))
        return found


def _seen_before(window: list[Condition], include_bots: bool) -> str:
    """Return the hashes of those with a session in the window who have one before its horizon too.

    What FINAL would merge of everybody's sessions is merged here of theirs: of each session its newest row counts.
    """
    of_people = "" if include_bots else " AND NOT argMax(is_bot, revision)"
    of_them = f"person_hash IN (SELECT person_hash FROM {raw_source(Table.SESSIONS, window)})"
    return f"""SELECT person_hash FROM {raw_source(Table.NARROW_SESSIONS, [Condition(of_them)])}
            GROUP BY person_hash, start_ms, session_hash
            HAVING min(start_ms) < {{horizon_ms:Int64}} AND NOT argMax(is_deleted, revision){of_people}"""


def find_user(app_id: str, person_key: str) -> Statement[UserRow]:
    where = equals("person_key", person_key)
    sql = f"{SELECT} FROM {source(Table.SESSIONS_BY_PERSON, where)} GROUP BY person_key"
    return statement(UserRow, app_id, sql, where)


def find_refunds(app_id: str, person_keys: list[str], include_bots: bool) -> Statement[RefundRow]:
    """Find refunds, which sessions lack: their values are those of the moment, refunds come later."""
    of_them = Condition("person_key IN {persons:Array(String)}", {"persons": person_keys})
    where = [of_them, *but_bots(include_bots)]
    return statement(RefundRow, app_id, refunds_sql(where), where)


def refunds_sql(where: list[Condition]) -> str:
    """Return the query of `RefundRow`s."""
    refunded = source(Table.CONVERSIONS, [Condition("refunded_minor > 0"), *where])
    return f"""SELECT person_key, sumMap(map(toString(currency), refunded_minor)) AS taken_back
FROM {refunded} GROUP BY person_key"""
