"""Webhooks as a user meets them: an endpoint from the command line, a purchase over HTTP, a signed call; the log of
deliveries, a failed one found and replayed, secrets rotated."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner, Result
from webhook_receiver import Receiver, running_receiver

from deploy.cli.main import app
from deploy.demo.product import Product

PERSON = "told-by-webhook"


DEFERRED_SECONDS = 120.0
"""Limit where deliveries may have been put off because the endpoint was down."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as made:
        yield made


@pytest.fixture
def attrikit(product: Product, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("ATTRIKIT_API_URL", product.base_url)
    monkeypatch.setenv("ATTRIKIT_API_KEY", product.key)
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(product.data_dir))
    monkeypatch.setenv("ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, ["webhooks", *arguments])


@pytest.fixture
def add(attrikit: Callable[..., Result]) -> Callable[..., tuple[str, str]]:
    def added(*arguments: str) -> tuple[str, str]:
        """Id and secret of a new endpoint of the demo app."""
        done = attrikit("add", "--app", "demo", *arguments)
        assert done.exit_code == 0, done.output
        return done.stderr.split()[1].rstrip(";"), done.stdout.strip()

    return added


def purchase(api: httpx.Client, event_id: str, person: str = PERSON) -> None:
    page = "https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign=brand"
    events = [
        {"event_name": "page_view", "user_id": person, "properties": {"page_url": page}},
        {"event_name": "purchase", "user_id": person, "event_id": event_id, "properties": {"revenue": 19.99}},
    ]
    assert api.post("/v1/events/batch", json={"events": events}).status_code == 201


def wait_until_heard(api: httpx.Client, receiver: Receiver, path: str, eventually: Callable[..., Any]) -> None:
    """A new endpoint is known to the dispatcher within seconds: purchases of somebody else, one a second, until one is
    told."""
    numbers, person = count(), f"heard-{path[1:]}"
    bought: list[float] = []

    def is_heard() -> bool:
        if not bought or time.monotonic() >= bought[-1] + 1.0:
            purchase(api, f"{person}-{next(numbers)}", person)
            bought.append(time.monotonic())
        return bool(receiver.calls[path])

    eventually(is_heard)


def test_from_a_purchase_to_a_signed_call_and_its_log(
    api: httpx.Client,
    add: Callable[..., tuple[str, str]],
    attrikit: Callable[..., Result],
    receiver: Receiver,
    eventually: Callable[..., Any],
    data: Callable[..., Any],
) -> None:
    endpoint_id, secret = add(
        receiver.url + "/shop", "--event", "conversion.created", "--event", "attribution.completed"
    )
    assert endpoint_id in attrikit("list", "--app", "demo").stdout
    assert attrikit("test", endpoint_id).exit_code == 0
    headers, body = receiver.calls["/shop"].pop()
    assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"

    wait_until_heard(api, receiver, "/shop", eventually)
    purchase(api, "told-1")

    def told(kind: str, **data: Any) -> list[Any]:
        return [m for m in receiver.messages("/shop") if m["type"] == kind and m["data"] | data == m["data"]]

    (created,) = eventually(lambda: told("conversion.created", event_id="told-1"))
    conversion_id = created["data"]["conversion_id"]
    (completed,) = eventually(lambda: told("attribution.completed", conversion_id=conversion_id))
    for headers, body in receiver.calls["/shop"]:
        assert Webhook(secret).verify(body, headers)["app_id"] == "demo"
    assert (created["data"]["event_id"], created["data"]["value"], created["data"]["currency"]) == (
        "told-1",
        19.99,
        "CNY",
    )
    assert (completed["data"]["revision"], completed["data"]["reason"]) == (1, "initial")
    (credit,) = completed["data"]["credits"]
    assert credit["channel"] == "paid_search"
    assert {model: share["credit"] for model, share in credit["models"].items()} == dict.fromkeys(credit["models"], 1)

    def logged() -> Any:
        found = data(api.get("/v1/webhooks/deliveries", params={"endpoint_id": endpoint_id, "status": "delivered"}))
        items = {item["delivery_id"]: item for item in found["items"]}
        return {created["id"], completed["id"]} <= items.keys() and items

    items = eventually(logged)
    item = items[created["id"]]
    assert (item["type"], item["fact_id"]) == ("conversion.created", created["data"]["conversion_id"])
    assert [(a["attempt"], a["http_status"], a["response"]) for a in item["attempts"]] == [(1, 200, "seen")]
    detail = data(api.get(f"/v1/webhooks/deliveries/{created['id']}"))
    assert json.loads(detail["payload"]) == created

    before = receiver.messages("/shop").count(created)

    def queued() -> Any:  # a gateway, too, knows a new endpoint within seconds only
        answer = api.post(f"/v1/webhooks/deliveries/{created['id']}/resend")
        return answer.status_code != 404 and data(answer, 201)

    assert eventually(queued)["delivery_id"] == created["id"]
    eventually(lambda: receiver.messages("/shop").count(created) == before + 1)
    assert attrikit("remove", endpoint_id).exit_code == 0


@pytest.mark.timeout(400)
def test_what_failed_is_found_and_replayed_and_what_was_missed_in_a_pause_too(
    api: httpx.Client,
    add: Callable[..., tuple[str, str]],
    attrikit: Callable[..., Result],
    receiver: Receiver,
    eventually: Callable[..., Any],
    settled: Callable[[], None],
    data: Callable[..., Any],
) -> None:
    endpoint_id, _secret = add(receiver.url + "/flaky", "--event", "conversion.created")
    wait_until_heard(api, receiver, "/flaky", eventually)
    settled()
    receiver.status["/flaky"] = 503
    purchase(api, "failed-1", "failed-and-replayed")  # so few failures do not open the circuit

    def with_status(status: str) -> Any:
        found = data(api.get("/v1/webhooks/deliveries", params={"endpoint_id": endpoint_id, "status": status}))
        return found["items"]

    failed = eventually(lambda: with_status("failed"), DEFERRED_SECONDS)[0]
    attempts = [attempt for attempt in failed["attempts"] if attempt["status"] != "deferred"]
    assert [(a["attempt"], a["status"], a["error"]) for a in attempts] == [
        (1, "retrying", "HTTP 503"),
        (2, "retrying", "HTTP 503"),
        (3, "failed", "HTTP 503"),
    ]
    assert attrikit("pause", endpoint_id).exit_code == 0
    eventually(lambda: "paused" in attrikit("list", "--app", "demo").stdout)
    purchase(api, "skipped-1", "failed-and-replayed")
    eventually(lambda: not with_status("retrying") and not with_status("deferred"), DEFERRED_SECONDS)
    receiver.status["/flaky"] = 200
    assert attrikit("resume", endpoint_id).exit_code == 0
    replay = ("replay", "--since", "2024-01-01", "--endpoint", endpoint_id)
    missed = {item["delivery_id"] for status in ("failed", "skipped") for item in with_status(status)}
    assert failed["delivery_id"] in missed
    assert f"would queue {len(missed)}" in attrikit(*replay, "--dry-run").stdout

    def replayed() -> Any:
        """The dispatcher learns of the resumption within seconds; what came before it is skipped again."""
        delivered = {item["delivery_id"] for item in with_status("delivered")}
        if not missed <= delivered:
            assert attrikit(*replay).exit_code == 0
        return missed <= delivered

    eventually(replayed, DEFERRED_SECONDS)
    assert missed <= {message["id"] for message in receiver.messages("/flaky")}
    assert attrikit("remove", endpoint_id).exit_code == 0


def test_secrets_are_rotated_from_the_command_line(
    add: Callable[..., tuple[str, str]], attrikit: Callable[..., Result], receiver: Receiver
) -> None:
    endpoint_id, old = add(receiver.url + "/rotating", "--description", "stock")
    rotated = attrikit("rotate", endpoint_id)
    new = rotated.stdout.strip()
    assert new != old
    assert "valid until" in rotated.stderr
    assert attrikit("test", endpoint_id).exit_code == 0
    headers, body = receiver.calls["/rotating"].pop()
    assert Webhook(new).verify(body, headers)
    receiver.status["/rotating"] = 404
    told = attrikit("test", endpoint_id)
    assert told.exit_code == 1
    assert "HTTP 404" in told.stdout
    assert attrikit("remove", endpoint_id).exit_code == 0
    assert "no webhook endpoint" in attrikit("remove", endpoint_id).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("http://169.254.169.254/latest", "--app", "demo"), "link-local"),
        (("http://10.0.0.1/", "--app", "demo"), "ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS"),
        (("ftp://shop.example/", "--app", "demo"), "http and https"),
        (("https://shop.example/", "--app", "nobody"), "no app"),
        (("https://shop.example/", "--app", "demo", "--concurrency", "0"), "concurrency"),
        (("https://shop.example/", "--app", "demo", "--event", "everything"), "everything"),
    ],
)
def test_what_cannot_be_an_endpoint(attrikit: Callable[..., Result], arguments: tuple[str, ...], said: str) -> None:
    refused = attrikit("add", *arguments)
    assert refused.exit_code != 0
    assert said in refused.stderr
