"""The agent: takes packed messages off `events` and hands them to their partition's committer, in order.

It runs at concurrency 1 (more could commit past a message not processed) and scales by partitions. Nothing a message
holds makes it raise; what does raise is our own failure, after which memory cannot be trusted and the process ends.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import faust

from pipeline.runtime.log import get_logger
from pipeline.stream.decode import Decoded, Place, decode_message
from pipeline.stream.partition.group_commit import PartitionCommitter
from pipeline.stream.rules_book import RulesBook, Snapshots

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
        self._source = source
        self._rules = rules
        self._known_unknown: set[str] = set()

    async def prepare(self, decoded: Decoded) -> None:
        """Make the rules fit for the apps in this message."""
        await self.prepare_apps(event.app_id for event in decoded.events)

    async def prepare_apps(self, app_ids: Iterable[str]) -> None:
        self._rules.use(self._source.current())
        unknown = {app_id for app_id in app_ids if app_id not in self._rules}
        unknown = {app_id for app_id in unknown if not self._rules.knows(app_id)} - self._known_unknown
        if unknown:
            await self._look_again(unknown)

    async def _look_again(self, unknown: set[str]) -> None:
        for _ in range(_REFRESH_ATTEMPTS):
            if await asyncio.to_thread(self._source.refresh):
                break
            await asyncio.sleep(_REFRESH_PAUSE_SECONDS)
        self._rules.use(self._source.current())
        missing = {app_id for app_id in unknown if not self._rules.knows(app_id)}
        self._known_unknown |= missing
        if missing:
            _log.warning("unknown_apps", app_ids=sorted(missing)[:10], note="their events get the default rules")


def register_agent(
    app: faust.App,
    topic: Any,
    committers: Mapping[int, PartitionCommitter],
    directory: AppDirectory,
    on_fatal: Callable[[BaseException], None],
) -> None:
    """`committers`: those of the partitions owned right now."""

    @app.agent(topic, concurrency=1, name="events")
    async def events(stream: Any) -> None:
        stream = stream.noack()
        async for event in stream.events():
            try:
                await _hand_over(stream, event, committers, directory)
            except Exception as error:
                _log.error("agent_failed", error=repr(error), exc_info=True)
                on_fatal(error)
                raise


async def _hand_over(
    stream: Any, event: Any, committers: Mapping[int, PartitionCommitter], directory: AppDirectory
) -> None:
    message = event.message
    committer = committers.get(message.partition)
    if committer is None:
        # Given up while the message was on its way here; its next owner reads it again.
        return
    place = Place(message.topic, message.partition, message.offset, int(message.timestamp * 1000))
    decoded = decode_message(message.value, place)
    await directory.prepare(decoded)
    await committer.submit(decoded, lambda: stream.ack(event))
