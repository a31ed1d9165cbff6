"""The byte budget, shared between apps and client networks."""

from hypothesis import given
from hypothesis import strategies as st

from services.web.budget import Budget, Payer, payer_of

LIMIT_BYTES = 1 << 26
PIECE_BYTES = 1 << 16


def take_all(budget: Budget, payer: Payer, size_bytes: int = PIECE_BYTES) -> int:
    """How much `payer` gets until it is refused."""
    taken = 0
    while budget.take(payer, size_bytes):
        taken += size_bytes
    return taken


def test_one_client_leaves_others_of_its_app_their_part_and_one_app_other_apps() -> None:
    budget = Budget(LIMIT_BYTES)
    first = take_all(budget, Payer("shop", "198.51.100.7"))
    assert LIMIT_BYTES // 4 < first < LIMIT_BYTES // 3
    for number in range(10):
        take_all(budget, Payer("shop", f"198.51.100.{number + 10}"))
    assert budget.used_bytes <= LIMIT_BYTES // 2
    assert take_all(budget, Payer("other", "203.0.113.9")) > LIMIT_BYTES // 8


def test_one_client_with_the_keys_of_many_apps_has_no_more() -> None:
    budget = Budget(LIMIT_BYTES)
    for number in range(100):
        take_all(budget, Payer(f"app{number}", "198.51.100.7"))
    assert budget.used_bytes < LIMIT_BYTES // 2
    assert take_all(budget, Payer("app0", "203.0.113.9")) > LIMIT_BYTES // 32


def test_what_is_reserved_for_small_apps_stays_when_large_ones_took_the_rest() -> None:
    budget = Budget(LIMIT_BYTES)
    for number in range(7):
        for client in range(20):
            take_all(budget, Payer(f"app{number}", f"198.51.{number}.{client}"))
    assert budget.take(Payer("small", "203.0.113.9"), PIECE_BYTES)


def test_a_client_of_ipv6_is_its_network() -> None:
    assert (
        payer_of("shop", "2001:db8:1:2:3:4:5:6") == payer_of("shop", "2001:db8:1:2::1") == ("shop", "2001:db8:1:2::/64")
    )
    assert payer_of("shop", "2001:db8:1:3::1") != payer_of("shop", "2001:db8:1:2::1")
    assert payer_of("shop", "198.51.100.7").network == "198.51.100.7"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 400_000)), max_size=60))
def test_what_is_given_back_leaves_nothing(takes: list[tuple[int, int, int]]) -> None:
    budget = Budget(1 << 20)
    held = []
    for app, network, size_bytes in takes:
        payer = Payer(f"app{app}", f"198.51.100.{network}")
        if budget.take(payer, size_bytes):
            held.append((payer, size_bytes))
        assert budget.used_bytes <= 1 << 20
    for payer, size_bytes in held:
        budget.give_back(payer, size_bytes)
    assert (budget.used_bytes, budget._by_app, budget._by_network) == (0, {}, {})
