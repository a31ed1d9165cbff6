"""Checks for ports on this machine."""

import errno
import secrets
import socket
from collections.abc import Collection
from itertools import count, islice
from typing import Final

from deploy.local.process import LaunchError

_FIRST: Final = 20_000
_COUNT: Final = 12_000
_ATTEMPTS: Final = 100
turn = count(secrets.randbelow(_COUNT))
"""Ports are returned in turn, so that one whose server does not listen yet is not returned a second time."""


def problem_with(port: int, host: str = "127.0.0.1") -> str:
    """Return why a server could not listen there now; empty if it could."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return "it is taken" if error.errno == errno.EADDRINUSE else f"{error.strerror} ({host})"
    return ""


def free_port(host: str = "127.0.0.1", avoid: Collection[int] = ()) -> int:
    """Return a port nobody listens on, and none of `avoid`.

    Taken below the range outgoing connections use (32768 on Linux, 49152 elsewhere), so that it is still free when its
    server starts, or starts again.
    """
    for number in islice(turn, _ATTEMPTS):
        port = _FIRST + number % _COUNT
        if port not in avoid and not problem_with(port, host):
            return port
    raise LaunchError(f"no free port between {_FIRST} and {_FIRST + _COUNT} on {host}")
