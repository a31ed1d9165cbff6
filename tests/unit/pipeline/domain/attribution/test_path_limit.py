"""Bound of a path with many touches, against the plain way, and in pieces."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import bounded as plainly_bounded

from pipeline.domain.attribution import path_limit
from pipeline.domain.attribution.path_limit import bounded
from pipeline.domain.state import Touch

WINDOWS = {"click": 30, "impression": 3, "visit": 20}
MOST = 5
KINDS = [
    ("visit", "direct", ""),
    ("visit", "direct", ""),
    ("visit", "organic_search", ""),
    ("impression", "display", "spring"),
    ("click", "feed", "spring"),
    ("click", "feed", "summer"),
    ("click", "paid_search", "brand"),
]
paths = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(KINDS)), max_size=40)


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path_limit, "MAX_TOUCHES", MOST)
        yield


def touches_of(path: list[tuple[int, tuple[str, str, str]]]) -> list[Touch]:
    touches, at = [], 100
    for number, (step, (touch_type, channel, campaign)) in enumerate(path):
        at += step
        touches.append(Touch(at, f"t{number:02}", touch_type, channel, "", "", campaign))
    return touches


@given(paths)
def test_it_is_what_the_plain_way_finds(path: list[tuple[int, tuple[str, str, str]]]) -> None:
    touches = touches_of(path)
    names = ("touch_type", "channel", "campaign")
    rows = [
        {"touch_id": t.touch_id, "touched_at_ms": t.at_ms} | {name: getattr(t, name) for name in names} for t in touches
    ]
    found = [touch.touch_id for touch in bounded(touches, WINDOWS)]
    assert found == [row["touch_id"] for row in plainly_bounded(rows, WINDOWS, MOST)]


@given(paths, st.integers(0, 40))
def test_it_does_not_matter_when_a_part_was_bounded(path: list[tuple[int, tuple[str, str, str]]], cut: int) -> None:
    touches = touches_of(path)
    kept = bounded(touches[:cut], WINDOWS)
    assert list(bounded([*kept, *touches[cut:]], WINDOWS)) == list(bounded(touches, WINDOWS))


def test_repeated_direct_visits_go_first_then_repeats_then_others_then_clicks() -> None:
    order = [0, 0, 2, 3, 3, 4, 4, 4, 5, 6, 6, 5, 5]
    touches = [
        Touch(100, f"t{number:02}", *KINDS[kind][:2], "", "", KINDS[kind][2]) for number, kind in enumerate(order)
    ]
    dropped: dict[str, str] = {}
    kept = bounded(touches, WINDOWS, dropped)
    assert [touch.touch_id for touch in kept] == ["t00", "t05", "t08", "t09", "t12"]
    assert dropped == {
        "t01": "repeated_direct",
        **dict.fromkeys(["t04", "t06", "t07", "t10", "t11"], "repeated_contact"),
        **dict.fromkeys(["t02", "t03"], "too_many"),
    }
