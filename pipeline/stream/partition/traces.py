"""Steps of the traces whose messages a partition applies: one for each message, one for the group they end up in."""

from pipeline.runtime.traces.tracer import Attributes, Kind, Span, Tracer
from pipeline.stream.decode import DecodedEvents
from pipeline.stream.partition.group import Group
from pipeline.stream.partition.outputs import rows_by_topic


def begin_message(tracer: Tracer, decoded: DecodedEvents) -> Span | None:
    """Begin the step of a message of `events`; None if it has no trace."""
    place = decoded.place
    if not place.traceparent:
        return None
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.destination.name": place.topic,
        "messaging.destination.partition.id": str(place.partition),
        "messaging.kafka.offset": place.offset,
        "attrikit.events": len(decoded.records),
    }
    return tracer.follow(f"apply {place.topic}", Kind.CONSUMER, [place.traceparent], attributes)


def begin_flush(tracer: Tracer, partition: int, group: Group) -> Span | None:
    """Begin the step of a group; None if none of its messages, of `events` or `people`, has a trace."""
    if not group.traceparents:
        return None
    attributes: Attributes = {
        "messaging.destination.partition.id": str(partition),
        "attrikit.events": group.events,
        "attrikit.rows": sum(map(len, rows_by_topic(group).values())),
    }
    return tracer.follow("flush group", Kind.INTERNAL, group.traceparents, attributes)
