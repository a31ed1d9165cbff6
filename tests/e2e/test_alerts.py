"""A rule from the command line to the API: it is judged over what was posted, and told once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.demo.product import Product

HOUR = timedelta(hours=1)


def test_an_alert_from_its_rule_to_the_api(
    product: Product,
    api: httpx.Client,
    data: Callable[..., Any],
    eventually: Callable[..., Any],
    monkeypatch: Any,
) -> None:
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(product.data_dir))
    noon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    events = [
        {"event_name": "alarm_bell", "user_id": f"alert-{n}", "timestamp": (noon + n * HOUR / 60).isoformat()}
        for n in range(30)
    ]
    # Windows close when event time has passed them everywhere, so something must happen everywhere after them.
    events += [{"event_name": "page_view", "user_id": f"alert-{n}"} for n in range(60)]
    assert api.post("/v1/events/batch", json={"events": events}).status_code == 201
    eventually(lambda: len(data(api.get("/v1/events", params={"event_name": "alarm_bell"}))["items"]) == 30)

    since = (noon - HOUR).isoformat()
    command = ["alerts", "add", "--app", "demo", "events", "--above", "20", "--only", "alarm_bell", "--since", since]
    added = CliRunner().invoke(app, command)
    assert added.exit_code == 0, added.output
    rule_id = added.stdout.strip()
    try:
        listed = CliRunner().invoke(app, ["alerts", "list", "--app", "demo"]).stdout
        assert f"{rule_id}\tdemo\tevents\talarm_bell\tabove 20\t60 min\tactive\t" in listed

        def told() -> Any:
            found = data(api.get("/v1/alerts", params={"rule_id": rule_id}))["items"]
            return found if len(found) == 2 else None

        ended, began = eventually(told)
    finally:
        assert CliRunner().invoke(app, ["alerts", "remove", rule_id]).exit_code == 0
    assert (began["state"], began["value"], began["threshold"], began["subject"]) == ("began", 30, 20, "alarm_bell")
    assert datetime.fromisoformat(began["window_start"]) == noon
    assert (ended["state"], ended["value"], ended["began_at"]) == ("ended", 0, began["at"])
    only = data(api.get("/v1/alerts", params={"rule_id": rule_id, "state": "began"}))["items"]
    assert only == [began]
    assert rule_id not in CliRunner().invoke(app, ["alerts", "list"]).stdout
