"""The OpenAPI document: the gateway's own part, and the query service's merged into it. Pure."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from schemas.errors import ErrorCode
from services.gateway import resend, visitors
from services.gateway.body_schemas import body_schemas
from services.web.openapi import REF, Document, complete, error_response

_SECURITY: Final[list[dict[str, list[str]]]] = [{"ApiKey": []}]
_BEACON: Final[list[dict[str, list[str]]]] = [*_SECURITY, {"KeyInUrl": []}, {"AppId": []}]
_DESCRIPTION: Final = (
    "First-party attribution. Every answer is `{success, data}` or `{success, error}`; "
    "messages follow `Accept-Language` (`zh` by default, or `en`); `X-Request-Id` is taken and returned.\n\n"
    "**A 2xx means that the events are safe** (acknowledged by all in-sync replicas). After a 500 they may or may not "
    "be: send them again with the same `event_id` once `Retry-After` has passed, and they are counted once.\n\n"
    "**From a page**, use a key whose only scope is `write`, or none: `?app_id=…` will do for apps that allow it "
    "(`attrikit apps set --allow-app-id`). `OPTIONS` answers the browser's CORS preflight on the "
    "paths that take events: 200 for an origin any app allows (all do, unless `attrikit apps set --allow-origin` says "
    "otherwise), else 403 `FORBIDDEN` without CORS headers, as for a page whose origin the key's own app does not "
    "allow. `X-Request-Id`, `RateLimit-*` and `Retry-After` can be read. Reads cannot be made from pages of "
    "elsewhere.\n\n"
    "**Some of an event is not stored**, as the app's settings say (`attrikit apps set --drop-parameter …`). For a new "
    "app: parameters of page addresses and referrers that commonly carry secrets or say who a person is (`token`, "
    "`password`, `email`, `phone`, `session`, …), also of addresses in `properties`, and the end of the client's "
    "address. Campaign tags and click ids stay. `POST /v1/events/validate` shows what would be stored.\n\n"
    "**Segment 的 SDK** 可直接使用：`/segment/v1/{track,page,screen,identify,alias,group,batch}`，以本系统的 Key 作为 "
    "write key（Basic 用户名，或请求体中的 `writeKey`）；检查、存储与拒绝都与 `/v1/events/batch` 相同。 · "
    "**Segment's SDKs** report to `/segment/v1/{track,page,screen,identify,alias,group,batch}` with a key of ours as "
    "write key (Basic user, or `writeKey` in the body). Their messages are checked, stored and refused as events of "
    '`/v1/events/batch` are; the answer is `{"success": true}`. At most 500 KB and 1,000 messages a batch, 32 KB a '
    "message.\n\n"
    "**What a read may cost is limited.** One that would need more rows or memory than that is refused with 400 "
    "`INVALID_PARAMETER` on the field `query`, whose `limit` says how much there may be; one that takes too long ends "
    "with 500 `SERVER_ERROR` and a reason. Either way, ask for a shorter range or add conditions, or export it."
)
_URL_KEY_DESCRIPTION: Final = (
    "For `navigator.sendBeacon`, which cannot send headers. URLs are logged on their way, so only a key that can do "
    "nothing but write is taken here: any other gets 403 `FORBIDDEN`. `Authorization` goes before it."
)
_APP_ID_DESCRIPTION: Final = (
    "网页无需 Key：应用允许时（`attrikit apps set --allow-app-id`），其允许来源的页面可凭应用 ID 上报，只能写入；"
    "同一客户端网络每秒至多 50 次请求，超出时返回 429 与 `Retry-After`。"
    " · For pages, which have no key to keep: a page of an origin the app allows may report with the app's id alone, "
    "if the app lets it (`attrikit apps set --allow-app-id`). It gives no right to read anything. The page's `Origin` "
    "is looked at; a mini-program sends none, and its `Referer` is, so allow `https://servicewechat.com`. No origin, "
    "or one that is not allowed: 403 `FORBIDDEN`. An unknown app, or one that does not allow it: 401 "
    "`INVALID_API_KEY`, with the same reason. More than 50 such requests a second to an app from one client network "
    "(an address, a /64 of IPv6; `ATTRIKIT_APP_ID_REQUESTS_A_SECOND`): 429 `RATE_LIMIT_EXCEEDED` with `Retry-After`. "
    "Such events have the `key_id` `app_id`. A key goes before it."
)
_VISITOR_DESCRIPTION: Final = (
    f"网关与页面属于同一站点时，设置并续期第一方 Cookie `{visitors.COOKIE}`（400 天），已有的 Cookie 优先；"
    "否则只返回 ID。 · Where gateway and page are of one site (by the public suffix list), sets and refreshes the "
    f"first-party cookie `{visitors.COOKIE}`: 400 days, on the widest domain, `SameSite=Lax`, `Secure` on https. "
    "A cookie that is there wins over the body's id. Otherwise it answers the id alone. Scripts can read the cookie; "
    "one that writes it itself shortens its life in some browsers. Ask with `credentials: 'include'`. Costs none of "
    "the plan's requests a day."
)
_BEACON_DESCRIPTION: Final = (
    "A beacon sends its JSON as `text/plain`, with the key (or `app_id`) in the URL, which needs no preflight. "
    "`POST /api/events`, the address of older SDKs, takes one event or a batch in the same way.\n\n"
    "```js\nnavigator.sendBeacon('{base}/v1/events/{path}?key=ak_live_…', JSON.stringify({body}))\n```"
)
_KEY_DESCRIPTION: Final = "`Authorization: Bearer ak_live_…`. Events take a key with the scope `write`, reads `read`."
_EVENT_CODES: Final = (
    ErrorCode.MISSING_REQUIRED_FIELD,
    ErrorCode.INVALID_EVENT_NAME,
    ErrorCode.INVALID_PARAMETER,
    ErrorCode.PAYLOAD_TOO_LARGE,
)
_BODY_CODES: Final = (ErrorCode.MISSING_REQUIRED_FIELD, ErrorCode.INVALID_PARAMETER, ErrorCode.PAYLOAD_TOO_LARGE)
_COMMON_CODES: Final = (
    ErrorCode.INVALID_API_KEY,
    ErrorCode.FORBIDDEN,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.RATE_LIMIT_EXCEEDED,
    ErrorCode.SERVER_ERROR,
)


def own_document(version: str) -> Document:
    """Return the document of what the gateway itself answers under `/v1`."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "AttriKit API", "version": version, "description": _DESCRIPTION},
        "paths": {
            "/v1/events/track": {"post": _track()},
            "/v1/events/batch": {"post": _batch()},
            "/v1/events/validate": {"post": _validate()},
            visitors.PATH: {"post": _visitor()},
            resend.PATH: {"post": resend.operation(_errors(resend.CODES))},
        },
        "components": {
            "schemas": dict(body_schemas()),
            "securitySchemes": {
                "ApiKey": {"type": "http", "scheme": "bearer", "description": _KEY_DESCRIPTION},
                "KeyInUrl": {"type": "apiKey", "in": "query", "name": "key", "description": _URL_KEY_DESCRIPTION},
                "AppId": {"type": "apiKey", "in": "query", "name": "app_id", "description": _APP_ID_DESCRIPTION},
            },
        },
    }
    complete(document)
    return document


