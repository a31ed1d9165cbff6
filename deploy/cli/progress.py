"""`attrikit progress`: show how far the pipeline has come, and whether everything accepted can be read."""

import asyncio
import sys
from contextlib import suppress

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from pipeline.readmodel.progress import Progress, TopicsMissing, evaluate, open_reader, wait_until_settled
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.settings import Settings


def show(settings: Settings, wait: bool, timeout_seconds: float) -> int:
    """Print each topic's lag and return the exit code: 1 if --wait ran out of time or the broker does not answer."""
    try:
        found = asyncio.run(_observe(settings, timeout_seconds if wait else 0.0))
    except (KafkaError, TimeoutError) as error:
        print(f"the broker does not answer: {error or type(error).__name__}", file=sys.stderr)
        return 1
    except TopicsMissing as error:
        print(error, file=sys.stderr)
        return 1
    Console().print(table_of(found))
    print("settled" if found.is_settled else "not settled")
    return 1 if wait and not found.is_settled else 0


async def _observe(settings: Settings, wait_seconds: float) -> Progress:
    deadline = monotonic_seconds() + wait_seconds
    async with open_reader(settings) as reader:
        if wait_seconds > 0:
            with suppress(TimeoutError):
                return await wait_until_settled(reader, deadline - monotonic_seconds())
        return evaluate(await reader.read())


def table_of(progress: Progress) -> Table:
    """Build a table with a line per topic and partition that ever held something."""
    table = Table("topic", "partition", "end offset", "stream lag", "loader lag", "unwritten sessions", "settled")
    for line in progress.partitions:
        if line.end_offset:
            stream_lag = "" if line.stream_lag is None else str(line.stream_lag)
            cells = (line.partition, line.end_offset, stream_lag, line.loader_lag, line.pending_sessions or "")
            table.add_row(line.topic, *map(str, cells), "yes" if line.is_settled else "no")
    return table
