"""Every line of the product's log has a name of the list, and every name of the list has a line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.runtime.log_events import LOG_EVENTS

ROOT = Path(__file__).parents[4]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
RETRY_EVENT = 3
"""Position of the event among the arguments of `retry`."""


def logged() -> Iterator[tuple[str, str | None]]:
    """Pairs (place, name of the event); None where it is no constant."""
    for folder in ("schemas", "pipeline", "services", "deploy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                name = event_of(node) if isinstance(node, ast.Call) else None
                if name is not None:
                    value = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
                    yield f"{path.relative_to(ROOT)}:{name.lineno}", value


def event_of(call: ast.Call) -> ast.expr | None:
    """The argument that names the event, of a call that writes a line."""
    called = call.func
    if isinstance(called, ast.Attribute) and called.attr in LEVELS and "log" in ast.unparse(called.value).lower():
        return call.args[0]
    if ast.unparse(called).split(".")[-1] == "retry":
        return call.args[RETRY_EVENT]
    return None


def test_a_line_has_a_name_of_the_list() -> None:
    unknown = {place: name for place, name in logged() if name not in LOG_EVENTS}
    assert {place.rpartition(":")[0] for place in unknown} <= {"pipeline/runtime/retry.py"}, unknown


def test_a_name_of_the_list_is_in_a_line() -> None:
    assert LOG_EVENTS.keys() - {name for _, name in logged()} == set()


def test_names_are_snake_case_and_told_in_a_sentence() -> None:
    for name, words in LOG_EVENTS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert words[0].isupper()
        assert words.endswith(".")
