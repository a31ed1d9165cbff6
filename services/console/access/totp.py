"""Codes of an authenticator (RFC 6238, SHA-1, 6 digits, 30 s), as a second factor."""

import base64
import secrets
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final
from urllib.parse import quote

from pipeline.control.users import User
from pipeline.runtime.connection_settings import SecretBoxSettings
from pipeline.runtime.secret_box import SecretBox

STEP_SECONDS: Final = 30
_DIGITS: Final = 6
_SECRET_BYTES: Final = 20


def make_secret() -> str:
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def code_at(secret: str, seconds: int) -> str:
    """Return the code of the step that holds the time (RFC 4226, section 5.3)."""
    counter = (seconds // STEP_SECONDS).to_bytes(8, "big")
    mac = hmac_digest(base64.b32decode(secret), counter, "sha1")
    start = mac[-1] & 0x0F
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**_DIGITS).zfill(_DIGITS)


def step_of(secret: str, code: str, now_ms: int) -> int | None:
    """Return the number of the time step whose code it is: now, or the step before or after, as clocks differ a little.
    None: of no such step, or the secret is none."""
    given, now = code.replace(" ", "").encode(), now_ms // 1000 // STEP_SECONDS
    steps = (now, now - 1, now + 1)
    try:
        codes = [code_at(secret, step * STEP_SECONDS).encode() for step in steps]
    except ValueError:  # it is no base 32, as a form may say
        return None
    return next((step for step, known in zip(steps, codes, strict=True) if compare_digest(known, given)), None)


def step_of_code(settings: SecretBoxSettings, user: User, code: str, now_ms: int) -> int | None:
    """Return the time step of a code of the user's secret, which is stored encrypted. None: the code is wrong."""
    return step_of(SecretBox.open(settings, creates=False).unlock(user.totp_secret), code, now_ms)


def address_of_secret(secret: str, login: str) -> str:
    """Return the address by which an authenticator takes the secret."""
    return f"otpauth://totp/AttriKit:{quote(login)}?secret={secret}&issuer=AttriKit"
