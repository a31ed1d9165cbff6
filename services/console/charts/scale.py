"""Scales: round ticks, and values as places on a line. Pure."""

from dataclasses import dataclass
from math import ceil, floor, log10

_STEPS = (1, 2, 2.5, 5, 10)
_LEAST = 1e-6
"""Values below it are shown as 0."""


def ticks(highest: float, about: int = 4) -> list[float]:
    """Return round values from 0 to `highest` or just above it."""
    if highest < _LEAST:
        return [0.0, 1.0]
    rough = highest / about
    unit = 10.0 ** floor(log10(rough))
    step = next(factor * unit for factor in _STEPS if factor * unit >= rough * (1 - 1e-9))
    count = ceil(highest / step * (1 - 1e-9))
    return [round(index * step, 12) for index in range(count + 1)]


@dataclass(frozen=True)
class Scale:
    """Places of values between 0 and `highest`, from `start` to `end`."""

    highest: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = value / self.highest if self.highest else 0.0
        return self.start + share * (self.end - self.start)


def spread(count: int, start: float, end: float) -> list[float]:
    """Return the places of `count` points from `start` to `end`; one alone stands in the middle."""
    if count == 1:
        return [(start + end) / 2]
    return [start + (end - start) * index / (count - 1) for index in range(count)]


def every(count: int, at_most: int) -> int:
    """Return n such that every n-th of `count` labels makes at most `at_most`."""
    return max(1, -(-count // at_most))
