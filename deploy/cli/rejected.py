"""`attrikit rejected`: list what the gateway refused, and send it again after a fix. A client of the HTTP API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from deploy.cli.api_client import HERE, KeyOption, UrlOption, api_client, call_api, walk_api
from deploy.cli.arguments import with_options
from pipeline.domain.rejected_replay import Mending, Tally
from schemas.events import EVENT_NAME_PATTERN

if TYPE_CHECKING:
    import httpx

rejected = typer.Typer(help="Events that were refused: look at them, send them again.", no_args_is_help=True)

CHUNK_EVENTS: Final = 500
"""Events per request."""
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Bytes of payloads per request, about. It stays below the limit of a batch: events are sent with a few fields more."""


@dataclass(frozen=True)
class Filters:
    """Which refused events are meant; None: any."""

    from_: Annotated[str | None, typer.Option("--from", help="RFC 3339 time or date: refused at or after it.")] = None
    to: Annotated[str | None, typer.Option("--to", help="RFC 3339 time (exclusive) or date (inclusive).")] = None
    tz: Annotated[str | None, typer.Option(help="IANA zone dates are meant in; the app's if left out.")] = None
    code: Annotated[list[str] | None, typer.Option(help="INVALID_EVENT_NAME, say. Repeatable: any of them.")] = None
    about: Annotated[str | None, typer.Option("--field", help="Path of the field in the event: user_id.")] = None

    def parameters(self) -> dict[str, Any]:
        """Return them as the API has them."""
        given = {"from": self.from_, "to": self.to, "tz": self.tz, "code": self.code or None, "field": self.about}
        return {name: value for name, value in given.items() if value is not None}


@rejected.command("list")
@with_options(Filters)
def list_rejected(
    options: Filters,
    url: UrlOption = HERE,
    key: KeyOption = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, one JSON object a line.")] = False,
) -> None:
    """List rejected events, newest first: when, why, which field, what came. Takes a key with the scope read."""
    with api_client(url, key) as client:
        for count, item in enumerate(_walk(client, options), 1):
            typer.echo(json.dumps(item, ensure_ascii=False) if as_json else _line(item))
            if count == limit:
                break


@rejected.command("replay")
@with_options(Filters)
def replay(
    options: Filters,
    url: UrlOption = HERE,
    key: KeyOption = "",
    rename: Annotated[list[str] | None, typer.Option(help="'Sign Up=sign_up': mends event names. Repeatable.")] = None,
    rename_field: Annotated[list[str] | None, typer.Option(help="'userId=user_id': mends paths. Repeatable.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Leaves a field out: context.ip. Repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only; nothing is stored.")] = False,
) -> None:
    """Send rejected events again, through the same checks. Takes a key with the scopes read and write.

    Doing so twice counts each event once. What is refused again is told, not recorded anew; exit code 1 then.
    """
    mending = Mending(_renames(rename or []), tuple(drop or ()), _moves(rename_field or []))
    tally = Tally()
    with api_client(url, key) as client:
        try:
            for items in _chunks(_walk(client, options)):
                send_again(client, items, mending, dry_run, tally)
        finally:
            _report(tally, dry_run)
    raise typer.Exit(1 if tally.refused else 0)


def send_again(
    client: "httpx.Client", items: list[dict[str, Any]], mending: Mending, dry_run: bool, tally: Tally
) -> None:
    """Check the events first, and send only those that pass: a second refusal would be recorded as one more."""
    ready = tally.ready(items, mending)
    if not ready:
        return
    good = tally.good(ready, call_api(client, "POST", "/v1/events/validate", json={"events": ready})["errors"])
    if dry_run:
        tally.sent += len(good)
    elif good:
        tally.take(call_api(client, "POST", "/v1/events/batch", json={"events": good})["results"])


def _walk(client: "httpx.Client", filters: Filters) -> Iterator[dict[str, Any]]:
    return walk_api(client, "/v1/events/rejected", filters.parameters())


def _chunks(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size_bytes = 0
    for item in items:
        chunk.append(item)
        size_bytes += len(item["payload"].encode())
        if len(chunk) == CHUNK_EVENTS or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


# Words


def _renames(given: list[str]) -> dict[str, str]:
    renames = {}
    for text in given:
        old, _, new = text.rpartition("=")
        if not old or not EVENT_NAME_PATTERN.match(new):
            raise typer.BadParameter(f"{text!r} is not 'Old name=new_name'", param_hint="--rename")
        renames[old] = new
    return renames


def _moves(given: list[str]) -> dict[str, str]:
    moves = dict(text.split("=", 1) for text in given if "=" in text)
    if len(moves) < len(given) or not all(moves) or not all(moves.values()):
        raise typer.BadParameter("expected 'old.path=new.path', each once", param_hint="--rename-field")
    return moves


def _line(item: dict[str, Any]) -> str:
    fields = (item["rejected_at"], item["code"], item["field"] or "-", item["reason"], _shown(item["payload"]))
    return "\t".join(fields)


def _shown(payload: str) -> str:
    """Return the head of a text on one line, without control characters a terminal would act on."""
    head = payload[:200] + ("…" if len(payload) > 200 else "")
    return "".join(character if character.isprintable() else " " for character in head)


def _report(tally: Tally, dry_run: bool) -> None:
    typer.echo(f"found {tally.found}")
    typer.echo(f"{'would be accepted' if dry_run else 'accepted'} {tally.sent}")
    if tally.repeated:
        typer.echo(f"left out {tally.repeated}: the same id stands on another of them")
    for what, counts in (("cannot be sent again", tally.impossible), ("refused again", tally.refused)):
        if counts:
            typer.echo(f"{what} {counts.total()}")
        for reason, count in counts.most_common():
            typer.echo(f"  {count}  {reason}")
