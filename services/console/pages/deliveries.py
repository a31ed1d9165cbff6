"""Deliveries of a webhook endpoint: one with its body and attempts, sending it again, and replay of many."""

import asyncio
from typing import Any, Final
from urllib.parse import quote

from aiokafka.errors import KafkaError
from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control.audit import write_entry
from pipeline.runtime.clock import now_ms
from pipeline.runtime.topic_writes import send_records
from schemas.topics import Topic
from schemas.webhooks import Outcome, encode_delivery, partition_of_endpoint
from services.console import setting_words
from services.console.page import Page, go
from services.console.pages.webhooks import DELIVERIES, known_endpoint
from services.console.reading import ReadFailed
from services.console.visitor import Form, OfApp, Refused, field
from services.webhook_calls.resend import queued_again

router = APIRouter()
MOST_REPLAYED: Final = 500
_STEP: Final = 100
_SEND_SECONDS: Final = 30.0
_PATH: Final = "/apps/{app_id}/webhooks/{endpoint_id}/deliveries"


@router.get(_PATH + "/{delivery_id}")
async def show_delivery(page: OfApp, endpoint_id: str, delivery_id: str) -> Response:
    endpoint = await known_endpoint(page, endpoint_id)
    found = await _delivery(page, endpoint_id, delivery_id)
    queued = page.request.query_params.get("queued") == "1"
    return page.render("delivery.html", endpoint=endpoint, found=found, queued=queued, words=setting_words)


@router.post(_PATH + "/{delivery_id}/resend")
async def resend(page: OfApp, endpoint_id: str, delivery_id: str, fields: Form) -> Response:
    """Queue a delivery once more, with the same id and the same body."""
    await known_endpoint(page, endpoint_id)
    found = await _delivery(page, endpoint_id, delivery_id)
    await _queue(page, endpoint_id, [found])
    await asyncio.to_thread(write_entry, page.console.dsn, page.entry("webhook.resend", delivery_id))
    return go(page.url(f"webhooks/{endpoint_id}/deliveries/{delivery_id}?queued=1"))


@router.post(_PATH)
async def replay(page: OfApp, endpoint_id: str, fields: Form) -> Response:
    """Send deliveries of a range again: those that failed or were skipped, or all; or only count them (`do=count`)."""
    endpoint = await known_endpoint(page, endpoint_id)
    given = {name: field(fields, name) for name in ("from", "to", "which")}
    try:
        ids = await _ids(page, endpoint_id, given)
    except ReadFailed as error:
        if error.status >= 500:
            raise
        return _count_page(page, endpoint, given, [], error.message, 400)
    if field(fields, "do") == "count":
        return _count_page(page, endpoint, given, ids)
    # Oldest first. All were found before the first is sent: what is sent again changes its state, and so the list.
    found = [await _delivery(page, endpoint_id, delivery_id) for delivery_id in ids[::-1]]
    await _queue(page, endpoint_id, found)
    entry = page.entry("webhook.replay", endpoint_id, after=given | {"deliveries": len(ids)})
    await asyncio.to_thread(write_entry, page.console.dsn, entry)
    return go(page.url(f"webhooks/{endpoint_id}?queued={len(ids)}"))


def _count_page(
    page: Page, endpoint: Any, given: dict[str, str], ids: list[str], problem: str = "", status: int = 200
) -> Response:
    values = {"endpoint": endpoint, "given": given, "count": len(ids), "most": MOST_REPLAYED, "problem": problem}
    return page.render("replay.html", status, **values)


async def _ids(page: Page, endpoint_id: str, given: dict[str, str]) -> list[str]:
    """Return the newest deliveries of the range, at most `MOST_REPLAYED`."""
    statuses = [] if given["which"] == "all" else [Outcome.FAILED.value, Outcome.SKIPPED.value]
    asked = {"endpoint_id": endpoint_id, "from": given["from"], "to": given["to"], "status": statuses, "limit": _STEP}
    ids: list[str] = []
    cursor = None
    while len(ids) < MOST_REPLAYED:
        found = await page.read(DELIVERIES, asked | {"cursor": cursor})
        ids += [item["delivery_id"] for item in found["items"]]
        cursor = found["next_cursor"]
        if cursor is None:
            break
    return ids[:MOST_REPLAYED]


async def _delivery(page: Page, endpoint_id: str, delivery_id: str) -> Any:
    found = await page.read(f"{DELIVERIES}/{quote(delivery_id, safe='')}")
    if found["delivery"]["endpoint_id"] != endpoint_id:
        raise Refused(404)
    return found


async def _queue(page: Page, endpoint_id: str, found: list[Any]) -> None:
    settings, now = page.console.settings, now_ms()
    deliveries = [queued_again(endpoint_id, one["delivery"]["fact_id"], one["payload"], now) for one in found]
    partition = partition_of_endpoint(endpoint_id, settings.partitions)
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            lines = (encode_delivery(delivery) + b"\n" for delivery in deliveries)
            await send_records(settings, Topic.WEBHOOK_DELIVERIES, partition, lines)
    except (KafkaError, OSError, TimeoutError):
        raise Refused(503) from None
