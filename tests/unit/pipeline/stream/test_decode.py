import msgspec
import pytest

from pipeline.stream import decode
from pipeline.stream.decode import Place, decode_message
from schemas.events import AcceptedEvent, encode_event
from schemas.rejected_payload import HEAD_BYTES

PLACE = Place("events", 2, 77, 1_790_000_000_123)
GOOD = encode_event(AcceptedEvent("demo", "e1", "page_view", 1_790_000_000_000, 1_790_000_000_000_000, user_id="u"))


def test_a_message_of_good_lines_has_no_rejects() -> None:
    decoded = decode_message(GOOD + b"\n" + GOOD + b"\n", PLACE)
    assert [event.event_id for event in decoded.records] == ["e1", "e1"]
    assert list(decoded.indexes) == [0, 1]
    assert not decoded.rejected


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"{",
        b'{"app_id":"demo"}',
        b"[1,2]",
        b"null",
        b"\xff\xfe",
        b'{"app_id":"demo","event_id":"\xff"}',
        GOOD.replace(b'"event_name":"page_view"', b'"event_name":7'),
        GOOD.replace(b'"timestamp_ms":1790000000000', b'"timestamp_ms":1e400'),
        GOOD.replace(b'"timestamp_ms":1790000000000', b'"timestamp_ms":-1'),
        GOOD.replace(b'"timestamp_ms":1790000000000', b'"timestamp_ms":99999999999999999999999'),
        GOOD.replace(b'"received_us":1790000000000000', b'"received_us":9999999999999999999'),
        b'{"a":' * 100_000,
    ],
)
def test_a_bad_line_costs_only_itself(line: bytes) -> None:
    decoded = decode_message(b"\n".join([GOOD, line, GOOD]), PLACE)
    assert list(decoded.indexes) == [0, 2]
    [reject] = decoded.rejected
    assert reject.stage == "stream"
    assert reject.field == "events[2]@77[1]"
    assert reject.rejected_at_ms == PLACE.timestamp_ms
    assert reject.reason
    assert reject.payload
    msgspec.json.encode(reject)


def test_the_same_place_gives_the_same_reject() -> None:
    first, again = (decode_message(b"bad\nworse", PLACE).rejected for _ in range(2))
    assert first == again
    assert len({row.reject_id for row in first}) == 2
    elsewhere = decode_message(b"bad\nworse", Place("events", 2, 78, 0)).rejected
    assert not {row.reject_id for row in first} & {row.reject_id for row in elsewhere}


def test_the_app_is_named_where_it_can_be_read() -> None:
    assert [row.app_id for row in decode_message(b'{"app_id":"demo","event_id":7}\n{"app_id":7}', PLACE).rejected] == [
        "demo",
        "",
    ]


def test_a_message_without_value_is_one_reject_and_an_empty_one_none() -> None:
    assert len(decode_message(None, PLACE).rejected) == 1
    assert not decode_message(b"", PLACE).rejected
    assert not decode_message(b"\n \n\n", PLACE).rejected


def test_garbage_does_not_grow_into_a_flood_of_rejects() -> None:
    decoded = decode_message(b"x\n" * (decode.MAX_REJECTS_PER_MESSAGE + 500) + GOOD, PLACE)
    assert len(decoded.records) == 1
    assert len(decoded.rejected) == decode.MAX_REJECTS_PER_MESSAGE + 1
    assert decoded.rejected[-1].reason.startswith("500 more lines")


def test_a_cut_payload_is_still_text() -> None:
    [row] = decode_message("汉".encode() * 30_000, PLACE).rejected
    assert set(row.payload) <= {"汉", "\ufffd"}
    assert len(row.payload.encode()) <= HEAD_BYTES


def test_a_position_counts_events_an_index_counts_lines() -> None:
    decoded = decode_message(b"\n".join([GOOD, b"bad", b"bad", GOOD]), PLACE)
    assert [decoded.position_of(index) for index in range(5)] == [0, 1, 1, 1, 2]
