"""The short way through a batch may only agree with the long one, and ordinary batches do take it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import EVENT_ID_PATTERN
from services.gateway.answers import all_accepted, batch_result
from services.gateway.body_split import Events, parse_batch
from services.gateway.event_names import check_name
from services.gateway.outcomes import Accepted, judge
from services.gateway.validate import PLACEHOLDERS, Receipt, check_event
from services.gateway.whole_batch import accept_all, are_event_names, are_new_event_ids, are_persons
from services.web.envelope import success
from services.web.errors import ApiError

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ORDINARY: dict[str, Any] = {
    "event_name": "page_view",
    "event_id": "e-1",
    "anonymous_id": "visitor-1",
    "properties": {"page_title": "首页", "page_url": "https://shop.example/", "position": 3, "ok": None},
    "context": {"page": {"referrer": "https://www.baidu.com/"}, "locale": "zh-CN"},
}
NAMES = st.sampled_from(["a", "page_view", "purchase"])
IDS = st.text("abc-", min_size=1, max_size=9)
ODD_IDS = st.sampled_from([*PLACEHOLDERS, " a", "a b", "Null ", "x" * 201, "a\tb", "\u3000", "用户", "[Object object]"])
ADDRESSES = st.sampled_from(["10.0.0.1", "2001:DB8::1", "nowhere", None])
TIMES = st.sampled_from(["2024-01-15T10:30:00Z", "2024-01-15T18:30:00.5+08:00", "1999-01-01T00:00:00Z", "soon", None])
AGENTS = st.sampled_from(["Mozilla/5.0 Safari", "Googlebot/2.1", "", "x" * 2_000])
VALUES = st.sampled_from(["text", "\x00", 1, 2**70, 1.5, True, None, [1], {"a": {"b": 1}}, "\ud800"])
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "event_id": IDS | st.sampled_from(["", "x" * 65, "日", "a b", None]),
    "user_id": IDS | ODD_IDS,
    "anonymous_id": IDS | ODD_IDS,
    "timestamp": TIMES,
    "sent_at": TIMES,
    "properties": st.dictionaries(st.sampled_from(["page_url", "referrer", "x"]), VALUES, max_size=2)
    | st.sampled_from([None, 5, []]),
    "context": st.fixed_dictionaries(
        {},
        optional={
            "ip": ADDRESSES,
            "user_agent": AGENTS,
            "page": st.sampled_from([{"url": "u"}, {"title": "t"}, None, 5]),
            "campaign": st.sampled_from([{"source": "s", "term": "t"}, {}, None]),
        },
    ),
}
ANY_EVENT = st.fixed_dictionaries({"event_name": NAMES}, optional=OPTIONAL)
GOOD_EVENT = st.fixed_dictionaries(
    {"event_name": NAMES},
    optional={
        "event_id": st.uuids().map(str),
        "user_id": IDS.filter(lambda one: one not in PLACEHOLDERS),
        "anonymous_id": IDS.filter(lambda one: one not in PLACEHOLDERS),
        "timestamp": st.sampled_from(["2024-01-15T10:30:00Z", "2024-01-15T18:30:00.5+08:00"]),
        "sent_at": st.just("2024-01-15T10:31:00Z"),
        "properties": st.dictionaries(st.sampled_from(["page_url", "x"]), st.text("ab") | st.integers(0, 9)),
        "context": st.fixed_dictionaries({"ip": st.just("10.0.0.1"), "user_agent": AGENTS, "page": st.none()}),
    },
)


def batch(events: list[Any], *, is_ascii: bool = False, by_line: bool = False) -> Events:
    def encode(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")

    if by_line:
        return parse_batch(b"\n".join(map(encode, events)), b"application/x-ndjson")
    return parse_batch(encode({"events": events}), b"application/json")


@SHARED
@given(
    events=st.lists(GOOD_EVENT, min_size=1, max_size=4) | st.lists(ANY_EVENT, min_size=1, max_size=3),
    is_ascii=st.booleans(),
    by_line=st.booleans(),
)
def test_what_is_accepted_at_once_is_what_is_accepted_one_by_one(
    receipt: Receipt, events: list[Any], is_ascii: bool, by_line: bool
) -> None:
    given_events = batch(events, is_ascii=is_ascii, by_line=by_line)
    accepted = accept_all(given_events, receipt)
    if accepted is None:
        return
    outcomes = judge(given_events, receipt)
    assert outcomes == [Accepted(index, event, len(given_events.raw[index])) for index, event in enumerate(accepted)]
    for errors_only in (False, True):
        at_once = all_accepted([event.event_id for event in accepted], errors_only)
        assert success(201, at_once) == success(201, batch_result(outcomes, "en", errors_only))


@SHARED
@given(events=st.lists(GOOD_EVENT, min_size=1, max_size=4), is_ascii=st.booleans(), by_line=st.booleans())
def test_good_batches_are_accepted_at_once(receipt: Receipt, events: list[Any], is_ascii: bool, by_line: bool) -> None:
    accepted = accept_all(batch(events, is_ascii=is_ascii, by_line=by_line), receipt)
    assert accepted is not None
    assert len(accepted) == len(events)


@pytest.mark.parametrize(
    "odd",
    [
        {"event_id": "e-1"},
        {"event_name": "Bad Name"},
        {"event_name": None},
        {"event_name": "a" * 65},
        {"event_id": "a b"},
        {"event_id": "x" * 65},
        {"user_id": "NULL"},
        {"anonymous_id": "[object Object]"},
        {"anonymous_id": " null"},
        {"user_id": "x" * 201},
        {"user_id": "a\u0001"},
        {"user_id": 5},
        {"timestamp": "1999-01-01T00:00:00Z"},
        {"timestamp": "2024-01-17T10:30:00Z"},
        {"properties": []},
        {"properties": {"x": 2**70}},
        {"properties": {"x": "\x00"}},
        {"properties": {"x": "y" * 32_768}},
        {"context": {"ip": "nowhere"}},
    ],
)
def test_the_slightest_doubt_is_left_to_a_closer_look(receipt: Receipt, odd: dict[str, Any]) -> None:
    last = {"event_name": "a", "event_id": "e-2"} | odd
    assert accept_all(batch([ORDINARY, last], is_ascii=True), receipt) is None
    assert accept_all(batch([ORDINARY, {"event_name": "a", "event_id": "e-2"}], is_ascii=True), receipt) is not None


@pytest.mark.parametrize(
    ("count", "text", "is_quick"),
    [(500, "", True), (501, "", False), (4, "=" * 3_900, True), (5, "=" * 3_900, False), (4, "%" * 4_100, False)],
)
def test_what_takes_the_event_loop_long_is_not_accepted_quickly(
    receipt: Receipt, count: int, text: str, is_quick: bool
) -> None:
    events = batch([{"event_name": "a", "anonymous_id": "v", "properties": {"x": text}}] * count)
    assert (accept_all(events, receipt, is_quick=True) is not None) is is_quick
    assert accept_all(events, receipt) is not None


LINE = b'{"event_name":"a"}'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"events":[' + LINE + b",\n" + LINE + b"]}", b"application/json"),
        (b'{"events":[5]}', b"application/json"),
        (LINE + b"\r\n" + LINE, b"application/x-ndjson"),
        (LINE + b"\n5", b"application/x-ndjson"),
        (LINE + b"\n" + LINE[:-1] + b"\n}", b"application/x-ndjson"),
        (LINE + b"\n" + LINE + LINE, b"application/x-ndjson"),
        (LINE + b"\n" + b"[" * 100_000, b"application/x-ndjson"),
    ],
)
def test_bodies_that_are_not_plain_or_not_typed_are_left_to_it_too(
    receipt: Receipt, body: bytes, content_type: bytes
) -> None:
    assert accept_all(parse_batch(body, content_type), receipt) is None


def test_blank_lines_do_not_count(receipt: Receipt) -> None:
    accepted = accept_all(parse_batch(b"\n" + LINE + b"\n \n\n" + LINE + b"\n", b"application/x-ndjson"), receipt)
    assert accepted is not None
    assert len(accepted) == 2


@given(st.sets(st.text(max_size=4) | st.sampled_from(["a", "u-1", "Σ", "İ"]) | ODD_IDS, min_size=1, max_size=3))
def test_persons_that_pass_together_pass_alone(ids: set[str | None]) -> None:
    receipt = Receipt("shop", "key_write", 400, 0, "", "", 7)
    if are_persons(ids):
        for one in ids:
            check_event(json.dumps({"event_name": "a", "user_id": one}).encode(), receipt)


@given(st.lists(st.text(max_size=3) | st.from_regex(EVENT_ID_PATTERN) | st.just("x" * 65), min_size=1, max_size=3))
def test_event_ids_pass_together_if_each_does_and_none_repeats(ids: list[str]) -> None:
    ids = [one for one in ids if one] or ["a"]
    expected = all(map(EVENT_ID_PATTERN.match, ids)) and len(set(ids)) == len(ids)
    assert are_new_event_ids(ids) is expected


@given(st.lists(st.none() | st.text(max_size=3) | st.sampled_from(["a", "a" * 64, "a" * 65]), max_size=3))
def test_names_pass_together_if_each_does(names: list[str | None]) -> None:
    assert are_event_names(names) is all(map(_is_name, names))


def _is_name(name: str | None) -> bool:
    try:
        check_name(name)
    except ApiError:
        return False
    return True
