"""The key of the person an event belongs to, inside its app: the rule, in Python and in SQL. Pure.

`u:` + user id, else `a:` + anonymous id, else `e:` + event id: an event without a person stands alone, and its key
serves only to recognise a repeat of it. The column `person_key` of `events` is made by the same rule (migration 0001).
"""

from typing import Final

USER: Final = "u:"
ANONYMOUS: Final = "a:"
ALONE: Final = "e:"

IS_USER_SQL: Final = f"startsWith(person_key, '{USER}')"
IS_SOMEBODY_SQL: Final = f"NOT startsWith(person_key, '{ALONE}')"
ID_SQL: Final = f"substring(person_key, {len(USER) + 1})"
USER_KEY_SQL: Final = f"concat('{USER}', user_id)"
ANONYMOUS_KEY_SQL: Final = f"concat('{ANONYMOUS}', anonymous_id)"


def person_key(user_id: str, anonymous_id: str, event_id: str) -> str:
    if user_id:
        return USER + user_id
    if anonymous_id:
        return ANONYMOUS + anonymous_id
    return ALONE + event_id


def is_user(key: str) -> bool:
    return key.startswith(USER)


def id_of(key: str) -> str:
    """Return the id a key was made of."""
    return key[len(USER) :]
