"""The plan of an installation: grows with its traffic, keeps to what can be, and shows its arithmetic."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sizing.figures import FIGURES
from deploy.sizing.plan import Traffic, plan

SMALL = Traffic(events_per_day=1e5, persons=1e4)
events = st.floats(min_value=1, max_value=2e9)
people = st.floats(min_value=1, max_value=1e9)


@given(events, people)
def test_more_traffic_never_needs_less(events_per_day: float, persons: float) -> None:
    less, more = (plan(Traffic(events_per_day=n * events_per_day, persons=n * persons)) for n in (1, 2))
    shrinking = {"memory of a worker", "disk of a worker"}  # more workers share the persons
    for small, large in zip(less.needs(), more.needs(), strict=True):
        assert large.value >= small.value or large.name in shrinking


@given(events, people)
def test_no_worker_and_no_loader_is_without_a_partition(events_per_day: float, persons: float) -> None:
    found = plan(Traffic(events_per_day=events_per_day, persons=persons))
    assert found.loaders.value <= found.partitions.value
    assert found.stream_workers.value <= found.partitions.value or found.limits
    assert found.partitions.value <= 1024


def test_a_small_site_needs_two_of_each_to_lose_one() -> None:
    found = plan(SMALL)
    assert [found.gateways.value, found.stream_workers.value, found.loaders.value] == [2, 2, 2]
    assert found.clickhouse_shards.value == 1
    assert found.limits == ()


def test_a_billion_events_a_day() -> None:
    """34,722 events/s at the peak × 93 µs of a worker / 0.5 busy = 6.5 workers."""
    found = plan(Traffic(events_per_day=1e9, persons=5e7))
    assert found.peak_events.value == pytest.approx(34_722, rel=1e-4)
    assert found.stream_workers.value == 7
    assert found.partitions.value == 32
    assert "34,722/s × 93 µs / 0.5 busy = 6.5" in found.stream_workers.arithmetic


def test_a_faster_machine_needs_fewer_workers() -> None:
    traffic = Traffic(events_per_day=1e9, persons=5e7)
    faster = replace(FIGURES, stream_us_per_event=FIGURES.stream_us_per_event / 2)
    assert plan(traffic, faster).stream_workers.value < plan(traffic).stream_workers.value


def test_it_says_where_more_of_the_same_does_not_help() -> None:
    found = plan(Traffic(events_per_day=1e9, persons=5e7, peak_factor=10))
    assert any("shard" in limit for limit in found.limits)
    assert any("rebalance" in limit for limit in found.limits)


def test_every_need_shows_its_arithmetic() -> None:
    assert all(need.arithmetic and need.unit for need in plan(SMALL).needs())


def test_the_page_shows_what_the_command_says() -> None:
    page = (Path(__file__).parents[4] / "deploy" / "docs" / "sizing.md").read_text()
    for options, shown in re.findall(r"\$ attrikit size ([^\n]+)\n(.*?)```", page, re.DOTALL):
        command = [sys.executable, "-m", "deploy.cli", "size", *options.split()]
        assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == shown
