from dataclasses import replace
from datetime import date

import pytest

from pipeline.domain.cost_rows import Problem, cost_records, key_of, read_costs, unknown_channels, with_markers
from schemas.control import App, AttributionSettings, ChannelRule, ChannelSettings
from schemas.facts import CostRow

APP = App("shop", "Shop", currency="JPY")


def read(text: str) -> tuple[list[CostRow], list[Problem]]:
    return read_costs(text.splitlines(keepends=True), APP, 77)


def test_a_file() -> None:
    rows, problems = read(
        "Date, channel ,cost,campaign,currency\n2024-01-15,paid_search,1234.565,春季,CNY\n2024-01-16,email,5,,\n"
    )
    assert problems == []
    first, second = rows
    assert (first.app_id, first.date, first.channel, first.campaign) == (
        "shop",
        date(2024, 1, 15),
        "paid_search",
        "春季",
    )
    assert (first.cost_minor, first.currency) == (123456, "CNY"), "half to even"
    assert (second.cost_minor, second.currency, second.campaign) == (5, "JPY", "")
    assert first.revision == first.imported_at_ms == 77


def test_a_quoted_campaign_may_hold_a_comma() -> None:
    rows, _ = read('date,channel,campaign,cost\n2024-01-15,email,"a, b",1\n')
    assert rows[0].campaign == "a, b"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("15.01.2024,email,,1,CNY", "no day"),
        ("2024-02-30,email,,1,CNY", "no day"),
        ("2024-01-15,7-Eleven,,1,CNY", "no name"),
        ("2024-01-15,,,1,CNY", "no name"),
        ("2024-01-15,email,,-1,CNY", "no amount"),
        ("2024-01-15,email,,1e9,CNY", "no amount"),
        ("2024-01-15,email,,NaN,CNY", "no amount"),
        ("2024-01-15,email,,,CNY", "no amount"),
        ("2024-01-15,email,,1,yuan", "no ISO 4217"),
        ("2024-01-15,email,,1", "more or fewer"),
        ("2024-01-15,email,,1,CNY,x", "more or fewer"),
        ("2024-01-15,email,a\x07b,1,CNY", "printable"),
    ],
)
def test_a_bad_line_is_named(line: str, words: str) -> None:
    good = "2024-01-14,email,,1,CNY"
    _, problems = read(f"date,channel,campaign,cost,currency\n{good}\n{line}\n")
    assert [problem.line for problem in problems] == [3]
    assert words in str(problems[0])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "no column"),
        ("date,channel", "cost"),
        ("date,channel,cost,note", "'note'"),
        ("date,date,channel,cost", "twice"),
    ],
)
def test_a_bad_header(header: str, words: str) -> None:
    rows, problems = read(header + "\n2024-01-15,email,1\n")
    assert rows == []
    assert problems[0].line == 1
    assert words in str(problems[0])


def test_a_day_given_twice_is_a_mistake() -> None:
    _, problems = read("date,channel,campaign,cost\n2024-01-15,email,a,1\n2024-01-15,email,b,1\n2024-01-15,email,a,2\n")
    assert [str(problem) for problem in problems] == [
        "line 4: the day, channel, campaign, source and currency of line 2 again: add them up"
    ]


def test_currencies_and_platforms_of_one_day_stand_beside_each_other() -> None:
    rows, problems = read(
        "date,channel,campaign,source,cost,currency\n"
        "2024-01-15,feed,a,oceanengine,1,CNY\n2024-01-15,feed,a,oceanengine,2,USD\n2024-01-15,feed,a,tencent,3,CNY\n"
    )
    assert problems == []
    assert len({key_of(row) for row in rows}) == 3


def test_names_are_read_as_those_of_touches() -> None:
    long = "c" * 300
    rows, _ = read(f"date,channel,campaign,source,cost\n2024-01-15,Paid Search, {long} ,www.Baidu.com,1\n")
    assert (rows[0].channel, rows[0].campaign, rows[0].source) == ("paid_search", long[:200], "baidu")


def test_a_file_takes_back_what_was_imported_of_its_days_and_sources() -> None:
    rows, _ = read("date,channel,cost,source\n2024-01-15,feed,1,kuaishou\n2024-01-15,email,1,\n2024-01-16,email,1,\n")
    markers = [row for row in with_markers(rows) if row.is_marker]
    assert {(row.date.day, row.source, row.revision) for row in markers} == {
        (15, "kuaishou", 77),
        (15, "", 77),
        (16, "", 77),
    }


def test_channels_no_touch_can_have_are_told() -> None:
    rows, _ = read("date,channel,cost\n2024-01-15,email,1\n2024-01-15,influencer,1\n2024-01-15,serch,1\n")
    assert unknown_channels(rows, APP) == ["influencer", "serch"]
    own = AttributionSettings(channels=ChannelSettings(rules=(ChannelRule("kol", "influencer", source="kol*"),)))
    assert unknown_channels(rows, replace(APP, attribution=own)) == ["serch"]


def test_an_open_quote() -> None:
    _, problems = read('date,channel,cost\n2024-01-15,email,"1\n')
    assert problems


def test_records_are_bounded() -> None:
    rows, _ = read("date,channel,campaign,cost\n" + "".join(f"2024-01-15,email,c{n},1\n" for n in range(5)))
    assert [len(part.splitlines()) for part in cost_records(rows, 2)] == [2, 2, 1]
