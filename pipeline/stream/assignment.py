"""Assignment: the partitions a worker owns, from their taking to their release.

Taking is one recipe (`_take`), the same for every partition:

1. **load**     its store is brought to the end of its changelog
2. **fence**    nobody else can write the changelog from now on; what was written until then is loaded too
3. **restore**  its timers, debts and positions come from the store, or it is parked here since the last release
4. **align**    the positions are inside what the topics hold
5. **receive**  what its marker says comes first is there, before any event is
6. **start**    the first group begins, and the committer runs
7. **commit**   the group's offsets are the positions: Faust goes on from there, and so does the reader of `people`

One taking at a time. A rebalance cancels it whole; a failure ends the process, which goes on from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline.domain.watermark import Watermark
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.lifecycle import Background
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import WorkerSettings
from pipeline.stream import metrics
from pipeline.stream.app_directory import AppDirectory
from pipeline.stream.committers import Committers
from pipeline.stream.decode import Place, decode_message
from pipeline.stream.fatal import exit_process
from pipeline.stream.fence import FENCE_KEY, Fences
from pipeline.stream.identity.messages import DecodedPeople, app_ids_of
from pipeline.stream.identity.reader import COMMIT_SECONDS, PeopleReader
from pipeline.stream.parked import ParkedSets
from pipeline.stream.partition.changelog import MARKER_KEY, decode_marker
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.restore import restore
from pipeline.stream.partition.state_cache import LiveStates
from pipeline.stream.partition.working_set import BEGINNING, WorkingSet
from pipeline.stream.positions import align, read_positions
from pipeline.stream.recovery import Load, load_all, load_changelog
from pipeline.stream.source_topic import SourceTopic
from schemas.topics import Topic

_log = get_logger("stream.worker")


class Assignment:
    def __init__(
        self,
        settings: WorkerSettings,
        directory: AppDirectory,
        stores: OpenStores,
        fences: Fences,
        committers: Committers,
    ) -> None:
        self.people = PeopleReader(settings, self._deliver_people, self._has_room_for_people, exit_process)
        self.is_ready = False
        """The partitions assigned (there may be none) are recovered and being worked on."""
        self._settings = settings
        self._directory = directory
        self._stores = stores
        self._fences = fences
        self._committers = committers
        self._parked = ParkedSets(stores)
        self._vital = Background(exit_process)
        self._taking: asyncio.Task[None] | None = None
        self._handing_over = asyncio.Lock()
        """Calls of `take` and `release` change what is owned one after another, in the order they came."""

    async def take(self, partitions: set[int], source: SourceTopic) -> None:
        """Work on these. Returns when that has begun, or when a rebalance ended it.

        An earlier taking, of an assignment that is no more, is cancelled whole first. Faust neither ends it nor looks
        at how it ended, so a failure ends the process here.
        """
        async with self._handing_over:
            await self._release()
            self._taking = taking = self._vital.start(self._take(partitions, source))
        await asyncio.wait([taking])

    async def _take(self, partitions: set[int], source: SourceTopic) -> None:
        await self._directory.loaded()
        # 1. Load.
        await load_changelog(self._settings, self._fences.topic, partitions, self._stores)
        # 2. Fence.
        await self._shut_others_out(partitions)
        # 3. Restore. Reading the stores is work, asking the broker is waiting.
        kept = self._parked.take_valid(partitions)
        restoring = self._restore_all(sorted(partitions - kept.keys()), len(partitions))
        positions, restored = await asyncio.gather(read_positions(self._settings, partitions), restoring)
        for partition, working_set in restored.items():
            working_set.people.waits_for = positions.ends[(Topic.EVENTS, partition)]
        working_sets = dict(sorted((kept | restored).items()))
        # 4. Align.
        for partition, working_set in working_sets.items():
            align(self._settings, working_set, partition, positions)
        # 5. Receive.
        await self._receive_decided(working_sets)
        # 6. Start.
        for partition, working_set in working_sets.items():
            working_set.begin()
            self._committers.start(partition, working_set, positions, source)
        # 7. Commit.
        await source.commit({partition: working_set.next_offset for partition, working_set in working_sets.items()})
        await self.people.follow({p: working_set.people.next_to_receive for p, working_set in working_sets.items()})
        metrics.ASSIGNED.set(len(partitions))
        self.is_ready = True

    async def release(self) -> None:
        """Finish what was applied and give all partitions up; a taking under way is cancelled whole."""
        async with self._handing_over:
            await self._release()

    async def _release(self) -> None:
        self.is_ready = False
        await self._end_taking()
        await self.people.leave()
        self._parked.park(await self._committers.stop())
        metrics.ASSIGNED.set(0)

    async def _end_taking(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None and not taking.done():
            _log.info("taking_cancelled", note="the group rebalances again")
            taking.cancel()
            await asyncio.wait([taking])

    # Steps of taking

    async def _shut_others_out(self, partitions: set[int]) -> None:
        """Fence the changelogs: other writers are refused from now on, and the stores are read up to their ends."""
        kept = self._parked.keep_valid(partitions)
        await self._fences.keep_only(kept)
        raised = await self._fences.raise_for(sorted(partitions - kept))
        behind = []
        for partition, offset in raised.items():
            store = self._stores.of(partition)
            if store.offset == offset - 1:
                store.write([(FENCE_KEY, b"")], (), offset)
            else:
                start = 0 if store.offset is None else store.offset + 1
                behind.append(Load(partition, store, start, offset + 1))
        if behind:
            _log.warning("written_until_fenced", partitions=[load.partition for load in behind])
            await load_all(self._settings, self._fences.topic, behind)

    async def _restore_all(self, partitions: list[int], owned: int) -> dict[int, WorkingSet]:
        return {partition: await self._restore(partition, owned) for partition in partitions}

    async def _restore(self, partition: int, owned: int) -> WorkingSet:
        """Timers and debts of every stored person, and the positions."""
        store = self._stores.of(partition)
        marker = decode_marker(store.get_many([MARKER_KEY])[0]) or BEGINNING
        working_set = WorkingSet(self._persons(partition, marker.watermark_ms, owned), marker)
        started = monotonic_seconds()
        persons = 0
        for count in restore(working_set.agenda, store):
            persons += count
            await asyncio.sleep(0)
        _log.info(
            "partition_taken",
            partition=partition,
            next_offset=working_set.next_offset,
            persons=persons,
            pending=working_set.pending_sessions,
            seconds=round(monotonic_seconds() - started, 3),
        )
        return working_set

    def _persons(self, partition: int, watermark_ms: int, owned: int) -> Persons:
        """`owned`: partitions that share this worker's memory."""
        settings = self._settings
        capacity, capacity_bytes = max(1, settings.live_persons // owned), settings.live_state_bytes // owned
        states = LiveStates(self._stores.of(partition).get_many, capacity, capacity_bytes)
        watermark = Watermark(int(settings.out_of_orderness_seconds * 1000), watermark_ms)
        return Persons(partition, states, self._directory.rules, watermark)

    async def _receive_decided(self, working_sets: dict[int, WorkingSet]) -> None:
        queues = {partition: working_set.people for partition, working_set in working_sets.items()}
        found = await self.people.read({p: (queue.next_to_receive, queue.until) for p, queue in queues.items()})
        for partition, messages in found.items():
            for message in messages:
                await self._directory.prepare(app_ids_of(message))
                queues[partition].add(message)

    # What comes meanwhile

    async def handle(self, place: Place, value: bytes | None, acknowledge: Callable[[], Awaitable[Any]]) -> None:
        """Take a message of `events` to its committer. Nothing it holds makes this raise; what does is our failure."""
        committer = self._committers.by_partition.get(place.partition)
        if committer is None:
            # Given up while the message was on its way here; its next owner reads it again.
            return
        decoded = decode_message(value, place)
        await self._directory.prepare(event.app_id for event in decoded.records)
        await committer.submit(decoded, acknowledge)

    async def _deliver_people(self, partition: int, message: DecodedPeople) -> None:
        await self._directory.prepare(app_ids_of(message))
        committer = self._committers.by_partition.get(partition)
        if committer is not None:
            committer.submit_people(message)

    def _has_room_for_people(self, partition: int) -> bool:
        committer = self._committers.by_partition.get(partition)
        return committer is not None and committer.working_set.people.has_room

    async def commit_people_forever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            applied = {p: c.committed_people_offset for p, c in self._committers.by_partition.items()}
            await self.people.commit(applied)
