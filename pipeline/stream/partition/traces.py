"""Steps of the traces whose messages a partition applies: one for each message, one for the group they end up in."""

from pipeline.runtime.traces.tracer import Attributes, Kind, Span, Tracer
from pipeline.stream.decode import DecodedEvents
from pipeline.stream.partition.group import Group


class PartitionTraces:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._in_group: dict[bytes, None] = {}
        """Traceparents of the messages in the open group."""

    def begin_message(self, decoded: DecodedEvents) -> Span | None:
        """Begin the step of a message; None if it has no trace."""
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
        return self._tracer.follow(f"apply {place.topic}", Kind.CONSUMER, [place.traceparent], attributes)

    def note_in_group(self, span: Span) -> None:
        """Note that some of the message goes into the open group."""
        self._in_group[span.traceparent] = None

    def take_group(self) -> list[bytes]:
        """Return the traceparents of the open group, which is closed."""
        taken, self._in_group = list(self._in_group), {}
        return taken

    def begin_flush(self, traceparents: list[bytes], partition: int, group: Group, rows: int) -> Span | None:
        """Begin the step of a group; None if none of its messages has a trace."""
        attributes: Attributes = {
            "messaging.destination.partition.id": str(partition),
            "attrikit.events": group.events,
            "attrikit.rows": rows,
        }
        return self._tracer.follow("flush group", Kind.INTERNAL, traceparents, attributes)
