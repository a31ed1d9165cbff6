"""`POST /v1/visitor`: set and refresh the first-party cookie that holds a visitor's id.

A page's script may keep a cookie for seven days in some browsers; one set by a server of the same site lives on. So a
gateway on a domain of the site sets it itself. Where it is not of the page's site it sets none, and says so.

The cookie is not `HttpOnly`: the id is no secret, and a script that reads it needs no answer before its first event.
"""

import re
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta
from publicsuffixlist import PublicSuffixList
from starlette.types import Receive

from pipeline.runtime.client_address import address_of
from pipeline.runtime.clock import now_ms
from schemas.events import MAX_EVENT_BYTES
from schemas.ids import mint_visitor_id
from schemas.unreadable import UNREADABLE
from services.gateway.admission import Admission
from services.gateway.bodies import read_body
from services.gateway.body_split import BODY
from services.gateway.event_fields import syntax_reason
from services.gateway.request_head import Call
from services.gateway.validate import PLACEHOLDERS
from services.web.budget import Budget, Held, payer_of
from services.web.envelope import Language, Reply, success
from services.web.errors import Text, invalid
from services.web.event_reasons import IS_PLACEHOLDER, NOT_OBJECT

PATH: Final = "/v1/visitor"
COOKIE: Final = "attrikit_vid"
MAX_AGE_SECONDS: Final = 400 * 24 * 3600
"""Longest time browsers keep a cookie (RFC 6265bis, section 5.5)."""
VISITOR_ID_PATTERN: Final = r"^[A-Za-z0-9_.:-]{8,64}$"
_is_id: Final = re.compile(VISITOR_ID_PATTERN.replace("$", r"\Z")).match
_PORT: Final = re.compile(r":[0-9]{1,5}\Z")
_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")

NOT_VISITOR_ID: Final = Text("必须是 8 到 64 个字母、数字或 _ . : -", "it must be 8 to 64 letters, digits or _ . : -")
NOT_ONE_SITE: Final = Text(
    "网关与页面不属于同一站点，未设置 Cookie，请由脚本保存",
    "the gateway is not of the page's site, so no cookie is set: the script keeps the id",
)
_suffixes: Final = PublicSuffixList()


class VisitorAnswer(msgspec.Struct, omit_defaults=True):
    visitor_id: Annotated[
        str, Meta(description="The cookie's id, else yours, else a new one: send it as `anonymous_id`.")
    ]
    is_cookie_set: Annotated[
        bool, Meta(description="False: the gateway is not of the page's site, and the page keeps the id.")
    ]
    reason: Annotated[str, Meta(description="Why no cookie was set; absent where one was.")] = ""


class _Given(msgspec.Struct):
    visitor_id: str | None = None


class CookieScope(NamedTuple):
    """Scope of a cookie. `domain`: empty for the host alone. `is_secure`: sent over https only."""

    domain: str
    is_secure: bool


_decode: Final = msgspec.json.Decoder(_Given).decode


class Visitors:
    def __init__(self, admission: Admission, budget: Budget) -> None:
        """`budget`: for the bodies being read."""
        self._admission = admission
        self._budget = budget

    async def visitor(self, call: Call, receive: Receive) -> Reply:
        """Answer 200 with the visitor's id: the cookie's, else the body's, else a new one. Stores nothing here."""
        await self._admission.admit(call, takes_url=True, is_validation=True)
        with Held(self._budget, payer_of(call.app_id, call.ip)) as held:
            given = given_id(await read_body(call, receive, MAX_EVENT_BYTES, held))
        scope = cookie_scope(call.origin.decode("latin-1"), call.host.decode("latin-1"))
        known = id_in_cookies(call.cookie.decode("latin-1")) if scope else ""
        visitor_id = known or given or mint_visitor_id(now_ms(), call.random_80_bits)
        if scope:
            call.answer_headers += ((b"set-cookie", set_cookie(visitor_id, scope)),)
        return success(200, _answer(visitor_id, scope, call.language))


def _answer(visitor_id: str, scope: CookieScope | None, language: Language) -> VisitorAnswer:
    if scope is None:
        return VisitorAnswer(visitor_id, False, NOT_ONE_SITE.in_language(language))
    return VisitorAnswer(visitor_id, True)


def given_id(body: bytes) -> str:
    """Return the id that a body brings, empty where it brings none. Raises `ApiError`."""
    if not body:
        return ""
    try:
        given = _decode(body).visitor_id or ""
    except msgspec.ValidationError as error:
        field = "visitor_id" if "$.visitor_id" in str(error) else BODY
        raise invalid(field, NOT_VISITOR_ID if field != BODY else NOT_OBJECT) from None
    except UNREADABLE:
        raise invalid(BODY, syntax_reason(body)) from None
    if given:
        _check_id(given)
    return given


def _check_id(given: str) -> None:
    if not _is_id(given):
        raise invalid("visitor_id", NOT_VISITOR_ID)
    if given.lower() in PLACEHOLDERS:
        raise invalid("visitor_id", IS_PLACEHOLDER)


def id_in_cookies(header: str) -> str:
    """Return the id in a `Cookie` header, empty where there is none that can be one."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and _is_id(value) and value.lower() not in PLACEHOLDERS:
            return value
    return ""


def cookie_scope(origin: str, host: str) -> CookieScope | None:
    """Return where the cookie of a page goes, None if the gateway, reached at `host`, is not of the page's site.

    A site is the domain below a public suffix; without one (`localhost`, an address) it is the host itself.
    """
    scheme, _, page_host = origin.lower().partition("://")
    page, own = _PORT.sub("", page_host), _PORT.sub("", host.lower()).rstrip(".")
    if scheme not in ("http", "https") or not page or not own:
        return None
    site = _site(own)
    if page != own and (not site or site != _site(page)):
        return None
    return CookieScope(site, scheme == "https")


def _site(host: str) -> str:
    """Return the domain below the public suffix of a host; empty where there is none."""
    if address_of(host) or not _HOST.match(host):
        return ""
    return str(_suffixes.privatesuffix(host) or "")


def set_cookie(visitor_id: str, scope: CookieScope) -> bytes:
    parts = [f"{COOKIE}={visitor_id}", f"Max-Age={MAX_AGE_SECONDS}", "Path=/", "SameSite=Lax"]
    parts += [f"Domain={scope.domain}"] if scope.domain else []
    parts += ["Secure"] if scope.is_secure else []
    return "; ".join(parts).encode()
