"""Comparison of the tables, as a reader sees them, with the batch computation of `reference`."""

from typing import Any

import msgspec
from histories import Ledger
from reference import Truth
from reference_credits import what_is_wrong


def facts(ledger: Ledger, table: str) -> dict[str, dict[str, Any]]:
    """Rows as plain values, without what depends on the order: their revision and why they were restated."""
    left_out = {"revision", "supersedes", "is_deleted", "reason", "credits_nanos"}
    return {
        key: {name: value for name, value in msgspec.to_builtins(row).items() if name not in left_out}
        for key, row in ledger.table(table).items()
    }


def assert_same_tables(ledger: Ledger, truth: Truth) -> None:
    assert facts(ledger, "sessions") == truth.sessions
    assert facts(ledger, "touches") == truth.touches
    assert facts(ledger, "conversions") == truth.conversions
    attributions = facts(ledger, "attributions")
    assert attributions.keys() == truth.attributions.keys()
    for key, row in attributions.items():
        del row["values_minor"]
        assert row == {name: value for name, value in truth.attributions[key].items() if name != "shares"}
        assert what_is_wrong(ledger.table("attributions")[key], truth.attributions[key]) == []
