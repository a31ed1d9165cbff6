"""Findings of the doctor from its observations."""

from typing import Any

import pytest

from deploy.doctor.findings import (
    Changelog,
    Clock,
    Disk,
    Lag,
    Level,
    Migrations,
    Observations,
    Refusals,
    Reported,
    Server,
    TableParts,
    findings,
    has_failed,
)
from deploy.doctor.units import duration, size

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
GIGABYTE = 1024**3


def levels(**seen: Any) -> list[tuple[str, Level]]:
    return [(finding.check, finding.level) for finding in findings(Observations(NOW_MS, **seen))]


def test_a_sound_installation_has_nothing_to_be_advised() -> None:
    found = findings(
        Observations(
            NOW_MS,
            lags=(Lag("attrikit-loader", "events", 0, 0), Lag("attrikit-loader", "events", 1, 0)),
            reported=(Reported(0, 0, NOW_MS - 400, NOW_MS - 60_000), Reported(1, 0, None, None)),
            refusals=Refusals(1_000, 10, 0),
            tables=(TableParts("events", 12, 100, 10_000),),
            longest_merge_seconds=0.0,
            changelogs=(Changelog("persons-changelog", 10_000, "compact"),),
            disks=(Disk("data", 50 * GIGABYTE, 100 * GIGABYTE),),
            clocks=(Clock("ClickHouse", 3, 5),),
            migrations=(Migrations("ClickHouse"), Migrations("control plane")),
            servers=(Server("Redis", "7.0.15", (7, 0)),),
        )
    )
    assert {finding.level for finding in found} == {Level.OK}
    assert not any(finding.advice for finding in found)
    assert not has_failed(found)
    assert {f.check for f in found} >= {"lag", "retention", "watermark", "refusals", "parts", "disk", "clock"}


@pytest.mark.parametrize(
    ("version", "level"),
    [("6.2.14", Level.WARN), ("7.0.15", Level.OK), ("10.1.0", Level.OK), ("", Level.OK), ("7.0.15-4.el9", Level.OK)],
)
def test_a_server_older_than_what_is_tested_is_told(version: str, level: Level) -> None:
    assert levels(servers=(Server("Redis", version, (7, 0)),)) == [("version", level)]


def test_a_server_that_lacks_something_is_told() -> None:
    assert levels(servers=(Server("Kafka", "", lacks=("Produce 7",)),)) == [("version", Level.FAIL)]


@pytest.mark.parametrize(("age_ms", "level"), [(1_000, Level.OK), (61_000, Level.WARN), (2 * 3_600_000, Level.FAIL)])
def test_lag_is_graded_by_the_age_of_what_waits_not_by_how_much_it_is(age_ms: int, level: Level) -> None:
    lag = Lag("attrikit-stream", "events", 2, 1_000_000, NOW_MS - age_ms, 30 * DAY_MS)
    assert levels(lags=(lag,)) == [("lag", level)]


@pytest.mark.parametrize(("age_s", "level"), [(4_096, Level.OK), (4_096 + 61, Level.WARN), (9_000, Level.FAIL)])
def test_what_waits_for_its_next_attempt_is_late_only_after_its_time(age_s: int, level: Level) -> None:
    """An endpoint that is down is no dispatcher that is."""
    lag = Lag("attrikit-webhooks-retries", "webhook-retries", 6, 3, NOW_MS - age_s * 1000, 7 * DAY_MS, 4_096_000)
    (finding,) = findings(Observations(NOW_MS, lags=(lag,)))
    overdue = {4_096: "0 s", 4_157: "1 min 1 s", 9_000: "1 h 21 min"}[age_s]
    assert (finding.level, finding.value) == (level, f"3 messages, the oldest {overdue} overdue; most in partition 6")


def test_records_deleted_unread_are_a_failure_with_the_way_on() -> None:
    lag = Lag("attrikit-loader", "sessions", 3, 5, NOW_MS, DAY_MS, deleted=1_200)
    (finding,) = [one for one in findings(Observations(NOW_MS, lags=(lag,))) if one.check == "deleted"]
    assert (finding.level, finding.about) == (Level.FAIL, "attrikit-loader on sessions[3]")
    assert finding.value == "1,200 records were deleted before it read them, and are lost to it"
    assert "ATTRIKIT_SKIP_LOST_RECORDS" in finding.advice


