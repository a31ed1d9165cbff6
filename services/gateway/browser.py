"""Requests from web pages: the origins that may report, CORS headers, keys and app ids in a URL. Pure.

A preflight carries no key, so it is answered by what any app allows; the request itself is held against its own app. A
refused origin is told so in the envelope, without CORS headers: the page then reads nothing, its developer everything.
Pages may only report. Reads carry no CORS headers at all: a key that can read must not be in a page.

`Access-Control-Allow-Credentials` is said because `navigator.sendBeacon` always sends in that mode, and for the cookie
of a visitor (`visitors`), which only pages of its own site get. It opens nothing else: no other cookie is looked at,
and whoever reports proves it by a key, or by being a page of an app that needs none.

Source: the Fetch standard (fetch.spec.whatwg.org), sections 3.2.2 and 3.3.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import parse_qs

from schemas.control import ANY_ORIGIN, ApiKey, Scope, Snapshot
from schemas.errors import ErrorCode
from services.gateway.request_head import Call
from services.web.auth import CHALLENGE, Caller
from services.web.errors import ApiError, Text
from services.web.handlers import method_not_allowed

Headers = tuple[tuple[bytes, bytes], ...]

MAX_ORIGIN_BYTES: Final = 255
PREFLIGHT_SECONDS: Final = 7_200
"""Maximum time browsers keep the answer, whatever they are told."""
EXPOSED: Final = b"X-Request-Id, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After"
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-zA-Z0-9._~-]*|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?\Z")
"""Scheme, host and port alone (RFC 6454, section 6.2); of some schemes browsers name no host."""
_URL_ORIGIN: Final = re.compile(rb"[a-z][a-z0-9+.-]*://[^/?#]{1,255}")
_USUAL_HEADERS: Final = b"Authorization, Content-Type, Content-Encoding, Accept-Language, X-Request-Id"
_HEADER_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*\Z")
_MAX_HEADER_NAMES_BYTES: Final = 1_024

ORIGIN_REFUSED: Final = Text("该应用不允许来自此来源的页面上报", "the app does not let pages of this origin report")
SECRET_IN_PAGE: Final = Text(
    "可读取数据的 Key 不能放在网页里，请使用只有 write 权限的 Key",
    "a key that can read must not be in a page; use one whose only scope is write",
)
SECRET_IN_URL: Final = Text(
    "可读取数据的 Key 不能放在 URL 里（URL 会被记录），请使用只有 write 权限的 Key",
    "a key that can read must not be in a URL, which is logged on its way; use one whose only scope is write",
)
NO_ORIGIN: Final = Text(
    "只有网页可以凭应用 ID 上报，请求必须带有 Origin；服务器请使用 Key",
    "only pages may report by an app id, and send an Origin; servers use a key",
)
APP_ID_REFUSED: Final = Text(
    "没有此应用，或该应用不允许网页凭应用 ID 上报（attrikit apps set --allow-app-id）",
    "there is no such app, or it does not let pages report by its id (attrikit apps set --allow-app-id)",
)
APP_ID_KEY: Final = "app_id"
"""`key_id` of what is reported by an app id; no key has such an id."""


def is_allowed(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether `allowed` names the origin, a domain above it (`https://*.shop.example`), or any (`*`)."""
    if origin != "null" and not _ORIGIN.match(origin):
        return False
    if ANY_ORIGIN in allowed or origin in allowed:
        return True
    return any(pattern in allowed for pattern in _domains_above(origin))


def _domains_above(origin: str) -> Iterator[str]:
    """Return the domains above an origin: `https://a.shop.example` → `https://*.shop.example`, `https://*.example`."""
    scheme, _, host = origin.partition("://")
    while "." in host:
        _, _, host = host.partition(".")
        yield f"{scheme}://*.{host}"


