"""How many queries of one app run at once."""

import pytest

from pipeline.runtime.clickhouse.client import QUERY_THREADS
from services.query.core.reader import queries_at_once


@pytest.mark.parametrize(
    ("is_embedded", "cores", "queries"), [(True, 1, 1), (True, 2, 1), (True, 4, 2), (False, 1, 2), (False, 64, 2)]
)
def test_an_app_takes_half_of_the_threads_and_never_all_cores_of_a_small_machine(
    is_embedded: bool, cores: int, queries: int
) -> None:
    assert queries_at_once(is_embedded, cores) == queries <= QUERY_THREADS // 2
