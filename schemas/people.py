"""What the topic `people` holds: which ids are one person's, and what moves from one person to another by that.

A message is packed NDJSON of one partition, each line one of three kinds (field `kind`):

    link      the gateway → the partition of the anonymous id    both ids stood on one accepted event
    journey   the stream  → the partition of the user            what the anonymous person had done until then
    event     the stream  → the partition of the user            an event of the anonymous id that came after that

An anonymous id belongs to the first user it was accepted with. Acceptance order is the order of the links in the
partition of the anonymous id, and so the same in every replay.
"""

import msgspec

from schemas.events import StreamEvent


class Link(msgspec.Struct, tag_field="kind", tag="link", gc=False):
    """An accepted event carried both ids. Repeats say nothing new."""

    app_id: str
    anonymous_id: str
    user_id: str
    event_id: str
    timestamp_ms: int
    received_us: int


class Journey(msgspec.Struct, tag_field="kind", tag="journey", gc=False):
    """The journey of an anonymous person, handed over once; sent again after a crash, with the same content."""

    app_id: str
    anonymous_id: str
    user_id: str
    state: bytes
    """As `pipeline.domain.merging.hand_over` gives it; base64 in JSON."""


class Forwarded(msgspec.Struct, tag_field="kind", tag="event", gc=False):
    """An event of an anonymous id that was handed over. (`partition`, `offset`, `index`): its place in `events`.

    The places of one partition come in ascending order; one that comes again does so after a crash.
    """

    user_id: str
    event: StreamEvent
    is_late: bool
    """Beyond the lateness by the watermark of the partition it was accepted in."""
    partition: int
    offset: int
    index: int


PeopleRecord = Link | Journey | Forwarded

decode_people = msgspec.json.Decoder(PeopleRecord).decode_lines
decode_people_line = msgspec.json.Decoder(PeopleRecord).decode
encode_people = msgspec.json.Encoder().encode_lines
"""NDJSON, a newline after each."""
