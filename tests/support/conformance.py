"""Every error the OpenAPI document allows, as data: which request meets it, and what its answer says."""

import json
import zlib
from collections.abc import Iterator
from typing import Any

from conformance_row import (
    DOWNLOAD,
    DOWNLOAD_PATH,
    EVENT,
    EXPORT,
    EXPORT_JOB,
    EXPORTS,
    KILOBYTE,
    LISTS,
    MEGABYTE,
    RANGES,
    READS,
    REPORTING,
    RESEND,
    VISITOR,
    Row,
    path_of,
)
from query_world import SIGNING_KEY
from served_api import APP_ID, READ_KEY, REVOKED_KEY, SECRET_KEY, SPENT_KEY, WRITE_KEY

from schemas.errors import ErrorCode as E
from services.query.exports.download_links import download_path


def rows() -> Iterator[Row]:
    for endpoint in (*REPORTING, VISITOR, *READS, RESEND):
        yield from _everywhere(endpoint)
    yield Row(RESEND, E.FORBIDDEN, key=WRITE_KEY, details={"required_scope": "read"})
    yield Row(RESEND, E.SERVER_ERROR, without="ClickHouse")
    yield from _bad_events()
    yield from _bad_bodies()
    yield from _pages()
    yield from _visitors()
    for endpoint in RANGES:
        yield from _bad_ranges(endpoint)
    for endpoint in LISTS:
        yield from _bad_pages(endpoint)
    yield from _bad_parameters()
    yield from _absent()
    yield from _exports()


def _everywhere(endpoint: str) -> Iterator[Row]:
    reads = endpoint in READS
    for authorization in ("", "Bearer", "Basic YTpi", "Bearer nobody", f"Bearer {REVOKED_KEY}"):
        yield Row(endpoint, E.INVALID_API_KEY, key=None, headers={"Authorization": authorization})
    yield Row(endpoint, E.INVALID_API_KEY, key=None)
    scope, key = ("read", WRITE_KEY) if reads else ("write", READ_KEY)
    yield Row(endpoint, E.FORBIDDEN, key=key, details={"required_scope": scope})
    for method in ("PUT", "DELETE", "PATCH", "POST" if reads else "GET"):
        said = {"allowed": ["GET" if reads else "POST"]}
        yield Row(endpoint, E.METHOD_NOT_ALLOWED, method=method, details=said)
    yield Row(endpoint, E.RATE_LIMIT_EXCEEDED, key=SPENT_KEY, details={"plan": "free"}, without="quota")
    yield Row(endpoint, E.SERVER_ERROR, without="control plane")
    if reads:
        yield Row(endpoint, E.SERVER_ERROR, without="ClickHouse")
    elif not endpoint.endswith(("validate", "visitor")):
        yield Row(endpoint, E.SERVER_ERROR, without="broker")


def _exports() -> Iterator[Row]:
    body = json.dumps({"report": "users", "format": "csv"}).encode()
    allowed = {EXPORT: ["POST"], EXPORT_JOB: ["DELETE", "GET"]}
    for endpoint, path in EXPORTS.items():
        yield Row(endpoint, E.INVALID_API_KEY, path=path, key=None, body=body)
        yield Row(endpoint, E.FORBIDDEN, path=path, key=WRITE_KEY, details={"required_scope": "read"}, body=body)
        yield Row(endpoint, E.RATE_LIMIT_EXCEEDED, path=path, key=SPENT_KEY, details={"plan": "free"}, without="quota")
        yield Row(endpoint, E.SERVER_ERROR, path=path, body=body, without="control plane")
        said = {"allowed": allowed.get(endpoint) or allowed[path]}
        yield Row(endpoint, E.METHOD_NOT_ALLOWED, path=path, method="PUT", details=said)
        if endpoint != EXPORT:
            yield Row(endpoint, E.NOT_FOUND, path=path)
            yield _bad_at(endpoint, path.replace("exp_", "x"), "job_id")
            yield _bad_at(endpoint, path + "?x=1", "x")
    for bad, at_fault in (
        (b"", "body"),
        (b"[]", "body"),
        (b'{"report":"all","format":"csv"}', "report"),
        (b'{"report":"users","format":"xls"}', "format"),
        (b'{"report":"users","format":"jsonl","spreadsheet":true}', "spreadsheet"),
        (b'{"report":"performance","format":"csv","filters":{"compare":"previous_period"}}', "filters.compare"),
        (b'{"report":"users","format":"csv","filters":{"from":"now"}}', "filters.from"),
        (b'{"report":"users","format":"csv","filters":{"goal":[]}}', "filters.goal"),
        (b'{"report":"events","format":"csv","filters":{"from":"2024-02-02","to":"2024-02-01"}}', "filters.from"),
    ):
        yield Row(EXPORT, E.INVALID_PARAMETER, body=bad, details={"field": at_fault})
    for bad, absent in ((b"{}", "report"), (b'{"report":"users"}', "format")):
        yield Row(EXPORT, E.MISSING_REQUIRED_FIELD, body=bad, details={"field": absent})
    yield Row(EXPORT, E.PAYLOAD_TOO_LARGE, body=b" " * (64 * KILOBYTE + 1), details={"field": "body"})
    link = DOWNLOAD_PATH + "?expires=1&signature=x"
    valid = download_path(SIGNING_KEY, "exp_" + "0" * 24, 2**40)
    yield Row(DOWNLOAD, E.FORBIDDEN, path=link, key=None, names={"reason"})
    yield Row(DOWNLOAD, E.NOT_FOUND, path=valid, key=None)
    yield Row(DOWNLOAD, E.SERVER_ERROR, path=valid, key=None, without="control plane")
    yield Row(DOWNLOAD, E.METHOD_NOT_ALLOWED, path=link, method="POST", details={"allowed": ["GET"]})
    yield Row(DOWNLOAD, E.MISSING_REQUIRED_FIELD, path=DOWNLOAD_PATH, details={"field": "expires"})
    yield _bad_at(DOWNLOAD, DOWNLOAD_PATH + "?expires=x&signature=x", "expires")


