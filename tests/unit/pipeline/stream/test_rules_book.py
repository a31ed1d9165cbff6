from dataclasses import replace

from pipeline.stream.rules_book import RulesBook
from schemas.control import DEFAULT_GOALS, App, AttributionSettings, Counting, Snapshot

DEMO = App("demo", "Demo", goals=DEFAULT_GOALS)


def _snapshot(*apps: App) -> Snapshot:
    return Snapshot({app.app_id: app for app in apps}, {}, 0)


def test_rules_are_compiled_once_and_again_only_for_the_app_that_changed() -> None:
    book = RulesBook()
    book.use(_snapshot(DEMO, App("other", "Other")))
    demo, other = book["demo"], book["other"]
    book.use(_snapshot(replace(DEMO), App("other", "Other", currency="USD")))
    assert book["demo"] is demo
    assert book["other"] is not other
    assert book["other"].currency == "USD"


def test_a_changed_goal_or_configuration_is_in_force_with_the_next_snapshot() -> None:
    book = RulesBook()
    book.use(_snapshot(DEMO))
    assert book["demo"].goals_by_event["purchase"][0].version == 1
    once = replace(DEFAULT_GOALS[0], counting=Counting.ONCE_PER_PERSON, version=2)
    book.use(_snapshot(replace(DEMO, goals=(once,), config_version=3)))
    assert book["demo"].goals_by_event == {once.event_name: (once,)}
    assert book["demo"].config_version == 3


def test_an_unknown_or_deleted_app_has_the_defaults() -> None:
    book = RulesBook()
    assert book["nobody"].gap_ms == 30 * 60 * 1000
    book.use(_snapshot(DEMO))
    assert book["demo"].goals_by_event
    assert book.knows("demo")
    assert not book.knows("nobody")
    book.use(_snapshot())
    assert not book["demo"].goals_by_event


def test_settings_nothing_can_be_computed_with_do_not_stop_the_stream() -> None:
    broken = replace(DEMO, attribution=AttributionSettings(session_gap_seconds=-5))
    book = RulesBook()
    book.use(_snapshot(broken))
    assert book["demo"].gap_ms == 30 * 60 * 1000
    assert book["demo"].goals_by_event
