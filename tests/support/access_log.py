"""An Apache access log (combined format) as page views."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

SITE = "http://site.example"
DAY_MS = 86_400_000
_LINE = re.compile(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(?:[A-Z]+ )?(\S*)[^"]*" \d{3} \S+ "([^"]*)" "(.*?)"?\s*$')


@dataclass(frozen=True)
class PageView:
    event_id: str
    anonymous_id: str
    timestamp_ms: int
    page_url: str
    referrer: str
    user_agent: str

    def body(self) -> dict[str, Any]:
        return {
            "event_id": self.event_id,
            "event_name": "page_view",
            "anonymous_id": self.anonymous_id,
            "timestamp": datetime.fromtimestamp(self.timestamp_ms / 1000, UTC).isoformat(timespec="seconds"),
            "properties": {},
            "context": {
                "user_agent": self.user_agent,
                "page": {"url": self.page_url, "referrer": self.referrer},
            },
        }


def read_page_views(path: Path, last_day_ms: int) -> list[PageView]:
    """Every line as a page view, moved by whole days so that the last lies before the end of `last_day_ms`'s day.

    A visitor is an address and a user agent. Raises ValueError for a line that is not of the format.
    """
    views = [_page_view(number, line) for number, line in enumerate(path.read_text("utf-8", "replace").splitlines())]
    shift_ms = (last_day_ms // DAY_MS - max(view.timestamp_ms for view in views) // DAY_MS) * DAY_MS
    return [PageView(**(vars(view) | {"timestamp_ms": view.timestamp_ms + shift_ms})) for view in views]


def _page_view(number: int, line: str) -> PageView:
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f"line {number + 1} is not in the combined log format: {line[:200]}")
    client, time, path, referrer, user_agent = match.groups()
    return PageView(
        event_id=f"log-{number:06d}",
        anonymous_id=f"{client}/{sha256(user_agent.encode()).hexdigest()[:12]}",
        timestamp_ms=int(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp()) * 1000,
        page_url=SITE + path,
        referrer="" if referrer == "-" else referrer,
        user_agent=user_agent,
    )


def shuffled(views: list[PageView], within_seconds: int, seed: int) -> Iterator[PageView]:
    """Out of order, but none comes after one that is `within_seconds` younger."""
    random = Random(seed)
    delays_ms = {view.event_id: random.randrange(within_seconds * 1000) for view in views}
    yield from sorted(views, key=lambda view: view.timestamp_ms + delays_ms[view.event_id])