class KnownOrigins:
    """Union of the origins all apps allow; built again when the control plane has changed."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._allowed: frozenset[str] = frozenset()

    def allow(self, origin: str, snapshot: Snapshot) -> bool:
        if snapshot is not self._snapshot:
            self._allowed = frozenset(one for app in snapshot.apps.values() for one in app.allowed_origins)
            self._snapshot = snapshot
        return is_allowed(origin, self._allowed)


def cors_headers(origin: bytes) -> Headers:
    """Return the CORS headers of every answer to a page of `origin`, which has been allowed."""
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"Origin"),
    )


def preflight_headers(call: Call) -> Headers:
    """Return the headers of a preflight's answer. Any request header is allowed: tools that trace requests add their
    own to all of them.
    """
    wanted = call.requested_headers
    is_list = len(wanted) <= _MAX_HEADER_NAMES_BYTES and _HEADER_NAMES.match(wanted)
    return (
        (b"access-control-allow-origin", call.origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", wanted if is_list else _USUAL_HEADERS),
        (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    )


def check_preflight(call: Call, snapshot: Snapshot, known: KnownOrigins) -> None:
    """Check a preflight. Raises `FORBIDDEN` for a page no app lets report, `METHOD_NOT_ALLOWED` where it asks for more,
    or for nothing.
    """
    if call.requested_method != b"POST" or not call.origin:
        raise method_not_allowed(["POST"])
    if not (is_own_page(call) or _is_known(call, snapshot, known)):
        raise _origin_refused()


def check_page(call: Call, caller: Caller) -> None:
    """Check a page's request. Raises `FORBIDDEN` for a page this app does not let report, or one that has a key no page
    should have.

    Programs that are no browsers send no `Origin`; that of a page of ours (`/docs`) is ours.
    """
    if is_own_page(call):
        return
    if len(call.origin) > MAX_ORIGIN_BYTES or not is_allowed(call.origin.decode("latin-1"), caller.app.allowed_origins):
        raise _origin_refused()
    if Scope.READ in caller.key.scopes:
        raise ApiError(ErrorCode.FORBIDDEN, reason=SECRET_IN_PAGE)


def greeting(call: Call, snapshot: Snapshot, known: KnownOrigins) -> Headers:
    """Return the CORS headers of an answer given before the owner of the key is known, a 401 say."""
    return cors_headers(call.origin) if is_own_page(call) or _is_known(call, snapshot, known) else ()


def is_own_page(call: Call) -> bool:
    """Tell whether it comes from a page served under the very host it goes to."""
    return call.host != b"" and call.origin.partition(b"://")[2].lower() == call.host.lower()


def _is_known(call: Call, snapshot: Snapshot, known: KnownOrigins) -> bool:
    return len(call.origin) <= MAX_ORIGIN_BYTES and known.allow(call.origin.decode("latin-1"), snapshot)


def _origin_refused() -> ApiError:
    return ApiError(ErrorCode.FORBIDDEN, field="Origin", reason=ORIGIN_REFUSED)


def url_parameter(query: bytes, name: str) -> bytes:
    """Return the value of a parameter, empty where there is none or more than one: a beacon cannot send headers."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(name, [])
    return given[0].encode("latin-1", "replace") if len(given) == 1 else b""


def check_key_in_url(caller: Caller) -> None:
    """Check a key in a URL. Raises `FORBIDDEN` for any but a key that can do nothing but write."""
    if caller.key.scopes != {Scope.WRITE}:
        raise ApiError(ErrorCode.FORBIDDEN, field="key", reason=SECRET_IN_URL)


def identify_by_app_id(app_id: str, call: Call, snapshot: Snapshot) -> Caller:
    """Return the app, with a key that can do nothing but write, if it lets this page report by the app's id.

    Raises `FORBIDDEN` without an origin, or with one the app does not allow; `INVALID_API_KEY`, with the same reason,
    for an app that is not known and one that takes no reports by its id.
    """
    origin = call.origin or _origin_of(call.referer)
    if not origin:
        raise ApiError(ErrorCode.FORBIDDEN, field="Origin", reason=NO_ORIGIN)
    app = snapshot.apps.get(app_id)
    if app is None or not app.allows_app_id:
        raise ApiError(ErrorCode.INVALID_API_KEY, field="app_id", reason=APP_ID_REFUSED, headers=CHALLENGE)
    if len(origin) > MAX_ORIGIN_BYTES or not is_allowed(origin.decode("latin-1"), app.allowed_origins):
        raise _origin_refused()
    return Caller(ApiKey(APP_ID_KEY, app.app_id, "", frozenset({Scope.WRITE})), app)


def _origin_of(url: bytes) -> bytes:
    """Return the origin of a URL, empty where it has none. Mini-programs send `Referer` and no `Origin`."""
    found = _URL_ORIGIN.match(url)
    return found[0] if found else b""
