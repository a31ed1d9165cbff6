"""Apps, goals and keys in the real databases: the same promises on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from pipeline.control import AlreadyExists, InvalidRecord, UnknownRecord
from pipeline.control.engine import build_engine
from pipeline.control.rules import secret_hash
from pipeline.control.tables import CONFIG_VERSIONS
from pipeline.control.users import Users
from schemas.control import (
    DEFAULT_GOALS,
    App,
    AttributionSettings,
    Counting,
    Goal,
    GoalCondition,
    Operator,
    Plan,
    Scope,
)

BOTH = [Scope.READ, Scope.WRITE]


def test_a_new_app_starts_with_the_default_goals_in_their_order(store):
    created = store.create_app(App("shop", "店"), 1)
    assert created == replace(App("shop", "店"), goals=DEFAULT_GOALS)
    assert store.app("shop") == created


def test_an_app_keeps_everything_it_was_given(store):
    goals = (Goal("lead", "线索", "micro", "form_submitted", ()),)
    app = App("shop", "Shop", Plan.PRO, "USD", "UTC", 90, goals, AttributionSettings(half_life_days=3.5))
    store.create_app(app, 1)
    store.add_goal("shop", DEFAULT_GOALS[0], 2)
    assert store.app("shop") == replace(app, goals=(*goals, DEFAULT_GOALS[0]))


def test_an_app_can_be_changed_but_not_its_goals(store):
    store.create_app(App("shop", "Shop"), 1)
    changed = store.update_app(
        App("shop", "Shop 2", Plan.FREE, attribution=AttributionSettings(direct_touch="fallback")), 2
    )
    assert (changed.name, changed.plan, changed.attribution.direct_touch) == ("Shop 2", Plan.FREE, "fallback")
    assert changed.goals == DEFAULT_GOALS


def test_attribution_settings_have_versions_and_other_fields_have_not(store, dsn):
    store.create_app(App("shop", "Shop", config_version=9), 1)
    assert store.app("shop").config_version == 1
    assert store.update_app(App("shop", "Other name"), 2).config_version == 1
    shorter = AttributionSettings(half_life_days=2)
    assert store.update_app(App("shop", "Shop", attribution=shorter), 3).config_version == 2
    assert store.update_app(App("shop", "Shop", attribution=shorter, config_version=7), 4).config_version == 2
    assert store.snapshot(9).apps["shop"].config_version == 2
    with build_engine(dsn, writes=False).connect() as connection:
        rows = connection.execute(select(CONFIG_VERSIONS).order_by(CONFIG_VERSIONS.c.version)).mappings().all()
    assert [(row["version"], row["changed_at_ms"], row["attribution"]["half_life_days"]) for row in rows] == [
        (1, 1, 7.0),
        (2, 3, 2),
    ]


def test_goals_change_by_versions_and_their_history_stays(store):
    goal = Goal(
        "big", "Big", "macro", "purchase", ("amount",),
        (GoalCondition("amount", Operator.GTE, 100), GoalCondition("coupon", Operator.EXISTS)),
        Counting.ONCE_PER_PERSON,
    )  # fmt: skip
    store.create_app(App("shop", "Shop"), 1)
    assert store.add_goal("shop", replace(goal, version=9), 2) == goal
    assert store.app("shop").goals[-1] == goal
    changed = replace(goal, counting=Counting.EVERY, conditions=())
    assert store.update_goal("shop", changed, 3) == replace(changed, version=2)
    assert store.update_goal("shop", changed, 4).version == 2
    assert store.snapshot(4).apps["shop"].goals[-1] == replace(changed, version=2)
    store.retire_goal("shop", "big", 5)
    assert store.app("shop").goals == DEFAULT_GOALS
    assert store.add_goal("shop", goal, 6).version == 4
    history = [change for change in store.goal_changes("shop") if change.goal.name == "big"]
    assert [(change.changed_at_ms, change.change, change.goal) for change in history] == [
        (2, "added", goal),
        (3, "updated", replace(changed, version=2)),
        (5, "retired", replace(changed, version=3)),
        (6, "added", replace(goal, version=4)),
    ]
    assert [change.goal for change in store.goal_changes("shop")[:5]] == sorted(DEFAULT_GOALS, key=lambda g: g.name)


def test_a_goal_after_a_retired_one_still_comes_last(store):
    store.create_app(App("shop", "Shop"), 1)
    store.retire_goal("shop", DEFAULT_GOALS[0].name, 2)
    for name in ("one", "two"):
        store.add_goal("shop", Goal(name, "", "micro", name), 3)
    assert [goal.name for goal in store.app("shop").goals][-2:] == ["one", "two"]


def test_a_micro_goal_stays_one_when_it_is_retired(store):
    store.create_app(App("shop", "Shop"), 1)
    store.add_goal("shop", Goal("lead", "", "micro", "lead"), 2)
    store.add_goal("shop", Goal("view", "", "micro", "view"), 2)
    for name in ("lead", DEFAULT_GOALS[0].name):
        store.retire_goal("shop", name, 3)
    assert store.snapshot(4).apps["shop"].micro_goals == ("view", "lead")
    store.add_goal("shop", Goal("lead", "", "macro", "lead"), 5)
    assert store.snapshot(6).apps["shop"].micro_goals == ("view",)


def test_ids_are_unique_and_unknown_ones_are_told(store):
    store.create_app(App("shop", "Shop"), 1)
    with pytest.raises(AlreadyExists, match="shop"):
        store.create_app(App("shop", "Other"), 2)
    with pytest.raises(AlreadyExists, match="purchase"):
        store.add_goal("shop", DEFAULT_GOALS[0], 2)
    for call in (
        lambda: store.app("nope"),
        lambda: store.update_app(App("nope", "x"), 2),
        lambda: store.add_goal("nope", DEFAULT_GOALS[0], 2),
        lambda: store.update_goal("nope", DEFAULT_GOALS[0], 2),
        lambda: store.retire_goal("nope", "purchase", 2),
        lambda: store.goal_changes("nope"),
        lambda: store.update_goal("shop", Goal("nope", "", "macro", "x"), 2),
        lambda: store.retire_goal("shop", "nope", 2),
        lambda: store.create_key("nope", BOTH, 1),
        lambda: store.keys("nope"),
        lambda: store.revoke_key("nope", 1),
    ):
        with pytest.raises(UnknownRecord, match="nope"):
            call()
    assert store.app("shop").name == "Shop"


def test_a_refused_app_leaves_nothing_behind(store):
    with pytest.raises(InvalidRecord):
        store.create_app(App("Shop!", "Shop"), 1)
    with pytest.raises(InvalidRecord, match="twice"):
        store.create_app(App("shop", "Shop", goals=(DEFAULT_GOALS[0], DEFAULT_GOALS[0])), 1)
    assert store.apps() == []


def test_a_key_is_found_by_its_hash_and_stands_nowhere_in_the_clear(store, dsn, tmp_path):
    store.create_app(App("shop", "Shop"), 1)
    new = store.create_key("shop", [Scope.WRITE], 5, is_test=True)
    found = store.snapshot(7)
    key = found.keys_by_sha256[secret_hash(new.secret)]
    assert (key.key_id, key.app_id, key.scopes, key.is_revoked) == (new.key_id, "shop", {Scope.WRITE}, False)
    assert found.taken_at_ms == 7
    (record,) = store.keys()
    assert record.is_test
    assert new.secret.startswith(record.prefix)
    random_part = new.secret.removeprefix(record.prefix)
    with build_engine(dsn, writes=False).connect() as connection:
        assert random_part not in str(connection.exec_driver_sql("SELECT * FROM api_keys").all())


def test_a_revoked_key_says_so_and_keeps_the_time_it_was_revoked(store):
    store.create_app(App("shop", "Shop"), 1)
    new, other = store.create_key("shop", BOTH, 5), store.create_key("shop", BOTH, 6)
    store.revoke_key(new.key_id, 10)
    store.revoke_key(new.key_id, 20)
    assert [key.revoked_at_ms for key in store.keys("shop")] == [10, None]
    by_hash = store.snapshot(30).keys_by_sha256
    assert by_hash[secret_hash(new.secret)].is_revoked
    assert not by_hash[secret_hash(other.secret)].is_revoked


def test_the_last_use_of_a_key_only_moves_forward(store):
    store.create_app(App("shop", "Shop"), 1)
    one, other = store.create_key("shop", BOTH, 5), store.create_key("shop", BOTH, 6)
    assert [key.last_used_at_ms for key in list(store.keys())] == [None, None]
    store.record_use({one.key_id: 100, other.key_id: 200, "key_gone": 1})
    store.record_use({one.key_id: 90, other.key_id: 300})
    assert [key.last_used_at_ms for key in list(store.keys())] == [100, 300]


def test_a_key_needs_a_scope(store):
    store.create_app(App("shop", "Shop"), 1)
    with pytest.raises(InvalidRecord, match="scope"):
        store.create_key("shop", [], 1)


def test_a_time_step_of_a_second_factor_is_used_up_once(store, dsn):
    users = Users(dsn)
    users.set_totp("usr_admin", "locked", 7)
    assert [users.use_totp_step("usr_admin", step) for step in (7, 6, 8, 8, 7)] == [False, False, True, False, False]
    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(lambda _: users.use_totp_step("usr_admin", 9), range(4))) == [False] * 3 + [True]
    assert not users.use_totp_step("usr_none", 10)