def _bad_at(endpoint: str, path: str, at_fault: str) -> Row:
    return Row(endpoint, E.INVALID_PARAMETER, path=path, details={"field": at_fault})


def _one(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes).encode()


TOO_DEEP: dict[str, Any] = {}
for _ in range(8):
    TOO_DEEP = {"a": TOO_DEEP}
BAD_EVENTS: list[tuple[bytes, E, dict[str, Any]]] = [
    (b"{}", E.MISSING_REQUIRED_FIELD, {"field": "event_name"}),
    (_one(event_name=""), E.MISSING_REQUIRED_FIELD, {"field": "event_name"}),
    (_one(event_name=None), E.MISSING_REQUIRED_FIELD, {"field": "event_name"}),
    (
        _one(event_name="APP INSTALL"),
        E.INVALID_EVENT_NAME,
        {"field": "event_name", "value": "APP INSTALL", "suggestion": "app_install"},
    ),
    (
        _one(event_name="Purchase-Complete"),
        E.INVALID_EVENT_NAME,
        {"field": "event_name", "value": "Purchase-Complete", "suggestion": "purchase_complete"},
    ),
    (b"{", E.INVALID_PARAMETER, {"field": ""}),
    (b"[]", E.INVALID_PARAMETER, {"field": ""}),
    (_one(timestamp="yesterday"), E.INVALID_PARAMETER, {"field": "timestamp"}),
    (_one(timestamp="2026-01-15T10:30:00"), E.INVALID_PARAMETER, {"field": "timestamp"}),
    (_one(timestamp="2199-01-01T00:00:00Z"), E.INVALID_PARAMETER, {"field": "timestamp"}),
    (_one(timestamp="2001-01-01T00:00:00Z"), E.INVALID_PARAMETER, {"field": "timestamp"}),
    (_one(sent_at=5), E.INVALID_PARAMETER, {"field": "sent_at"}),
    (_one(user_id="undefined"), E.INVALID_PARAMETER, {"field": "user_id"}),
    (_one(anonymous_id="a" * 201), E.INVALID_PARAMETER, {"field": "anonymous_id"}),
    (_one(event_id="a b"), E.INVALID_PARAMETER, {"field": "event_id"}),
    (_one(properties=[]), E.INVALID_PARAMETER, {"field": "properties"}),
    (_one(properties=TOO_DEEP), E.INVALID_PARAMETER, {"field": "properties"}),
    (_one(properties={"big": 2**64}), E.INVALID_PARAMETER, {"field": "properties.big"}),
    (_one(context={"page": {"url": 5}}), E.INVALID_PARAMETER, {"field": "context.page.url"}),
    (_one(context={"ip": "300.1.1.1"}), E.INVALID_PARAMETER, {"field": "context.ip"}),
]
"""Each alone, with what is said of it; paths inside the event, empty for the event as a whole."""


