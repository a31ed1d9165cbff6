import msgspec

from schemas.facts import ProgressRow
from schemas.topics import Topic
from services.query.core.freshness import MAX_WAITING_REPORTS, Freshness, LoadedRow


def report(
    partition: int = 0, next_offset: int = 10, watermark_ms: int = 1000, at: int = 1, **more: int
) -> ProgressRow:
    derived = {"sessions": more.pop("sessions", 5), "touches": 2}
    pending = more.pop("pending", 0)
    return ProgressRow(partition, next_offset, watermark_ms, pending, derived, at)


def loaded(partition: int = 0, **offsets: int) -> list[LoadedRow]:
    return [LoadedRow(topic, partition, offset) for topic, offset in offsets.items()]


ALL = {"events": 10, "sessions": 5, "touches": 2}


def test_unknown_before_anything_is_said() -> None:
    assert Freshness(4).complete_through_ms() is None


def test_complete_once_all_that_is_vouched_for_is_loaded() -> None:
    for behind in ALL:
        freshness = Freshness(1)
        freshness.observe([report()], loaded(**ALL | {behind: ALL[behind] - 1}))
        assert freshness.complete_through_ms() is None
        freshness.observe([report()], loaded(**ALL))
        assert freshness.complete_through_ms() == 1000


def test_sessions_not_written_yet_hold_it_back() -> None:
    freshness = Freshness(1)
    freshness.observe([report(pending=3)], loaded(**ALL))
    assert freshness.complete_through_ms() is None


def test_the_slowest_partition_decides_and_an_unused_one_does_not() -> None:
    freshness = Freshness(3)
    rows = loaded(0, **ALL) + loaded(1, **ALL)
    freshness.observe([report(0, watermark_ms=5000), report(1, watermark_ms=3000)], rows)
    assert freshness.complete_through_ms() == 3000
    freshness.observe([], [*rows, *loaded(2, events=1)])
    assert freshness.complete_through_ms() is None


def test_an_earlier_report_holds_while_the_newest_is_ahead_of_the_loader() -> None:
    freshness = Freshness(1)
    for step in range(1, 30):
        now = report(next_offset=step, sessions=step, watermark_ms=step, at=step)
        freshness.observe([now], loaded(events=step - 1, sessions=step - 1, touches=2))
        assert freshness.complete_through_ms() == (step - 1 or None)


def test_it_never_goes_back_unless_the_tables_were_emptied() -> None:
    freshness = Freshness(1)
    freshness.observe([report()], loaded(**ALL))
    freshness.observe([report(watermark_ms=500, at=2)], loaded(**ALL))
    assert freshness.complete_through_ms() == 1000
    freshness.observe([report(watermark_ms=500, at=2)], loaded(events=1))
    assert freshness.complete_through_ms() is None


def test_what_waits_is_bounded() -> None:
    freshness = Freshness(1)
    for step in range(1, 1000):
        freshness.observe([report(next_offset=step, watermark_ms=step, at=step)], loaded(events=0))
    assert len(freshness._waiting[0]) <= MAX_WAITING_REPORTS + 1
    freshness.observe([], loaded(**ALL | {"events": 999}))
    assert freshness.complete_through_ms() == 999


def test_a_partition_without_an_event_says_nothing() -> None:
    freshness = Freshness(1)
    freshness.observe([report(next_offset=0, watermark_ms=0)], [])
    assert freshness.complete_through_ms() is None


def test_topics_are_named_as_the_loader_names_them() -> None:
    assert Topic.EVENTS.value == "events"


def people_report(partition: int, read: int, sent: dict[str, int], at: int) -> ProgressRow:
    return msgspec.structs.replace(report(partition, at=at), people_next_offset=read, people_sent=sent)


def test_a_journey_on_its_way_to_another_partition_holds_its_sender_back() -> None:
    freshness = Freshness(2)
    rows = loaded(0, **ALL) + loaded(1, **ALL)
    sender = people_report(0, read=1, sent={"0": 1, "1": 7}, at=1)
    freshness.observe([sender, people_report(1, read=6, sent={}, at=1)], rows)
    assert freshness.complete_through_ms() is None
    behind = msgspec.structs.replace(people_report(1, read=7, sent={}, at=2), pending_sessions=1)
    freshness.observe([sender, behind], rows)
    assert freshness.complete_through_ms() is None, "applied there, and its sessions not written yet"
    freshness.observe([sender, people_report(1, read=7, sent={}, at=3)], rows)
    assert freshness.complete_through_ms() == 1000
