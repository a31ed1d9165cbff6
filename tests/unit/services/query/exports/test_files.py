"""The bytes of a file, from rows cut anywhere."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from services.query.core.rows import BrokenRows, whole_lines
from services.query.exports.columns import Column, Kind
from services.query.exports.files import FileEncoder, file_name, media_type
from services.query.exports.parameters import Compression, FileFormat

COLUMNS = (
    Column("text", Kind.TEXT, ""),
    Column("time", Kind.TIME, ""),
    Column("money", Kind.MONEY, ""),
    Column("credit", Kind.CREDIT, ""),
    Column("json", Kind.JSON, ""),
    Column("texts", Kind.TEXTS, ""),
    Column("whole", Kind.WHOLE, ""),
    Column("flag", Kind.FLAG, ""),
)
FOR_ARROW = (
    b'{"text":"a,\\"b\\nc","time":1704067200123,"money":"12.3400","credit":"0.333333333","json":"{\\"k\\":1.50}",'
    b'"texts":["p","q"],"whole":5,"flag":true}\n'
    b'{"text":"","time":null,"money":"-0.5","credit":"1","json":"{}","texts":[],"whole":null,"flag":false}\n'
)
AS_LINES = (
    b'{"text":"a\\nb","time":"2024-01-01T00:00:00.123Z","money":12.34,"credit":0.333333333,"json":"{\\"k\\":1.50}",'
    b'"texts":["p"],"whole":9007199254740993,"flag":true}\n'
)
UNDONE = {Compression.NONE: bytes, Compression.GZIP: gzip.decompress, Compression.ZSTD: zstd.decompress}


def cut(content: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[low:high] for low, high in pairwise(borders)]


def encode(content: bytes, file_format: FileFormat, compression: Compression, places: list[int]) -> tuple[bytes, int]:
    encoder = FileEncoder(COLUMNS, file_format, compression)
    return b"".join(encoder.encode(cut(content, places))), encoder.rows


@pytest.mark.parametrize("compression", Compression)
@settings(deadline=None, max_examples=25)
@given(places=st.lists(st.integers(0, 1000), max_size=4))
def test_parquet(compression: Compression, places: list[int]) -> None:
    content, rows = encode(FOR_ARROW, FileFormat.PARQUET, compression, places)
    first, second = pq.read_table(io.BytesIO(content)).to_pylist()
    assert rows == 2
    assert first["time"] == datetime(2024, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    assert (first["money"], first["credit"]) == (Decimal("12.34"), Decimal("0.333333333"))
    assert (first["texts"], first["whole"], first["flag"], first["json"]) == (["p", "q"], 5, True, '{"k":1.50}')
    assert (second["time"], second["money"], second["whole"], second["texts"]) == (None, Decimal("-0.5"), None, [])


@pytest.mark.parametrize("compression", Compression)
@settings(deadline=None, max_examples=25)
@given(places=st.lists(st.integers(0, 1000), max_size=4))
def test_csv(compression: Compression, places: list[int]) -> None:
    content, rows = encode(FOR_ARROW, FileFormat.CSV, compression, places)
    first, second = csv.DictReader(io.StringIO(UNDONE[compression](content).decode(), newline=""))
    assert rows == 2
    assert (first["text"], first["money"], first["texts"]) == ('a,"b\nc', "12.3400", '["p","q"]')
    assert (second["time"], second["whole"], second["flag"]) == ("", "", "false")


def _cells(sheet_zone: str | None, **changes: object) -> dict[str, str]:
    """A row as a reader of CSV gets it."""
    row = {"text": "", "time": None, "money": "0", "credit": "0", "json": "{}", "texts": [], "whole": 0, "flag": True}
    encoder = FileEncoder(COLUMNS, FileFormat.CSV, Compression.NONE, sheet_zone)
    content = b"".join(encoder.encode([json.dumps(row | changes).encode() + b"\n"]))
    assert content.startswith(b"\xef\xbb\xbf") is (sheet_zone is not None)
    (found,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return found


def test_the_bytes_of_csv() -> None:
    """Only text is quoted, and a number has no exponent, however small it is."""
    small = FOR_ARROW.splitlines()[1].replace(b'"-0.5"', b'"0"').replace(b'"1"', b'"0.000000001"') + b"\n"
    content, _ = encode(small, FileFormat.CSV, Compression.NONE, [])
    assert content.splitlines()[1] == b'"",,0,0.000000001,"{}","[]",,false'
    content, _ = encode(FOR_ARROW, FileFormat.CSV, Compression.NONE, [])
    assert b",2024-01-01 00:00:00.123Z,12.3400,0.333333333," in content


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "-", '="a"']
NO_FORMULAS = ["", "a=1", "'=1", "1-1", '"', "首页", "a\n=1"]


def test_a_spreadsheet_takes_no_text_for_a_formula() -> None:
    for text in FORMULAS:
        assert _cells("UTC", text=text)["text"] == "'" + text
        assert _cells(None, text=text)["text"] == text
    for text in NO_FORMULAS:
        assert _cells("UTC", text=text)["text"] == text
    assert _cells("UTC", texts=["=1"])["texts"] == '["=1"]'


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_no_cell_of_a_spreadsheet_begins_like_a_formula(text: str) -> None:
    found = _cells("UTC", text=text)["text"]
    assert found in (text, "'" + text)
    assert found[:1] not in tuple("=+-@\t\r\n")


def test_a_spreadsheet_gets_numbers_and_local_times() -> None:
    winter, summer = (int(datetime(2024, month, 1, tzinfo=UTC).timestamp() * 1000) + 123 for month in (1, 7))
    for zone, at_ms, wanted in (
        ("Asia/Shanghai", winter, "2024-01-01 08:00:00"),
        ("Europe/Berlin", winter, "2024-01-01 01:00:00"),
        ("Europe/Berlin", summer, "2024-07-01 02:00:00"),
        ("America/New_York", int(datetime(2050, 7, 1, tzinfo=UTC).timestamp() * 1000), "2050-06-30 20:00:00"),
    ):
        assert _cells(zone, time=at_ms)["time"] == wanted
    row = _cells("UTC", money="-0.5", whole=-3)
    assert (row["money"], row["whole"], row["time"]) == ("-0.5", "-3", "")


@pytest.mark.parametrize("compression", Compression)
@settings(deadline=None, max_examples=25)
@given(places=st.lists(st.integers(0, 1000), max_size=4))
def test_json_lines(compression: Compression, places: list[int]) -> None:
    content, rows = encode(AS_LINES * 2, FileFormat.JSONL, compression, places)
    lines = UNDONE[compression](content).splitlines()
    assert rows == len(lines) == 2
    row = json.loads(lines[0], parse_float=Decimal)
    assert row["json"] == {"k": Decimal("1.50")}, "the caller's object, digit for digit"
    assert (row["text"], row["whole"]) == ("a\nb", 9007199254740993)


@pytest.mark.parametrize("file_format", FileFormat)
def test_nothing_is_a_file_too(file_format: FileFormat) -> None:
    content, rows = encode(b"", file_format, Compression.NONE, [])
    assert rows == 0
    if file_format is FileFormat.PARQUET:
        assert pq.read_table(io.BytesIO(content)).column_names == [column.name for column in COLUMNS]
    elif file_format is FileFormat.CSV:
        assert content.decode().splitlines() == [",".join(f'"{column.name}"' for column in COLUMNS)]


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize(
    "broken",
    [
        b'{"text":"half',
        b"Code: 241. DB::Exception: Memory limit exceeded\n",
        b'{"text":"a"}\nCode: 241. DB::Exception: Memory\n',
        b'{"text":"a"}\n{"surplus":1}\n',
    ],
)
def test_what_are_no_rows_never_becomes_a_file(file_format: FileFormat, broken: bytes) -> None:
    if file_format is FileFormat.JSONL and b"surplus" in broken:
        broken = broken.replace(b'"surplus"', b'"json"')
    with pytest.raises(BrokenRows):
        encode(broken, file_format, Compression.NONE, [])


def test_lines_stay_whole() -> None:
    assert list(whole_lines([b"a\nb", b"c", b"\nd\n", b""])) == [b"a\n", b"bc\nd\n"]


def test_names_and_types() -> None:
    assert file_name("events", "exp_1", FileFormat.CSV, Compression.GZIP) == "attrikit-events-exp_1.csv.gz"
    assert file_name("events", "exp_1", FileFormat.PARQUET, Compression.ZSTD) == "attrikit-events-exp_1.parquet"
    assert media_type(FileFormat.JSONL, Compression.NONE) == "application/x-ndjson"
    assert media_type(FileFormat.CSV, Compression.ZSTD) == "application/zstd"
    assert media_type(FileFormat.PARQUET, Compression.GZIP) == "application/vnd.apache.parquet"
