"""Disk space that the embedded broker lacks."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.broker_room import (
    EXPANSION,
    GROWTH,
    MEASURE_SECONDS,
    BrokerRoom,
    DiskUse,
    measure,
    shortage_bytes,
)

SIZES = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("use", "unsaved_bytes", "missing"),
    [
        (DiskUse(free_bytes=100, saved_bytes=0), 0, 0),
        (DiskUse(free_bytes=99, saved_bytes=0), 0, 1),
        (DiskUse(free_bytes=300, saved_bytes=100), 0, 0),
        (DiskUse(free_bytes=250, saved_bytes=100), 0, 50),
        (DiskUse(free_bytes=0, saved_bytes=100, unfinished_bytes=300), 0, 0),
        (DiskUse(free_bytes=300, saved_bytes=100), 25, 0),
        (DiskUse(free_bytes=300, saved_bytes=100), 26, 4),
    ],
)
def test_what_is_missing(use: DiskUse, unsaved_bytes: int, missing: int) -> None:
    assert shortage_bytes(use, unsaved_bytes, margin_bytes=100) == missing


@given(st.builds(DiskUse, SIZES, SIZES, SIZES), SIZES, SIZES)
def test_without_a_shortage_the_next_save_fits_and_the_margin_stays(
    use: DiskUse, unsaved_bytes: int, margin_bytes: int
) -> None:
    missing = shortage_bytes(use, unsaved_bytes, margin_bytes)
    left = use.free_bytes + use.unfinished_bytes + missing - margin_bytes
    assert left >= GROWTH * use.saved_bytes
    assert left >= use.saved_bytes + EXPANSION * unsaved_bytes
    assert missing == 0 or left in (GROWTH * use.saved_bytes, use.saved_bytes + EXPANSION * unsaved_bytes)


def test_the_files_are_measured_and_a_save_under_way_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "kafka.json").write_bytes(b"x" * 1000)
    (tmp_path / "control.json").write_bytes(b"x" * 10)
    (tmp_path / "kafka.tmp").write_bytes(b"x" * 300)
    use = measure(tmp_path)
    disk = os.statvfs(tmp_path)
    assert (use.saved_bytes, use.unfinished_bytes) == (1010, 300)
    assert 0 < use.free_bytes <= disk.f_blocks * disk.f_frsize


def test_it_is_measured_again_when_the_last_answer_is_too_old(tmp_path: Path) -> None:
    now_seconds = 1.0
    free_bytes = measure(tmp_path).free_bytes
    room = BrokerRoom(str(tmp_path), free_bytes // 2, clock=lambda: now_seconds)
    assert room.shortage_bytes() == 0
    with (tmp_path / "kafka.json").open("wb") as file:
        file.truncate(free_bytes)  # takes no space, but says that the next save will
    assert room.shortage_bytes() == 0
    now_seconds += 2 * MEASURE_SECONDS
    assert room.shortage_bytes() > 0


def test_what_was_sent_counts_until_the_second_save_after_it(tmp_path: Path) -> None:
    now_seconds = 1.0
    saved = tmp_path / "kafka.json"

    def save(number: int) -> None:
        nonlocal now_seconds
        saved.touch()
        os.utime(saved, ns=(number, number))
        now_seconds += 2 * MEASURE_SECONDS

    room = BrokerRoom(str(tmp_path), 0, clock=lambda: now_seconds)
    save(1)
    assert room.shortage_bytes() == 0
    room.note_sent(measure(tmp_path).free_bytes)
    assert room.shortage_bytes() > 0
    save(2)
    assert room.shortage_bytes() > 0
    save(3)
    assert room.shortage_bytes() == 0


def test_a_folder_that_is_gone_is_full_and_no_folder_is_no_limit(tmp_path: Path) -> None:
    assert BrokerRoom(str(tmp_path / "gone"), 0).shortage_bytes() > 0
    assert BrokerRoom("", 2**60).shortage_bytes() == 0
