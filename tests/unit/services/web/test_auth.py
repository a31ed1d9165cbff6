from hashlib import sha256

import pytest

from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode
from services.web.auth import authenticate
from services.web.errors import ApiError


def snapshot(*, is_revoked: bool = False, app_id: str = "alpha") -> Snapshot:
    digest = sha256(b"ak_live_x").hexdigest()
    key = ApiKey("k", app_id, digest, frozenset({Scope.READ}), is_revoked)
    return Snapshot({"alpha": App("alpha", "Alpha")}, {digest: key}, 0)


@pytest.mark.parametrize("header", [b"Bearer ak_live_x", b"bearer ak_live_x", b"Bearer   ak_live_x  "])
def test_a_good_key(header: bytes) -> None:
    caller = authenticate(header, snapshot(), Scope.READ)
    assert (caller.app.app_id, caller.key.key_id) == ("alpha", "k")


BAD = [b"", b"Bearer", b"Bearer ", b"ak_live_x", b"Basic ak_live_x", b"Bearer ak_live_y", b"Bearer \xff"]


@pytest.mark.parametrize("header", [*BAD, b"Bearer " + b"x" * 999])
def test_a_bad_key(header: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        authenticate(header, snapshot(), Scope.READ)
    assert caught.value.code is ErrorCode.INVALID_API_KEY
    assert caught.value.headers


@pytest.mark.parametrize("known", [snapshot(is_revoked=True), snapshot(app_id="gone")])
def test_a_key_that_is_not_good_any_more(known: Snapshot) -> None:
    with pytest.raises(ApiError) as caught:
        authenticate(b"Bearer ak_live_x", known, Scope.READ)
    assert caught.value.code is ErrorCode.INVALID_API_KEY


def test_a_key_without_the_scope() -> None:
    with pytest.raises(ApiError) as caught:
        authenticate(b"Bearer ak_live_x", snapshot(), Scope.WRITE)
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert caught.value.details == {"required_scope": "write"}
