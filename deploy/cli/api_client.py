"""Client of the HTTP API for commands: sends a key, reads messages in English, retries when the API says so."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import httpx

_PAGE_ITEMS: Final = 1_000
_ATTEMPTS: Final = 6
_LONGEST_WAIT_SECONDS: Final = 30
_TIMEOUT_SECONDS: Final = 60.0

HERE: Final = "http://127.0.0.1:8000"
UrlOption = Annotated[str, typer.Option(envvar="ATTRIKIT_API_URL", help="Where the API is.")]
_KEY_HELP: Final = "An API key; better in the variable than here."
KeyOption = Annotated[str, typer.Option(envvar="ATTRIKIT_API_KEY", help=_KEY_HELP)]


_KEY: Final = re.compile(r"[A-Za-z0-9_]+\Z")


class ApiFailed(Exception):
    """Error: the API could not be reached, or refused. The message is for the person at the terminal."""


@contextmanager
def api_client(url: str, key: str) -> Iterator["httpx.Client"]:
    """Open an API client; its errors become one line and exit code 1."""
    import httpx

    if not key:
        raise typer.BadParameter("give one, or set ATTRIKIT_API_KEY", param_hint="--key")
    if not _KEY.match(key):
        raise typer.BadParameter("that is no API key: keys are letters, digits and _, in full", param_hint="--key")
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en", "User-Agent": "attrikit-cli"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS) as client:
            yield client
    except (ApiFailed, httpx.HTTPError, httpx.InvalidURL) as error:
        typer.echo(f"{url}: {error}", err=True)
        raise typer.Exit(1) from error


def call_api(client: "httpx.Client", method: str, path: str, **given: Any) -> Any:
    """Call the API and return `data` of the answer. It retries where the API asks for it soon; repeats do no harm
    here.
    """
    for attempt in range(_ATTEMPTS):
        answer = client.request(method, path, **given)
        wait_seconds = _wait_seconds(answer)
        if wait_seconds is None or attempt == _ATTEMPTS - 1:
            break
        time.sleep(wait_seconds)
    return _data_of(answer)


def _wait_seconds(answer: "httpx.Response") -> int | None:
    """Return the seconds to wait before a retry; None if the answer is final, or the wait too long for somebody at a
    terminal.
    """
    given = answer.headers.get("Retry-After", "")
    if answer.status_code not in (429, 500) or not (given.isascii() and given.isdigit()):
        return None
    return int(given) if int(given) <= _LONGEST_WAIT_SECONDS else None


def _data_of(answer: "httpx.Response") -> Any:
    try:
        body = answer.json()
        if body["success"]:
            return body["data"]
        error = body["error"]
        told = f"{error['code']}: {error['message']} {error['details'] or ''}".rstrip()
    except (ValueError, KeyError, TypeError):
        told = f"HTTP {answer.status_code}, and no answer of this API"
    raise ApiFailed(told)


def walk_api(client: "httpx.Client", path: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items of a list, page after page."""
    cursor: str | None = None
    while True:
        page = {"limit": _PAGE_ITEMS} | ({"cursor": cursor} if cursor else {})
        data = call_api(client, "GET", path, params=filters | page)
        yield from data["items"]
        cursor = data["next_cursor"]
        if cursor is None:
            return
