"""`attrikit goals`: define which events count as conversions, from the command line. Workers use a change within
seconds.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from deploy.cli.apps import AppOption, control_plane
from deploy.cli.arguments import with_options
from schemas.control import Counting, Goal, GoalCondition

goals = typer.Typer(help="Goals: which events are conversions.", no_args_is_help=True)

_NAME = Annotated[str, typer.Argument(help="snake_case. It can never change.")]
_NO_CONDITIONS = Annotated[bool, typer.Option("--no-conditions", help="Every event of the name meets it.")]


@dataclass(frozen=True)
class GoalOptions:
    """Options of a command that describe a goal; None: not given."""

    event_name: Annotated[str | None, typer.Option("--event", help="The event's name.")] = None
    display_name: Annotated[str | None, typer.Option("--display", help="For people.")] = None
    goal_type: Annotated[str | None, typer.Option("--type", help="macro or micro.")] = None
    value: Annotated[
        list[str] | None,
        typer.Option("--value", help="A property with the value, repeatable; the first that is there."),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="A condition, repeatable: 'PROPERTY OPERATOR VALUE' with eq, ne, gt, gte, lt, lte, contains or "
            "exists, as in 'amount gte 100', 'coupon exists'.",
        ),
    ] = None
    counting: Annotated[
        Counting | None, typer.Option("--counting", help="Which of a session's or a person's events count.")
    ] = None
    no_value: Annotated[bool, typer.Option("--no-value", help="It carries no value.")] = False

    def applied_to(self, goal: Goal) -> Goal:
        """Return the goal with the given options changed."""
        given: dict[str, Any] = {
            "event_name": self.event_name,
            "display_name": self.display_name,
            "goal_type": self.goal_type,
            "value_properties": () if self.no_value else tuple(self.value) if self.value else None,
            "conditions": tuple(map(parse_condition, self.where)) if self.where else None,
            "counting": self.counting,
        }
        return replace(goal, **{field: found for field, found in given.items() if found is not None})


@goals.command("list")
def list_goals(
    app_id: AppOption,
    history: Annotated[bool, typer.Option("--history", help="Every version there was, with its time.")] = False,
) -> None:
    """List every goal: name, version, type, counting, event, conditions, value properties."""
    with control_plane() as (store, _):
        if not history:
            for goal in store.app(app_id).goals:
                typer.echo("\t".join(_cells(goal)))
            return
        for change in store.goal_changes(app_id):
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=change.changed_at_ms)
            typer.echo("\t".join((at.isoformat(timespec="seconds"), change.change, *_cells(change.goal))))


def _cells(goal: Goal) -> tuple[str, ...]:
    from pipeline.control.goal_text import condition_text

    conditions = " and ".join(condition_text(condition) for condition in goal.conditions)
    values = ",".join(goal.value_properties)
    return (
        goal.name,
        f"v{goal.version}",
        goal.goal_type,
        goal.counting,
        goal.event_name,
        conditions or "-",
        values or "-",
    )


@goals.command("add")
@with_options(GoalOptions)
def add_goal(app_id: AppOption, name: _NAME, options: GoalOptions) -> None:
    """Add a goal: a further event counts as a conversion from now on."""
    goal = options.applied_to(Goal(name, name, "macro", name))
    with control_plane() as (store, now_ms):
        added = store.add_goal(app_id, goal, now_ms)
    typer.echo(f"added goal {name}, version {added.version}")


@goals.command("update")
@with_options(GoalOptions)
def update_goal(app_id: AppOption, name: _NAME, options: GoalOptions, no_conditions: _NO_CONDITIONS = False) -> None:
    """Change the given options of a goal from now on. Conversions already counted stay, and name the version that
    counted them.
    """
    with control_plane() as (store, now_ms):
        known = next((goal for goal in store.app(app_id).goals if goal.name == name), None)
        goal = options.applied_to(known or Goal(name, name, "macro", name))
        changed = store.update_goal(app_id, replace(goal, conditions=()) if no_conditions else goal, now_ms)
    typer.echo(f"goal {name} is at version {changed.version}")


@goals.command("retire")
def retire_goal(app_id: AppOption, name: _NAME) -> None:
    """Retire a goal: no more events count as it. Its conversions and its history stay."""
    with control_plane() as (store, now_ms):
        store.retire_goal(app_id, name, now_ms)
    typer.echo(f"retired goal {name}")


def parse_condition(text: str) -> GoalCondition:
    """Parse `PROPERTY OPERATOR [VALUE]`."""
    from pipeline.control.errors import InvalidRecord
    from pipeline.control.goal_text import make_condition

    name, operator, value = [*text.split(maxsplit=2), "", "", ""][:3]
    try:
        return make_condition(name, operator, value)
    except InvalidRecord as error:
        raise typer.BadParameter(str(error), param_hint="--where") from None
