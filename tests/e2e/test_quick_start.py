"""The document's first request, word for word but for host and key, by the curl it names."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from deploy.demo.product import Product

DOCUMENTED = r"""
curl -X POST https://api.attrikit.com/v1/events/track \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "event_name": "page_view",
    "properties": {
      "page_title": "首页",
      "page_url": "https://example.com"
    },
    "timestamp": "2024-01-15T10:30:00Z"
  }'
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_documented_curl(
    product: Product, api: httpx.Client, eventually: Callable[..., Any], data: Callable[..., Any]
) -> None:
    command = DOCUMENTED.replace("https://api.attrikit.com", product.base_url).replace("YOUR_API_KEY", product.key)
    command = command.rstrip() + r" --silent --noproxy '*' --write-out '\n%{http_code}'"
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout
    body, _, status = printed.rpartition("\n")
    assert status == "201"
    answer = json.loads(body)
    assert answer.keys() == {"success", "data"}
    assert answer["success"] is True
    assert answer["data"].keys() - {"warnings"} == {"event_id", "received_at"}
    event_id = answer["data"]["event_id"]
    assert re.fullmatch(r"evt_\w+", event_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", answer["data"]["received_at"])

    found = eventually(lambda: (r := api.get(f"/v1/events/{event_id}")).status_code == 200 and r)
    event = data(found)["event"]
    assert event["event_id"] == event_id
    assert event["event_name"] == "page_view"
    assert event["timestamp"] == "2024-01-15T18:30:00.000+08:00", "in the app's time zone"
    assert event["properties"] == {"page_title": "首页", "page_url": "https://example.com"}