def _operation(
    operation_id: str, summary: str, request: Document, responses: Document, codes: Iterable[ErrorCode] = _BODY_CODES
) -> Document:
    return {
        "tags": ["events"],
        "operationId": operation_id,
        "summary": summary,
        "security": _SECURITY,
        "parameters": [_ENCODING],
        "requestBody": {"required": True, "content": request},
        "responses": responses | _errors((*codes, *_COMMON_CODES)),
    }


def _errors(codes: Iterable[ErrorCode]) -> Document:
    """Return the responses of `codes` in the order of their statuses."""
    by_status = groupby(codes, lambda code: code.status)
    return {str(status): error_response(*of_status) for status, of_status in by_status}


_ENCODING: Final[Document] = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"type": "string", "enum": ["identity", "gzip", "deflate", "br", "zstd", ""]},
    "description": "Coding of the body; empty: none. Limits hold before and after it is undone.",
}
_RESULTS: Final[Document] = {
    "name": "results",
    "in": "query",
    "schema": {"type": "string", "enum": ["all", "errors"], "default": "all"},
    "description": "`errors` lists only the events that were not accepted.",
}
_NDJSON: Final[Document] = {
    "application/x-ndjson": {
        "schema": {
            "type": "string",
            "pattern": "[^ \\t\\r\\n]",
            "description": "One event per line; blank lines do not count.",
        },
        "example": '{"event_name":"page_view"}\n{"event_name":"purchase","properties":{"revenue":19.99}}\n',
    }
}


_CORS: Final[Document] = {
    "Access-Control-Allow-Origin": {
        "schema": {"type": "string"},
        "description": "The page's origin, on every answer to a page that may report.",
    },
    "Access-Control-Expose-Headers": {
        "schema": {"type": "string"},
        "description": "On answers to a page: the headers of ours it may read.",
    },
}


