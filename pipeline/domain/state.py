"""Everything remembered about one person, as compact msgpack (arrays without field names).

Fields are only ever appended, with a default: an older state then decodes under newer code.

What is bounded, and what is lost at the bound:

| kept | for | at most | beyond it |
|---|---|---|---|
| ids seen | 7 days | `MAX_SEEN`, newest | a repeat of an older id is counted again |
| ids taken from anonymous ids | 7 + 30 days | `MAX_SEEN`, last taken | the same |
| segments | until no event in time can reach them | (lateness + gap) / gap | - |
| segments, also of a history, which is held a day | as above | `MAX_HELD_SEGMENTS`, newest | older events are late |
| touches of segments | as these | `MAX_HELD_TOUCHES`, of the newest, or one segment's | the same |
| sessions in the archive | 30 days | `MAX_ARCHIVE_BYTES`, newest | older ones, and their touch rows, are not moved |
| touches of a segment | as the segment | `MAX_TOUCHES` campaigns, first met | further campaigns of that day's session |
| touches | longest window | `MAX_TOUCHES`, see `path_limit` | repeated ones, then others, of a path longer than that |
| touches of conversions kept | as these | `MAX_KEPT_TOUCHES` with all | a refund takes from the touches still known |
| conversions | 30 days | `MAX_CONVERSIONS`, newest | late touches no longer restate the older ones |
| firsts of a segment | as the segment | one per goal counted once | - |
| firsts of the person | the state, 400 days at least | one per goal counted once per person | the goal counts again |
| refunds | 31 days, or as their orders | `MAX_REFUNDS`, newest | late touches do not restate the order of the oldest |
| who has conversions of an order | the app's history limit | `MAX_HOLDERS`, first | a refund does not reach others |
| refunds of an order | as the order | `MAX_REFUNDS`, first | further ones take nothing |
| its conversions past their keep | as the order | `MAX_CONVERSIONS`, newest | a refund does not reach others |
| touches of their paths | as these | `MAX_CLOSED_TOUCHES`, or one conversion's | the same |
| an anonymous id's owner (a stub) | 400 days after its last use | one | the id begins anew |
| its other users | as the stub | `MAX_LINKED_USERS` | a pair is written as linked once more |
| journeys a user has taken in | as the state | `MAX_MERGED`, newest | one sent again after all those counts twice |

What a merge drops at these bounds it has written as the user's before.
"""

from typing import Final, TypeAlias

import msgspec

from pipeline.domain.rules import DAY_MS

MAX_SEEN: Final = 2_048
MAX_TOUCHES: Final = 100
MAX_KEPT_TOUCHES: Final = 150
MAX_HELD_SEGMENTS: Final = 200
MAX_HELD_TOUCHES: Final = MAX_TOUCHES
"""Touches in segments that are held open."""
MAX_CONVERSIONS: Final = 100
MAX_CLOSED_TOUCHES: Final = 3_000
MAX_REFUNDS: Final = 100
MAX_HOLDERS: Final = 20
CONVERSION_KEEP_MS: Final = 30 * DAY_MS
"""Time in which touches can restate a conversion. Then what refunds need of it moves to its order."""
MERGE_KEEP_MS: Final = 30 * DAY_MS
"""Time after its end in which a final session can be joined with those of another journey."""
REFUND_LEAD_MS: Final = DAY_MS
"""A refund's clock may be this far behind its order's."""
FIRSTS_KEEP_MS: Final = 400 * DAY_MS
"""Time after the last event for which a person who met a goal counted once per person is remembered."""
MAX_SUM_MINOR: Final = 9 * 10**18
"""Sums stop here, inside 64 bits."""

OWES_PATH: Final = 1
"""The conversion's path may differ from that of its rows; then both rows are owed."""
OWES_SESSION: Final = 2
"""Its session is another than in its row, and its path may be."""
OWES_ALL: Final = 3
"""Both its rows are owed in any case."""

Keyed: TypeAlias = tuple[int, str, str]
"""(time ms, event id, text): the first or last of something, whatever order events come in."""


class Touch(msgspec.Struct, array_like=True, gc=False):
    """A marketing contact. `session_start_ms` names its session inside the person, once that is final."""

    at_ms: int
    touch_id: str
    touch_type: str
    channel: str
    source: str
    medium: str
    campaign: str
    session_start_ms: int = 0
    is_bot: bool = False


class First(msgspec.Struct, array_like=True, gc=False):
    """The earliest event of a segment that met a goal counted once, with what it would add to its session."""

    at_ms: int
    event_id: str
    goal: str
    is_of_person: bool
    """Counted once per person: it stands only where it is the person's first. Else once per session."""
    value_minor: int
    currency: str


class Segment(msgspec.Struct, array_like=True, gc=False):
    """The events of a session within one UTC day, as an aggregate that merges in any order (see `segments`)."""

    start_ms: int
    first_id: str
    end_ms: int
    entry: Touch
    """Touch that the event that decides the session's channel would be."""
    entry_rank: int
    """Rank of that event as evidence, 0 the best; see `touches.touch`."""
    version: int
    """The person's version when this segment, or how it forms sessions, last changed."""
    published: int = 0
    """The revision last written of the session that starts here; 0: none."""
    events: int = 1
    page_views: int = 0
    conversions: int = 0
    """Conversions of goals that count every time; `firsts` has the others."""
    values_minor: dict[str, int] = {}
    entry_page: Keyed | None = None
    exit_page: Keyed | None = None
    anonymous: Keyed | None = None
    """The first anonymous id of a known user; an anonymous person's own is in the person key."""
    touches: list[Touch] = []
    chain_start_ms: int = 0
    """Time when the chain began whose earlier segments are final and gone; 0: none are."""
    firsts: list[First] = []
    """First conversions, one per goal."""
    is_bot: bool = False
    """True if all of its events are a bot's."""


