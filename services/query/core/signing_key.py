"""The key that cursors and download links are signed with: decrypted from the control plane's snapshot."""

from functools import lru_cache  # noqa: TID251 of our own key
from typing import Annotated

from fastapi import Depends, Request

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.log import get_logger
from pipeline.runtime.secret_box import SecretBox, SecretBoxError, is_locked
from pipeline.runtime.settings import SecretBoxSettings
from schemas.control import Snapshot
from services.query.core.reader import RETRY_AFTER_SECONDS
from services.web.errors import server_error

_log = get_logger("query")


class SigningKeyReader:
    """Decrypts the key of a snapshot, each stored form of it once."""

    def __init__(self, settings: SecretBoxSettings) -> None:
        self._settings = settings
        self._read = lru_cache(maxsize=2)(self._unlock)

    def key_of(self, snapshot: Snapshot) -> bytes:
        """Empty if there is none. Raises `SecretBoxError`."""
        return self._read(snapshot.signing_key)

    def _unlock(self, stored: str) -> bytes:
        if is_locked(stored):
            stored = SecretBox.open(self._settings, creates=False).unlock(stored)
        return bytes.fromhex(stored)


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
