"""`attrikit goals`: define which events count as conversions, from the command line. Workers use a change within
seconds.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from deploy.cli.apps import AppOption, control_plane
from schemas.control import Counting, Goal, GoalCondition

goals = typer.Typer(help="Goals: which events are conversions.", no_args_is_help=True)

_NAME = Annotated[str, typer.Argument(help="snake_case. It can never change.")]
_EVENT = Annotated[str | None, typer.Option("--event", help="The event's name.")]
_DISPLAY = Annotated[str | None, typer.Option("--display", help="For people.")]
_TYPE = Annotated[str | None, typer.Option("--type", help="macro or micro.")]
_VALUE = Annotated[
    list[str] | None, typer.Option("--value", help="A property with the value, repeatable; the first that is there.")
]
_WHERE = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="A condition, repeatable: 'PROPERTY OPERATOR VALUE' with eq, ne, gt, gte, lt, lte, contains or exists, "
        "as in 'amount gte 100', 'coupon exists'.",
    ),
]
_COUNTING = Annotated[
    Counting | None, typer.Option("--counting", help="Which of a session's or a person's events count.")
]
_NO_VALUE = Annotated[bool, typer.Option("--no-value", help="It carries no value.")]
_NO_CONDITIONS = Annotated[bool, typer.Option("--no-conditions", help="Every event of the name meets it.")]


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
def add_goal(
    app_id: AppOption,
    name: _NAME,
    event_name: _EVENT = None,
    display_name: _DISPLAY = None,
    goal_type: _TYPE = None,
    value: _VALUE = None,
    where: _WHERE = None,
    counting: _COUNTING = None,
    no_value: _NO_VALUE = False,
) -> None:
    """Add a goal: a further event counts as a conversion from now on."""
    goal = _changed(Goal(name, name, "macro", name), event_name, display_name, goal_type, value, where, counting)
    with control_plane() as (store, now_ms):
        added = store.add_goal(app_id, replace(goal, value_properties=()) if no_value else goal, now_ms)
    typer.echo(f"added goal {name}, version {added.version}")


@goals.command("update")
def update_goal(
    app_id: AppOption,
    name: _NAME,
    event_name: _EVENT = None,
    display_name: _DISPLAY = None,
    goal_type: _TYPE = None,
    value: _VALUE = None,
    where: _WHERE = None,
    counting: _COUNTING = None,
    no_value: _NO_VALUE = False,
    no_conditions: _NO_CONDITIONS = False,
) -> None:
    """Change the given options of a goal from now on. Conversions already counted stay, and name the version that
    counted them.
    """
    with control_plane() as (store, now_ms):
        known = next((goal for goal in store.app(app_id).goals if goal.name == name), None)
        goal = known or Goal(name, name, "macro", name)
        goal = _changed(goal, event_name, display_name, goal_type, value, where, counting)
        if no_value:
            goal = replace(goal, value_properties=())
        if no_conditions:
            goal = replace(goal, conditions=())
        changed = store.update_goal(app_id, goal, now_ms)
    typer.echo(f"goal {name} is at version {changed.version}")


@goals.command("retire")
def retire_goal(app_id: AppOption, name: _NAME) -> None:
    """Retire a goal: no more events count as it. Its conversions and its history stay."""
    with control_plane() as (store, now_ms):
        store.retire_goal(app_id, name, now_ms)
    typer.echo(f"retired goal {name}")


def _changed(
    goal: Goal,
    event_name: str | None,
    display_name: str | None,
    goal_type: str | None,
    value: list[str] | None,
    where: list[str] | None,
    counting: Counting | None,
) -> Goal:
    """Return the goal with the given options changed."""
    given: dict[str, Any] = {
        "event_name": event_name,
        "display_name": display_name,
        "goal_type": goal_type,
        "value_properties": tuple(value) if value else None,
        "conditions": tuple(map(parse_condition, where)) if where else None,
        "counting": counting,
    }
    return replace(goal, **{field: found for field, found in given.items() if found is not None})


def parse_condition(text: str) -> GoalCondition:
    """Parse `PROPERTY OPERATOR [VALUE]`."""
    from pipeline.control.errors import InvalidRecord
    from pipeline.control.goal_text import make_condition

    name, operator, value = [*text.split(maxsplit=2), "", "", ""][:3]
    try:
        return make_condition(name, operator, value)
    except InvalidRecord as error:
        raise typer.BadParameter(str(error), param_hint="--where") from None
