"""Large states in pages: what is read is what was written, and an event writes little of it."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from heavy_persons import PERSON, PERSONS, Heavy
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.state import decode_state, encode_state
from pipeline.stream.identity.messages import DecodedPeople
from pipeline.stream.partition import pages, state_cache
from pipeline.stream.partition.pages import Layout, PageMissing, read_states, write_state
from schemas.events import encode_event
from schemas.people import Journey, Link

KEY = b"demo\x1f" + PERSON.encode()
ARRAY = b"\xdc"
"""A state begins with the mark of an array in msgpack, and never with the mark of pages."""
MOST_BYTES_PER_EVENT = 2_500
"""On average, of a person whose state has 10 to 105 KB."""
MOST_BYTES_OF_AN_EVENT = 20_000
"""One that changes 100 conversions."""
Make = Callable[[], Any]
edits = st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 300), st.binary(max_size=300)), max_size=4)


class Records:
    """A store with the records of one state."""

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self.layout: Layout | None = None

    def write(self, data: bytes) -> int:
        """Returns the bytes written."""
        change = write_state(KEY, data, self.layout)
        keys = [key for key, _ in change.puts]
        assert len({*keys, *change.deletes}) == len(keys) + len(change.deletes)
        assert self.found.keys() >= set(change.deletes)
        assert not (self.found.keys() - {KEY}) & set(keys), "no page is written twice"
        self.found |= dict(change.puts)
        for key in change.deletes:
            del self.found[key]
        self.layout = change.layout
        return sum(map(len, (*keys, *(value for _, value in change.puts), *change.deletes)))

    def read(self) -> bytes:
        ((data, layout),) = read_states([(KEY, self.found[KEY])], lambda keys: [self.found.get(key) for key in keys])
        assert layout == self.layout
        assert len(self.found) == 1 + (len(layout.pages) if layout else 0), "no page is left behind"
        assert data is not None
        return data


@given(st.binary(max_size=4_000), st.lists(edits, max_size=25))
def test_what_is_read_is_what_was_written_last(data: bytes, changes: list[list[tuple[int, int, bytes]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WHOLE_BYTES", 100), ("PAGE_BYTES", 64), ("HEAD_BYTES", 40), ("_SHORTEST", 8)):
            patch.setattr(pages, name, value)
        records = Records()
        records.write(ARRAY + data)
        assert records.read() == ARRAY + data
        for change in changes:
            for at, gone, new in change:
                data = data[:at] + new + data[at + gone :]
            records.write(ARRAY + data)
            assert records.read() == ARRAY + data


def test_a_change_writes_itself_and_a_list_of_pages() -> None:
    random, records = Random(5), Records()
    data = random.randbytes(100_000)
    assert records.write(data) > len(data)
    sizes = []
    for _ in range(300):
        at = random.randrange(len(data))
        data = data[:at] + random.randbytes(20) + data[at + random.choice([0, 20]) :]
        sizes.append(records.write(data))
    assert records.read() == data
    assert sum(sizes) / len(sizes) < 3_500
    assert sum(map(len, records.found.values())) < 2.5 * len(data)


def test_a_page_that_is_not_there_is_an_error() -> None:
    records = Records()
    records.write(bytes(10_000))
    del records.found[max(records.found, key=len)]
    with pytest.raises(PageMissing):
        records.read()


def _stored(partition: Any) -> dict[bytes, bytes]:
    return {key: value for key, value in partition.store._data.items() if PERSON.encode() in key}


def _put_as_before(partition: Any, heavy: Heavy) -> None:
    """The state of `heavy` as a version stored it that knew no pages."""
    partition.store.write([(KEY, encode_state(heavy.state))], [], 0)
    partition.take()


def _messages(heavy: Heavy) -> Iterator[bytes]:
    """Sixty events of the person, one a message."""
    for number in range(60):
        heavy.at_ms += 1_000
        if number % 3 == 0:
            event = heavy.event("page_view", heavy.at_ms, f"new-{number}")
        elif number % 3 == 1:
            event = heavy.event("purchase", heavy.at_ms, order_id=f"new-{number}", revenue=5, currency="CNY")
        else:
            event = heavy.event("page_view", heavy.at_ms)
        yield encode_event(event)


def _written(group: Any) -> int:
    return sum(len(key) + len(value) for key, value in group.puts) + sum(map(len, group.deletes))


@pytest.mark.parametrize(("name", "prepare"), PERSONS.items(), ids=PERSONS.keys())
def test_an_event_of_a_heavy_person_writes_a_few_kilobytes_of_state(
    make_partition: Make, name: str, prepare: Callable[[], Heavy]
) -> None:
    partition, heavy = make_partition(), prepare()
    _put_as_before(partition, heavy)
    partition.run(_messages(heavy))
    first, *others = map(_written, partition.groups)
    assert first < 1.3 * len(encode_state(heavy.state)) + 5_000, "the first one cuts the state into pages"
    assert sum(others) / len(others) < MOST_BYTES_PER_EVENT
    assert max(others) < MOST_BYTES_OF_AN_EVENT


def test_rows_and_states_are_the_same_in_pages_and_whole(
    make_partition: Make, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(whole_bytes: int) -> Any:
        monkeypatch.setattr(pages, "WHOLE_BYTES", whole_bytes)
        monkeypatch.setattr(state_cache, "WHOLE_BYTES", whole_bytes)
        partition = make_partition()
        for offset, value in enumerate(messages):
            partition.apply(offset, value)
            partition.flush(publish=offset % 3 == 0)
            partition.take()
        partition.finish()
        found = list(partition.store.scan())
        states = read_states(found, partition.store.get_many)
        return partition.folded(), {key: data for (key, _), (data, _) in zip(found, states, strict=True)}

    monkeypatch.setattr(pages, "PAGE_BYTES", 128)
    monkeypatch.setattr(pages, "HEAD_BYTES", 100)
    monkeypatch.setattr(pages, "_SHORTEST", 16)
    assert run(200) == run(1 << 30)


def test_nothing_is_left_of_a_person_who_is_forgotten(make_partition: Make) -> None:
    partition, heavy = make_partition(), PERSONS["2,048 ids"]()
    _put_as_before(partition, heavy)
    partition.run(list(_messages(heavy))[:1])
    assert len(_stored(partition)) > 30
    partition.take()
    for _ in range(100):
        partition.working_set.idle_for(24 * 3_600_000)
        partition.flush(publish=True)
    assert not _stored(partition)


def test_a_journey_that_is_handed_over_leaves_a_stub_and_no_pages(make_partition: Make) -> None:
    partition, heavy = make_partition(), PERSONS["2,048 ids"]()
    _put_as_before(partition, heavy)
    partition.run(list(_messages(heavy))[:2])
    link = Link("demo", "prepared", "u1", "link", heavy.at_ms, heavy.at_ms * 1000)
    place = partition.decoded(0, b"").place
    partition.working_set.people.add(DecodedPeople(place, 100, [link], [0], []))
    partition.flush()
    group = partition.flush()
    (journey,) = [record for record in group.outbox if isinstance(record, Journey)]
    assert len(journey.state) > 50_000
    assert list(_stored(partition)) == [KEY]
    assert decode_state(_stored(partition)[KEY]).links is not None
