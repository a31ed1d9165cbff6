"""The context of an event as callers send it, decoded and read by the declared fields (`schemas.events`). Pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from schemas.events import FIELDS, TREE, AcceptedEvent, EventField, Tree

_ROOT: Final = "context"


def _object(name: str, tree: Tree) -> Any:
    """Return the type of an object of texts and of such objects, frozen, so that one can be a default."""
    fields = [_member(key, one) for key, one in tree.items()]
    return msgspec.defstruct(name, fields, module=__name__, frozen=True, gc=False)


def _member(key: str, one: EventField | Tree) -> tuple[str, Any, Any]:
    if isinstance(one, EventField):
        return key, str | None, None
    inner = _object("Incoming" + key.title(), one)
    return key, inner | None, inner()


if TYPE_CHECKING:
    IncomingContext: TypeAlias = Any
else:
    IncomingContext = _object("IncomingContext", TREE[_ROOT])

NO_CONTEXT: Final = IncomingContext()
_OBJECTS: Final = {name: one for name, one in msgspec.structs.asdict(NO_CONTEXT).items() if one is not None}
PROPERTIES: Final = tuple(one.shown.or_property for one in FIELDS if one.shown.or_property)
"""The properties that stand for fields of the context."""
_PLAIN: Final = {one.name: one.shown for one in FIELDS if one.shown.path.startswith(_ROOT) and not one.shown.has_rule}
RULED: Final = tuple(name for name in AcceptedEvent.__struct_fields__ if name not in _PLAIN)
"""The fields whose values are given to `accepted_event`, in this order; the others are the context's."""


def _value(name: str, cleans: bool) -> str:
    """Return the expression of a field: what is given, else the text in the context, else that of a property."""
    shown = _PLAIN.get(name)
    if shown is None:
        return name
    *_, owner, key = shown.path.split(".")
    other = f"(one if type(one := values.get({shown.or_property!r})) is str else '')" if shown.or_property else "''"
    text = f"{owner}.{key} or {other}"
    return f"clean({text})" if cleans and shown.is_url else text


def _written_out(cleans: bool) -> Callable[..., AcceptedEvent]:
    """Write the function for the declared fields, as `dataclasses` does: in a loop over them an event takes 1 µs more,
    a sixth of what one of a batch costs.
    """
    source = f"""
def accepted_event({"clean, " * cleans}context, values, {", ".join(RULED)}):
    {"; ".join(f"{name} = context.{name} or NO_{name}" for name in _OBJECTS)}
    return AcceptedEvent({", ".join(_value(name, cleans) for name in AcceptedEvent.__struct_fields__)})
"""
    names: dict[str, Any] = {"AcceptedEvent": AcceptedEvent} | {f"NO_{name}": one for name, one in _OBJECTS.items()}
    exec(source, names)  # noqa: S102 - of constants
    made: Callable[..., AcceptedEvent] = names["accepted_event"]
    return made


accepted_event: Final = _written_out(cleans=False)
"""Make an event of its context (`NO_CONTEXT` for none), the values of its properties, and the `RULED` fields."""
cleaned_event: Final = _written_out(cleans=True)
"""Make it like `accepted_event`; `clean`, its first argument, is called with each text that is a page's address."""
