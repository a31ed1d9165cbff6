"""Keys, in every process: revoked within seconds, their use written down, and worth nothing for another app's data."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app as cli
from deploy.demo.product import Product
from pipeline.control import ControlPlane
from schemas.control import App, Scope

METHODS = ("get", "post")


@pytest.fixture(scope="module")
def plane(product: Product) -> Iterator[ControlPlane]:
    store = ControlPlane(product.settings.control_plane_dsn())
    yield store
    store.close()


@pytest.fixture(scope="module")
def make_client(product: Product, plane: ControlPlane) -> Iterator[Callable[..., tuple[httpx.Client, str]]]:
    """A client with a new key of an app, which is made if need be; and the key's id."""
    opened: list[httpx.Client] = []

    def make(app_id: str, *scopes: Scope) -> tuple[httpx.Client, str]:
        if app_id not in {app.app_id for app in plane.apps()}:
            plane.create_app(App(app_id, app_id, history_limit_days=4_000), 1)
        new = plane.create_key(app_id, scopes or list(Scope), 1)
        headers = {"Authorization": f"Bearer {new.secret}"}
        opened.append(httpx.Client(base_url=product.base_url, headers=headers, timeout=30.0, trust_env=False))
        return opened[-1], new.key_id

    yield make
    for client in opened:
        client.close()


def _answers(client: httpx.Client, read: int, write: int) -> bool:
    return (
        client.get("/v1/users").status_code == read
        and client.post("/v1/events/track", json={"event_name": "a"}).status_code == write
    )


def test_a_key_is_known_used_and_revoked_everywhere_within_seconds(
    make_client: Any, plane: ControlPlane, eventually: Any
) -> None:
    client, key_id = make_client("revoked")
    eventually(lambda: _answers(client, read=200, write=201))
    used = eventually(lambda: next(key for key in plane.keys("revoked") if key.key_id == key_id).last_used_at_ms)
    assert used > 1_700_000_000_000
    plane.revoke_key(key_id, 2)
    eventually(lambda: _answers(client, read=401, write=401))
    for path in ("track", "batch", "validate"):
        assert client.post(f"/v1/events/{path}", json={"event_name": "a"}).status_code == 401


@pytest.fixture
def gone_receiver() -> Iterator[str]:
    """The URL of a webhook's receiver that answers 410 Gone: its endpoint is disabled, which is an alert."""

    class Gone(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(410)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gone) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _be_told(owner: httpx.Client, url: str, mark: str, eventually: Any, data: Any) -> None:
    """A delivery and an alert of the owner's."""
    done = CliRunner().invoke(cli, ["webhooks", "add", f"{url}/{mark}", "--app", "owner"])
    assert done.exit_code == 0, done.output
    numbers = count()

    def is_told() -> bool:
        event = {"event_name": "purchase", "event_id": f"{mark}-{next(numbers)}", "user_id": mark + "-second"}
        assert owner.post("/v1/events/track", json=event).status_code == 201
        return bool(data(owner.get("/v1/webhooks/deliveries"))["items"] and data(owner.get("/v1/alerts"))["items"])

    eventually(is_told)


def _import_a_cost(mark: str, file: Path) -> None:
    file.write_text(f"date,channel,campaign,cost,currency\n2026-01-15,display,{mark},12.5,CNY\n")
    done = CliRunner().invoke(cli, ["costs", "import", str(file), "--app", "owner"])
    assert done.exit_code == 0, done.output


