"""Rejected events made ready to be sent again."""

import json
from typing import Any

import pytest

from pipeline.domain.rejected_replay import Impossible, Mending, make_ready

NOTHING = Mending()


def item(payload: Any, **given: Any) -> dict[str, Any]:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    rest = {"reject_id": "rej_1", "rejected_at": "2024-01-15T10:30:00.500Z", "stage": "gateway", "is_cut": False}
    return rest | {"payload": text} | given


def test_what_is_missing_is_added_the_same_every_time() -> None:
    ready = make_ready(item({"event_name": "a", "user_id": "u"}), NOTHING)
    assert ready == make_ready(item({"event_name": "a", "user_id": "u"}), NOTHING)
    assert isinstance(ready, dict)
    event_id = ready.pop("event_id")
    assert ready == {"event_name": "a", "user_id": "u", "timestamp": "2024-01-15T10:30:00.500Z"}
    other = make_ready(item({"event_name": "a"}, reject_id="rej_2"), NOTHING)
    assert isinstance(other, dict)
    assert other["event_id"] != event_id


def test_what_the_event_brought_is_kept() -> None:
    event = {"event_name": "a", "event_id": "mine", "timestamp": "2024-01-14T00:00:00+08:00", "properties": {"a": [1]}}
    assert make_ready(item(event), NOTHING) == event


@pytest.mark.parametrize("absent", [{}, {"event_id": None, "timestamp": None}, {"event_id": ""}])
def test_null_and_empty_are_as_good_as_absent(absent: dict[str, Any]) -> None:
    ready = make_ready(item({"event_name": "a"} | absent), NOTHING)
    assert isinstance(ready, dict)
    assert ready["timestamp"] == "2024-01-15T10:30:00.500Z"
    assert ready["event_id"].startswith("evt_")


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "expected"),
    [
        ("2024-01-15T09:00:00Z", "2024-01-15T09:30:00Z", "2024-01-15T10:00:00.500000+00:00"),
        ("2024-01-15T18:00:00+08:00", "2024-01-15T10:30:00.500Z", "2024-01-15T18:00:00+08:00"),
        (None, "2024-01-15T09:30:00Z", "2024-01-15T10:30:00.500Z"),
    ],
)
def test_a_wrong_clock_is_corrected_as_of_the_first_receipt(timestamp: str | None, sent_at: str, expected: str) -> None:
    ready = make_ready(item({"event_name": "a", "timestamp": timestamp, "sent_at": sent_at}), NOTHING)
    assert isinstance(ready, dict)
    assert (ready["timestamp"], "sent_at" in ready) == (expected, False)


@pytest.mark.parametrize("times", [{"timestamp": "soon", "sent_at": "2024-01-15T09:30:00Z"}, {"timestamp": 5}])
def test_a_time_that_cannot_be_read_is_left_for_the_gateway_to_name(times: dict[str, Any]) -> None:
    ready = make_ready(item({"event_name": "a", "event_id": "e"} | times), NOTHING)
    assert ready == {"event_name": "a", "event_id": "e"} | times


def test_names_are_mended_and_fields_left_out() -> None:
    mending = Mending({"Sign Up": "sign_up"}, ("user_id", "context.ip", "context.page.url", "nothing.at.all"))
    event = {
        "event_name": "Sign Up",
        "event_id": "e",
        "timestamp": "t",
        "user_id": "null",
        "context": {"ip": "x", "locale": "zh"},
    }
    ready = {"event_name": "sign_up", "event_id": "e", "timestamp": "t", "context": {"locale": "zh"}}
    assert make_ready(item(event), mending) == ready
    other = event | {"event_name": "Other", "context": "text"}
    left = {key: value for key, value in other.items() if key != "user_id"}
    assert make_ready(item(other), mending) == left


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (item('{"event_name":"a', is_cut=True), Impossible.CUT),
        (item(""), Impossible.EMPTY),
        (item('{"event_name":"\ufffd"}'), Impossible.UNDECODABLE),
        (item('{"event_name":'), Impossible.NOT_AN_EVENT),
        (item("[1]"), Impossible.NOT_AN_EVENT),
        (item("[" * 3_000), Impossible.NOT_AN_EVENT),
        (item({"events": []}), Impossible.NOT_AN_EVENT),
        (item('{"event_name":"a"}\n{"event_name":"b"}'), Impossible.NOT_AN_EVENT),
        (item({"event_name": "a"}, stage="stream"), Impossible.NOT_OURS),
    ],
)
def test_what_cannot_be_sent_again_is_told_why(given: dict[str, Any], why: Impossible) -> None:
    assert make_ready(given, NOTHING) is why


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "Big Deal"}, {"event_name": "big_deal"}),
        ({"event": "Big Deal", "event_name": "page_view"}, {"event_name": "page_view"}),
        ({"ctx": {"ip": "1.2.3.4"}, "event_name": "a"}, {"ctx": {}, "context": {"ip": "1.2.3.4"}, "event_name": "a"}),
        ({"ctx": {"ip": "1.2.3.4"}, "context": 5}, {"ctx": {}, "context": 5}),
    ],
)
def test_a_field_is_moved_where_there_is_nothing_yet(event: dict[str, Any], expected: dict[str, Any]) -> None:
    mending = Mending({"Big Deal": "big_deal"}, (), {"event": "event_name", "ctx.ip": "context.ip"})
    times = {"event_id": "e", "timestamp": "2024-01-15T10:30:00Z"}
    assert make_ready(item(event | times), mending) == expected | times
