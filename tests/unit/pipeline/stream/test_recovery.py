import pytest

from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.recovery import plan_load


@pytest.mark.parametrize(
    ("has", "begin", "end", "expected"),
    [
        (None, 0, 0, None),
        (None, 0, 10, (0, 10)),
        (None, 4, 10, (4, 10)),
        (3, 0, 10, (4, 10)),
        (3, 7, 10, (7, 10)),
        (9, 0, 10, None),
        (0, 0, 1, None),
    ],
)
def test_only_what_the_store_lacks_is_read(
    has: int | None, begin: int, end: int, expected: tuple[int, int] | None
) -> None:
    store = MemoryStore()
    if has is not None:
        store.write([(b"k", b"v")], [], has)
    load = plan_load(1, store, begin, end)
    assert (load and (load.start_offset, load.end_offset)) == expected
    assert store.get_many([b"k"]) == [b"v" if has is not None else None]


def test_a_store_ahead_of_the_changelog_is_read_anew_from_it() -> None:
    store = MemoryStore()
    store.write([(b"k", b"v")], [], 50)
    load = plan_load(1, store, 0, 10)
    assert load is not None
    assert (load.start_offset, load.end_offset) == (0, 10)
    assert store.get_many([b"k"]) == [None]
    assert plan_load(1, MemoryStore(), 0, 0) is None
