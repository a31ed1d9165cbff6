"""The key that cursors and links are signed with, as it is stored and as it is used."""

from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from pipeline.control.signing_key import SigningKeyReader
from pipeline.runtime.secret_box import SecretBox, SecretBoxError
from pipeline.runtime.settings import Settings
from schemas.control import Snapshot

CLEAR = "ab" * 32


def test_an_encrypted_key_signs_as_it_did_in_clear(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    locked = SecretBox.open(settings, creates=True).lock(CLEAR)
    keys = SigningKeyReader(settings)
    assert keys.key_of(Snapshot({}, {}, 0, signing_key=locked)) == bytes.fromhex(CLEAR)
    assert keys.key_of(Snapshot({}, {}, 0, signing_key=CLEAR)) == bytes.fromhex(CLEAR)
    assert keys.key_of(Snapshot({}, {}, 0)) == b""


def test_another_installations_key_opens_nothing(make_settings: Callable[..., Settings]) -> None:
    locked = SecretBox(Fernet.generate_key().decode()).lock(CLEAR)
    keys = SigningKeyReader(make_settings(webhook_key=Fernet.generate_key().decode()))
    with pytest.raises(SecretBoxError, match="another key"):
        keys.key_of(Snapshot({}, {}, 0, signing_key=locked))
