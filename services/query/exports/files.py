"""Write the rows from ClickHouse, pieces of JSON lines, as the bytes of a file. Holds a few pieces in memory.

JSON lines are ClickHouse's own (`JSONEachRow`). CSV and Parquet are made of them here, not by its `CSVWithNames` and
`Parquet`: a query that fails after it has begun to answer ends in a text that is no row, which is told from rows of
JSON for certain (`BrokenRows`) and not from those of CSV; and rows that are computed here (the performance report) take
the same way.
"""

import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from services.query.core.rows import BrokenRows, whole_lines
from services.query.exports.columns import Column, Kind, file_schema, read_schema
from services.query.exports.csv_text import csv_header, csv_lines
from services.query.exports.parameters import Compression, FileFormat

_GZIP_LEVEL: Final = 6
_ROW_GROUP_ROWS: Final = 64 * 1024
_JSON_BLOCK_BYTES: Final = 4 * 1024 * 1024
_MEDIA_TYPES: Final = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.JSONL: "application/x-ndjson",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}
_ENDINGS: Final = {Compression.NONE: "", Compression.GZIP: ".gz", Compression.ZSTD: ".zst"}


def file_name(report: str, job_id: str, file_format: FileFormat, compression: Compression) -> str:
    """Return the name of a file. Parquet compresses inside, so its name has no second ending."""
    ending = "" if file_format is FileFormat.PARQUET else _ENDINGS[compression]
    return f"attrikit-{report}-{job_id}.{file_format.value}{ending}"


def media_type(file_format: FileFormat, compression: Compression) -> str:
    if file_format is FileFormat.PARQUET or compression is Compression.NONE:
        return _MEDIA_TYPES[file_format]
    return "application/gzip" if compression is Compression.GZIP else "application/zstd"


class _Writer(Protocol):
    rows: int

    def write(self, lines: bytes) -> None:
        """Write lines. `lines`: whole ones."""

    def close(self) -> None: ...


class FileEncoder:
    """Encoder of files: `for data in encoder.encode(pieces)` gives the bytes of the file, a few for each piece."""

    def __init__(
        self,
        columns: Sequence[Column],
        file_format: FileFormat,
        compression: Compression,
        sheet_zone: str | None = None,
    ) -> None:
        """`sheet_zone`: of a CSV file for a spreadsheet, the zone of its times."""
        self._sink = _Sink()
        self._writer: _Writer
        if file_format is FileFormat.PARQUET:
            self._writer = _ParquetWriter(self._sink, columns, compression)
        else:
            self._compressed = _compressor(self._sink, compression)
            if file_format is FileFormat.CSV:
                self._writer = _CsvWriter(self._compressed, columns, sheet_zone)
            else:
                self._writer = _JsonWriter(self._compressed, columns)
        self._is_parquet = file_format is FileFormat.PARQUET

    @property
    def rows(self) -> int:
        return self._writer.rows

    def encode(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Encode the pieces. Raises `BrokenRows`."""
        for lines in whole_lines(pieces):
            self._writer.write(lines)
            yield self._sink.take()
        self._writer.close()
        if not self._is_parquet:
            self._compressed.close()
        yield self._sink.take()


class _Sink(io.RawIOBase):
    """A file to write to, whose content is taken away as it grows."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self._parts.append(taken)
        self._position += len(taken)
        return len(taken)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def _compressor(sink: _Sink, compression: Compression) -> Any:
    """Open a writable file around `sink`; closing it ends the compression, not `sink`."""
    if compression is Compression.GZIP:
        return gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)
    if compression is Compression.ZSTD:
        return pa.CompressedOutputStream(_Unclosed(sink), "zstd")
    return _Unclosed(sink)


class _Unclosed(io.RawIOBase):
    def __init__(self, inner: _Sink) -> None:
        self._inner = inner

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._inner.write(data)

    def tell(self) -> int:
        return self._inner.tell()


class _JsonWriter:
    def __init__(self, out: Any, columns: Sequence[Column]) -> None:
        self.rows = 0
        self._out = out
        self._embedded = [column.name for column in columns if column.kind is Kind.JSON]
        row_type = msgspec.defstruct("Row", [(c.name, _json_type(c)) for c in columns], gc=False)
        self._decoder = msgspec.json.Decoder(row_type)
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, lines: bytes) -> None:
        count = lines.count(b"\n")
        if lines.count(b"\n{") != count - 1 or not lines.startswith(b"{"):
            raise BrokenRows(lines[-300:].decode("utf-8", "replace"))
        self.rows += count
        self._out.write(self._with_embedded(lines) if self._embedded else lines)

    def _with_embedded(self, lines: bytes) -> bytes:
        try:
            rows = self._decoder.decode_lines(lines)
        except msgspec.MsgspecError as error:
            raise BrokenRows(str(error)) from None
        for row in rows:
            for name in self._embedded:
                setattr(row, name, msgspec.Raw(getattr(row, name).encode()))
        return self._encode(rows)

    def close(self) -> None:
        """Rows are written as they come; there is no end to write."""


def _json_type(column: Column) -> Any:
    """Return the type for decoding; what is not looked into stays as the bytes it is."""
    return str if column.kind is Kind.JSON else msgspec.Raw


class _CsvWriter:
    def __init__(self, out: Any, columns: Sequence[Column], sheet_zone: str | None) -> None:
        self.rows = 0
        self._out = out
        self._columns = columns
        self._sheet_zone = sheet_zone
        out.write(csv_header(columns, sheet_zone))

    def write(self, lines: bytes) -> None:
        table = read_rows(lines, self._columns)
        self._out.write(csv_lines(table, self._columns, self._sheet_zone))
        self.rows += table.num_rows

    def close(self) -> None:
        """Rows are written as they come; there is no end to write."""


class _ParquetWriter:
    def __init__(self, out: Any, columns: Sequence[Column], compression: Compression) -> None:
        self.rows = 0
        self._columns = columns
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._writer = pq.ParquetWriter(out, file_schema(columns), compression=compression.value, version="2.6")

    def write(self, lines: bytes) -> None:
        table = _typed(read_rows(lines, self._columns), self._columns)
        self._held.append(table)
        self._held_rows += table.num_rows
        self.rows += table.num_rows
        if self._held_rows >= _ROW_GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        """Write a group of rows. Readers skip and split files by groups: one for each piece would be many small
        ones.
        """
        if self._held_rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=self._held_rows)
        self._held, self._held_rows = [], 0


def read_rows(lines: bytes, columns: Sequence[Column]) -> pa.Table:
    """Read rows into a table of `read_schema`. Raises `BrokenRows`."""
    parsing = pa_json.ParseOptions(explicit_schema=read_schema(columns), unexpected_field_behavior="error")
    reading = pa_json.ReadOptions(block_size=max(_JSON_BLOCK_BYTES, len(lines)), use_threads=False)
    try:
        return pa_json.read_json(pa.BufferReader(lines), read_options=reading, parse_options=parsing)
    except pa.ArrowInvalid as error:
        raise BrokenRows(str(error)[:300]) from None


def _typed(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    wanted = file_schema(columns)
    arrays = [pc.cast(table.column(field.name), field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)
