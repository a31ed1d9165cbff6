"""Which servers are too old."""

import pytest

from pipeline.runtime.clickhouse.versions import is_too_old


@pytest.mark.parametrize(("version", "expected"), [("24.8.4.13", True), ("25.2.1.1", True), ("25.3.2.39", False)])
def test_a_server_before_the_oldest_supported_release_is_too_old(version: str, expected: bool) -> None:
    assert is_too_old(version) is expected


def test_a_version_that_is_no_number_is_not_judged() -> None:
    assert not is_too_old("head")
