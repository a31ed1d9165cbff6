"""Refused events are data: listed with what came, mended, sent again, and stored once."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.demo.product import Product

OLD = "Completed Lesson Seven"
NEW = "lesson_completed"
PERSON = "rejected-and-replayed"


@pytest.fixture
def attrikit(product: Product, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("ATTRIKIT_API_URL", product.base_url)
    monkeypatch.setenv("ATTRIKIT_API_KEY", product.key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, ["rejected", *arguments])


def test_from_refusal_to_storage(
    api: httpx.Client, attrikit: Callable[..., Result], eventually: Callable[..., Any], data: Callable[..., Any]
) -> None:
    good_time = "2024-02-03T04:05:06Z"
    single = {"event_name": OLD, "user_id": PERSON, "properties": {"n": 1}}
    with_both = {"event_name": OLD, "user_id": PERSON, "event_id": "replayed-own-id", "timestamp": good_time}
    long = {"event_name": OLD, "user_id": PERSON, "properties": {"text": "长" * 10_000}}
    hopeless = {"event_name": OLD, "user_id": "undefined"}
    refused_at = api.post("/v1/events/track", json=single)
    assert refused_at.status_code == 400
    batch = {"events": [with_both, long, hopeless, {"event_name": "page_view", "user_id": PERSON}]}
    assert data(api.post("/v1/events/batch", json=batch), 201)["rejected"] == 3

    def listed() -> list[dict[str, Any]]:
        found = data(api.get("/v1/events/rejected", params={"code": "INVALID_EVENT_NAME", "field": "event_name"}))
        return [item for item in found["items"] if OLD in item["payload"]]

    items = eventually(lambda: (found := listed()) and len(found) == 4 and found)
    assert {item["field"] for item in items} == {"event_name", *(f"events[{n}].event_name" for n in range(3))}
    assert [json.loads(item["payload"]) for item in items if item["field"] == "event_name"] == [single]
    assert [item["is_cut"] for item in items if "text" in item["payload"]] == [False]

    told = attrikit("list", "--code", "INVALID_EVENT_NAME", "--limit", "1000")
    assert told.exit_code == 0, told.output
    assert told.output.count(OLD) == 4

    options = ["--code", "INVALID_EVENT_NAME", "--field", "event_name", "--rename", f"{OLD}={NEW}"]
    options += ["--from", min(item["rejected_at"] for item in items)]

    def events() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = data(api.get("/v1/events", params={"event_name": NEW, "user_id": PERSON}))[
            "items"
        ]
        return found

    tried = attrikit("replay", *options, "--dry-run")
    assert tried.exit_code == 1, "one of them is still refused"
    assert "would be accepted 3" in tried.output
    assert "INVALID_PARAMETER user_id" in tried.output
    assert events() == []

    for _ in range(2):
        done = attrikit("replay", *options)
        assert "accepted 3" in done.output, done.output
    eventually(lambda: len(events()) == 3)
    own = eventually(lambda: (d := api.get("/v1/events/replayed-own-id")).status_code == 200 and data(d))
    assert own["event"]["timestamp"] == "2024-02-03T12:05:06.000+08:00", "in the app's time zone"
    eventually(lambda: data(api.get("/v1/events/replayed-own-id"))["status"]["repeats"] == 1)
    stored = events()
    assert len(stored) == 3
    assert [event["properties"] for event in stored if "text" in event["properties"]] == [long["properties"]]
    minted = next(event for event in stored if event["properties"] == {"n": 1})
    received = next(item["rejected_at"] for item in items if item["field"] == "event_name")
    assert minted["timestamp"] == received
    eventually(lambda: data(api.get(f"/v1/events/{minted['event_id']}"))["status"]["repeats"] == 1)
    assert len(listed()) == 4, "what was refused again is not recorded anew"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["replay", "--rename", "no-arrow"], 2, "not 'Old name=new_name'"),
        (["replay", "--rename", "a=Bad Name"], 2, "not 'Old name=new_name'"),
        (["list", "--key", "nobody"], 1, "INVALID_API_KEY"),
        (["list", "--key", ""], 2, "ATTRIKIT_API_KEY"),
        (["list", "--from", "now"], 1, "INVALID_PARAMETER"),
        (["list", "--url", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1: "),
    ],
)
def test_a_mistake_is_one_clear_message(
    attrikit: Callable[..., Result], arguments: list[str], code: int, said: str
) -> None:
    result = attrikit(*arguments)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert "Traceback" not in result.output
