import msgspec

from pipeline.stream.partition.outputs import pack


def test_rows_are_one_piece_unless_that_is_too_large() -> None:
    rows = [{"n": n, "text": "x" * 90} for n in range(100)]
    assert len(list(pack(rows))) == 1
    pieces = list(pack(rows, limit_bytes=2_000))
    assert len(pieces) > 4
    assert all(len(piece) <= 2_000 for piece in pieces)
    decode = msgspec.json.Decoder().decode_lines
    assert [row for piece in pieces for row in decode(piece)] == rows


def test_a_row_larger_than_the_limit_is_a_piece_of_its_own() -> None:
    rows = ["a" * 10, "b" * 5_000, "c" * 10]
    assert [len(piece) for piece in pack(rows, limit_bytes=1_000)] == [13, 5_003, 13]
