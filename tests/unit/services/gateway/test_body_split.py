import tracemalloc

import pytest

from schemas.errors import ErrorCode
from services.gateway.body_split import Events, parse_any, parse_batch
from services.web.errors import ApiError

JSON = b"application/json"
NDJSON = b"application/x-ndjson; charset=utf-8"


def refusal(body: bytes, content_type: bytes) -> ApiError:
    with pytest.raises(ApiError) as raised:
        parse_batch(body, content_type)
    return raised.value


def test_a_json_batch_is_split_into_the_bytes_of_its_events() -> None:
    assert parse_batch(b'{"events": [ {"a": 1} ,7,\n"x" ], "more": 1}', JSON).raw == [b'{"a": 1}', b"7", b'"x"']


def test_good_batches_come_decoded_and_others_do_not() -> None:
    good = parse_batch(b'{"events":[{"event_name":"a"},{"event_name":"b"}]}', JSON)
    assert good.decoded is not None
    assert [event.event_name for event in good.decoded] == ["a", "b"]
    assert parse_batch(b'{"events":[{"event_name":"a"},{"event_name":5}]}', JSON).decoded is None


def test_lines_of_ndjson_stand_alone() -> None:
    body = b'{"a":1}\r\n\n  {broken\n\xff\xfe\n'
    assert parse_batch(body, NDJSON).raw == [b'{"a":1}', b"{broken", b"\xff\xfe"]


@pytest.mark.parametrize(
    ("body", "content_type", "code", "field"),
    [
        (b"{}", JSON, ErrorCode.MISSING_REQUIRED_FIELD, "events"),
        (b'{"events":[]}', JSON, ErrorCode.MISSING_REQUIRED_FIELD, "events"),
        (b" \n\n ", NDJSON, ErrorCode.MISSING_REQUIRED_FIELD, "events"),
        (b"", JSON, ErrorCode.INVALID_PARAMETER, "body"),
        (b"[]", JSON, ErrorCode.INVALID_PARAMETER, "body"),
        (b'{"events":{}}', JSON, ErrorCode.INVALID_PARAMETER, "events"),
        (b'{"events":null}', JSON, ErrorCode.INVALID_PARAMETER, "events"),
        (b'{"events":[{"event_name":"a"},{', JSON, ErrorCode.INVALID_PARAMETER, "body"),
        (b'{"x":NaN,"event":[]}', JSON, ErrorCode.INVALID_PARAMETER, "body"),
        (b'{"events":[' + b"[" * 100_000, JSON, ErrorCode.INVALID_PARAMETER, "body"),
        (b'{"events":[' + b"0," * 1000 + b"0]}", JSON, ErrorCode.PAYLOAD_TOO_LARGE, "events"),
        (b"0\n" * 1001, NDJSON, ErrorCode.PAYLOAD_TOO_LARGE, "events"),
    ],
)
def test_bodies_that_cannot_be_split(body: bytes, content_type: bytes, code: ErrorCode, field: str) -> None:
    error = refusal(body, content_type)
    assert (error.code, error.field) == (code, field)


VERY_MANY = {
    "numbers": (b'{"events":[' + b"0," * 1_500_000 + b"0]}", JSON),
    "objects": (b'{"events":[' + b"{}," * 1_000_000 + b"{}]}", JSON),
    "lines": (b"0\n" * 1_500_000, NDJSON),
    "blank lines": (b"0\n" * 1_001 + b"\n" * 3_000_000, NDJSON),
}


@pytest.mark.parametrize(("body", "content_type"), VERY_MANY.values(), ids=VERY_MANY)
def test_a_batch_of_millions_costs_no_memory(body: bytes, content_type: bytes) -> None:
    tracemalloc.start()
    error = refusal(body, content_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (error.code, error.field) == (ErrorCode.PAYLOAD_TOO_LARGE, "events")
    assert error.details["actual"] > error.details["limit"] == 1_000
    assert peak < 4 * len(body)


def test_few_events_with_very_much_in_them_are_split_like_any_others() -> None:
    event = b'{"event_name":"a","properties":{"x":[' + b"0," * 600 + b"0]}}"
    assert parse_batch(b'{"events":[' + b",".join([event] * 400) + b"]}", JSON).raw == [event] * 400
    repeated = b'{"events":[0],' * 1 + b'"events":[],' * 200_000 + b'"events":[1,2]}'
    assert parse_batch(repeated, JSON).raw == [b"1", b"2"]
    assert parse_batch(b'{"x":[' + b"0," * 200_000 + b'0],"events":[1]}', JSON).raw == [b"1"]
    error = refusal(b'{"x":[' + b"0," * 200_000 + b"0]}", JSON)
    assert (error.code, error.field) == (ErrorCode.MISSING_REQUIRED_FIELD, "events")


def test_anything_with_events_is_a_batch_and_the_rest_is_one_event() -> None:
    assert parse_any(b'{"events":[{}]}', JSON) == parse_batch(b'{"events":[{}]}', JSON)
    assert parse_any(b"{}\n{}", NDJSON).raw == [b"{}", b"{}"]
    for single in (b'{"event_name":"a"}', b'{"event_name":"events"}', b"{broken", b'{"x":"\\"events\\""}'):
        assert parse_any(single, JSON) == Events([single], is_batch=False)
    with pytest.raises(ApiError):
        parse_any(b'{"events":5}', JSON)
