"""Context in which an event, a message or a wakeup is applied to a person."""

from typing import Final, TypeAlias

import msgspec

from pipeline.domain.effects import Effects
from pipeline.domain.rules import AppRules
from pipeline.domain.state import PersonState

Place: TypeAlias = tuple[int, int, int]
"""(partition, offset, index) of an event in `events`."""
NO_PLACE: Final[Place] = (-1, -1, -1)


class PersonContext(msgspec.Struct, gc=False):
    """Made anew for each: it costs 0.1 to 0.2 µs of the 19 µs an event takes."""

    state: PersonState
    app_id: str
    person: str
    """Key of the person (`schemas.persons.person_key`), or of the order whose state it is."""
    rules: AppRules
    watermark_ms: int
    """Watermark of the partition the state lives in."""
    effects: Effects
    """Rows and messages are appended to it."""
    place: Place = NO_PLACE
    """Place of the event at hand, for its mark."""

    def about(self, person: str) -> "PersonContext":
        """The same, for rows of another person."""
        return msgspec.structs.replace(self, person=person)
