"""Whose key a request carries. Pure: the control plane comes as a snapshot."""

from hashlib import sha256
from typing import Final, NamedTuple

from pipeline.runtime.http.errors import ApiError
from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode

_MAX_KEY_BYTES: Final = 256
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="attrikit"'),)


class Caller(NamedTuple):
    key: ApiKey
    app: App


def authenticate(authorization: bytes, snapshot: Snapshot, scope: Scope) -> Caller:
    """The app and key behind an `Authorization` header; raises `INVALID_API_KEY` or `FORBIDDEN`."""
    caller = identify(authorization, snapshot)
    require(caller, scope)
    return caller


def require(caller: Caller, scope: Scope) -> None:
    """Raises `FORBIDDEN` where the key lacks `scope`."""
    if scope not in caller.key.scopes:
        raise ApiError(ErrorCode.FORBIDDEN, required_scope=scope.value)


def identify(authorization: bytes, snapshot: Snapshot) -> Caller:
    """Whose key it is, whatever it may do; raises `INVALID_API_KEY`.

    The lookup is by the key's SHA-256, so how long it takes says nothing about how much of a guess was right.
    """
    scheme, _, secret = authorization.partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret or len(secret) > _MAX_KEY_BYTES:
        raise _invalid_key()
    key = snapshot.keys_by_sha256.get(sha256(secret).hexdigest())
    if key is None or key.is_revoked or key.app_id not in snapshot.apps:
        raise _invalid_key()
    return Caller(key, snapshot.apps[key.app_id])


def _invalid_key() -> ApiError:
    return ApiError(ErrorCode.INVALID_API_KEY, headers=_CHALLENGE)
