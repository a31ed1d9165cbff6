"""Errors of calls and of endpoints: their English texts, which are stored, and how they are read back. Pure.

Whoever writes such a text makes it of a message here; `error_in` gives the message back, to be told in the language of
a reader.
"""

from typing import Final

from pipeline.control.errors import Message, message
from services.webhook_calls.addresses import refusal_in

URL_REFUSED: Final = message("URL refused: %(refusal)s")
ADDRESS_REFUSED: Final = message("address refused: %(refusal)s")
TIMEOUT: Final = message("timeout: no complete answer within %(seconds)s s")
TLS: Final = message("TLS: %(error)s")
DNS: Final = message("DNS: %(error)s")
CONNECTION: Final = message("connection: %(error)s")
REDIRECT: Final = message("HTTP %(status)s: redirects are not followed")
NO_SUCCESS: Final = message("no success for %(hours)s hours")
GONE: Final = message("it answered 410 Gone")
FAILING: Final = message("it has been failing for too long")
PAUSED: Final = message("not tried: the endpoint is paused")
DISABLED: Final = message("not tried: the endpoint is disabled (%(because)s)")
DOWN: Final = message("not tried: the endpoint is down")
BEHIND: Final = message("not tried: the endpoint does not keep up")
OUR_FAULT: Final = message("not tried: %(error)s on our side")
ERRORS: Final = (
    *(URL_REFUSED, ADDRESS_REFUSED, TIMEOUT, TLS, DNS, CONNECTION, REDIRECT, NO_SUCCESS, GONE, FAILING),
    *(PAUSED, DISABLED, DOWN, BEHIND, OUR_FAULT),
)


def error_in(text: str) -> Message:
    """Return the error that a stored text says. What is not known, such as a message of the system, stays as it is."""
    for error in ERRORS:
        values = error.values_in(text)
        if values is not None:
            return error.filled(**{name: _inner(name, value) for name, value in values.items()})
    return Message("%(error)s", {"error": text})


def _inner(name: str, text: str) -> object:
    if name == "refusal":
        return refusal_in(text) or text
    return error_in(text) if name == "because" else text
