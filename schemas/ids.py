"""Deterministic ids and the partition of a person. The same inputs give the same id on every replay.

Pinned to published vectors in the tests: CRC-32 (ISO-HDLC, check value 0xCBF43926 for "123456789") and
BLAKE2b (RFC 7693).
"""

from hashlib import blake2b
from typing import Final
from zlib import crc32

_SEPARATOR: Final = "\x1f"
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_CROCKFORD_PAIRS: Final = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_PAIR_SHIFTS: Final = tuple(range(120, -1, -10))


def digest(*parts: str) -> str:
    """24 hex digits (96 bits) over the parts, whose borders count."""
    return blake2b(_SEPARATOR.join(parts).encode(), digest_size=12).hexdigest()


def session_id(app_id: str, person_key: str, start_ms: int, first_event_id: str) -> str:
    """A session is named by its first event, so any arrival order gives it the same id."""
    return "ses_" + digest(app_id, person_key, str(start_ms), first_event_id)


def conversion_id(app_id: str, goal: str, event_id: str) -> str:
    """One event may meet several goals; each is a conversion of its own."""
    return "cnv_" + digest(app_id, goal, event_id)


def reject_id(*place: str) -> str:
    """`place`: where the rejected thing stood, e.g. (topic, partition, offset, index) or (request id, index)."""
    return "rej_" + digest(*place)


def alert_id(app_id: str, rule_id: str, state: str, window_end_ms: int) -> str:
    """A rule begins or stops holding at most once at one time."""
    return "alr_" + digest(app_id, rule_id, state, str(window_end_ms))


def mint_event_id(time_ms: int, random_80_bits: int) -> str:
    """`evt_` and a ULID."""
    return "evt_" + _ulid(time_ms, random_80_bits)


def mint_visitor_id(time_ms: int, random_80_bits: int) -> str:
    """`vis_` and a ULID."""
    return "vis_" + _ulid(time_ms, random_80_bits)


def _ulid(time_ms: int, random_80_bits: int) -> str:
    """48 bits of time, 80 of randomness, in lower-case Crockford base 32 (26 digits).

    Source: the ULID specification, github.com/ulid/spec.
    """
    value = (time_ms << 80) | (random_80_bits & ((1 << 80) - 1))
    return "".join([_CROCKFORD_PAIRS[(value >> shift) & 1023] for shift in _PAIR_SHIFTS])


def partition_for(app_id: str, person_key: str, partitions: int) -> int:
    """The partition that holds all events of a person: CRC-32 of `app_id \\x1f person_key`, modulo."""
    return person_hash(app_id, person_key) % partitions


def person_hash(app_id: str, person_key: str) -> int:
    """Before the modulo. That of a key's beginning is where `zlib.crc32` goes on with the rest of it."""
    return crc32(f"{app_id}{_SEPARATOR}{person_key}".encode())
