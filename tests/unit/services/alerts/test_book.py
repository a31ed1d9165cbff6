"""The rule book: which windows are measured next; nothing is sent twice or forgotten over a restart."""

from dataclasses import replace

from schemas.control import AlertMetric, AlertRule, App, Comparison
from schemas.facts import AlertRow, AlertWindowRow
from services.alerts.book import RuleBook, with_older

MINUTE_MS = 60_000
START_MS = 29_000_000 * MINUTE_MS
APPS = {"shop": App("shop", "Shop")}
RULE = AlertRule("rule_1", "shop", "n", AlertMetric.EVENTS, Comparison.ABOVE, 10, 60, active_from_ms=START_MS)
LATENCY = replace(RULE, rule_id="rule_2", metric=AlertMetric.API_LATENCY)


def row(number: int, value: float, rule_id: str = "rule_1") -> AlertWindowRow:
    start_ms = START_MS + number * MINUTE_MS
    return AlertWindowRow("shop", rule_id, start_ms, start_ms + MINUTE_MS, value, 5_000)


def states(alerts: list[AlertRow]) -> list[str]:
    return [alert.state for alert in alerts]


def test_what_is_due_follows_what_was_measured() -> None:
    book = RuleBook(10)
    book.use([RULE, LATENCY], APPS)
    through = {False: START_MS + 3 * MINUTE_MS, True: None}
    ((rule, app, windows),) = book.due(through, 10)
    assert (rule, app) == (RULE, APPS["shop"])
    assert [window.start_ms for window in windows] == [START_MS + n * MINUTE_MS for n in range(3)]
    book.hear([row(0, 1), row(1, 1)])
    ((_, _, windows),) = book.due(through, 10)
    assert [window.start_ms for window in windows] == [START_MS + 2 * MINUTE_MS]
    book.hear([row(2, 1)])
    assert book.due(through, 10) == []
    assert [found[0].rule_id for found in book.due({False: None, True: START_MS + MINUTE_MS}, 10)] == ["rule_2"]


def test_rules_paused_removed_or_without_their_app_are_not_measured() -> None:
    book = RuleBook(10)
    through = {False: START_MS + MINUTE_MS, True: START_MS + MINUTE_MS}
    for rules, apps in (([replace(RULE, is_paused=True)], APPS), ([], APPS), ([RULE], {})):
        book.use([RULE], APPS)
        assert book.due(through, 10)
        book.use(rules, apps)
        assert book.due(through, 10) == []
        assert not book.has_rules


def test_history_is_no_news_but_its_last_word_may_not_have_been_sent() -> None:
    log = [row(0, 99), row(1, 1), row(2, 99)]
    book = RuleBook(10)
    assert book.hear(log) == []
    book.use([RULE], APPS)
    (last,) = book.last_alerts()
    assert (last.state, last.window_start_ms) == ("began", START_MS + 2 * MINUTE_MS)
    assert states(book.hear([row(2, 99), row(3, 1)])) == ["ended"]
    again = RuleBook(10)
    again.hear([*log, row(3, 1), row(4, 1)])
    again.use([RULE], APPS)
    assert again.last_alerts() == [], "the end was sent before the window after it was measured"


def test_a_history_that_lost_its_beginning_tells_nothing_old() -> None:
    """The log keeps 30 days. A rule that has held for longer seems to begin where the log does."""
    book = RuleBook(2)
    book.hear([row(n, 99) for n in range(5)])
    book.use([RULE], APPS)
    assert book.last_alerts() == []
    assert states(book.hear([row(5, 99)])) == []
    assert states(book.hear([row(6, 1)])) == ["ended"]


def test_a_rule_that_is_resumed_judges_from_then_on() -> None:
    book = RuleBook(10)
    book.use([RULE], APPS)
    assert states(book.hear([row(0, 99)])) == ["began"]
    book.use([replace(RULE, is_paused=True)], APPS)
    resumed = replace(RULE, active_from_ms=START_MS + 5 * MINUTE_MS)
    book.use([resumed], APPS)
    ((_, _, windows),) = book.due({False: START_MS + 6 * MINUTE_MS, True: None}, 10)
    assert [window.start_ms for window in windows] == [START_MS + 5 * MINUTE_MS]
    assert states(book.hear([row(5, 99)])) == ["began"]


def test_what_has_expired_in_the_log_is_taken_from_the_table_and_nothing_else() -> None:
    other = row(0, 5, "rule_2")
    table = [row(0, 1), row(1, 2), other, row(2, 777)]
    logged = [row(2, 3), row(3, 4)]
    assert with_older(table, logged) == [row(0, 1), row(1, 2), other, *logged]
    assert with_older(table, []) == table
