"""The pages of webhooks: endpoints, their test, deliveries and errors, over a console with its reads and a broker."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest
from app_servers import AppServers
from console_reads import ENDPOINT, entries_of, records_of
from console_world import OWN_APP, ConsoleWorld, Visitor
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from webhook_rows import attempt_row

from pipeline.control.webhooks import WebhookEndpoints
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from pipeline.runtime.secret_box import SecretBox
from schemas.facts import encode_rows
from schemas.topics import Topic
from schemas.webhooks import EndpointState, EventType, Outcome, decode_deliveries
from services.webhook_calls.new_endpoint import new_endpoint

WEBHOOKS = f"/apps/{OWN_APP}/webhooks"


@pytest.fixture(scope="module")
def receiver() -> Any:
    """A receiver that answers 200 and keeps what came: (url, calls)."""
    calls: list[tuple[dict[str, str], bytes]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        calls.append((dict(request.headers), await request.body()))
        await PlainTextResponse("thanks")(scope, receive, send)

    servers = AppServers()
    servers.start()
    yield servers.serve(answer, lifespan="off"), calls
    servers.stop()


def endpoints_of(console: ConsoleWorld) -> WebhookEndpoints:
    return WebhookEndpoints(console.settings.control_plane_dsn())


def test_an_endpoint_is_added_tested_paused_rotated_and_removed(
    console: ConsoleWorld, mia: Visitor, receiver: Any
) -> None:
    url, calls = receiver
    assert "No endpoint yet" in mia.get(WEBHOOKS).text
    added = mia.submit(WEBHOOKS, url=url + "/hook", description="Orders", event=["conversion.created"])
    assert added.status_code == 200
    (secret,) = re.findall(r"data-secret>(whsec_[^<]+)<", added.text)
    (endpoint,) = endpoints_of(console).endpoints(OWN_APP)
    assert endpoint.event_types == {EventType.CONVERSION_CREATED}
    assert "whsec_" not in mia.get(WEBHOOKS).text + mia.get(f"{WEBHOOKS}/{endpoint.endpoint_id}").text
    path = f"{WEBHOOKS}/{endpoint.endpoint_id}"
    assert "Nothing was sent yet" in mia.get(path).text
    tested = mia.submit(path, do="test").text
    assert "HTTP 200" in tested
    assert "thanks" in tested
    assert b"webhook.test" in calls[-1][1]
    assert mia.submit(path, do="pause").status_code == 303
    assert endpoints_of(console).find(endpoint.endpoint_id).state is EndpointState.PAUSED
    assert mia.submit(path, do="resume").status_code == 303
    rotated = mia.submit(path, do="rotate", hours="24").text
    (newer,) = re.findall(r"data-secret>(whsec_[^<]+)<", rotated)
    assert newer != secret
    assert "Secret before" in rotated
    assert mia.submit(path, do="rotate", hours="-5").status_code == 400
    before = endpoints_of(console).find(endpoint.endpoint_id)
    change = {
        "description": "All",
        "event": ["conversion.created", "threshold.alert"],
        "concurrency": "2",
        "rate": "0.5",
    }
    for wrong in ({"url": "http://10.0.0.1/"}, {"event": []}, {"concurrency": "many"}, {"rate": "nan"}):
        refused = mia.submit(path, **{"do": "edit", "url": url + "/other"} | change | wrong)
        assert refused.status_code == 400
        assert 'role="alert"' in refused.text
        assert 'value="All"' in refused.text, "the form keeps what was typed"
    assert endpoints_of(console).find(endpoint.endpoint_id) == before
    assert mia.submit(path, do="edit", url=url + "/other", **change).status_code == 303
    types = frozenset({EventType.CONVERSION_CREATED, EventType.THRESHOLD_ALERT})
    assert endpoints_of(console).find(endpoint.endpoint_id) == replace(
        before, url=url + "/other", description="All", event_types=types, max_concurrency=2, max_per_second=0.5
    )
    assert entries_of(console, "webhook.edit")[0]["before"]["url"] == url + "/hook"
    assert entries_of(console, "webhook.edit")[0]["after"]["url"] == url + "/other"
    assert "HTTP 200" in mia.submit(path, do="test").text
    assert f"{url}/other" in mia.get(path).text
    assert mia.submit(path, do="remove").status_code == 303
    assert endpoints_of(console).endpoints(OWN_APP) == []
    for do in ("add", "test", "edit", "pause", "resume", "rotate", "remove"):
        entry = entries_of(console, f"webhook.{do}")[0]
        assert "whsec_" not in str(entry)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "ftp://example.com"}, "only http and https"),
        ({"url": "http://10.0.0.1/"}, "is private"),
        ({"url": "https://example.com/", "event": []}, "at least one event type"),
        ({"url": "https://example.com/", "description": "x" * 201}, "at most 200 characters"),
    ],
)
def test_an_endpoint_that_is_not_acceptable_is_refused(
    console: ConsoleWorld, mia: Visitor, change: dict[str, Any], told: str
) -> None:
    answer = mia.submit(WEBHOOKS, **{"event": ["threshold.alert"]} | change)
    assert answer.status_code == 400
    assert told in answer.text
    assert endpoints_of(console).endpoints(OWN_APP) == []


@pytest.mark.usefixtures("endpoint")
def test_deliveries_are_shown_sent_again_and_replayed(console: ConsoleWorld, mia: Visitor) -> None:
    path = f"{WEBHOOKS}/{ENDPOINT}"
    assert "cnv_1" in mia.get(path + "?status=failed").text
    assert "cnv_2" not in mia.get(path + "?status=failed").text
    shown = mia.get(path + "/deliveries/whd_1").text
    assert "HTTP 500" in shown
    assert "&#34;conversion_id&#34;" in shown
    assert mia.submit(path + "/deliveries/whd_1/resend").status_code == 303
    assert mia.submit(path + "/deliveries/whd_9/resend").status_code == 404
    span = {"from": "2099-12-31", "to": "2100-12-31"}
    counted = mia.submit(path + "/deliveries", **span, which="failed", do="count").text
    assert "1 deliveries would be sent again" in counted
    assert mia.submit(path + "/deliveries", **span, which="all", do="send").headers["location"].endswith("queued=2")
    assert mia.submit(path + "/deliveries", **span | {"from": "soon"}, which="all").status_code == 400
    sent = [
        one for record in records_of(console.settings, Topic.WEBHOOK_DELIVERIES) for one in decode_deliveries(record)
    ]
    assert [one.delivery_id for one in sent] == ["whd_1", "whd_1", "whd_2"], "oldest first"
    assert all(one.is_resent for one in sent)
    assert len(entries_of(console, "webhook.resend")) == 1
    assert entries_of(console, "webhook.replay")[0]["after"]["deliveries"] == 2


def test_errors_of_calls_are_told_in_the_reader_s_language(
    console: ConsoleWorld, mia: Visitor, tables: ClickHouse
) -> None:
    endpoint_id, box = "whe_errors", SecretBox.open(console.settings, creates=True)
    made, _ = new_endpoint(OWN_APP, "http://127.0.0.1:1/", list(EventType), "", box, now_ms())
    endpoints_of(console).add(replace(made, endpoint_id=endpoint_id), now_ms())
    failed = attempt_row(OWN_APP, "whd_51", endpoint_id, 1, Outcome.FAILED)
    failed.status, failed.error = 0, "address refused: 10.0.0.1 is private"
    asyncio.run(tables.insert_ndjson("webhook_attempts", encode_rows([failed])))
    path = f"{WEBHOOKS}/{endpoint_id}"
    for address in (path, f"{path}/deliveries/whd_51"):
        assert failed.error in mia.get(address).text
        assert "地址被拒绝：10.0.0.1 是私有地址" in mia.get(address, **{"Accept-Language": "zh"}).text
    assert "connection: " in mia.submit(path, do="test").text
    fields = {"token": mia.token(), "do": "test"}
    tested = mia.client.post(path, data=fields, headers={"Accept-Language": "zh"})
    endpoints_of(console).remove(endpoint_id)
    assert "连接错误：" in tested.text
