"""One person and the stream's domain around them, for tests that tell a story."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from stories import START_MS

from pipeline.domain.apply import apply_event, owes_rows, publish_sessions, write_owed_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.identity import stitching
from pipeline.domain.rules import AppRules, compile_rules
from pipeline.domain.sessions import lateness
from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from schemas.control import DEFAULT_GOALS, App, AttributionSettings, Goal
from schemas.events import StreamEvent
from schemas.facts import AttributionRow, ConversionRow, SessionRow, TouchRow
from schemas.persons import person_key


@dataclass
class Person:
    rules: AppRules
    user_id: str = "u1"
    anonymous_id: str = ""
    watermark_ms: int = 0
    state: PersonState = field(default_factory=new_state)
    effects: Effects = field(default_factory=Effects)
    sent: int = 0
    owner: "Person | None" = None

    def does(self, event_name: str, minutes: float, event_id: str = "", **fields: Any) -> str:
        """`minutes` after ten. The watermark follows where it is not set. Returns the event's id."""
        at_ms = START_MS + int(minutes * 60_000)
        event_id = event_id or f"e{self.sent}"
        properties = msgspec.Raw(msgspec.json.encode(fields.pop("properties", {})))
        fields = {"received_us": at_ms * 1000, "user_id": self.user_id, "anonymous_id": self.anonymous_id} | fields
        event = StreamEvent("shop", event_id, event_name, at_ms, properties=properties, **fields)
        self.watermark_ms = max(self.watermark_ms, at_ms)
        self.state = decode_state(encode_state(self.state))
        if self.owner is None:
            key = person_key(event.user_id, event.anonymous_id, event.event_id)
            apply_event(
                PersonContext(
                    self.state, event.app_id, key, self.rules, self.watermark_ms, self.effects, (3, self.sent, 1)
                ),
                event,
            )
        else:
            self._forward(event, self.owner)
        self.sent += 1
        return event_id

    def buys(self, minutes: float, event_id: str, revenue: float = 1, **properties: Any) -> None:
        self.does("purchase", minutes, event_id, properties={"revenue": revenue} | properties)

    def becomes(self, user: "Person", minutes: float = 0) -> bytes:
        """An anonymous person turns out to be `user`, in whose rows this one's are found too. Returns the journey."""
        at_ms = START_MS + int(minutes * 60_000)
        assert stitching.link(self.state, user.user_id, at_ms, "link", at_ms // 1000) is stitching.LinkOutcome.NEW_OWNER
        journey = stitching.hand_over(self.state)
        _append(user.effects, self.effects)
        self.effects, self.owner = user.effects, user
        if journey:
            user.absorbs(journey, self.anonymous_id)
        return journey

    def absorbs(self, journey: bytes, anonymous_id: str) -> None:
        self.state = decode_state(encode_state(self.state))
        key = "u:" + self.user_id
        context = PersonContext(self.state, "shop", key, self.rules, self.watermark_ms, self.effects)
        stitching.absorb(context, journey, anonymous_id)

    def _forward(self, event: StreamEvent, owner: "Person") -> None:
        received_s = event.received_us // 1_000_000
        is_late = lateness.is_late(self.state, event.timestamp_ms, received_s, self.rules, self.watermark_ms)
        owner.state = decode_state(encode_state(owner.state))
        key, place = "u:" + owner.user_id, (3, self.sent, 1)
        stitching.apply_forwarded(
            PersonContext(owner.state, event.app_id, key, owner.rules, owner.watermark_ms, owner.effects, place),
            event,
            is_late,
        )

    def publish(self, watermark_minutes: float | None = None) -> list[SessionRow]:
        """The session rows written by this call."""
        if watermark_minutes is not None:
            self.watermark_ms = START_MS + int(watermark_minutes * 60_000)
        before = len(self.effects.sessions)
        key = person_key(self.user_id, self.anonymous_id, "")
        publish_sessions(PersonContext(self.state, "shop", key, self.rules, self.watermark_ms, self.effects))
        return self.effects.sessions[before:]

    def sessions(self) -> list[SessionRow]:
        self.publish()
        return sorted(_newest(self.effects.sessions, "session_id"), key=lambda row: row.start_ms)

    def touches(self) -> list[TouchRow]:
        return sorted(_newest(self.effects.touches, "touch_id"), key=lambda row: (row.touched_at_ms, row.touch_id))

    def pay(self) -> int:
        """Have all rows written that are owed; how many times some were."""
        times = 0
        while self.pay_once():
            times += 1
        return times

    def pay_once(self) -> bool:
        """Have some of the rows written that are owed; False if there are none."""
        if not owes_rows(self.state):
            return False
        key = person_key(self.user_id, self.anonymous_id, "")
        write_owed_rows(PersonContext(self.state, "shop", key, self.rules, 0, self.effects))
        return True

    def conversions(self) -> list[ConversionRow]:
        self.pay()
        return _newest(self.effects.conversions, "conversion_id")

    def attributions(self) -> list[AttributionRow]:
        self.pay()
        return _newest(self.effects.attributions, "conversion_id")


def _append(effects: Effects, others: Effects) -> None:
    for name in Effects.__slots__:
        getattr(effects, name).extend(getattr(others, name))


_TIMES = ("start_ms", "converted_at_ms", "touched_at_ms")


def _newest(rows: list[Any], name: str) -> list[Any]:
    """Rows of one id and time replace each other. Two persons may have written one before they were known to be one."""
    found: dict[tuple[str, int], Any] = {}
    for row in rows:
        key = (getattr(row, name), next(getattr(row, time) for time in _TIMES if hasattr(row, time)))
        known = found.get(key)
        is_other = known is None or row.person_key != known.person_key
        assert is_other or row.revision != known.revision or row == known, "one revision, two contents"
        if known is None or row.revision > known.revision:
            found[key] = row
    return [row for row in found.values() if not row.is_deleted]


@pytest.fixture
def make_person() -> Callable[..., Person]:
    """A person of an app with `goals`; `settings` are `AttributionSettings`."""

    def make(
        user_id: str = "u1", anonymous_id: str = "", goals: tuple[Goal, ...] = DEFAULT_GOALS, **settings: Any
    ) -> Person:
        app = App("shop", "Shop", goals=goals, attribution=AttributionSettings(**settings))
        return Person(compile_rules(app), user_id, anonymous_id)

    return make


@pytest.fixture
def person(make_person: Callable[..., Person]) -> Person:
    return make_person()


@pytest.fixture
def pair(make_person: Callable[..., Person]) -> Callable[..., tuple[Person, Person]]:
    """An anonymous person a1 and a user u1 of one app."""

    def make(**settings: Any) -> tuple[Person, Person]:
        return make_person(user_id="", anonymous_id="a1", **settings), make_person(user_id="u1", **settings)

    return make
