"""A refused row as data."""

from schemas.ids import reject_id
from services.loader.blocks import Line, Message
from services.loader.rejects import reason_of, rejected_row

CHDB_ERROR = (
    "Code: 27. DB::Exception: Code: 27. DB::Exception: Cannot parse input: expected '\"' before: 'zz\"}': "
    "(while reading the value of key received_us): (at row 1)\n: (in file/uri /tmp/tmpr88hbwgf.raw): "
    "While executing ParallelParsingBlockInputFormat: While executing File: data for INSERT was parsed from file. "
    "(CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.9.2.1)"
)


def _line(value: bytes) -> Line:
    return Line(Message("event-marks", 3, 17, 1_700_000_000_000, b"{}\n" + value), 1, value)


def test_the_reason_is_what_is_about_the_data() -> None:
    assert reason_of(CHDB_ERROR) == (
        "Cannot parse input: expected '\"' before: 'zz\"}': (while reading the value of key received_us): (at row 1)"
    )


def test_a_reason_of_another_shape_stands_as_it_is() -> None:
    assert reason_of("'utf-8' codec can't decode byte 0xff") == "'utf-8' codec can't decode byte 0xff"


def test_a_reject_is_named_by_its_place_and_dated_by_its_message() -> None:
    row = rejected_row(_line(b'{"app_id":"app_1","received_us":"zz"}'), CHDB_ERROR)
    assert row.reject_id == reject_id("event-marks", "3", "17", "1")
    assert row.rejected_at_ms == 1_700_000_000_000
    assert (row.app_id, row.stage, row.code) == ("app_1", "loader", "INVALID_ROW")
    assert row.reason.startswith("event-marks: Cannot parse input")
    assert row.payload == '{"app_id":"app_1","received_us":"zz"}'


def test_bytes_that_are_no_text_are_replaced_and_cut() -> None:
    row = rejected_row(_line(b'{"app_id":"\xff' + b"\xfex" * 10_000), "broken")
    assert row.app_id == ""
    assert row.payload.startswith('{"app_id":"\ufffd\ufffdx')
    assert 4090 < len(row.payload.encode()) <= 4096


def test_a_row_nested_too_deep_to_decode_is_nobodys() -> None:
    assert rejected_row(_line(b'{"x":' * 100_000), "too deep").app_id == ""
