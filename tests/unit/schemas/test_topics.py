"""All topics in one place, and the events they carry."""

import msgspec
import pytest

from schemas.events import (
    EVENT_ID_PATTERN,
    EVENT_NAME_PATTERN,
    AcceptedEvent,
    StreamEvent,
    decode_stream_event,
    decode_stream_events,
    encode_event,
)
from schemas.facts import SessionRow, encode_row, encode_rows
from schemas.persons import person_key
from schemas.topics import MAX_MESSAGE_BYTES, Topic


@pytest.mark.parametrize("topic", list(Topic))
def test_every_topic_says_who_writes_and_reads_it(topic: Topic) -> None:
    spec = topic.spec
    assert spec.producer
    assert spec.consumers
    assert spec.key
    assert spec.message
    config = spec.broker_config()
    assert config["max.message.bytes"] == str(MAX_MESSAGE_BYTES)
    assert int(config["retention.ms"]) == spec.retention_days * 86_400_000
    assert all(isinstance(value, str) for value in config.values())


def test_names_on_the_broker() -> None:
    assert {"events", "sessions", "conversions", "attributions", "rejected"} <= {topic.value for topic in Topic}


def test_what_the_gateway_writes_the_stream_reads() -> None:
    accepted = AcceptedEvent(
        "shop", "e1", "page_view", 1, 2, user_id="u", properties=msgspec.Raw(b'{"a":[1]}'), ip="1.2.3.4"
    )
    line = encode_event(accepted)
    assert b"\n" not in line
    one, other = decode_stream_events(line + b"\n" + line + b"\n")
    assert one == other == decode_stream_event(line)
    assert bytes(one.properties) == b'{"a":[1]}'
    for field in msgspec.structs.fields(StreamEvent):
        assert getattr(one, field.name) == getattr(accepted, field.name)


def test_rows_are_one_json_object_a_line() -> None:
    row = SessionRow("a", "s", "u:1", "1", "", 1, 2, 3, 4, "", "", "direct", "", "", "", 0, {"CNY": 5}, False, True, 7)
    assert encode_rows([row, row]) == (encode_row(row) + b"\n") * 2
    assert msgspec.json.decode(encode_row(row))["values_minor"] == {"CNY": 5}


@pytest.mark.parametrize(
    ("ids", "key"),
    [(("u", "a", "e"), "u:u"), (("", "a", "e"), "a:a"), (("", "", "e"), "e:e"), (("a:x", "", "e"), "u:a:x")],
)
def test_person_keys(ids: tuple[str, str, str], key: str) -> None:
    assert person_key(*ids) == key


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("page_view", True),
        ("a", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("APP INSTALL", False),
        ("Purchase-Complete", False),
        ("1st", False),
        ("", False),
        ("page_view\n", False),
        ("购买", False),
    ],
)
def test_event_names(name: str, is_valid: bool) -> None:
    assert bool(EVENT_NAME_PATTERN.match(name)) is is_valid


@pytest.mark.parametrize(
    ("event_id", "is_valid"),
    [("evt_1.2:3-4", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("a\n", False)],
)
def test_event_ids(event_id: str, is_valid: bool) -> None:
    assert bool(EVENT_ID_PATTERN.match(event_id)) is is_valid
