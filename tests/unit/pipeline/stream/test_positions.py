"""Where a partition goes on, inside what its topics hold."""

import pytest
from structlog.testing import capture_logs

from pipeline.domain.watermark import Watermark
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.lost_records import RecordsLost
from pipeline.stream.partition.changelog import Marker
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.state_cache import LiveStates
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.partition.working_set import WorkingSet
from pipeline.stream.positions import Positions, align
from pipeline.stream.rules_book import RulesBook
from schemas.topics import Topic

EVENTS, PEOPLE = (Topic.EVENTS, 0), (Topic.PEOPLE, 0)
STOPS = KafkaSettings.model_construct(skip_lost_records=False)
GOES_ON = KafkaSettings.model_construct(skip_lost_records=True)


def working_set(offset: int, people_offset: int = 0) -> WorkingSet:
    states = LiveStates(MemoryStore().get_many, 1, 1)
    return WorkingSet(
        Persons(0, states, RulesBook(), Watermark(0, 0)), Marker(offset, 0, 0, people_offset=people_offset)
    )


def held(events: tuple[int, int], people: tuple[int, int] = (0, 0)) -> Positions:
    return Positions({EVENTS: events[0], PEOPLE: people[0]}, {EVENTS: events[1], PEOPLE: people[1]}, {})


def test_it_goes_on_where_it_was() -> None:
    found = working_set(7)
    align(STOPS, found, 0, held((3, 9)))
    assert found.next_offset == 7


def test_a_stream_that_has_read_nothing_begins_with_what_is_there() -> None:
    found = working_set(0)
    align(STOPS, found, 0, held((3, 9)))
    assert found.next_offset == 3


@pytest.mark.parametrize(
    ("found", "positions", "said"),
    [
        (working_set(2), held((5, 9)), r"events\[0\]: offsets 2 to 4 were deleted before attrikit-stream read"),
        (working_set(9, 2), held((5, 9), (3, 4)), r"people\[0\]: offsets 2 to 2 were deleted before attrikit-.* read"),
    ],
)
def test_what_was_deleted_unread_stops_it_until_it_is_told_to_go_on(
    found: WorkingSet, positions: Positions, said: str
) -> None:
    with pytest.raises(RecordsLost, match=said):
        align(STOPS, found, 0, positions)
    with capture_logs() as logs:
        align(GOES_ON, found, 0, positions)
    assert [line["event"] for line in logs] == ["records_lost"]
    assert found.next_offset == max(found.next_offset, 5)