def _takes_beacons(operation: Document, model: str, path: str, body: str) -> Document:
    content = operation["requestBody"]["content"]
    content["text/plain"] = {"schema": {"$ref": REF + model}}
    words = _BEACON_DESCRIPTION.replace("{path}", path).replace("{body}", body).replace("{base}", "https://…")
    return operation | {"security": _BEACON, "description": words}


def _schema(model: str) -> Document:
    return {"application/json": {"schema": {"$ref": REF + model}}}


def _json(description: str, model: str) -> Document:
    return {"description": description, "content": _schema(model), "headers": dict(_CORS)}


def _track() -> Document:
    responses = {"201": _json("Stored: acknowledged by the broker", "TrackResponse")}
    operation = _operation("track_event", "上报单个事件 · Report one event", _schema("Event"), responses, _EVENT_CODES)
    return _takes_beacons(operation, "Event", "track", "{event_name: 'page_view'}")


def _batch() -> Document:
    responses = {
        "201": _json("At least one event was stored; each has its result", "BatchResponse"),
        "200": _json("No event was accepted; each has its error", "BatchResponse"),
    }
    request = _schema("Batch") | _NDJSON
    operation = _operation("track_batch", "批量上报事件 · Report up to 1,000 events", request, responses)
    operation["parameters"] = [*operation["parameters"], _RESULTS]
    return _takes_beacons(operation, "Batch", "batch", "{events: [{event_name: 'page_view'}]}")


def _validate() -> Document:
    either = {"anyOf": [{"$ref": REF + "Batch"}, {"$ref": REF + "Event"}]}
    request = {"application/json": {"schema": either}} | _NDJSON
    responses = {"200": _json("What would be stored, and what is wrong", "ValidationResponse")}
    return _operation("validate_events", "验证事件数据格式 · Check events, store nothing", request, responses)


def _visitor() -> Document:
    answer = _json("The visitor's id, and whether the cookie is set", "VisitorResponse")
    answer["headers"]["Set-Cookie"] = {
        "schema": {"type": "string"},
        "description": "Where gateway and page are one site.",
    }
    content = _schema("Visitor") | {"text/plain": {"schema": {"$ref": REF + "Visitor"}}}
    codes = (ErrorCode.INVALID_PARAMETER, ErrorCode.PAYLOAD_TOO_LARGE)
    summary = "设置访客 Cookie · Set and refresh the visitor's cookie"
    operation = _operation("set_visitor", summary, content, {"200": answer}, codes)
    operation["requestBody"]["required"] = False
    return operation | {"security": _BEACON, "description": _VISITOR_DESCRIPTION}


def merge(own: Document, other: Mapping[str, Any]) -> Document:
    """Return `own` with the paths and components of `other`. Where both define a path, `own` stands; a component of
    `other` whose name is taken by a different one is renamed `Query…`.
    """
    schemas = own["components"]["schemas"]
    theirs = other.get("components", {}).get("schemas", {})
    renames = {name: "Query" + name for name, schema in theirs.items() if schemas.get(name, schema) != schema}
    paths = {path: item for path, item in other.get("paths", {}).items() if path.startswith("/v1/")}
    renamed = {
        renames.get(name, name): _titled(name, _renamed(schema, renames), renames) for name, schema in theirs.items()
    }
    components = _other_components(own["components"], other.get("components", {}))
    return own | {
        "paths": _merged_paths(own["paths"], _renamed(paths, renames)),
        "components": components | {"schemas": schemas | renamed},
    }


def _merged_paths(own: Document, theirs: Document) -> Document:
    return theirs | {path: theirs.get(path, {}) | item for path, item in own.items()}


def _other_components(own: Document, theirs: Mapping[str, Any]) -> Document:
    kinds = own.keys() | theirs.keys()
    return {kind: theirs.get(kind, {}) | own.get(kind, {}) for kind in sorted(kinds)}


def _titled(name: str, schema: Document, renames: Mapping[str, str]) -> Document:
    """A renamed component has its name as title too: generators name classes by titles, which must differ."""
    return schema | {"title": renames[name]} if name in renames else schema


def _renamed(value: Any, renames: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed_entry(key, item, renames) for key, item in value.items()}
    return [_renamed(item, renames) for item in value] if isinstance(value, list) else value


def _renamed_entry(key: str, item: Any, renames: Mapping[str, str]) -> Any:
    if key == "$ref" and isinstance(item, str):
        name = item.removeprefix(REF)
        return REF + renames[name] if name in renames else item
    return _renamed(item, renames)
