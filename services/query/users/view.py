"""Rows of people as answers, with their linked ids, and their values less refunds. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from services.query.core.answers import Meta
from services.query.core.numbers import money_by_currency
from services.query.core.times import time_in_zone
from services.query.identity.person_links import USER_PREFIX, LinkRow
from services.query.users.answers import User, UserDetail
from services.query.users.statements import MAX_LINKED_IDS, RefundRow, UserRow


def user_detail(row: UserRow, meta: Meta) -> UserDetail:
    return {"user": user_of(row, meta["timezone"]), "meta": meta}


def user_of(row: UserRow, zone: str) -> User:
    own_id = row.person_key[len(USER_PREFIX) :]
    is_user = row.person_key.startswith(USER_PREFIX)
    return {
        "id": own_id,
        "user_id": own_id if is_user else None,
        "linked_ids": row.linked_ids,
        "first_seen": time_in_zone(row.first_seen_ms, zone),
        "last_seen": time_in_zone(row.last_seen_ms, zone),
        "sessions": row.session_count,
        "events": row.event_count,
        "page_views": row.page_view_count,
        "conversions": row.conversion_count,
        "values": money_by_currency(row.totals_minor),
        "first_channel": row.first_channel or None,
        "last_channel": row.last_channel or None,
        "is_bot": row.has_only_bots,
    }


def less_refunds(rows: list[UserRow], refunds: list[RefundRow]) -> list[UserRow]:
    """Return the rows with the values less refunds."""
    found = {row.person_key: row.taken_back for row in refunds}
    return [_less(row, found[row.person_key]) if row.person_key in found else row for row in rows]


def _less(row: UserRow, refunded: dict[str, int]) -> UserRow:
    left = {currency: amount - refunded.get(currency, 0) for currency, amount in row.totals_minor.items()}
    return msgspec.structs.replace(row, totals_minor=left)


def with_links(rows: Iterable[UserRow], links: Iterable[LinkRow]) -> list[UserRow]:
    """Add to each the ids it is linked with, beside those its sessions show."""
    by_user: Mapping[str, list[str]] = defaultdict(list)
    for link in links:
        by_user[USER_PREFIX + link.user_id].append(link.anonymous_id)
    return [_with_ids(row, by_user.get(row.person_key, [])) for row in rows]


def _with_ids(row: UserRow, linked: list[str]) -> UserRow:
    together = dict.fromkeys([*linked[:MAX_LINKED_IDS], *row.linked_ids])
    return msgspec.structs.replace(row, linked_ids=sorted(list(together)[:MAX_LINKED_IDS]))
