"""`attrikit ledger` and `attrikit doctor` beside the running product, knowing nothing but its data folder."""

import json
from collections.abc import Callable

import httpx
from operator_commands import attrikit, ledger_totals

from deploy.demo.product import Product


def test_the_ledger_counts_what_was_posted_and_balances(product: Product, api: httpx.Client) -> None:
    before = ledger_totals(product, "demo")
    for _ in range(2):  # the second time all of them are repeats
        events = [
            {"event_name": "page_view", "event_id": f"ledger-{n}", "user_id": f"ledger-{n % 7}"} for n in range(40)
        ]
        events.append({"event_name": "Not A Name"})
        assert api.post("/v1/events/batch", json={"events": events}).status_code == 201
    after = ledger_totals(product, "demo")
    assert {name: after[name] - before[name] for name in before} == {
        "acknowledged": 80,
        "accepted": 80,
        "stored": 40,
        "duplicates": 40,
        "rejected": 2,
    }


def test_operators_are_asked_for_their_token_and_gateways_do_not_let_them_through(
    product: Product, api: httpx.Client
) -> None:
    running = json.loads((product.data_dir / "running.json").read_text())
    assert (product.data_dir / "running.json").stat().st_mode & 0o777 == 0o600
    for path in ("/operator/ledger?from_us=0&through_us=1", "/operator/store"):
        stranger = httpx.get(running["query_url"] + path, trust_env=False)
        with_app_key = httpx.get(running["query_url"] + path, headers=api.headers, trust_env=False)
        operator = {"Authorization": f"Bearer {running['operator_token']}"}
        assert (stranger.status_code, with_app_key.status_code) == (401, 401)
        assert httpx.get(running["query_url"] + path, headers=operator, trust_env=False).status_code == 200
        assert httpx.get(product.base_url + path, headers=operator, trust_env=False).status_code == 404


def test_the_doctor_finds_a_sound_installation_sound(product: Product, api: httpx.Client) -> None:
    done = attrikit(product, "doctor", "--json")
    found = json.loads(done.stdout)
    # The disk is that of whoever runs the tests.
    failed = [finding for finding in found["findings"] if finding["level"] == "fail" and finding["check"] != "disk"]
    assert failed == [], done.stderr
    checks = {finding["check"] for finding in found["findings"]}
    assert checks >= {"lag", "watermark", "refusals", "parts", "merges", "changelog", "disk", "migrations", "clock"}
    assert {f["about"] for f in found["findings"] if f["check"] == "migrations"} == {"ClickHouse", "control plane"}


def test_the_doctor_says_what_does_not_answer(product: Product, free_port: Callable[[], int]) -> None:
    environment = {"ATTRIKIT_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}
    done = attrikit(product, "doctor", environment=environment)
    assert done.returncode == 1
    assert "Kafka" in done.stdout
    assert "Traceback" not in done.stderr
