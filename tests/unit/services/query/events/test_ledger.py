"""The account of an app's events: its parts add up to what was sent."""

from hypothesis import given
from hypothesis import strategies as st

from services.query.events.ledger import LedgerRow, balance_of

COUNTS = st.tuples(st.integers(0, 9), st.integers(0, 9))


@given(st.integers(0, 9), st.integers(0, 9), COUNTS, COUNTS, COUNTS)
def test_what_was_sent_is_the_sum_of_its_parts(
    repeated: int, refused: int, accepted: tuple[int, int], stored: tuple[int, int], marked: tuple[int, int]
) -> None:
    """Each pair: those received before everything should be settled, and those received later."""
    row = LedgerRow(sum(accepted), repeated, refused, accepted[0], sum(stored), stored[0], sum(marked), marked[0])
    found = balance_of(row)
    assert found["sent"] == sum(count for name, count in found.items() if name != "sent")
    assert min(found.values()) >= 0
    assert found["sent"] >= sum(accepted) + repeated + refused
    assert found["missing"] == max(0, accepted[0] - stored[0] - marked[0])
    if stored[0] + marked[0] <= accepted[0] and stored[1] + marked[1] <= accepted[1]:
        assert found["under_way"] == accepted[1] - stored[1] - marked[1]
        assert found["sent"] == sum(accepted) + repeated + refused
