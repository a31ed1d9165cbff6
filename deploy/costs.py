"""`attrikit costs import`: what advertising cost, from a CSV file through Kafka into the reports.

Through Kafka, because only the loader writes ClickHouse, which may be embedded in its process. A row replaces the one
of its day, channel and campaign; so the same file again changes nothing, and a mended one mends what it holds.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.admin import AppOption, control_plane
from deploy.cost_rows import in_messages, read_costs

if TYPE_CHECKING:
    from pipeline.runtime.settings import Settings
    from schemas.facts import CostRow

costs = typer.Typer(help="What advertising cost: spend, CPA and ROAS in the reports.", no_args_is_help=True)
_ROWS_PER_MESSAGE: Final = 5_000
_PROBLEMS_SHOWN: Final = 20


@costs.command("import")
def import_costs(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: date, channel, campaign, cost, currency.")
    ],
    app_id: AppOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file; nothing is imported.")] = False,
) -> None:
    """Import a file, all of it or, if a line is wrong, nothing. Days are those of the app's time zone.

    Doing so twice counts once. `campaign` and `currency` (by default the app's) may be left out.
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
    if not dry_run:
        _send(app_id, rows)
    typer.echo(f"{'checked' if dry_run else 'imported'} {len(rows)} rows")


def _send(app_id: str, rows: "list[CostRow]") -> None:
    from aiokafka.errors import KafkaError

    from deploy.local.running import with_running
    from pipeline.runtime.settings import Settings

    try:
        asyncio.run(send(with_running(Settings()), app_id, rows))
    except KafkaError as error:
        typer.echo(f"the broker does not answer ({type(error).__name__}); import the file again", err=True)
        raise typer.Exit(1) from error


async def send(settings: "Settings", app_id: str, rows: "list[CostRow]") -> None:
    """Returns when the broker has all of them. One partition per app keeps imports in their order."""
    from pipeline.runtime.kafka import build_producer, ensure_topics
    from schemas.facts import encode_rows
    from schemas.ids import partition_for
    from schemas.topics import Topic

    await ensure_topics(settings)
    producer = build_producer(settings)
    await producer.start()
    try:
        partition = partition_for(app_id, "", settings.partitions)
        for message in in_messages(rows, _ROWS_PER_MESSAGE):
            await producer.send_and_wait(Topic.COSTS.value, encode_rows(message), partition=partition)
    finally:
        await producer.stop()
