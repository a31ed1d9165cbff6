"""Find the app and key a request is made with. Pure: the control plane comes as a snapshot."""

from hashlib import sha256
from typing import Final, NamedTuple

from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode
from services.web.errors import ApiError, Text

_MAX_KEY_BYTES: Final = 256
MISSING: Final = Text(
    "没有提供 Key，请使用请求头 Authorization: Bearer <Key>", "there is none; send it as Authorization: Bearer <key>"
)
MALFORMED: Final = Text(
    "请求头 Authorization 的格式必须是 Bearer <Key>", "the Authorization header must be of the form Bearer <key>"
)
UNKNOWN: Final = Text("没有这个 Key", "there is no such key")
REVOKED: Final = Text("该 Key 已被吊销", "the key was revoked")
CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="attrikit"'),)


class Caller(NamedTuple):
    key: ApiKey
    app: App


def authenticate(authorization: bytes, snapshot: Snapshot, scope: Scope) -> Caller:
    """The app and key behind an `Authorization` header; raises `INVALID_API_KEY` or `FORBIDDEN`."""
    caller = identify(authorization, snapshot)
    require(caller, scope)
    return caller


def require(caller: Caller, scope: Scope) -> None:
    """Raise `FORBIDDEN` if the key lacks `scope`."""
    if scope not in caller.key.scopes:
        raise ApiError(ErrorCode.FORBIDDEN, required_scope=scope.value)


def identify(authorization: bytes, snapshot: Snapshot) -> Caller:
    """Return the owner of the key, whatever it may do; raise `INVALID_API_KEY`.

    The lookup is by the key's SHA-256, so how long it takes says nothing about how much of a guess was right. That a
    key was revoked is told only to those who have all of it.
    """
    if not authorization.strip():
        raise _invalid_key(MISSING)
    scheme, _, secret = authorization.strip().partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret or len(secret) > _MAX_KEY_BYTES:
        raise _invalid_key(MALFORMED)
    key = snapshot.keys_by_sha256.get(sha256(secret).hexdigest())
    if key is None or key.app_id not in snapshot.apps:
        raise _invalid_key(UNKNOWN)
    if key.is_revoked:
        raise _invalid_key(REVOKED)
    return Caller(key, snapshot.apps[key.app_id])


def _invalid_key(reason: Text) -> ApiError:
    return ApiError(ErrorCode.INVALID_API_KEY, reason=reason, headers=CHALLENGE)
