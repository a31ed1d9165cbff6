"""The signing key as a dependency of routes."""

from typing import Annotated

from fastapi import Depends, Request

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.log import get_logger
from pipeline.runtime.secret_box import SecretBoxError
from services.query.core.reader import RETRY_AFTER_SECONDS
from services.web.errors import server_error

_log = get_logger("query")


def signing_key_of(request: Request) -> bytes:
    """Raises `ApiError` (500) while there is none that can be used."""
    state = request.app.state
    try:
        key: bytes = state.signing_keys.key_of(state.snapshots.current())
    except SnapshotNotLoaded:
        key = b""
    except SecretBoxError as error:
        _log.error("signing_key_unreadable", error=str(error))
        key = b""
    if not key:
        raise server_error(RETRY_AFTER_SECONDS)
    return key


SigningKey = Annotated[bytes, Depends(signing_key_of)]
