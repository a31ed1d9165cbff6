"""The key that cursors, download links and the console's reads are signed with: decrypted from the snapshot."""

from functools import lru_cache  # noqa: TID251 of our own key

from pipeline.runtime.connection_settings import SecretBoxSettings
from pipeline.runtime.secret_box import SecretBox, is_locked
from schemas.control import Snapshot


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
