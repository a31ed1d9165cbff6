"""The command `attrikit`: one subcommand per process, and the tools operators need.

Heavy modules are imported inside the commands, so that `attrikit --help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.alerts import alerts
from deploy.cli.apps import apps, keys
from deploy.cli.arguments import PlainGroup
from deploy.cli.backup import backup, restore
from deploy.cli.channels import channels
from deploy.cli.costs import costs
from deploy.cli.environment import Kept, command_settings, load_settings
from deploy.cli.goals import goals
from deploy.cli.operations import doctor, ledger
from deploy.cli.rejected import rejected
from deploy.cli.secrets import secrets
from deploy.cli.size import size
from deploy.cli.smoke import smoke
from deploy.cli.table_copy import copy_tables
from deploy.cli.users import users
from deploy.cli.webhooks import webhooks

if TYPE_CHECKING:
    from deploy.local.launcher import BrokerKind
    from pipeline.runtime.settings import Settings

app = typer.Typer(
    cls=PlainGroup,
    help="Self-hosted marketing attribution. Settings come from ATTRIKIT_… environment variables (SETTINGS.md).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
topics = typer.Typer(help="Kafka topics.", no_args_is_help=True)
app.add_typer(apps, name="apps")
app.add_typer(keys, name="keys")
app.add_typer(alerts, name="alerts")
app.add_typer(channels, name="channels")
app.add_typer(goals, name="goals")
app.add_typer(costs, name="costs")
app.add_typer(rejected, name="rejected")
app.add_typer(secrets, name="secrets")
app.add_typer(topics, name="topics")
app.add_typer(users, name="users")
app.add_typer(webhooks, name="webhooks")
app.command()(ledger)
app.command()(doctor)
app.command()(smoke)
app.command()(size)
app.command()(backup)
app.command()(restore)
app.command()(copy_tables)


def main() -> None:
    from pipeline.runtime.private_files import make_files_private

    make_files_private()
    app()


@app.command()
def gateway() -> None:
    """Receive events over HTTP and write them to Kafka; forward reads to ATTRIKIT_QUERY_URL."""
    from pipeline.runtime.settings import GatewaySettings

    settings = load_settings("gateway", GatewaySettings, Kept.CONTROL_PLANE)
    from deploy.processes import run_gateway

    run_gateway(settings)


@app.command()
def worker() -> None:
    """Turn events into sessions, conversions and credits (Faust)."""
    from pipeline.runtime.settings import WorkerSettings

    settings = load_settings("worker", WorkerSettings, Kept.CONTROL_PLANE)
    from deploy.processes import run_worker

    run_worker(settings)


@app.command()
def console() -> None:
    """Serve the console, where people see the numbers and set things up; it reads from ATTRIKIT_QUERY_URL."""
    from pipeline.runtime.settings import ConsoleSettings

    settings = load_settings("console", ConsoleSettings, Kept.CONTROL_PLANE)
    from deploy.processes import run_console

    run_console(settings)


@app.command()
def loader() -> None:
    """Copy the topics into ClickHouse."""
    from pipeline.runtime.settings import LoaderSettings

    settings = load_settings("loader", LoaderSettings, Kept.TABLES)
    from deploy.processes import run_loader

    run_loader(settings)


@app.command()
def query() -> None:
    """Answer reads over HTTP from ClickHouse."""
    from pipeline.runtime.settings import QuerySettings

    settings = load_settings("query", QuerySettings, Kept.CONTROL_PLANE, Kept.TABLES)
    from deploy.processes import run_query

    run_query(settings)


@app.command()
def store() -> None:
    """Loader and query in one process, for the embedded ClickHouse (chDB)."""
    from pipeline.runtime.settings import StoreSettings

    settings = load_settings("store", StoreSettings, Kept.CONTROL_PLANE, Kept.TABLES)
    from deploy.processes import run_store

    run_store(settings)


@app.command()
def migrate(
    wait: Annotated[bool, typer.Option("--wait", help="Change nothing; return when another has done it.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=0.0, help="How long --wait waits.")] = 900.0,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing; print the SQL ClickHouse would get.")] = False,
) -> None:
    """Bring the tables of the control plane and of ClickHouse up to date, or wait until they are, and the topics."""
    settings = command_settings()
    if wait:
        _wait_until_migrated(settings, timeout_seconds)
        return
    if plan:
        _show_plan(settings)
        return
    from deploy.migrations import migrate_all

    applied = migrate_all(settings, typer.echo)
    typer.echo(f"ClickHouse migrations applied: {', '.join(map(str, applied)) or 'none'}; control plane up to date")


def _show_plan(settings: "Settings") -> None:
    """Print SQL, with what is there already as comments."""
    from deploy.processes import migration_plan

    for migration in migration_plan(settings):
        typer.echo(f"-- {migration.number:04} {migration.name}{'' if migration.statements else ': applied'}")
        for statement in migration.statements:
            typer.echo(f"{statement};\n")


def _wait_until_migrated(settings: "Settings", timeout_seconds: float) -> None:
    import asyncio

    from deploy.migrations import wait_until_ready

    lacking = asyncio.run(wait_until_ready(settings, timeout_seconds, typer.echo))
    if lacking:
        _complain(f"not there after {timeout_seconds:.0f} s: {'; '.join(lacking)}")
        raise typer.Exit(1)
    typer.echo("everything this release needs is there")


@topics.command("create")
def create_topics() -> None:
    """Create the topics that are missing."""
    settings = command_settings()
    import asyncio

    from pipeline.runtime.kafka.api_versions import require_apis
    from pipeline.runtime.topics import ensure_topics

    async def create() -> None:
        await require_apis(settings)
        await ensure_topics(settings)

    asyncio.run(create())
    typer.echo("the topics are there")


@app.command()
def settings(
    as_env: Annotated[bool, typer.Option("--env", help="As a file of variables with their defaults.")] = False,
) -> None:
    """Print the document of all settings, grouped by the processes that read them."""
    from deploy.settings_document import document, env_file

    typer.echo(env_file() if as_env else document(), nl=False)


@app.command()
def signals() -> None:
    """Print the document of all metrics and of the events of the logs."""
    from deploy.signals_document import document

    typer.echo(document(), nl=False)


@app.command()
def progress(
    wait: Annotated[bool, typer.Option("--wait", help="Return when everything accepted so far can be read.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=0.0, help="How long --wait waits.")] = 300.0,
) -> None:
    """Show how far the pipeline has come. Exits 1 if --wait runs out of time or the broker does not answer."""
    settings = command_settings()
    from deploy.cli.progress import show
    from deploy.local.running import with_running

    raise typer.Exit(show(with_running(settings), wait, timeout_seconds))


@app.command()
def demo(
    events: Annotated[int, typer.Option(min=1_000, help="How many events are sent at least.")] = 50_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 1,
    broker: Annotated[str, typer.Option(help="noida (development) or kafka (Apache Kafka).")] = "noida",
    keep: Annotated[bool, typer.Option("--keep", help="Run on afterwards, to be looked at; the data stays.")] = False,
) -> None:
    """Post a month's traffic through the whole product, in a temporary folder; exit 0 only if all of it adds up."""
    from deploy.demo.run import run

    raise typer.Exit(run(events, seed, _broker_kind(broker).value, keep))


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where the API listens.  [default: ATTRIKIT_PORT, 8000]")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder.  [default: ATTRIKIT_DATA_DIR, .attrikit]")] = None,
    broker: Annotated[str, typer.Option(help="noida (development) or kafka (Apache Kafka).")] = "noida",
) -> None:
    """Run everything on this machine until Ctrl-C; the next run goes on with the same data."""
    from pipeline.runtime.settings import Settings

    settings = load_settings("launcher", Settings)
    from deploy.local.launcher import run

    given: dict[str, object] = {}
    if port is not None:
        given["port"] = port
    if data is not None:
        given["data_dir"] = data
    raise typer.Exit(run(settings.model_copy(update=given), _broker_kind(broker), typer.echo, _complain))


def _complain(line: str) -> None:
    typer.echo(line, err=True)


def _broker_kind(name: str) -> "BrokerKind":
    from deploy.local.launcher import BrokerKind

    try:
        return BrokerKind(name)
    except ValueError:
        raise typer.BadParameter(f"{name!r} is not one of: {', '.join(BrokerKind)}", param_hint="--broker") from None
