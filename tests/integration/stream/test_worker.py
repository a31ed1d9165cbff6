"""A worker process between a real broker's topics: what comes out equals the domain run in one loop."""

import asyncio
import json
import random
import urllib.request
from collections.abc import Callable

import stream_traffic
from stream_reference import IDS, Folded, fold, reference
from stream_worker import produce, read_rows, wait_until_processed

from pipeline.readmodel.progress import open_reader
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import Settings
from schemas.facts import ProgressRow, encode_rows
from schemas.topics import Topic


def _messages(count: int, persons: int, per_message: int, seed: int, partitions: int = 4) -> list[tuple[int, bytes]]:
    return list(stream_traffic.packed(stream_traffic.events(count, persons, seed), per_message, partitions))


async def _folded(settings: Settings) -> Folded:
    return fold({topic: await read_rows(settings, topic) for topic in IDS})


def _assert_same(found: Folded, expected: Folded) -> None:
    for topic in IDS:
        assert found[topic] == expected[topic], topic


async def _reported(settings: Settings) -> dict[int, ProgressRow]:
    async with open_reader(settings) as reader:
        return dict((await reader.read()).reported)


async def test_rows_equal_those_of_a_direct_run(make_site: Callable) -> None:
    site = make_site(stream_store="memory")
    messages = _messages(3_000, 300, 60, seed=3)
    worker = site.start_worker()
    await produce(site.settings, messages)
    await wait_until_processed(site.settings, worker)
    _assert_same(await _folded(site.settings), reference(stream_traffic.APP, messages, 60))
    assert worker.stop(20) == 0


async def test_sigkills_and_a_lost_disk_change_nothing(make_site: Callable) -> None:
    site = make_site()
    messages = _messages(16_000, 800, 50, seed=4)
    await produce(site.settings, messages)
    await site.lose_three_workers(random.Random(5), 0.25)
    worker = site.start_worker()
    await wait_until_processed(site.settings, worker)
    _assert_same(await _folded(site.settings), reference(stream_traffic.APP, messages, 60))


async def test_what_cannot_be_read_is_rejected_and_the_rest_goes_on(make_site: Callable) -> None:
    site = make_site()
    [(partition, value)] = _messages(40, 5, 1_000, seed=6, partitions=1)
    lines = value.splitlines()
    poison = [
        (partition, b"\xff\x00 not json at all"),
        (partition, lines[0] + b"\n" + b'{"app_id":"demo","event_id":7}' + b"\n" + lines[1] + b"\n"),
        (partition, b""),
        (partition, b"\n".join(lines[2:]) + b"\n"),
    ]
    worker = site.start_worker()
    await produce(site.settings, poison)
    await wait_until_processed(site.settings, worker)
    rejected = await read_rows(site.settings, Topic.REJECTED)
    assert [row["stage"] for row in rejected] == ["stream", "stream"]
    assert [row["app_id"] for row in rejected] == ["", "demo"]
    assert rejected[1]["field"] == f"events[{partition}]@1[1]"
    assert rejected[1]["payload"] == '{"app_id":"demo","event_id":7}'
    readable = [(partition, value) for value in (b"", lines[0] + b"\n" + lines[1], b"", poison[3][1])]
    _assert_same_but_places(await _folded(site.settings), reference(stream_traffic.APP, readable, 60))


def _assert_same_but_places(found: Folded, expected: Folded) -> None:
    for topic in set(IDS) - {Topic.EVENT_MARKS}:
        assert found[topic].keys() == expected[topic].keys(), topic


async def test_a_worker_started_before_its_broker_waits_for_it(make_site: Callable) -> None:
    site = make_site()
    site.broker.kill()
    worker = site.start_worker()
    async with asyncio.timeout(30):
        while '"waiting_for"' not in site.log:
            assert worker.is_running, site.log
            await asyncio.sleep(0.05)
    site.broker.start()
    await produce(site.settings, _messages(200, 20, 50, seed=8))
    await wait_until_processed(site.settings, worker)
    assert worker.stop(20) == 0


async def test_progress_goes_on_after_the_clock_was_set_back(make_site: Callable) -> None:
    """Rows of `progress` replace each other by their time; those of before the step are an hour ahead."""
    site = make_site(stream_store="memory")
    ahead_ms = now_ms() + 3_600_000
    rows = [
        ProgressRow(
            partition=partition,
            next_offset=0,
            watermark_ms=0,
            pending_sessions=0,
            derived_offsets={},
            reported_at_ms=ahead_ms,
        )
        for partition in range(site.settings.partitions)
    ]
    await produce(site.settings, [(row.partition, encode_rows([row])) for row in rows], Topic.PROGRESS)
    worker = site.start_worker()
    await produce(site.settings, _messages(100, 10, 50, seed=9))
    await wait_until_processed(site.settings, worker)
    reported = await _reported(site.settings)
    assert all(row.reported_at_ms > ahead_ms for row in reported.values())


async def test_a_restart_announces_progress_again_and_a_stop_drains(make_site: Callable, free_port: Callable) -> None:
    port = free_port()
    site = make_site(worker_port=port)
    worker = site.start_worker()
    await produce(site.settings, _messages(500, 50, 50, seed=7))
    await wait_until_processed(site.settings, worker)
    metrics = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
    assert "attrikit_stream_partitions_assigned 4.0" in metrics
    assert json.loads(await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/readyz")) == {"status": "ready"}
    before = await _reported(site.settings)
    assert worker.stop(20) == 0
    again = site.start_worker()
    async with asyncio.timeout(60):
        while (after := await _reported(site.settings)) and any(
            after[p].reported_at_ms <= before[p].reported_at_ms for p in before
        ):
            await asyncio.sleep(0.1)
    for partition, row in before.items():
        assert after[partition].next_offset == row.next_offset
        assert after[partition].derived_offsets == row.derived_offsets
        assert after[partition].pending_sessions == 0
    assert again.stop(20) == 0


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        text: str = response.read().decode()
        return text
