"""From the id in an answer to the line in the log of the process that answered."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from deploy.demo.product import Product


def test_the_id_of_an_answer_finds_its_line(
    product: Product, api: httpx.Client, eventually: Callable[..., Any]
) -> None:
    refused = api.post("/v1/events/track", json={"event_name": "Not A Name"})
    read = api.get("/v1/conversions", params={"limit": 0})
    stranger = api.get("/v1/events", headers={"Authorization": "Bearer ak_live_x"})
    assert (refused.status_code, read.status_code, stranger.status_code) == (400, 400, 401)

    def lines(process: str) -> dict[str, dict[str, Any]]:
        text = (product.data_dir / "logs" / f"{process}.log").read_text()
        found = [json.loads(line) for line in text.splitlines() if '"request"' in line]
        return {line["request_id"]: line for line in found}

    for answer in (refused, read, stranger):
        request_id = answer.headers["x-request-id"]
        line = eventually(lambda request_id=request_id: lines("gateway").get(request_id))
        assert line["status"] == answer.status_code
    assert lines("store")[read.headers["x-request-id"]]["route"] == "/v1/conversions"


def test_metrics_are_shown_for_their_token_alone(product: Product, api: httpx.Client, metrics_token: str) -> None:
    assert api.get("/metrics").status_code == 401
    assert httpx.get(product.base_url + "/metrics", trust_env=False).status_code == 401
    assert api.get("/metrics", headers={"Authorization": f"Bearer {metrics_token}"}).status_code == 200
