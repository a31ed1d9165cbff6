"""Secrets that must be readable again, encrypted at rest: AES-128-CBC with HMAC-SHA256 (Fernet).

The key comes from the settings, or, where there is none (embedded), from a file in the data folder that is made on
first use and readable by its owner alone. Several keys may be given: the first encrypts, all decrypt, so a key can be
changed.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipeline.runtime.connection_settings import SecretBoxSettings

KEY_FILE: Final = "webhook-key"
_LOCKED_START: Final = "gA"
"""Start of every Fernet token: its version, 0x80, in base64."""


class SecretBoxError(Exception):
    """The key is missing, malformed or another one than the secret was encrypted with. A person must look."""


class SecretBox:
    """`keys`: Fernet keys (32 bytes in URL-safe base64), separated by commas."""

    def __init__(self, keys: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
        except ValueError as error:
            raise SecretBoxError("the webhook key must be 32 bytes in URL-safe base64 (several: commas)") from error

    @classmethod
    def open(cls, settings: SecretBoxSettings, *, creates: bool) -> "SecretBox":
        """`creates`: whether a missing key file is made, as `attrikit webhooks add` does."""
        if settings.webhook_key:
            return cls(settings.webhook_key.get_secret_value())
        return cls(_key_of(settings.data_dir / KEY_FILE, creates))

    @classmethod
    def for_control_plane(cls, settings: SecretBoxSettings) -> "SecretBox | None":
        """Key of the control plane's own secrets. None where its database is shared and no key is set:
        other machines would not have a key file that is made on this one."""
        if settings.control_plane_url and not settings.webhook_key:
            return None
        return cls.open(settings, creates=True)

    def lock(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def unlock(self, token: str) -> str:
        """Decrypt a secret. Raises `SecretBoxError` if none of the keys fits."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise SecretBoxError("a secret was encrypted with another key: see ATTRIKIT_WEBHOOK_KEY") from error


def is_locked(text: str) -> bool:
    """Tell whether the text is one that `SecretBox.lock` returns, and not a secret in hex."""
    return text.startswith(_LOCKED_START)


def _key_of(path: Path, creates: bool) -> str:
    if creates and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass  # another process was quicker
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SecretBoxError(f"there is no webhook key: set ATTRIKIT_WEBHOOK_KEY, or provide {path}") from error
