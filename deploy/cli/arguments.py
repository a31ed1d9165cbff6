"""Argument types and checks that several commands share, with errors in plain words."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from deploy.cli.environment import refuse_unknown_variables
from deploy.cli.failures import explain

_PYDANTICS_PREFIX: Final = "Value error, "


class PlainGroup(TyperGroup):
    """Command group that ends in one line and an exit code, not in a traceback, for errors a person can cause.

    typer checks values with pydantic and shows its messages as they are; how they begin is of no help to people.
    """

    def invoke(self, ctx: Any) -> Any:  # a type of typer's that has no public name
        refuse_unknown_variables()
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(_PYDANTICS_PREFIX)
            raise
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception as error:
            reason = explain(error)
            if reason is None:
                raise
            typer.echo(reason, err=True)
            raise typer.Exit(1) from error


def with_options(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that the dataclass `kind` declares. typer sees its fields where the command's
    parameter `options` stands, and the command is called with the dataclass."""
    fields = signature(kind, eval_str=True).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shown: dict[str, Parameter] = {}
        for name, parameter in signature(command, eval_str=True).parameters.items():
            shown |= fields if name == "options" else {name: parameter}

        @wraps(command)
        def run(**given: Any) -> None:
            command(options=kind(**{name: given.pop(name) for name in fields}), **given)

        named = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in shown.values()]
        vars(run)["__signature__"] = Signature(named)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
        return run

    return decorate


def moment_ms(text: str, option: str) -> int:
    """Parse an ISO 8601 time into milliseconds since the epoch; UTC where it names no offset. Raises `BadParameter`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time such as 2024-01-15T10:00Z", param_hint=option) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
