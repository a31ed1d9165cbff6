"""The OpenAPI document of the whole API as schemathesis takes it, and a client that keeps what no schema can say.

`document()`        what the gateway serves with a query service behind it; nothing is started for it
`schema(examples)`  the same, ready to generate from
`settle(case)`      makes a case that fits its schema fit the prose beside it as well
`Client`            sends bodies in the coding their header names
"""

import json
import zlib
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import available_timezones

import brotli
import requests
import schemathesis
from fuzzing import SEED
from hypothesis import strategies as st
from query_world import SIGNING_KEY
from requests.adapters import HTTPAdapter
from schemathesis import Case
from schemathesis.schemas import BaseSchema
from served_api import APP_ID

from pipeline.runtime.settings import Settings
from schemas.events import MAX_PROPERTY_DEPTH
from services.gateway.decompression import zstd
from services.gateway.openapi import merge, own_document
from services.query.app import create_app
from services.query.core.cursors import Cursors, Position

_LISTS = {
    "/v1/events": "events",
    "/v1/events/rejected": "rejected",
    "/v1/conversions": "conversions",
    "/v1/costs": "costs",
    "/v1/users": "users",
    "/v1/users/{user_id}/events": "user_events",
    "/v1/webhooks/deliveries": "deliveries",
    "/v1/alerts": "alerts",
}
_CURSORS = Cursors(SIGNING_KEY, APP_ID)
_ZONES = sorted(available_timezones() - {"localtime", "Factory"})
_OFFSETS = ["Z", "z", "+00:00", "-00:00", "+08:00", "-03:30", "+14:00", "-23:59"]
_COMPRESS = {
    "gzip": lambda body: zlib.compress(body, wbits=31),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}

_DATES = st.dates(date(1970, 1, 1), date(2199, 12, 31)).map(str)
_CLOCKS = st.builds(
    lambda seconds, fraction: f"{timedelta(seconds=seconds)!s:0>8}{fraction}",
    st.integers(0, 24 * 3600 - 1),
    st.sampled_from(["", ".5", ".123", ".123456", ".123456789"]),
)
schemathesis.openapi.format("date", _DATES)
schemathesis.openapi.format(
    "date-time", st.builds("{}{}{}{}".format, _DATES, st.sampled_from("Tt"), _CLOCKS, st.sampled_from(_OFFSETS))
)
schemathesis.openapi.format("iana-time-zone", st.sampled_from(_ZONES))


@schemathesis.serializer("application/x-ndjson")
def _lines(_context: Any, value: Any) -> bytes:
    """A text is the body as it is; what was made to break the schema goes out as JSON."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


def document() -> dict[str, Any]:
    return merge(own_document("1"), create_app(Settings(), None).openapi())  # type: ignore[arg-type]


def schema(examples: int) -> BaseSchema:
    """`examples`: how many cases are made up for each operation, beside those that cover its schema in order."""
    loaded = schemathesis.openapi.from_dict(document())
    loaded.config.seed = SEED
    loaded.config.generation.update(max_examples=examples)
    return loaded


def settle(case: Case) -> None:
    """Leaves cases alone that are meant to be refused."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.query:
        _settle_query(case.query, _LISTS.get(case.operation.path, ""))
    if isinstance(case.body, dict) and isinstance(case.body.get("filters"), dict):
        _settle_compared(case.body["filters"])
        _settle_range(case.body["filters"])
    if isinstance(case.body, dict) and case.body.get("format") != "csv":
        case.body.pop("spreadsheet", None)
    events = case.body.get("events", [case.body]) if isinstance(case.body, dict) else []
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict):
            _settle_event(event)


def _settle_query(query: dict[str, Any], list_name: str) -> None:
    if "conversion_id" in query:
        for name in ("from", "to", "goal", "dimension", "currency", "include_bots"):
            query.pop(name, None)
    _settle_funnel(query)
    _settle_compared(query)
    _settle_range(query)
    if "cursor" in query:
        query["cursor"] = _CURSORS.encode(list_name, Position(_pick(query["cursor"], 2**62), query["cursor"][:100]))


def _settle_funnel(query: dict[str, Any]) -> None:
    steps = query.get("steps", [])
    if not steps:
        for name in ("within_hours", "by_channel", "stopped_after"):
            query.pop(name, None)
    after = str(query.get("stopped_after", ""))
    if after.isdigit() and int(after) >= len(steps if isinstance(steps, list) else steps.split(",")):
        query.pop("stopped_after")


def _settle_compared(given: dict[str, Any]) -> None:
    if given.get("compare") is not None:
        given |= {"from": given.get("from", ""), "to": ""}


def _settle_range(given: dict[str, Any]) -> None:
    if "from" in given and "to" in given:
        given["from"], given["to"] = "2024-01-0" + str(_pick(given["from"], 9) + 1), "2024-02-01T00:00:00+08:00"


def _settle_event(event: dict[str, Any]) -> None:
    """Times near now, by clocks that are nearly right."""
    for name in ("timestamp", "sent_at"):
        if event.get(name) is not None:
            ago = timedelta(minutes=_pick(event[name], 600))
            event[name] = (datetime.now(UTC) - ago).isoformat()
    if isinstance(event.get("properties"), dict):
        event["properties"] = _property(event["properties"], MAX_PROPERTY_DEPTH)


def _property(value: Any, levels: int) -> Any:
    """`value` within what the prose says of properties: so deep, without NUL characters, integers of 64 bits."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, int):
        return max(-(2**63), min(value, 2**64 - 1))
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        return None
    if isinstance(value, list):
        return [_property(item, levels - 1) for item in value]
    return {name.replace("\0", ""): _property(item, levels - 1) for name, item in value.items()}


def _pick(value: Any, below: int) -> int:
    return int.from_bytes(sha256(str(value).encode("utf-8", "surrogatepass")).digest()[:8]) % below


class Client(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.mount("http://", _Coding())


class _Coding(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        coding = request.headers.get("Content-Encoding", "")
        compress = _COMPRESS.get(coding.decode() if isinstance(coding, bytes) else coding)
        if compress and request.body:
            body = request.body.encode() if isinstance(request.body, str) else request.body
            request.body = compress(body)
            request.headers["Content-Length"] = str(len(request.body))
        return super().send(request, *args, **kwargs)
