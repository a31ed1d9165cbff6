"""Money as integers: an amount in the smallest unit of its currency.

Source of the digits: ISO 4217, list one (column "Minor unit"); currencies not named here have two.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, TypeAlias

MINOR_DIGITS: Final[dict[str, int]] = (
    dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    )
    | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
    | {"CLF": 4, "UYW": 4}
)
"""Numbers of decimal digits of the currencies that have not two."""
MAX_MINOR: Final = 10**17
"""Above this a sum over many rows could leave 64 bits."""
Run: TypeAlias = tuple[int, int]
"""A part, and how many of them follow each other."""


def minor_digits(currency: str) -> int:
    """Digits after the decimal point of `currency` (ISO 4217, upper case)."""
    return MINOR_DIGITS.get(currency, 2)


def to_minor(amount: int | float | str, currency: str) -> int | None:
    """The amount in smallest units, half to even; None if it is no finite number or absurdly large.

    A float is read by its shortest decimal form, so 19.99 is 1999 and not 1998.
    """
    try:
        value = Decimal(str(amount)).scaleb(minor_digits(currency))
        if not value.is_finite() or abs(value) > MAX_MINOR:
            return None
        return int(value.to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):  # decimal signals overflow and bad syntax by different classes
        return None


def from_minor(amount_minor: int, currency: str) -> Decimal:
    """The amount in whole units of the currency."""
    return Decimal(amount_minor).scaleb(-minor_digits(currency))


def round_together(parts: Sequence[int], step: int) -> list[int]:
    """The parts, which are not negative, in whole steps that add up to the sum of the parts in whole steps.

    The method of the largest remainder: each part is rounded down, and what is missing in the sum goes, a step each, to
    the parts that lost most; of equal ones to the later. The sum itself is rounded half up.
    """
    whole = [part // step for part in parts]
    missing = (2 * sum(parts) + step) // (2 * step) - sum(whole)
    if missing:
        losses = [part % step for part in parts]
        by_loss = sorted(range(len(parts)), key=losses.__getitem__)  # stable: of equal ones the later is last
        for place in by_loss[-missing:]:
            whole[place] += 1
    return whole


def round_runs(runs: Sequence[Run], step: int) -> list[Run]:
    """`round_together` of runs of equal parts: it takes a step for each run, not for each part."""
    missing = (2 * sum(part * count for part, count in runs) + step) // (2 * step)
    missing -= sum(part // step * count for part, count in runs)
    raised = [0] * len(runs)
    for place in sorted(range(len(runs)), key=lambda place: (runs[place][0] % step, place), reverse=True):
        raised[place] = min(missing, runs[place][1])
        missing -= raised[place]
    rounded: list[Run] = []
    for (part, count), more in zip(runs, raised, strict=True):
        rounded += [(part // step, count - more), (part // step + 1, more)]
    return [(part, count) for part, count in rounded if count]
