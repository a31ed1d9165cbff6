"""Work counted instead of timed: bytecode instructions, which are the same on every machine and under any load."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def instructions(action: Callable[[], Any]) -> int:
    """How many bytecode instructions `action` executes. What C functions do inside is not counted."""
    count = 0

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if what == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count
