"""Who calls: from an `Authorization` header and a snapshot of the control plane to an app, or an error. Pure."""

from dataclasses import dataclass
from hashlib import sha256

from pipeline.runtime.http.envelope import ApiError
from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode


@dataclass(frozen=True)
class Caller:
    app: App
    key: ApiKey


def bearer_token(authorization: str | None) -> str | None:
    """The token of `Bearer <token>` (RFC 6750); None if the header is absent or anything else."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token and " " not in token else None


def authenticate(snapshot: Snapshot, token: str | None, required: Scope) -> Caller:
    """The caller behind a key. Raises `ApiError`: INVALID_API_KEY, or FORBIDDEN if the key lacks the scope.

    The key is looked up by its SHA-256, so the time the look-up takes says nothing about any stored key.
    """
    key = snapshot.keys_by_sha256.get(sha256(token.encode()).hexdigest()) if token else None
    app = snapshot.apps.get(key.app_id) if key else None
    if key is None or app is None or key.is_revoked:
        raise ApiError(ErrorCode.INVALID_API_KEY)
    if required not in key.scopes:
        raise ApiError(ErrorCode.FORBIDDEN, {"required_scope": required.value})
    return Caller(app, key)
