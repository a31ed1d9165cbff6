"""Stores of the partitions a worker owns: each is opened when it is first asked for, and closed with its partition."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.stream.partition.changelog import TABLE_NAME
from pipeline.stream.partition.stores import MemoryStore, PartitionStore, RocksStore

StoreFactory = Callable[[int], PartitionStore]


def store_factory(kind: str, directory: Path) -> StoreFactory:
    """`kind`: `rocksdb` (databases under `directory`) or `memory`."""
    if kind == "memory":
        return lambda _partition: MemoryStore()
    return lambda partition: RocksStore(directory / f"{TABLE_NAME}-{partition}.db")


class OpenStores:
    def __init__(self, factory: StoreFactory) -> None:
        self._factory = factory
        self._stores: dict[int, PartitionStore] = {}

    def of(self, partition: int) -> PartitionStore:
        store = self._stores.get(partition)
        if store is None:
            store = self._stores[partition] = self._factory(partition)
        return store

    def close(self, partitions: Iterable[int]) -> None:
        """Close those of `partitions` that are open."""
        for partition in partitions:
            store = self._stores.pop(partition, None)
            if store is not None:
                store.close()
