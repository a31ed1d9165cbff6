"""`attrikit costs`: import advertising costs from a CSV file through Kafka into the reports.

Through Kafka, because only the loader writes ClickHouse, which may be embedded in its process. A file replaces what was
imported before of its days and sources (platforms), rows it no longer holds included; so the same file again changes
nothing, a mended one mends, and the file of one platform leaves another's alone.
"""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.cli.api_client import HERE, KeyOption, UrlOption, api_client, walk_api
from deploy.cli.apps import AppOption, control_plane
from deploy.cli.environment import command_settings
from pipeline.domain.channels.campaign_tags import normalize_source
from pipeline.domain.cost_rows import cost_partition, cost_records, marker, read_costs, unknown_channels, with_markers

if TYPE_CHECKING:
    from schemas.facts import CostRow

costs = typer.Typer(help="What advertising cost: spend, CPA and ROAS in the reports.", no_args_is_help=True)
_PROBLEMS_SHOWN: Final = 20
_MOST_DAYS: Final = 1_000


@costs.command("import")
def import_costs(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: date, channel, cost; campaign, source, currency.")
    ],
    app_id: AppOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file; nothing is imported.")] = False,
) -> None:
    """Import a file: all of it or, if a line is wrong, nothing. A cost counts on its date, in any time zone.

    Doing so twice counts once. `campaign`, `source` and `currency` (by default the app's) may be left out. What was
    imported before of the file's days and sources is taken back.
    """
    with control_plane() as (store, now_ms):
        app = store.app(app_id)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows, problems = read_costs(lines, app, now_ms)
    except UnicodeDecodeError:
        typer.echo(f"{file} is not UTF-8", err=True)
        raise typer.Exit(1) from None
    for problem in problems[:_PROBLEMS_SHOWN]:
        typer.echo(str(problem), err=True)
    if problems:
        typer.echo(f"{len(problems)} lines are wrong; nothing was imported", err=True)
        raise typer.Exit(1)
    for channel in unknown_channels(rows, app):
        typer.echo(f"warning: channel {channel!r} is none that touches have; its spend will have no credit", err=True)
    if not dry_run:
        _send(app_id, with_markers(rows))
    typer.echo(f"{'checked' if dry_run else 'imported'} {len(rows)} rows")


@costs.command("remove")
def remove_costs(
    app_id: AppOption,
    from_: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    to: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")],
    source: Annotated[str, typer.Option(help="The platform; none: costs without one.")] = "",
) -> None:
    """Remove the imported costs of some days and one source."""
    days = (to.date() - from_.date()).days + 1
    if not 0 < days <= _MOST_DAYS:
        raise typer.BadParameter(f"from 1 to {_MOST_DAYS} days, --from before --to", param_hint="--to")
    with control_plane() as (store, now_ms):
        store.app(app_id)
    name = normalize_source(source)
    _send(app_id, [marker(app_id, from_.date() + timedelta(days=day), name, now_ms) for day in range(days)])
    typer.echo(f"removed the costs of {days} days")


@costs.command("list")
def list_costs(
    url: UrlOption = HERE,
    key: KeyOption = "",
    from_: Annotated[str | None, typer.Option("--from", help="The first day.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The last day.")] = None,
) -> None:
    """List the stored costs, newest first: date, channel, campaign, source, cost, currency. Takes a key with the scope
    read.
    """
    with api_client(url, key) as client:
        for item in walk_api(client, "/v1/costs", {k: v for k, v in (("from", from_), ("to", to)) if v}):
            names = ("date", "channel", "campaign", "source", "cost", "currency")
            typer.echo("\t".join(str(item[name] if item[name] is not None else "-") for name in names))


def _send(app_id: str, rows: "list[CostRow]") -> None:
    from aiokafka.errors import KafkaError

    from deploy.local.running import with_running
    from pipeline.runtime.topic_writes import send_records
    from schemas.topics import Topic

    try:
        settings = with_running(command_settings())
        partition = cost_partition(app_id, settings.partitions)
        asyncio.run(send_records(settings, Topic.COSTS, partition, cost_records(rows)))
    except KafkaError as error:
        typer.echo(f"the broker does not answer ({type(error).__name__}); import the file again", err=True)
        raise typer.Exit(1) from error
