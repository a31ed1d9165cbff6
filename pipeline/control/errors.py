"""Errors of the control plane; the package's docstring draws the tree.

Their messages are for the person who sees them: in English here, in another language where a page has the translation
of their templates.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Final

_PLACE: Final = re.compile(r"%\((\w+)\)[sr]")
_LARGER_THAN_FLOATS: Final = 2**1024


@dataclass(frozen=True)
class Message:
    """A text with places for values, `%(name)s`. A value that is a message itself can be translated with it."""

    template: str
    values: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template % self.values if self.values else self.template

    def filled(self, **values: object) -> "Message":
        return Message(self.template, values)

    def values_in(self, text: str) -> dict[str, str] | None:
        """Return the values with which this message reads like a text; None: it does with none."""
        texts_and_names = _PLACE.split(self.template)
        parts = [f"(?P<{one}>.+?)" if n % 2 else re.escape(one) for n, one in enumerate(texts_and_names)]
        found = re.fullmatch("".join(parts), text, re.DOTALL)
        return found.groupdict() if found else None


def message(template: str, **values: object) -> Message:
    return Message(template, values)


class ControlPlaneError(Exception):
    def __init__(self, template: str, **values: object) -> None:
        self.message = Message(template, values)
        super().__init__(str(self.message))


class InvalidRecord(ControlPlaneError):
    """A value is not acceptable."""


class AlreadyExists(ControlPlaneError):
    """The id is taken."""


class UnknownRecord(ControlPlaneError):
    """There is no such app, key or goal."""


class SnapshotNotLoaded(ControlPlaneError):
    """Error: nothing has been read from the database yet."""


def require(is_met: bool, what: str | Message, value: object, expected: str | Message) -> None:
    """Raise `InvalidRecord` naming what is not acceptable, unless the condition is met."""
    if is_met:
        return
    raise InvalidRecord(
        "%(what)s %(value)r is not acceptable: expected %(expected)s",
        what=_message(what),
        value=writable(value),
        expected=_message(expected),
    )


def writable(value: object) -> object:
    """Return a value as it can be shown in a message: infinity for an integer larger than any float, because Python
    refuses to write integers of thousands of digits.
    """
    if not isinstance(value, int) or abs(value) < _LARGER_THAN_FLOATS:
        return value
    return math.inf if value > 0 else -math.inf


def _message(given: str | Message) -> Message:
    return given if isinstance(given, Message) else Message(given)
