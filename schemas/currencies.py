"""Currencies: the codes of ISO 4217, what else they are called, and the marks that stand beside amounts."""

import unicodedata
from typing import Final

from schemas.caches import cache_short_texts

_MAX_CHARACTERS: Final = 16

_ISO_4217: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
    CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
    GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS
    TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW
    ZWG ZWL
"""
CODES: Final = frozenset(_ISO_4217.split())
"""ISO 4217, list one, without metals, funds of banks and test codes; with those withdrawn since 2022."""
_ALIASES: Final = {"RMB": "CNY", "CNH": "CNY", "人民币": "CNY"}
_DOLLARS: Final = frozenset(("USD", "AUD", "CAD", "HKD", "SGD", "NZD", "TWD", "MXN", "ARS", "CLP", "COP", "BRL"))
_MARKS: Final[dict[str, frozenset[str]]] = {
    "¥": frozenset(("CNY", "JPY")),
    "元": frozenset(("CNY", "TWD", "HKD", "MOP")),
    "円": frozenset(("JPY",)),
    "$": _DOLLARS,
    "£": frozenset(("GBP", "EGP", "FKP", "GIP", "SHP", "SYP", "LBP")),
    "₩": frozenset(("KRW", "KPW")),
} | {
    mark: frozenset((code,))
    for mark, code in {
        "CN¥": "CNY", "JP¥": "JPY", "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "HK$": "HKD",
        "NT$": "TWD", "S$": "SGD", "NZ$": "NZD", "R$": "BRL", "€": "EUR", "₹": "INR", "₽": "RUB", "฿": "THB",
        "₫": "VND", "₱": "PHP", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₦": "NGN", "ZŁ": "PLN",
    }.items()
}  # fmt: skip
"""Upper case → the currencies that are written so."""


def read_currency(text: str) -> str | None:
    """The code `text` names, in any case and with blanks around it; None: it names none that is known."""
    if text in CODES:
        return text
    return _named(text) if len(text) <= _MAX_CHARACTERS else None


@cache_short_texts(1_024, _MAX_CHARACTERS)
def _named(text: str) -> str | None:
    named = plain(text).upper()
    return named if named in CODES else _ALIASES.get(named)


def currencies_of_mark(mark: str) -> frozenset[str]:
    """Return the currencies that a mark beside an amount (`¥`, `US$`, `CNY`) may mean; empty: unknown."""
    code = read_currency(mark)
    return frozenset((code,)) if code else _MARKS.get(mark.upper(), frozenset())


def plain(text: str) -> str:
    """Full-width letters, digits and marks as ordinary ones, without blanks around."""
    return unicodedata.normalize("NFKC", text).strip()