def test_records_about_to_expire_unread_are_a_failure_before_they_are_lost() -> None:
    lag = Lag("attrikit-loader", "events", 3, 5, NOW_MS - 6 * DAY_MS - DAY_MS // 2, 7 * DAY_MS)
    expiring = [finding for finding in findings(Observations(NOW_MS, lags=(lag,))) if finding.check == "retention"]
    (finding,) = expiring
    assert finding.level is Level.FAIL
    assert finding.about == "attrikit-loader on events[3]"
    assert finding.value == "unread records expire in 12 h"
    assert "retention.ms" in finding.advice
    for_ever = Lag("attrikit-loader", "events", 3, 5, 0, None)
    assert ("retention", Level.FAIL) not in levels(lags=(for_ever,))


def test_a_partition_nobody_works_on() -> None:
    assert levels(reported=(Reported(0, 5, NOW_MS - 90_000, NOW_MS),)) == [("stream", Level.FAIL)]
    assert levels(reported=(Reported(0, 5, None, None),)) == [("stream", Level.FAIL)]
    assert levels(reported=(Reported(0, 0, NOW_MS - 90_000, NOW_MS),)) == [("watermark", Level.OK)]


def test_an_old_watermark_is_a_delay_only_where_there_is_a_backlog() -> None:
    month_old = NOW_MS - 30 * DAY_MS
    assert levels(reported=(Reported(0, 0, NOW_MS, month_old),)) == [("watermark", Level.OK)]
    assert levels(reported=(Reported(0, 9, NOW_MS, month_old),)) == [("watermark", Level.FAIL)]


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        ({"refusals": Refusals(10, 10, 0)}, Level.OK),  # too few to say anything
        ({"refusals": Refusals(900, 100, 0)}, Level.WARN),
        ({"refusals": Refusals(100, 900, 0)}, Level.FAIL),
        ({"tables": (TableParts("events", 300, 1, 1),)}, Level.WARN),
        ({"tables": (TableParts("events", 1_000, 1, 1),)}, Level.FAIL),
        ({"longest_merge_seconds": 1_000.0}, Level.WARN),
        ({"changelogs": (Changelog("c", 10, "delete"),)}, Level.FAIL),
        ({"changelogs": (Changelog("c", 20_000_000, ""),)}, Level.WARN),
        ({"disks": (Disk("d", 4 * GIGABYTE, 20 * GIGABYTE),)}, Level.WARN),
        ({"disks": (Disk("d", GIGABYTE // 2, 20 * GIGABYTE),)}, Level.FAIL),
        ({"clocks": (Clock("c", -4_000, 1_000),)}, Level.WARN),
        ({"clocks": (Clock("c", 900, 1_000),)}, Level.OK),
        ({"clocks": (Clock("c", 20_000, 1_000),)}, Level.FAIL),
        ({"migrations": (Migrations("ClickHouse", pending=("0007",)),)}, Level.FAIL),
        ({"migrations": (Migrations("ClickHouse", changed=("0001",)),)}, Level.FAIL),
        ({"away": {"Kafka": "127.0.0.1:9: refused"}}, Level.FAIL),
    ],
)
def test_each_check_grades_and_advises(seen: dict[str, Any], level: Level) -> None:
    (finding,) = findings(Observations(NOW_MS, **seen))
    assert finding.level is level
    assert bool(finding.advice) is (level is not Level.OK)


def test_lines_put_aside_are_told_of() -> None:
    assert levels(refusals=Refusals(1_000, 0, 3)) == [("refusals", Level.OK), ("refusals", Level.WARN)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (61, "1 min 1 s"), (3_600, "1 h"), (90_000, "1 d 1 h"), (86_460, "1 d")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_in_words() -> None:
    assert [size(n) for n in (5, 2_048, 3 * GIGABYTE)] == ["5 B", "2.0 KB", "3.0 GB"]


@pytest.mark.parametrize(("late", "level"), [(19, Level.OK), (20, Level.WARN)])
def test_events_too_late_to_count_are_told(late: int, level: Level) -> None:
    found = findings(Observations(NOW_MS, refusals=Refusals(1_000, 0, 0, late)))
    (told,) = [finding for finding in found if finding.check == "late"]
    assert (told.level, bool(told.advice)) == (level, level is Level.WARN)
    assert told.value.startswith(f"{late} of 1,000 events")


def test_refunds_whose_order_nobody_knows_are_told() -> None:
    assert [f for f in findings(Observations(NOW_MS, refusals=Refusals(9, 0, 0))) if f.check == "refunds"] == []
    (told,) = [f for f in findings(Observations(NOW_MS, refusals=Refusals(9, 0, 0, 0, 2))) if f.check == "refunds"]
    assert (told.level, told.value[:9]) == (Level.WARN, "2 refunds")
    assert "awaiting_order" in told.advice
