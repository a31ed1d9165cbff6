"""Reference of the events of a person that come too late, the plain way: by all the times of what was sent before under
the same id.
"""

from dataclasses import dataclass, field

from schemas.control import App
from schemas.events import StreamEvent

DAY_MS = 86_400_000


@dataclass
class SentBefore:
    app: App
    times_ms: list[int] = field(default_factory=list)
    final_ms: int = 0
    """End of what was final when the history began that is being sent now."""
    open_until_ms: int = 0

    def is_late(self, event: StreamEvent, watermark_ms: int) -> bool:
        """Late events are forgotten, all others are among what was sent before from now on."""
        lateness_ms = self.app.attribution.allowed_lateness_seconds * 1000
        if event.timestamp_ms < watermark_ms - lateness_ms:
            if watermark_ms >= self.open_until_ms:
                self.final_ms = max(self.final_ms, self._final_before(watermark_ms - lateness_ms))
            if event.timestamp_ms < self.final_ms:
                return True
            received_ms = event.received_us // 1_000_000 * 1000
            self.open_until_ms = max(self.open_until_ms, received_ms + max(DAY_MS, lateness_ms))
        self.times_ms.append(event.timestamp_ms)
        return False

    def _final_before(self, horizon_ms: int) -> int:
        """A session is final once the horizon is past its end by the gap."""
        ends_ms = [at_ms + self.app.attribution.session_gap_seconds * 1000 for at_ms in self.times_ms]
        if not ends_ms or min(ends_ms) > horizon_ms:
            return 0
        return min(horizon_ms, max(ends_ms))