class Conversion(msgspec.Struct, array_like=True, gc=False):
    """A goal met, with what is needed to write its rows again."""

    at_ms: int
    event_id: str
    goal: str
    goal_type: str
    anonymous_id: str
    value_minor: int
    currency: str
    order_id: str
    session_id: str = ""
    attribution_revision: int = 0
    path_digest: str = ""
    goal_version: int = 1
    counting: str = ""
    """`schemas.control.Counting`; empty: every, in states of before there was another."""
    is_counted: bool = True
    """False: an earlier event of its session counts, and this one would if the session were to be divided."""
    config_version: int = 1
    """Version of the settings of its newest attribution."""
    refunded_minor: int = 0
    refund_excess_minor: int = 0
    value_issue: str = ""
    """Reason why its value is not known (`schemas.amounts.ValueIssue`); empty: it is, or the event names none."""
    row_revision: int = 0
    """Revision of its newest row; 0: none was written, or by a version that did not count them."""
    owed: int = 0
    """Which of its rows are owed: `OWES_PATH`, `OWES_SESSION`, `OWES_ALL`; 0: none."""
    owed_reason: str = ""
    is_bot: bool = False
    is_leaving: bool = False
    """It is past its keep, or one too many, and waits to be handed to its order."""


def raise_revisions(conversion: Conversion, other: Conversion) -> None:
    """Rows of `conversion` are to replace those of `other`, which have the same id."""
    conversion.attribution_revision = max(conversion.attribution_revision, other.attribution_revision)
    conversion.row_revision = max(conversion.row_revision, other.row_revision)


class Refund(msgspec.Struct, array_like=True, gc=False):
    """Refund: the amount an event takes back of an order."""

    at_ms: int
    event_id: str
    order_id: str
    amount: str
    """A decimal number, not negative; empty: all of it."""
    currency: str
    """Empty: that of the order."""


class Holder(msgspec.Struct, array_like=True, gc=False):
    """Holder of conversions of an order: a person whose state has them, and their times."""

    person: str
    times_ms: list[int]


class ClosedConversion(msgspec.Struct, array_like=True, gc=False):
    """Conversion of an order that has left its person's state, with what is needed to write its rows again."""

    conversion: Conversion
    path: list[Touch]
    person: str


class Order(msgspec.Struct, array_like=True, gc=False):
    """State of an order, kept for refunds; see `orders`."""

    holders: list[Holder] = []
    refunds: list[Refund] = []
    """Refunds by (time, event id)."""
    closed: list[ClosedConversion] = []


class Links(msgspec.Struct, array_like=True, gc=False):
    """Links of an anonymous person: the users its id was seen with, and by which event it became the first one's."""

    at_ms: int
    event_id: str
    received_s: int
    users: list[str]
    """The first is the owner of the journey."""
    is_handed_over: bool = False


class PersonState(msgspec.Struct, array_like=True, gc=False):
    version: int = 0
    """Events applied so far. Every row's revision comes from it, so a replay writes the same revisions."""
    last_ms: int = 0
    """Greatest time of an event counted under its own id."""
    received_s: int = 0
    """Latest receipt, seconds since the epoch."""
    sealed_before_ms: int = 0
    """Sessions that ended before it by the gap are in the archive, or gone."""
    is_unpublished: bool = False
    seen_ids: bytearray = msgspec.field(default_factory=bytearray)
    seen_times: bytearray = msgspec.field(default_factory=bytearray)
    segments: list[Segment] = []
    """Segments by time. They are disjoint."""
    touches: list[Touch] = []
    """Touches of final sessions, by (time, id)."""
    conversions: list[Conversion] = []
    """Conversions by (time, event id, goal)."""
    retired: list[tuple[int, str]] = []
    """(start, first event id) of sessions that are no more and may have been written: to be taken back."""
    firsts: list[Keyed] = []
    """(time, event id, goal): the person's first of each goal counted once per person."""
    refunds: list[Refund] = []
    """Refunds by (time, event id)."""
    archive: bytes = b""
    """Final sessions, for when two journeys turn out to be one person's; see `archive`."""
    links: Links | None = None
    """Links of an anonymous person seen with a user; see `identity.stitching`."""
    merged: bytes = b""
    """Fingerprints of the journeys taken into a user's, the newest last."""
    taken_ids: bytes = b""
    """Ids of events that anonymous persons have sent, like `seen_ids`."""
    taken_times: bytes = b""
    gap_ms: int = 0
    """The session gap its segments are grouped by; 0: that of the rules."""
    first_ms: int = 0
    """Least time of an event counted under its own id; 0 where there is none, and in states of before it was kept."""
    history_s: int = 0
    """Latest receipt of an event of its own id that came from behind the horizon; see `lateness`."""
    final_ms: int = 0
    """End of what was final before that: an own event before it is late."""
    held_s: int = 0
    """Like `history_s`, with the events of other ids that are the person's: until then no session is put away."""
    taken_last_ms: int = 0
    """Like `last_ms`, of events of other ids."""
    cut_ms: int = 0
    """Sessions before it were put away because more was held open than may be: an event before it is late."""
    order: Order | None = None
    """State of an order, if it is that of an order and of no person."""


encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(PersonState).decode


def new_state() -> PersonState:
    return PersonState()


def become(state: PersonState, other: PersonState) -> None:
    """`state` is what `other` is from now on."""
    for name in PersonState.__struct_fields__:
        setattr(state, name, getattr(other, name))
