"""TLS contexts of clients: they verify the server, and read their files again when those change.

Certificates in files are renewed while a process runs (by cert-manager, say); a context that had read them once would
go on showing the expired one.
"""

import ssl
from pathlib import Path
from typing import Any


class TlsContext(ssl.SSLContext):
    """A client's context. `ca`: PEM file of the trusted authorities; empty: the system's. `certificate`, `key`: PEM
    files of the client's own certificate; empty: it shows none. Raises `OSError` (`ssl.SSLError` is one) if a file
    cannot be read.
    """

    def __new__(cls, *_arguments: Any, **_options: Any) -> "TlsContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca: str = "", certificate: str = "", key: str = "", password: str = "") -> None:
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ca, self._certificate, self._key, self._password = ca, certificate, key, password
        self._changed_ns: list[int] = []
        if not ca:
            self.load_default_certs(ssl.Purpose.SERVER_AUTH)
        self._load()

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection of asyncio's."""
        self._load()
        return super().wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Begin a connection of a thread's."""
        self._load()
        return super().wrap_socket(*arguments, **options)

    def _load(self) -> None:
        changed_ns = [Path(path).stat().st_mtime_ns for path in (self._ca, self._certificate, self._key) if path]
        if changed_ns == self._changed_ns:
            return
        if self._ca:
            self.load_verify_locations(self._ca)
        if self._certificate:
            self.load_cert_chain(self._certificate, self._key or None, self._password or None)
        self._changed_ns = changed_ns