def _bad_events() -> Iterator[Row]:
    for raw, code, details in BAD_EVENTS:
        place = details["field"]
        alone = details | {"field": place or "body"}
        batched = details | {"field": f"events[1].{place}".rstrip(".")}
        yield Row("POST /v1/events/track", code, body=raw, details=alone)
        yield Row("POST /v1/events/validate", code, body=raw, details=alone, answered_in="errors")
        lines = json.dumps(EVENT).encode() + b"\n" + raw
        ndjson = {"Content-Type": "application/x-ndjson"}
        for endpoint, place in (("POST /v1/events/batch", "results"), ("POST /v1/events/validate", "errors")):
            yield Row(endpoint, code, body=lines, headers=ndjson, details=batched, answered_in=place)
            if raw != b"{":
                body = b'{"events": [' + lines.replace(b"\n", b",") + b"]}"
                yield Row(endpoint, code, body=body, details=batched, answered_in=place)
    large = _one(properties={"x": "y" * 33 * KILOBYTE})
    said = {"limit": 32 * KILOBYTE, "actual": len(large)}
    yield Row("POST /v1/events/track", E.PAYLOAD_TOO_LARGE, body=large, details=said | {"field": "body"})
    in_list = said | {"field": "events[1]"}
    body = b'{"events": [' + _one() + b"," + large + b"]}"
    yield Row("POST /v1/events/batch", E.PAYLOAD_TOO_LARGE, body=body, details=in_list, answered_in="results")
    yield Row("POST /v1/events/validate", E.PAYLOAD_TOO_LARGE, body=body, details=in_list, answered_in="errors")


BOMB = zlib.compress(b" " * 64 * MEGABYTE)


def _bad_bodies() -> Iterator[Row]:
    for endpoint in REPORTING:
        for coding, body in (("gzip", b"no gzip"), ("br", b"\xff"), ("zstd", b"\x28\xb5\x2f\xfd"), ("lzw", b"{}")):
            headers = {"Content-Encoding": coding}
            said = {"field": "Content-Encoding"}
            yield Row(endpoint, E.INVALID_PARAMETER, body=body, headers=headers, details=said)
        limit = 32 * KILOBYTE if endpoint.endswith("track") else 5 * MEGABYTE
        inflates = {"Content-Encoding": "deflate"}
        said = {"field": "body", "limit": limit}
        yield Row(endpoint, E.PAYLOAD_TOO_LARGE, body=BOMB, headers=inflates, details=said)
        yield Row(endpoint, E.PAYLOAD_TOO_LARGE, body=b" " * (limit + 1), details=said | {"actual": limit + 1})
    for endpoint in ("POST /v1/events/batch", "POST /v1/events/validate"):
        for empty in (b'{"events": []}', *([b"{}"] if endpoint.endswith("batch") else [])):
            yield Row(endpoint, E.MISSING_REQUIRED_FIELD, body=empty, details={"field": "events"})
        ndjson = {"Content-Type": "application/x-ndjson"}
        yield Row(endpoint, E.MISSING_REQUIRED_FIELD, body=b"\n \n", headers=ndjson, details={"field": "events"})
        yield Row(endpoint, E.INVALID_PARAMETER, body=b'{"events": 5}', details={"field": "events"})
        many = {"field": "events", "limit": 1000, "actual": 1001}
        yield Row(endpoint, E.PAYLOAD_TOO_LARGE, body=json.dumps({"events": [0] * 1001}).encode(), details=many)
    batch = "POST /v1/events/batch"
    for broken in (b"", b"{", b"[]", b'{"events": [}'):
        yield Row(batch, E.INVALID_PARAMETER, body=broken, details={"field": "body"})
    yield Row(batch, E.INVALID_PARAMETER, path="/v1/events/batch?results=some", details={"field": "results"})


def _pages() -> Iterator[Row]:
    """Requests out of web pages, and keys in URLs."""
    said = {"field", "reason"}
    for endpoint in REPORTING:
        path = path_of(endpoint)
        secret = {"Origin": "https://shop.example"}
        yield Row(endpoint, E.FORBIDDEN, headers=secret, names={"reason"})
        if not endpoint.endswith("validate"):
            in_url = f"{path}?key={SECRET_KEY}"
            yield Row(endpoint, E.FORBIDDEN, path=in_url, key=None, details={"field": "key"}, names=said)
            by_app_id = f"{path}?app_id={APP_ID}"
            yield Row(endpoint, E.FORBIDDEN, path=by_app_id, key=None, details={"field": "Origin"}, names=said)
            unknown = {"path": by_app_id, "key": None, "headers": secret, "details": {"field": "app_id"}}
            yield Row(endpoint, E.INVALID_API_KEY, names=said, **unknown)
        in_url = f"{path}?key=nobody"
        yield Row(endpoint, E.INVALID_API_KEY, path=in_url, key=None)


