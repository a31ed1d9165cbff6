"""Messages of the topic `people`: effects of one person's events on another person, or on an order.

A message is packed NDJSON of one partition, each line one of these kinds (field `kind`):

    link      the gateway → the partition of the anonymous id    both ids stood on one accepted event
    journey   the stream  → the partition of the user            what the anonymous person had done until then
    event     the stream  → the partition of the user            an event of the anonymous id that came after that
    order     the stream  → the partition of the order           a person has a conversion of the order
    refund    the stream  → the partition of the order           a refund, whoever it came from
              the stream  → the partition of a person            the same, for a person who has such a conversion
    closed    the stream  → the partition of the order           conversions that the person's state no longer holds

An order's key is `o:` and its id (`order_key`): it belongs to the app, and lies in a partition of its own.

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
    """State in the form of `pipeline.domain.identity.stitching.hand_over`; base64 in JSON."""


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


class OrderCounted(msgspec.Struct, tag_field="kind", tag="order", gc=False):
    """`person` has a conversion of the order, of the time `at_ms`, that has a value. Repeats say nothing new."""

    app_id: str
    order_id: str
    person: str
    at_ms: int
    received_s: int


class OrderRefund(msgspec.Struct, tag_field="kind", tag="refund", gc=False):
    """A refund as `pipeline.domain.state.Refund` has it. Repeats (of an `event_id`) say nothing new."""

    app_id: str
    order_id: str
    event_id: str
    at_ms: int
    amount: str
    currency: str
    received_s: int
    person: str = ""
    """Person who is to take it back; empty: it is for the order."""


class OrderClosed(msgspec.Struct, tag_field="kind", tag="closed", gc=False):
    """Conversions of an order that leave the person's state. Sent again after a crash, with the same content."""

    app_id: str
    order_id: str
    person: str
    received_s: int
    conversions: bytes
    """Conversions in the form of `pipeline.domain.conversions.expiry`; base64 in JSON."""


def order_key(order_id: str) -> str:
    """Key of the order's state, in place of a person's key."""
    return "o:" + order_id


PeopleRecord = Link | Journey | Forwarded | OrderCounted | OrderRefund | OrderClosed

decode_people = msgspec.json.Decoder(PeopleRecord).decode_lines
decode_people_line = msgspec.json.Decoder(PeopleRecord).decode
encode_people = msgspec.json.Encoder().encode_lines
"""NDJSON, a newline after each."""
