"""`attrikit alerts`: rules that send `threshold.alert`, from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.apps import AppOption, control_plane
from deploy.cli.arguments import moment_ms
from deploy.cli.environment import Kept, command_settings, load_settings
from schemas.control import AlertMetric, AlertRule, Comparison

if TYPE_CHECKING:
    from pipeline.control.alerts import AlertRules

alerts = typer.Typer(help="Rules that alert: a metric of an app passes a threshold.", no_args_is_help=True)

_RULE = Annotated[str, typer.Argument(help="The rule's id, as `alerts list` shows it.")]


@alerts.command("add")
def add_rule(
    app_id: AppOption,
    metric: Annotated[AlertMetric, typer.Argument(help="What to watch.")],
    above: Annotated[float | None, typer.Option(help="Alert when a window comes to more.")] = None,
    below: Annotated[float | None, typer.Option(help="Alert when it comes to less.")] = None,
    above_average: Annotated[float | None, typer.Option(help="PERCENT more than the average.")] = None,
    below_average: Annotated[float | None, typer.Option(help="PERCENT less than the average.")] = None,
    off_average: Annotated[float | None, typer.Option(help="PERCENT off the average, either way.")] = None,
    window_minutes: Annotated[int, typer.Option(help="1 to 1440; a day is the app's local day.")] = 60,
    trailing: Annotated[int, typer.Option(help="How many windows before it the average is of.")] = 7,
    only: Annotated[str, typer.Option(help="Only events of this name, or conversions of this goal.")] = "",
    name: Annotated[str, typer.Option(help="For people; made of the rule if left out.")] = "",
    since: Annotated[str | None, typer.Option(help="Judge windows from here on: 2024-01-15T00:00Z.")] = None,
) -> None:
    """Add a rule. Daily events below half their average: `alerts add --app shop events --below-average 50
    --window-minutes 1440`. rejected_rate is in percent, api_latency in ms (95 % of requests), value in whole units."""
    from pipeline.control.alerts import new_rule_id, rule_name

    comparison, threshold = _condition(
        {
            Comparison.ABOVE: above,
            Comparison.BELOW: below,
            Comparison.ABOVE_AVERAGE: above_average,
            Comparison.BELOW_AVERAGE: below_average,
            Comparison.OFF_AVERAGE: off_average,
        }
    )
    since_ms = None if since is None else moment_ms(since, "--since")
    with _rules() as (rules, now_ms):
        rule = AlertRule(
            rule_id=new_rule_id(),
            app_id=app_id,
            name=name or rule_name(metric, only, comparison, threshold),
            metric=metric,
            comparison=comparison,
            threshold=threshold,
            window_seconds=window_minutes * 60,
            trailing_windows=trailing,
            subject=only,
            active_from_ms=now_ms if since_ms is None else since_ms,
        )
        rules.add(rule, now_ms)
    typer.echo(rule.rule_id)


@alerts.command("list")
def list_rules(app_id: Annotated[str | None, typer.Option("--app", help="Of this app only.")] = None) -> None:
    """List every rule: id, app, metric, what of it, condition, window, state, name."""
    with _rules() as (rules, _):
        for rule in rules.rules(app_id):
            state = "paused" if rule.is_paused else "active"
            percent = f" % of {rule.trailing_windows} windows" if rule.comparison.is_relative else ""
            condition = f"{rule.comparison} {rule.threshold:g}{percent}"
            window = f"{rule.window_seconds // 60} min"
            fields = (rule.rule_id, rule.app_id, rule.metric, rule.subject or "all", condition, window, state)
            typer.echo("\t".join((*fields, rule.name)))


@alerts.command("pause")
def pause_rule(rule_id: _RULE) -> None:
    """Pause a rule: no more windows are judged until it is resumed."""
    with _rules() as (rules, _):
        rules.pause(rule_id)
    typer.echo(f"paused {rule_id}")


@alerts.command("resume")
def resume_rule(rule_id: _RULE) -> None:
    """Resume a rule: it judges the windows that begin from now on."""
    with _rules() as (rules, now_ms):
        rules.resume(rule_id, now_ms)
    typer.echo(f"resumed {rule_id}")


@alerts.command("remove")
def remove_rule(rule_id: _RULE) -> None:
    """Remove a rule. The alerts it sent stay."""
    with _rules() as (rules, now_ms):
        rules.remove(rule_id, now_ms)
    typer.echo(f"removed {rule_id}")


@alerts.command("serve")
def serve() -> None:
    """Run the alerts service, for a ClickHouse server; `attrikit store` does it for an embedded one."""
    from deploy.processes import run_alerts
    from pipeline.runtime.settings import AlertsSettings

    run_alerts(load_settings("alerts", AlertsSettings, Kept.CONTROL_PLANE, Kept.TABLES))


@contextmanager
def _rules() -> Iterator[tuple["AlertRules", int]]:
    with control_plane() as (_store, now_ms):
        from pipeline.control.alerts import AlertRules

        rules = AlertRules(command_settings().control_plane_dsn())
        try:
            yield rules, now_ms
        finally:
            rules.close()


def _condition(given: dict[Comparison, float | None]) -> tuple[Comparison, float]:
    found = [(comparison, value) for comparison, value in given.items() if value is not None]
    if len(found) != 1:
        names = ", ".join(f"--{comparison.replace('_', '-')}" for comparison in Comparison)
        raise typer.BadParameter(f"give exactly one of {names}")
    return found[0]