def test_every_endpoint_with_another_apps_key(
    make_client: Any,
    eventually: Any,
    settled: Callable[[], None],
    data: Any,
    gone_receiver: str,
    product: Product,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Check every operation of the document: what the owner's key finds, the stranger's does not."""
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(product.data_dir))
    monkeypatch.setenv("ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1")
    owner, _ = make_client("owner")
    stranger, _ = make_client("stranger")
    eventually(lambda: _answers(owner, 200, 201) and _answers(stranger, 200, 201))
    mark = "only-the-owners"
    purchase = {
        "event_name": "purchase",
        "event_id": mark + "-event",
        "user_id": mark + "-person",
        "properties": {"revenue": 7_777_777, "order_id": mark},
        "context": {"page": {"url": f"https://{mark}.example/?utm_source={mark}&utm_medium=cpc&utm_campaign={mark}"}},
    }
    assert owner.post("/v1/events/track", json=purchase).status_code == 201
    assert owner.post("/v1/events/track", json={"event_name": mark}).status_code == 400
    settled()
    assert data(owner.get("/v1/attribution"))["totals"]["conversions"] == 1
    conversion_id = data(owner.get("/v1/conversions"))["items"][0]["conversion_id"]
    _be_told(owner, gone_receiver, mark, eventually, data)
    _import_a_cost(mark, tmp_path / "costs.csv")
    eventually(lambda: data(owner.get("/v1/costs"))["items"])
    created = owner.post("/v1/reports/export", json={"report": "conversions", "format": "csv"})
    job = created.json()["data"]
    ids = {
        "event_id": mark + "-event",
        "user_id": mark + "-person",
        "job_id": job["job_id"],
        "delivery_id": data(owner.get("/v1/webhooks/deliveries"))["items"][0]["delivery_id"],
    }
    endpoint_id = data(owner.get("/v1/alerts"))["items"][0]["subject"]
    marks = (mark, "7777777", ids["job_id"], ids["delivery_id"], endpoint_id)
    more = {
        "/v1/attribution": [{"conversion_id": conversion_id}, {"dimension": "source", "model": "linear"}],
        "/v1/reports/performance": [{"dimension": "source"}],
        "/v1/events": [{"user_id": mark + "-person"}],
    }
    document = httpx.get(f"{owner.base_url}/openapi.json", trust_env=False).json()
    tried = 0
    for path, operations in document["paths"].items():
        if path.endswith("/download"):
            continue  # its key is the signature in the link
        for parameters in [{}, *more.get(path, [])]:
            for method in operations.keys() & set(METHODS):
                tried += 1
                place = path.format(**ids)
                given = {"json": {"event_name": "a"}} if method == "post" else {"params": parameters}
                seen = stranger.request(method, place, **given)
                assert seen.status_code in (200, 201, 400, 404), (place, seen.text)
                assert not any(own in seen.text for own in marks), (place, seen.text)
                if method == "get":
                    own = owner.get(place, params=parameters)
                    assert own.status_code == 200, (place, own.text)
                    assert any(text in own.text for text in marks), f"{place} shows the owner nothing: no proof"
                    is_of_one = "{" in path or "conversion_id" in parameters
                    assert seen.status_code == (404 if is_of_one else 200), (place, seen.text)
    assert tried >= 14


def test_the_same_event_id_in_two_apps_is_two_events(make_client: Any, eventually: Any, data: Any) -> None:
    owner, _ = make_client("owner")
    stranger, _ = make_client("stranger")
    eventually(lambda: _answers(owner, 200, 201) and _answers(stranger, 200, 201))
    for client, name in ((owner, "owners_own"), (stranger, "strangers_own")):
        event = {"event_name": name, "event_id": "shared-id", "user_id": "shared-person"}
        assert client.post("/v1/events/track", json=event).status_code == 201

    def shown(client: httpx.Client) -> str | None:
        found = client.get("/v1/events/shared-id")
        return json.dumps(data(found)) if found.status_code == 200 else None

    mine, theirs = eventually(lambda: shown(owner)), eventually(lambda: shown(stranger))
    assert "owners_own" in mine
    assert "strangers_own" not in mine
    assert "strangers_own" in theirs
    assert "owners_own" not in theirs


def test_nothing_in_the_data_folder_is_for_others_to_read(product: Product) -> None:
    """Keys, states, events, logs: of the launcher and of all it starts, which add and remove files meanwhile."""
    found = [
        Path(folder, name) for folder, folders, files in os.walk(product.data_dir) for name in (".", *folders, *files)
    ]
    assert any(path.name == "webhook-key" for path in found)
    assert [str(path) for path in found if is_open_to_others(path)] == []


def is_open_to_others(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:  # removed since it was listed
        return False
    return not stat.S_ISLNK(mode) and bool(mode & 0o077)
