"""The log of deliveries as it is read: each once, with its attempts and its state; and one sent again."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_api import APP_ID, EMPTY_KEY, ENDPOINT_ID, SECRET_KEY, ServedApi
from webhook_rows import some_attempts

from pipeline.runtime.broker_room import BrokerRoom
from schemas.topics import Topic
from schemas.webhooks import decode_deliveries, partition_of_endpoint
from services.webhook_calls.body import body_of

URL = "/v1/webhooks/deliveries"


@pytest.fixture(scope="module")
def api(served: ServedApi) -> Any:
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    with httpx.Client(base_url=served.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def items(api: httpx.Client, **filters: Any) -> list[Any]:
    answer = api.get(URL, params=filters)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["data"]["items"]
    return found


def ids(found: list[Any]) -> list[str]:
    return [item["delivery_id"] for item in found]


def test_each_delivery_once_newest_first_with_its_attempts(api: httpx.Client) -> None:
    found = items(api)
    assert ids(found) == [f"whd_{number}" for number in range(9, 0, -1)]
    first = found[-1]
    assert (first["status"], first["sequence"], first["next_attempt_at"]) == ("delivered", 1, None)
    assert [(a["attempt"], a["status"], a["http_status"]) for a in first["attempts"]] == [
        (1, "retrying", 500),
        (2, "delivered", 200),
    ]
    assert first["attempts"][0]["response"] == '说: "no"\n'


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "delivered"}, [1]),
        ({"status": "failed"}, [2]),
        ({"status": ["failed", "delivered"]}, [2, 1]),
        ({"status": "skipped"}, []),
        ({"endpoint_id": "whe_removed"}, [2]),
        ({"type": "conversion.created"}, [8, 6, 4, 2]),
        ({"from": "2100-01-01T00:00:08Z"}, [9, 8]),
        ({"to": "2100-01-01T00:00:03Z"}, [2, 1]),
    ],
)
def test_filters(api: httpx.Client, filters: dict[str, Any], expected: list[int]) -> None:
    assert ids(items(api, **filters)) == [f"whd_{number}" for number in expected]


def test_pages(api: httpx.Client) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        data = api.get(URL, params={"limit": 4} | ({"cursor": cursor} if cursor else {})).json()["data"]
        seen += ids(data["items"])
        cursor = data["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"whd_{number}" for number in range(9, 0, -1)]


def test_another_app_sees_nothing(served: ServedApi, api: httpx.Client) -> None:
    stranger = {"Authorization": f"Bearer {EMPTY_KEY}"}
    assert api.get(URL, headers=stranger).json()["data"]["items"] == []
    assert api.get(URL + "/whd_1", headers=stranger).status_code == 404
    assert api.post(URL + "/whd_1/resend", headers=stranger).status_code == 404


def test_one_delivery_with_the_body_that_was_sent(api: httpx.Client) -> None:
    data = api.get(URL + "/whd_1").json()["data"]
    assert data["payload"] == some_attempts(APP_ID, ENDPOINT_ID)[0].payload
    assert data["delivery"]["delivery_id"] == json.loads(data["payload"])["id"] == "whd_1"


def test_sent_again_it_is_queued_for_its_endpoint_as_it_was(served: ServedApi, api: httpx.Client) -> None:
    served.sink.records.clear()
    answer = api.post(URL + "/whd_1/resend")
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["delivery_id"] == "whd_1"
    queued = [record for record in served.sink.records if record[0] is Topic.WEBHOOK_DELIVERIES]  # others are counts
    ((_topic, partition, value),) = queued
    assert partition == partition_of_endpoint(ENDPOINT_ID, 4)
    (delivery,) = decode_deliveries(value)
    assert body_of(delivery).decode() == some_attempts(APP_ID, ENDPOINT_ID)[0].payload
    assert (delivery.is_resent, delivery.attempt, delivery.endpoint_id) == (True, 1, ENDPOINT_ID)
    served.sink.records.clear()


@pytest.mark.parametrize("fault", ["full disk", "refusal"])
def test_what_the_broker_does_not_take_is_not_said_to_be_queued(
    served: ServedApi, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    if fault == "full disk":  # as full: a margin larger than any disk
        monkeypatch.setattr(served.publisher, "_room", BrokerRoom(str(tmp_path), 2**60))
    else:
        monkeypatch.setattr(served.sink, "fail_with", "no leader")
    served.sink.records.clear()
    answer = api.post(URL + "/whd_1/resend")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "SERVER_ERROR")
    assert int(answer.headers["retry-after"]) > 0
    assert [record for record in served.sink.records if record[0] is Topic.WEBHOOK_DELIVERIES] == []
    monkeypatch.undo()
    assert api.post(URL + "/whd_1/resend").status_code == 201
    served.sink.records.clear()
