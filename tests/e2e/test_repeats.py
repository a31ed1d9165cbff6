"""An event sent again, in every way there is, is stored and counted once (`services.gateway.outcomes` has a table)."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from installation import Installation

from deploy.ledger.command import examine
from deploy.local.broker import NoidaBroker

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    broker = NoidaBroker(tmp_path / "broker", tmp_path / "broker.log")
    broker.start()
    made = Installation(tmp_path / "installation", broker.bootstrap)
    try:
        made.start("gateway", "worker", "store")
        yield made
    finally:
        made.stop()
        broker.kill()


def post(installation: Installation, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {installation.key}"}
    url = f"{installation.urls['gateway']}/v1/events/{path}"
    answer = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30.0)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def restart(installation: Installation, name: str) -> None:
    installation.kill(name)
    installation.start(name)


def test_counted_once_however_it_is_repeated(
    installation: Installation, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    now = datetime.now(UTC)
    purchase = {
        "event_name": "purchase",
        "event_id": "order-1",
        "user_id": "u1",
        "timestamp": now.isoformat(),
        "properties": {"revenue": 10},
    }

    def skewed() -> dict[str, Any]:
        """Its clock is an hour behind, and read anew for every sending: its time is corrected to another each time."""
        sent_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        return {"event_name": "purchase", "event_id": "order-2", "user_id": "u1", "properties": {"revenue": 100}} | {
            "timestamp": (now - timedelta(hours=1)).isoformat(),
            "sent_at": sent_at,
        }

    both = [purchase, skewed(), purchase, skewed()]
    results = post(installation, "batch", {"events": both})["results"]
    assert [result["status"] for result in results] == ["accepted", "accepted", "duplicate", "duplicate"]

    def again() -> None:
        for event in (purchase, skewed()):
            assert post(installation, "track", event)["event_id"] == event["event_id"]

    def repeats_are(count: int) -> Callable[[], Any]:
        def look() -> bool:
            try:
                found = [installation.get(f"/v1/events/order-{n}")["status"]["repeats"] for n in (1, 2)]
            except httpx.HTTPStatusError:
                return False
            return found == [count, count]

        return look

    again()
    eventually(repeats_are(1))
    restart(installation, "gateway")
    again()
    eventually(repeats_are(2))
    restart(installation, "worker")
    again()
    eventually(repeats_are(3))
    restart(installation, "store")
    again()
    eventually(repeats_are(4))

    assert sorted(event["event_id"] for event in installation.get("/v1/events")["items"]) == ["order-1", "order-2"]
    eventually(lambda: installation.get("/v1/reports/performance")["totals"]["value"] == 110)
    assert {item["value"] for item in installation.get("/v1/conversions")["items"]} == {10, 100}
    report = installation.get("/v1/reports/performance")["totals"]
    # Orders that a backend posts are no arrival.
    assert (report["conversions"], report["value"], report["sessions"]) == (2, 110, 0)
    assert installation.get("/v1/events/order-1")["session"]["events"] == 2

    def stranger() -> dict[str, Any]:
        return {name: value for name, value in purchase.items() if name != "user_id"} | {"anonymous_id": "stranger"}

    restart(installation, "gateway")  # it has forgotten whose the order was, and nothing links the two
    assert post(installation, "batch", {"events": [stranger()]})["results"][0]["status"] == "accepted"
    balance = asyncio.run(examine(installation.settings, timeout_seconds=60.0)).balance
    assert balance.holds, balance.problems
    assert any("1 events were sent again under another person's id" in note for note in balance.notes)
    assert len(installation.get("/v1/events")["items"]) == 2
