"""Refusals that could not be written down: the answer says so, and no good event pays for them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pipeline.runtime.kafka.producer import SendFailed
from schemas.events import AcceptedEvent
from schemas.topics import Topic
from services.gateway.sink import MemorySink

BATCH = {"events": [{"event_name": "page_view"}, {"event_name": "Not A Name"}]}


@pytest.fixture
def without_rejects(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker takes events, but no refusals."""
    send = sink.send

    async def refuse(topic: Topic, *record: Any) -> None:
        if topic is Topic.REJECTED:
            raise SendFailed("no refusals")
        await send(topic, *record)

    monkeypatch.setattr(sink, "send", refuse)


async def test_a_batch_says_that_its_refused_events_are_not_kept(
    client: httpx.AsyncClient, without_rejects: None, stored: Callable[[], list[AcceptedEvent]]
) -> None:
    data = (await client.post("/v1/events/batch", json=BATCH)).json()["data"]
    assert (data["accepted"], data["rejected"], data["is_kept"]) == (1, 1, False)
    assert len(stored()) == 1


@pytest.mark.parametrize(("path", "body"), [("track", '{"event_name": "Not A Name"}'), ("batch", "no json")])
async def test_an_error_says_that_its_request_is_not_kept(
    client: httpx.AsyncClient, without_rejects: None, path: str, body: str
) -> None:
    answer = await client.post(f"/v1/events/{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["is_kept"] is False


async def test_what_is_kept_needs_no_word(client: httpx.AsyncClient) -> None:
    data = (await client.post("/v1/events/batch", json=BATCH)).json()["data"]
    error = (await client.post("/v1/events/track", json={"event_name": "Not A Name"})).json()["error"]
    assert "is_kept" not in data | error["details"]
