"""A mistake inside one event of a JSON batch stays inside it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import MAX_BATCH_EVENTS, MAX_EVENT_BYTES
from services.gateway.body_split import parse_any, parse_batch
from services.gateway.event_borders import scan_events
from services.gateway.outcomes import Accepted, Rejected, judge
from services.gateway.validate import Receipt

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['},{"', '"]}', "\\", "{[", "]"]
)
SCALARS = st.none() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
INNER = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXT, SCALARS, max_size=2)
# Two levels written out take a fifth of the time of st.recursive, and borders know no more of depth than that.
VALUES = INNER | st.lists(INNER, max_size=3) | st.dictionaries(TEXT, INNER, max_size=3)
EVENTS = st.fixed_dictionaries(
    {"event_name": st.sampled_from(["a", "purchase"]), "properties": st.dictionaries(TEXT, VALUES, max_size=3)}
)
WAYS_TO_WRITE: list[dict[str, Any]] = [{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}]
OK = '{"event_name":"a"}'


def body_of(pieces: list[bytes], comma: bytes = b",") -> bytes:
    return b'{"events":[' + comma.join(pieces) + b"]}"


@st.composite
def broken_batches(draw: st.DrawFn) -> tuple[list[bytes], int]:
    """Good events, and the place of the one whose text has a byte put into it, taken out or replaced somewhere within
    its outer brackets."""
    ways = draw(st.sampled_from(WAYS_TO_WRITE))
    pieces = [json.dumps(event, **ways).encode() for event in draw(st.lists(EVENTS, min_size=1, max_size=5))]
    index = draw(st.integers(0, len(pieces) - 1))
    piece = pieces[index]
    at = draw(st.integers(1, len(piece) - 1))
    junk = draw(
        st.sampled_from([b'"', b"\\", b"\t", b"\n", b"\x00", b"\xff", b"NaN", b"\\ud83d", b"\\x", b"-", b"x", b""])
    )
    pieces[index] = piece[:at] + junk + piece[at + draw(st.integers(0, 1 if at < len(piece) - 1 else 0)) :]
    return pieces, index


@given(broken_batches(), st.sampled_from([b",", b" , ", b",\n  "]))
def test_the_neighbours_of_a_broken_event_are_found(batch: tuple[list[bytes], int], comma: bytes) -> None:
    pieces, index = batch
    found = scan_events(body_of(pieces, comma))
    assert found is not None
    if len(found) == len(pieces):
        assert found[:index] + found[index + 1 :] == pieces[:index] + pieces[index + 1 :]
    else:  # what was put in made two of one: an added bracket, say
        assert found[:index] == pieces[:index]
        assert found[len(found) - (len(pieces) - index - 1) :] == pieces[index + 1 :]


@given(st.lists(EVENTS | VALUES, max_size=5), st.sampled_from(WAYS_TO_WRITE))
def test_a_good_batch_is_split_as_a_parser_does(events: list[Any], ways: dict[str, Any]) -> None:
    body = json.dumps({"sent": "[now", "events": events, "more": {"a": "]}"}}, **ways).encode()
    found = scan_events(body)
    assert found is not None
    assert [json.loads(piece) for piece in found] == events


@given(st.binary(max_size=60) | st.text('{}[]",:\\ events', max_size=60).map(str.encode))
def test_any_bytes_are_split_or_not(body: bytes) -> None:
    scan_events(body)
    scan_events(b'{"events":[' + body + b"]}")


BROKEN = {
    "half an emoji": rb'{"event_name":"a","event_id":"odd","properties":{"page_title":"sale \ud83d"}}',
    "NaN": b'{"event_name":"a","event_id":"odd","properties":{"revenue":NaN,"items":[{"sku":1},{"sku":2}]}}',
    "a raw tab": b'{"event_name":"a","event_id":"odd","properties":{"t":"a\tb"}}',
    "a raw line break": b'{"event_name":"a","event_id":"odd","properties":{"t":"a\nb"}}',
    "a bad escape": rb'{"event_name":"a","event_id":"odd","properties":{"path":"C:\dir"}}',
    "a stray quote": b'{"event_name":"a","event_id":"odd","properties":{"t":"5" screen"}}',
    "an escaped quote at the end": rb'{"event_name":"a","event_id":"odd","properties":{"path":"C:\"}}',
    "a bare word": b'{"event_name":"a","event_id":"odd","properties":{"t":undefined}}',
    "a trailing comma": b'{"event_name":"a","event_id":"odd",}',
    "many brackets": b'{"event_name":"a","event_id":"odd","properties":{"t":' + b"[" * 2_000 + b"]" * 2_000 + b"}}",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("index", [0, 250, 499])
def test_one_broken_event_of_500_costs_itself_alone(receipt: Receipt, broken: bytes, index: int) -> None:
    pieces = [b'{"event_name":"a","event_id":"e-%d","properties":{"x":"{[,"}}' % n for n in range(500)]
    pieces[index] = broken
    outcomes = judge(parse_batch(body_of(pieces, b", "), b"application/json"), receipt)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert [(outcome.index, outcome.payload) for outcome in refused] == [(index, broken)]
    assert refused[0].error.field.startswith(f"events[{index}]")
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 499
    assert len(parse_any(body_of(pieces), b"").pieces) == 500


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_events_in_a_row_are_refused_one_by_one(broken: bytes) -> None:
    assert scan_events(body_of([broken] * 300)) == [broken] * 300


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"events":5}',
        b'{"events":[',
        b'{"events":[{"event_name":"a"}',
        b'{"events":[1]} x',
        b'{"x":[NaN]}',
    ],
)
def test_what_is_no_whole_batch_is_not_split(body: bytes) -> None:
    assert scan_events(body) is None


HOSTILE = {
    "borders": b'{"events":["' + b"},{" * 1_700_000 + b"]}",
    "named borders": b'{"events":["' + b'},{"event_name":' * 340_000 + b"]}",
    "quotes": b'{"events":[' + b'"' * 5_000_000 + b"]}",
    "escapes": b'{"events":[' + b'"\\' * 2_500_000 + b"]}",
    "brackets": b'{"events":[' + b"[" * 5_000_000 + b"]}",
    "objects": b'{"events":[NaN,' + b"{}," * 1_700_000 + b"{}]}",
    "blanks": b'{"events":["' + b"} " * 2_500_000 + b"{}]}",
    "fields": b"{" + b'"a":1,' * 800_000 + b'"events":[NaN]}',
    "open strings": body_of([b'{"event_name":"a","p":"a"b' + b"x" * 5_000 + b'"}'] * 1_000),
    "open strings in large events": body_of([b'{"x":"a"b' + b"[1]" * 11_000 + b'"}'] * 150),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_no_body_costs_more_than_its_share(body: bytes) -> None:
    """A good batch of 5 MB takes about 0.03 s of processor time, the worst of these 0.2 s."""
    before = time.process_time()
    found = scan_events(body)
    assert time.process_time() - before < 2
    assert found is None or len(found) <= MAX_BATCH_EVENTS + 1


def test_events_past_the_limit_of_one_are_split_too() -> None:
    large = b'{"event_name":"a","p":"' + b"x" * MAX_EVENT_BYTES + b'"}'
    pieces = [large, b'{"event_name":"a","p":NaN}', large, OK.encode()]
    assert scan_events(body_of(pieces)) == pieces
