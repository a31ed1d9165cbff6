"""The apps whose events a worker reads, with their rules kept up to date."""

import asyncio
from collections.abc import Iterable
from typing import Final

from pipeline.runtime.log import get_logger
from pipeline.stream.rules_book import RulesBook, Snapshots

_LOADED_POLL_SECONDS: Final = 0.02
_REFRESH_ATTEMPTS: Final = 10
_REFRESH_PAUSE_SECONDS: Final = 1.0
_log = get_logger("stream.agent")


class AppDirectory:
    """Keeps the rules up to date, and looks twice before it believes that an app does not exist.

    A new app may be known to the gateway and not yet here, since every process renews its snapshot on its own. Its
    first events must not be judged without its goals. So when an unknown app appears for the first time, the control
    plane is read again.
    """

    def __init__(self, source: Snapshots, rules: RulesBook) -> None:
        self.rules = rules
        self._source = source
        self._known_unknown: set[str] = set()

    async def loaded(self) -> None:
        """Wait for the first snapshot, and use it."""
        while not self._source.is_loaded:  # noqa: ASYNC110 - a thread loads it
            await asyncio.sleep(_LOADED_POLL_SECONDS)
        self.rules.use(self._source.current())

    async def prepare(self, app_ids: Iterable[str]) -> None:
        """Make the rules fit for these apps."""
        self.rules.use(self._source.current())
        unknown = {app_id for app_id in app_ids if app_id not in self.rules}
        unknown = {app_id for app_id in unknown if not self.rules.knows(app_id)} - self._known_unknown
        if unknown:
            await self._look_again(unknown)

    async def _look_again(self, unknown: set[str]) -> None:
        for _ in range(_REFRESH_ATTEMPTS):
            if await asyncio.to_thread(self._source.refresh):
                break
            await asyncio.sleep(_REFRESH_PAUSE_SECONDS)
        self.rules.use(self._source.current())
        missing = {app_id for app_id in unknown if not self.rules.knows(app_id)}
        self._known_unknown |= missing
        if missing:
            _log.warning("unknown_apps", app_ids=sorted(missing)[:10], note="their events get the default rules")
