"""What other channel rules would make of stored events. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.domain.channels.classify import compile_channels
from pipeline.domain.touches.touch import arrival_of, is_marketing, tells_arrival
from schemas.control import ChannelSettings
from schemas.events import AcceptedEvent


@dataclass(frozen=True)
class Impact:
    """`moves`: (channel now, channel then, events), most events first."""

    arrivals: int
    moves: list[tuple[str, str, int]]

    @property
    def moved(self) -> int:
        return sum(count for _, _, count in self.moves)


def impact_of(events: Iterable[AcceptedEvent], now: ChannelSettings, then: ChannelSettings) -> Impact:
    """Classify the events that tell where somebody came from, by the rules of now and by those of then."""
    ours, theirs = compile_channels(now), compile_channels(then)
    arrivals = [event for event in events if tells_arrival(event) or is_marketing(event)]
    pairs = Counter((arrival_of(event, ours).channel, arrival_of(event, theirs).channel) for event in arrivals)
    moves = [(before, after, count) for (before, after), count in pairs.most_common() if before != after]
    return Impact(len(arrivals), moves)
