"""Ids are pinned: changing one would double every row written before."""

from hashlib import blake2b
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import conversion_id, digest, mint_event_id, partition_for, reject_id, session_id


def test_crc32_published_check_value() -> None:
    """CRC-32/ISO-HDLC, catalogue of parametrised CRC algorithms."""
    assert crc32(b"123456789") == 0xCBF43926


def test_blake2b_published_vector() -> None:
    """RFC 7693, appendix A: BLAKE2b-512 of "abc"."""
    assert blake2b(b"abc").hexdigest() == (
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    )


def test_digest_is_blake2b_96_over_the_parts() -> None:
    assert digest("abc") == blake2b(b"abc", digest_size=12).hexdigest()
    assert digest("a", "b") == blake2b(b"a\x1fb", digest_size=12).hexdigest()


def test_pinned_ids() -> None:
    assert session_id("shop", "u:1", 1_700_000_000_000, "evt_1") == "ses_f661b41350e883508c9b7584"
    assert conversion_id("shop", "purchase", "evt_1") == "cnv_4994899d726759b73d6fed2b"
    assert reject_id("events", "0", "7", "1") == "rej_df64713cd1ea6c84ba7e4152"


def test_pinned_partitions() -> None:
    assert [partition_for("shop", f"u:{n}", 4) for n in range(8)] == [3, 1, 3, 1, 2, 0, 2, 0]
    assert partition_for("shop", "u:1", 1) == 0


def test_ulid_published_example() -> None:
    """The specification's own: 01ARZ3NDEKTSV4RRFFQ69G5FAV."""
    number = int("".join(f"{'0123456789ABCDEFGHJKMNPQRSTVWXYZ'.index(c):05b}" for c in "01ARZ3NDEKTSV4RRFFQ69G5FAV"), 2)
    minted = mint_event_id(number >> 80, number & ((1 << 80) - 1))
    assert minted == "evt_" + "01ARZ3NDEKTSV4RRFFQ69G5FAV".lower()


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**80 - 1), st.integers(0, 2**80 - 1))
def test_minted_ids_sort_by_time(time_ms: int, one: int, other: int) -> None:
    assert mint_event_id(time_ms, one) < mint_event_id(time_ms + 1, other)
    assert len(mint_event_id(time_ms, one)) == 30


@given(st.lists(st.text(alphabet="ab", max_size=3), min_size=1, max_size=3))
def test_borders_of_parts_count(parts: list[str]) -> None:
    assert digest(*parts, "x") != digest("".join(parts) + "x")


@given(st.text(), st.text(), st.integers(1, 64))
def test_a_partition_is_one_of_them(app_id: str, person_key: str, partitions: int) -> None:
    assert 0 <= partition_for(app_id, person_key, partitions) < partitions
