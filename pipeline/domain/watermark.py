"""The watermark of a partition: how far event time has come there."""

from typing import Final

NOTHING_SEEN: Final = 0


class Watermark:
    """`value_ms` never goes back. 0 (`NOTHING_SEEN`) before the first event: nothing is late and nothing closes."""

    __slots__ = ("_out_of_orderness_ms", "value_ms")

    def __init__(self, out_of_orderness_ms: int, value_ms: int = NOTHING_SEEN) -> None:
        """`value_ms`: where it stood before, when a partition is taken over."""
        if out_of_orderness_ms < 0:
            raise ValueError("out-of-orderness must not be negative")
        self._out_of_orderness_ms = out_of_orderness_ms
        self.value_ms = value_ms

    def observe(self, event_ms: int, received_ms: int) -> None:
        """Move the watermark by an event. One from the future counts as of now (its receipt), so that it cannot make
        all others late.
        """
        candidate = (event_ms if event_ms < received_ms else received_ms) - self._out_of_orderness_ms
        if candidate > self.value_ms:
            self.value_ms = candidate

    def idle_for(self, elapsed_ms: int) -> None:
        """Without events, event time goes on at the wall clock's *rate*.

        It does not jump to the wall clock's *reading*: while last month's events are being sent in, a pause of a minute
        would otherwise make all that follow a month late. In live traffic the two are the same.
        """
        if self.value_ms != NOTHING_SEEN and elapsed_ms > 0:
            self.value_ms += elapsed_ms
