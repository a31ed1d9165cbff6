"""Keys and secrets are in no list of processes, log, error or document."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app as cli
from deploy.demo.product import Product
from pipeline.control import ControlPlane
from pipeline.runtime.secret_box import KEY_FILE, SecretBox


def _command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


@pytest.fixture(scope="module")
def secrets(product: Product, metrics_token: str) -> dict[str, str]:
    """Every kind of secret of the running product, in clear."""
    patch = pytest.MonkeyPatch()
    with patch.context() as environment:
        environment.setenv("ATTRIKIT_DATA_DIR", str(product.data_dir))
        environment.setenv("ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1")
        added = CliRunner().invoke(cli, ["webhooks", "add", "http://127.0.0.1:9/", "--app", "demo"])
    assert added.exit_code == 0, added.output
    store = ControlPlane(product.settings.control_plane_dsn())
    signing = SecretBox.open(product.settings, creates=False).unlock(store.snapshot(0).signing_key)
    store.close()
    return {
        "API key": product.key,
        "webhook secret": added.stdout.strip().splitlines()[-1],
        "webhook key": (product.data_dir / KEY_FILE).read_text().strip(),
        "signing key": signing,
        "metrics token": metrics_token,
        "operator token": json.loads((product.data_dir / "running.json").read_text())["operator_token"],
    }


def test_no_secret_is_shown_anywhere(
    product: Product, api: httpx.Client, secrets: dict[str, str], settled: Callable[[], None]
) -> None:
    bodies = []
    with httpx.Client(base_url=product.base_url, timeout=30.0, trust_env=False) as stranger:
        for secret in secrets.values():
            event = {"event_name": secret, "user_id": 5, "timestamp": secret, "context": {"ip": secret}}
            for authorization in (f"Bearer\t{secret}", f"Bearer {secret} x", f"Basic {secret}", secret):
                headers = {"Authorization": authorization}
                bodies += [stranger.get(path, headers=headers) for path in ("/v1/users", "/operator", "/metrics")]
                bodies.append(stranger.post("/v1/events/track", headers=headers, content=b"{"))
            for parameters in ({"limit": secret}, {"cursor": secret}, {"from": secret}, {"key": secret}):
                bodies.append(api.get("/v1/events", params=parameters))
                bodies.append(stranger.get("/v1/events", params=parameters))
            bodies += [api.get(f"/v1/users/{secret}"), api.get(f"/{secret}"), stranger.get(f"/v1/events/{secret}")]
            bodies.append(api.post("/v1/events/batch", json={"events": [event]}, params={"key": secret}))
            bodies.append(api.post("/v1/reports/export", json={"report": secret, "format": secret}))
        bodies.append(stranger.get("/openapi.json"))
        measured = stranger.get("/metrics", headers={"Authorization": f"Bearer {secrets['metrics token']}"})
        assert measured.status_code == 200
    settled()
    shown = [(str(answer.request.url), answer.text) for answer in bodies if answer.status_code >= 400]
    assert len(shown) > 100
    shown += [("/openapi.json", bodies[-1].text), ("/metrics", measured.text)]
    shown += [(log.name, log.read_text("utf-8", "replace")) for log in (product.data_dir / "logs").glob("*.log")]
    shown.append(("processes", _command_lines()))
    found = [(place, kind) for place, text in shown for kind, secret in secrets.items() if secret in text]
    assert found == []


def test_the_control_plane_holds_no_secret_in_clear(product: Product, secrets: dict[str, str]) -> None:
    stored = b"".join(path.read_bytes() for path in product.data_dir.glob("control.db*"))
    assert [kind for kind, secret in secrets.items() if secret.encode() in stored] == []
