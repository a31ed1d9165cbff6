"""The source of a worker (`events`) beside its messages: its ends, and what the group has committed of it."""

from typing import Protocol


class SourceTopic(Protocol):
    """As the consumer of the running app sees it."""

    async def commit(self, offsets: dict[int, int]) -> None:
        """Set what the group has committed; the consumer goes on from there."""
        ...

    def end_offset(self, partition: int) -> int:
        """Return the end of the partition as of the last fetch; 0 before the first."""
        ...