def _visitors() -> Iterator[Row]:
    for bad, at_fault in (
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"visitor_id":5}', "visitor_id"),
        (b'{"visitor_id":"a b c d e f"}', "visitor_id"),
        (b'{"visitor_id":"undefined"}', "visitor_id"),
    ):
        yield Row(VISITOR, E.INVALID_PARAMETER, body=bad, details={"field": at_fault})
    limit = 32 * KILOBYTE
    yield Row(VISITOR, E.PAYLOAD_TOO_LARGE, body=b" " * (limit + 1), details={"field": "body", "limit": limit})


def _bad_ranges(endpoint: str) -> Iterator[Row]:
    for query, at_fault in (
        ("from=now", "from"),
        ("from=2024-13-01", "from"),
        ("to=2024-01-01T00:00:00", "to"),
        ("to=9999-12-31", "to"),
        ("from=2024-02-02&to=2024-02-01", "from"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=UTC&tz=UTC", "tz"),
        ("lmit=5", "lmit"),
    ):
        yield _bad(endpoint, query, at_fault)


def _bad_pages(endpoint: str) -> Iterator[Row]:
    for query, at_fault in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
    ):
        yield _bad(endpoint, query, at_fault)


def _bad_parameters() -> Iterator[Row]:
    for endpoint, query, at_fault in (
        ("GET /v1/events", "event_name=Purchase-Complete", "event_name[0]"),
        ("GET /v1/events", "user_id=", "user_id"),
        ("GET /v1/events", "property.=x", "property."),
        ("GET /v1/events/rejected", "code=low", "code[0]"),
        ("GET /v1/events/{event_id}", "tz=x", "tz"),
        ("GET /v1/alerts", "metric=luck", "metric[0]"),
        ("GET /v1/alerts", "state=open", "state"),
        ("GET /v1/alerts", "rule_id=", "rule_id"),
        ("GET /v1/webhooks/deliveries", "status=lost", "status[0]"),
        ("GET /v1/webhooks/deliveries", "type=x", "type[0]"),
        ("GET /v1/webhooks/deliveries", "endpoint_id=", "endpoint_id"),
        ("GET /v1/webhooks/deliveries/{delivery_id}", "tz=x", "tz"),
        ("GET /v1/conversions", "min_value=much", "min_value"),
        ("GET /v1/conversions", "currency=cny", "currency"),
        ("GET /v1/attribution", "model=guess", "model"),
        ("GET /v1/attribution", "dimension=weekday", "dimension"),
        ("GET /v1/attribution", "conversion_id=x&dimension=source", "dimension"),
        ("GET /v1/users/{user_id}", "tz=x", "tz"),
        ("GET /v1/reports/performance", "granularity=minute", "granularity"),
        ("GET /v1/reports/performance", "compare=previous_period", "compare"),
        ("GET /v1/reports/performance", "compare=last_year", "compare"),
        ("GET /v1/reports/conversion", "currency=CNYX", "currency"),
        ("GET /v1/reports/conversion", "steps=page_view", "steps"),
        ("GET /v1/reports/conversion", "within_hours=5", "within_hours"),
    ):
        yield _bad(endpoint, query, at_fault)


def _bad(endpoint: str, query: str, at_fault: str) -> Row:
    return Row(endpoint, E.INVALID_PARAMETER, path=f"{path_of(endpoint)}?{query}", details={"field": at_fault})


def _absent() -> Iterator[Row]:
    for endpoint, path in (
        ("GET /v1/events/{event_id}", "/v1/events/none"),
        ("GET /v1/users/{user_id}", "/v1/users/nobody"),
        ("GET /v1/users/{user_id}/events", "/v1/users/nobody/events"),
        ("GET /v1/users/{user_id}/journey", "/v1/users/nobody/journey"),
        ("GET /v1/attribution", "/v1/attribution?conversion_id=none"),
        ("GET /v1/webhooks/deliveries/{delivery_id}", "/v1/webhooks/deliveries/none"),
        (RESEND, "/v1/webhooks/deliveries/none/resend"),
        (RESEND, "/v1/webhooks/deliveries/whd_2/resend"),
    ):
        yield Row(endpoint, E.NOT_FOUND, path=path)


ELSEWHERE = [
    Row("", E.NOT_FOUND, method=method, path=path, names={"reason"})
    for path in ("/", "/v1", "/v1/", "/v2/events", "/v1/nothing", "/v1/events/track/", "/v1/events/track/x/y", "/%00")
    for method in ("GET", "POST", "DELETE")
]
"""Paths the document does not know."""
