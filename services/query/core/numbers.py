"""Numbers as answers show them: money in whole units, credit in conversions, exact or rounded so that they
add up. Pure.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from schemas.money import from_minor, round_together

_RATE_STEP: Final = Decimal("0.000001")


def money(amount_minor: int, currency: str) -> Decimal:
    return from_minor(amount_minor, currency)


def money_by_currency(values_minor: Mapping[str, int]) -> dict[str, Decimal]:
    return {currency: money(amount, currency) for currency, amount in sorted(values_minor.items()) if currency}


def credit(micros: int) -> Decimal:
    """Convert millionths of a conversion to conversions, without trailing zeros."""
    whole, rest = divmod(micros, 1_000_000)
    return Decimal(whole) if not rest else Decimal(micros).scaleb(-6).normalize()


def micros_together(nanos: Sequence[int]) -> list[int]:
    """Round billionths of credit to the millionths that are shown; they add up to what their sum is shown as."""
    return round_together(nanos, 1_000)


def rate(part: int | Decimal, whole: int | Decimal) -> Decimal | None:
    """Return `part / whole` to six digits; None if `whole` is 0."""
    return (Decimal(part) / whole).quantize(_RATE_STEP, ROUND_HALF_EVEN).normalize() if whole else None


def cost_per(spend: Decimal | None, conversions: Decimal, currency: str) -> Decimal | None:
    """Return spend divided by conversions (CPA), to the currency's smallest unit; None without conversions."""
    if spend is None or not conversions:
        return None
    return (spend / conversions).quantize(from_minor(1, currency), ROUND_HALF_EVEN)


def return_on(value: Decimal, spend: Decimal | None) -> Decimal | None:
    """Return value divided by spend (ROAS), to six digits; None without spend."""
    return rate(value, spend) if spend else None


def seconds(milliseconds: int) -> Decimal:
    """Convert milliseconds to seconds, without trailing zeros."""
    whole, rest = divmod(milliseconds, 1000)
    return Decimal(whole) if not rest else Decimal(milliseconds).scaleb(-3).normalize()
