"""Effects of applying events, gathered for one flush."""

from typing import Any

from schemas.facts import AttributionRow, ConversionRow, EventMarkRow, PersonLinkRow, SessionRow, TouchRow
from schemas.people import PeopleRecord


class Effects:
    """Rows to be written, in the order they came about; of one id the last has the greatest revision. And `messages`
    for other persons and orders: of one sender and one receiver, in the order they came about."""

    __slots__ = ("attributions", "conversions", "links", "marks", "messages", "sessions", "touches")

    def __init__(self) -> None:
        self.sessions: list[SessionRow] = []
        self.touches: list[TouchRow] = []
        self.conversions: list[ConversionRow] = []
        self.attributions: list[AttributionRow] = []
        self.marks: list[EventMarkRow] = []
        self.links: list[PersonLinkRow] = []
        self.messages: list[PeopleRecord] = []

    def lists(self) -> tuple[list[Any], ...]:
        """All lists, which can be shortened to undo what came last."""
        facts = (self.sessions, self.touches, self.conversions, self.attributions)
        return (*facts, self.marks, self.links, self.messages)

    @property
    def is_empty(self) -> bool:
        return not any(self.lists())

    def clear(self) -> None:
        """Start new lists; those handed out before stay as they are."""
        self.__init__()  # type: ignore[misc]
