"""Passwords: the rule they follow, made-up ones, and their hashes (Argon2id)."""

import asyncio
import secrets
import string
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.console.i18n.catalogue import text

MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 32
_GENERATED_CHARACTERS: Final = 20
_AT_ONCE: Final = 2
"""Hashes computed at once: each takes 64 MB."""


def problem_with(password: str) -> str:
    """Return why a password is not acceptable, in English, which is its key in the catalogue; empty: it is."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        return text("The password must have 12 to 32 characters.")
    kinds = (string.ascii_uppercase, string.ascii_lowercase, string.digits)
    if not all(set(password) & set(kind) for kind in kinds):
        return text("The password must have upper case, lower case and a digit.")
    return ""


def make_password() -> str:
    """Make a random password that follows the rule."""
    while True:
        made = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_GENERATED_CHARACTERS))
        if not problem_with(made):
            return made


class Passwords:
    """Hashes and checks passwords, in threads, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, password_hash: str) -> bool:
        """Check a password. It takes as long where there is no such user (an empty hash), so time tells nothing."""
        async with self._turns:
            is_it = await asyncio.to_thread(self._verify, password, password_hash or self._nobody)
        return is_it and bool(password_hash)

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
