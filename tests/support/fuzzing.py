"""Number of generated cases: a seeded handful in the ordinary run, all of them under `make fuzz` (FUZZ=full).

A full run takes its seed from FUZZ_SEED, or makes one up; `tests/integration/api/conftest.py` says which.
"""

import gc
import os
import secrets
from collections.abc import Callable
from typing import Any

import hypothesis
import psutil
from hypothesis import HealthCheck
from hypothesis import strategies as st

from schemas.errors import ErrorCode

IS_FULL = os.environ.get("FUZZ") == "full"
MESSAGES = {code: (code.message("zh"), code.message("en")) for code in ErrorCode}
GROWTH_BYTES = 200 * 1024 * 1024
"""Memory may gain in a full run, what hypothesis and the allocator keep included. One leaked body in ten is more."""
SEED = int(os.environ.get("FUZZ_SEED") or (secrets.randbits(32) if IS_FULL else 1))


def cases(few: int, full: int) -> int:
    """Return how many cases a test generates."""
    return full if IS_FULL else few


def run(count: int, strategy: st.SearchStrategy[Any], test: Callable[[Any], None]) -> None:
    """`test` with `count` values, in rounds: what hypothesis remembers of a run would grow without end."""
    settings = hypothesis.settings(
        max_examples=min(count, 2_500),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    before = 0
    for number in range(max(count // 2_500, 1)):
        # A wrapper of its own for each round: hypothesis keeps a test's history on the function.
        hypothesis.seed(SEED + number)(settings(hypothesis.given(strategy)(lambda value: test(value))))()
        if number == 0:
            before = resident_bytes()
    if IS_FULL:
        assert resident_bytes() - before < GROWTH_BYTES


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def check_envelope(status: int, answer: Any) -> None:
    if status < 400:
        assert answer.keys() == {"success", "data"}
        assert answer["success"] is True
        return
    assert answer.keys() == {"success", "error"}
    assert answer["success"] is False
    error = answer["error"]
    assert error.keys() == {"code", "message", "details"}
    code = ErrorCode(error["code"])
    assert code.status == status
    assert error["message"].startswith(MESSAGES[code])
