"""`python -m deploy.probe URL`: ask a process if it is ready; exit 1 if it does not answer 200.

For health checks of containers. Each of them starts a Python, so this loads the standard library's HTTP client and
nothing else: a fifth of the processor time that the command `attrikit` takes to start (`make bench ARGS=idle`).
"""

import sys
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = 4.0


def failure(url: str) -> str:
    """Return why the process at this http:// address is not ready; empty if it is."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.request("GET", address.path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == 200 else f"answered {status}"


if __name__ == "__main__":
    reason = failure(sys.argv[1])
    sys.exit(f"{sys.argv[1]}: {reason}" if reason else 0)
