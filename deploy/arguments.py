"""What is wrong with an argument, in plain words."""

from typing import Any, Final

import typer
from typer.core import TyperGroup

_PYDANTICS_PREFIX: Final = "Value error, "


class PlainGroup(TyperGroup):
    """typer checks values with pydantic and shows its messages as they are; how they begin is of no help to people."""

    def invoke(self, ctx: Any) -> Any:  # a type of typer's that has no public name
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(_PYDANTICS_PREFIX)
            raise
