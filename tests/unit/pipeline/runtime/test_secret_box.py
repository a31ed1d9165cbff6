"""Secrets at rest."""

import stat
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from pipeline.runtime.secret_box import KEY_FILE, SecretBox, SecretBoxError
from pipeline.runtime.settings import Settings


def test_locked_a_secret_cannot_be_read_and_unlocked_it_can() -> None:
    box = SecretBox(Fernet.generate_key().decode())
    locked = box.lock("whsec_secret")
    assert "secret" not in locked
    assert box.unlock(locked) == "whsec_secret"
    assert box.lock("whsec_secret") != locked


def test_the_key_file_is_made_once_and_is_its_owners_alone(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    with pytest.raises(SecretBoxError, match="no webhook key"):
        SecretBox.open(settings, creates=False)
    locked = SecretBox.open(settings, creates=True).lock("x")
    assert SecretBox.open(settings, creates=False).unlock(locked) == "x"
    assert stat.S_IMODE((settings.data_dir / KEY_FILE).stat().st_mode) == 0o600


def test_a_key_can_be_changed(make_settings: Callable[..., Settings]) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    locked = SecretBox(old).lock("x")
    both = SecretBox.open(make_settings(webhook_key=f"{new}, {old}"), creates=False)
    assert both.unlock(locked) == "x"
    with pytest.raises(SecretBoxError, match="another key"):
        SecretBox(old).unlock(both.lock("x"))


@pytest.mark.parametrize("key", ["short", "", "x" * 44])
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(SecretBoxError, match="32 bytes"):
        SecretBox(key)


def test_settings_do_not_show_it(make_settings: Callable[..., Settings]) -> None:
    assert "sesame" not in repr(make_settings(webhook_key="sesame"))
