"""Charts: golden files of each, and what holds for every one. `GOLDEN=write` writes the files again."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.charts.bars import Step, bar, funnel
from services.console.charts.lines import Series, line_chart, sparkline
from services.console.charts.sankey import MAX_NODES, Words, sankey
from services.console.charts.scale import ticks

GOLDEN = Path(__file__).with_name("golden")
WORDS = Words("others ({n})", "Conversion")
PATHS = {
    ("Paid search", "Direct"): 40.0,
    ("Feed ads",): 25.0,
    ("Paid search", "Feed ads", "E-mail", "Direct", "Referral", "Organic search", "Direct"): 3.0,
    **{(f"Channel {number}",): 2.0 for number in range(8)},
}
CHARTS = {
    "lines": line_chart(
        "Conversions by day",
        "A table follows.",
        ["Nov 1", "Nov 2", "Nov 3"],
        [Series("Conversions", [3, 10, 7]), Series("Before", [4, 0, 2], is_before=True)],
        lambda value: f"{value:g}",
    ),
    "one-day": line_chart("One day", "", ["Nov 1"], [Series("Conversions", [5])], str),
    "no-day": line_chart("No day", "", [], [Series("Conversions", [])], str),
    "sparkline": sparkline([1, 4, 2, 8]),
    "bar": bar(30, 120),
    "funnel": funnel("Funnel", "", [Step("page_view", 100, "100"), Step("a" * 40, 25, "25"), Step("purchase", 0, "0")]),
    "sankey": sankey("Paths", "A table follows.", PATHS, WORDS),
}
TEXTS = st.text(min_size=1, max_size=30).filter(
    lambda text: all(ord(char) >= 32 and char.isprintable() for char in text)
)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn_as_before(name: str) -> None:
    file = GOLDEN / f"{name}.svg"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(CHARTS[name] + "\n")
    assert CHARTS[name] + "\n" == file.read_text()


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_named_and_needs_no_style_or_script(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name])
    assert root.get("aria-hidden") == "true" or root.find("{http://www.w3.org/2000/svg}title") is not None
    for one in root.iter():
        assert not {"style", "onclick", "onload", "href"} & one.attrib.keys()
        assert not one.tag.endswith(("script", "foreignObject"))


@st.composite
def sankey_paths(draw: st.DrawFn) -> dict[tuple[str, ...], float]:
    """Up to 20 paths over up to 12 names, which they share as real ones share channels."""
    name = st.sampled_from(draw(st.lists(TEXTS, min_size=1, max_size=12)))
    path = st.lists(name, min_size=1, max_size=10).map(tuple)
    return draw(st.dictionaries(path, st.floats(0.5, 1e6), min_size=1, max_size=20))


@given(sankey_paths())
def test_a_sankey_shows_all_of_it_in_few_nodes(paths: dict[tuple[str, ...], float]) -> None:
    root = ElementTree.fromstring(sankey("Paths", "", paths, WORDS))
    space = "{http://www.w3.org/2000/svg}"
    texts = [one.text or "" for one in root.findall(space + "text")]
    assert "Conversion 100%" in texts
    columns: dict[str, int] = {}
    for one in root.findall(space + "rect"):
        columns[one.attrib["x"]] = columns.get(one.attrib["x"], 0) + 1
    assert len(columns) <= 7
    assert max(columns.values()) <= MAX_NODES


@given(TEXTS, TEXTS)
def test_what_a_sender_wrote_stays_text(name: str, label: str) -> None:
    for drawn in (
        line_chart(name, label, [label], [Series(name, [1])], lambda _: name),
        funnel(name, label, [Step(name, 1, label)]),
        sankey(name, label, {(name, label): 1.0}, WORDS),
    ):
        root = ElementTree.fromstring(drawn)
        assert root[0].text == name


@given(st.floats(0, 1e12))
def test_ticks_are_few_rise_evenly_and_reach_the_highest(highest: float) -> None:
    marks = ticks(highest)
    assert marks[0] == 0
    assert marks[-1] >= highest * (1 - 1e-9)
    assert 2 <= len(marks) <= 7
