"""`attrikit apps|keys|topics|migrate` on a real control plane, broker and chDB."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from pipeline.control import ControlPlane
from pipeline.control.rules import secret_hash
from schemas.control import (
    DEFAULT_DROPPED_PARAMETERS,
    AttributionSettings,
    ClientAddress,
    Counting,
    Goal,
    GoalCondition,
    Operator,
    Plan,
    PrivacySettings,
    Scope,
)
from schemas.facts import TouchType


@pytest.fixture
def attrikit(make_settings, monkeypatch):
    """`attrikit("keys", "list")` → its result, on a data folder of its own."""
    settings = make_settings()
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("COLUMNS", "200")
    # It would tie this process's logs to the runner's standard error, which is closed after each call.
    monkeypatch.setattr("pipeline.runtime.log.configure_logging", lambda *_: None)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def store(make_settings) -> ControlPlane:
    return ControlPlane(make_settings().control_plane_dsn())


def test_help_loads_nothing_heavy():
    heavy = ["sqlalchemy", "aiokafka", "faust", "chdb", "fastapi", "clickhouse_connect", "httpx"]
    script = f"import sys, deploy.cli.main; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_every_command_explains_itself(attrikit):
    commands = {"gateway", "worker", "loader", "query", "store", "up", "migrate", "progress", "demo"}
    listed = attrikit("--help").output
    for command in commands:
        assert re.search(rf"\b{command}\b", listed), command
        assert attrikit(command, "--help").exit_code == 0, command


def test_an_app_and_its_keys_from_first_to_last(attrikit, store):
    made = attrikit("apps", "create", "shop", "--name", "店", "--plan", "pro", "--currency", "EUR", "--timezone", "UTC")
    assert made.exit_code == 0, made.output
    created = store.app("shop")
    assert (created.name, created.plan, created.currency, created.timezone) == ("店", Plan.PRO, "EUR", "UTC")
    assert "shop\tpro\tEUR\tUTC\tpurchase," in attrikit("apps", "list").output

    secret = attrikit("keys", "create", "--app", "shop", "--scope", "write").stdout.strip()
    assert re.fullmatch(r"ak_live_[0-9A-Za-z]{32}", secret)
    assert store.snapshot(0).keys_by_sha256[secret_hash(secret)].scopes == {Scope.WRITE}
    both = attrikit("keys", "create", "--app", "shop", "--test").stdout.strip()
    assert both.startswith("ak_test_")
    assert store.snapshot(0).keys_by_sha256[secret_hash(both)].scopes == {Scope.READ, Scope.WRITE}

    listed = attrikit("keys", "list", "--app", "shop").output
    assert secret not in listed
    key_id = next(line.split("\t")[0] for line in listed.splitlines() if secret[:12] in line)
    assert attrikit("keys", "revoke", key_id).exit_code == 0
    assert re.search(rf"^{key_id}\t.*\trevoked\tnever used$", attrikit("keys", "list").output, re.M)
    assert store.snapshot(0).keys_by_sha256[secret_hash(secret)].is_revoked


def test_goals_from_first_to_last(attrikit, store):
    attrikit("apps", "create", "shop")
    where = ["--where", "amount gte 100", "--where", 'plan eq "5"', "--where", "coupon exists"]
    made = attrikit(
        "goals", "add", "big", "--app", "shop", "--event", "purchase", "--counting", "once_per_person",
        "--value", "amount", "--value", "price", *where,
    )  # fmt: skip
    assert made.output == "added goal big, version 1\n", made.output
    goal = store.app("shop").goals[-1]
    assert goal == Goal(
        "big", "big", "macro", "purchase", ("amount", "price"),
        (
            GoalCondition("amount", Operator.GTE, 100),
            GoalCondition("plan", Operator.EQ, "5"),
            GoalCondition("coupon", Operator.EXISTS),
        ),
        Counting.ONCE_PER_PERSON,
    )  # fmt: skip
    line = 'big\tv1\tmacro\tonce_per_person\tpurchase\tamount gte 100 and plan eq "5" and coupon exists\tamount,price'
    assert line in attrikit("goals", "list", "--app", "shop").output.splitlines()

    changed = attrikit("goals", "update", "big", "--app", "shop", "--no-conditions", "--no-value", "--type", "micro")
    assert changed.output == "goal big is at version 2\n"
    assert store.app("shop").goals[-1] == replace(
        goal, goal_type="micro", conditions=(), value_properties=(), version=2
    )
    assert attrikit("goals", "retire", "big", "--app", "shop").output == "retired goal big\n"
    assert "big" not in attrikit("goals", "list", "--app", "shop").output
    history = attrikit("goals", "list", "--app", "shop", "--history").output.splitlines()
    found = [line.split("\t")[1:4] for line in history if "\tbig\t" in line]
    assert found == [["added", "big", "v1"], ["updated", "big", "v2"], ["retired", "big", "v3"]]


def test_attribution_settings_of_an_app(attrikit, store):
    attrikit("apps", "create", "shop")
    result = attrikit(
        "apps", "set", "shop", "--half-life-days", "3.5", "--window", "click=14", "--window", "view=0",
        "--position-weights", "0.3,0.3,0.4", "--direct-touch", "fallback",
    )  # fmt: skip
    assert "\tattribution v2\t" in result.output, result.output
    windows = AttributionSettings().window_days | {TouchType.CLICK: 14, TouchType.VIEW: 0}
    assert store.app("shop").attribution == AttributionSettings(
        half_life_days=3.5, window_days=windows, position_weights=(0.3, 0.3, 0.4), direct_touch="fallback"
    )
    assert "\tattribution v2\t" in attrikit("apps", "set", "shop", "--half-life-days", "3.5").output
    assert "\tattribution v2\t" in attrikit("apps", "set", "shop", "--plan", "free").output


def test_what_is_left_out_of_an_apps_events(attrikit, store):
    attrikit("apps", "create", "shop")
    assert store.app("shop").privacy == PrivacySettings()
    set_app = ["apps", "set", "shop"]
    said = attrikit(*set_app, "--drop-parameter", "default", "--drop-parameter", "ticket", "--client-address", "none")
    assert "client addresses none, " in said.output
    dropped = (*DEFAULT_DROPPED_PARAMETERS, "ticket")
    assert store.app("shop").privacy == PrivacySettings(dropped, ClientAddress.NONE)
    assert store.snapshot(0).apps["shop"].privacy.dropped_parameters == dropped
    attrikit(*set_app, "--keep-parameters")
    assert store.app("shop").privacy == PrivacySettings((), ClientAddress.NONE)
    for wrong in (["--drop-parameter", "utm_source"], ["--drop-parameter", "a=b"], ["--client-address", "half"]):
        assert attrikit(*set_app, *wrong).exit_code != 0
    assert store.app("shop").privacy == PrivacySettings((), ClientAddress.NONE)


def test_channel_rules_of_an_app(attrikit, store):
    attrikit("apps", "create", "shop")
    change = ["channels", "add", "--app", "shop"]
    assert "attribution v2" in attrikit(*change, "kol", "--channel", "influencer", "--source", "kol*").output
    attrikit(*change, "agency", "--channel", "paid_social", "--campaign", "*x*", "--before", "kol")
    attrikit("channels", "hosts", "--app", "shop", "--own", "brand.example", "--ignore", "survey.example")
    settings = store.app("shop").attribution.channels
    assert [rule.name for rule in settings.rules] == ["agency", "kol"]
    assert (settings.own_domains, settings.ignored_referrers) == (("brand.example",), ("survey.example",))
    shown = attrikit("channels", "show", "--app", "shop").output
    assert "rule 1\tagency\tcampaign=*x*\t→ paid_social" in shown
    page = "https://shop.example/?utm_source=KOL-7"
    told = attrikit("channels", "test", "--app", "shop", "--page", page).output
    assert "channel\tinfluencer" in told
    assert "rule\tapp:kol" in told
    attrikit("channels", "remove", "kol", "--app", "shop")
    assert "rule\ttags:source" in attrikit("channels", "test", "--app", "shop", "--page", page).output
    ignored = attrikit("channels", "test", "--app", "shop", "--referrer", "https://forms.survey.example/").output
    assert "channel\tdirect" in ignored
    assert store.app("shop").config_version == 5


def test_an_app_is_changed_where_told_and_nowhere_else(attrikit, store):
    attrikit("apps", "create", "shop", "--plan", "pro")
    assert store.app("shop").allowed_origins == ("*",)
    two = ["--allow-origin", "https://shop.example", "--allow-origin", "https://*.shop.example"]
    changed = attrikit("apps", "set", "shop", *two)
    assert changed.exit_code == 0, changed.output
    assert store.app("shop").allowed_origins == ("https://shop.example", "https://*.shop.example")
    assert store.app("shop").plan is Plan.PRO
    assert attrikit("apps", "set", "shop", "--plan", "free").exit_code == 0
    assert (store.app("shop").plan, len(store.app("shop").allowed_origins)) == (Plan.FREE, 2)
    assert "https://shop.example,https://*.shop.example" in attrikit("apps", "list").output
    assert not store.app("shop").allows_app_id
    assert "https://*.shop.example by app id" in attrikit("apps", "set", "shop", "--allow-app-id").output
    attrikit("apps", "set", "shop", "--no-origin")
    assert (store.app("shop").allowed_origins, store.app("shop").allows_app_id) == ((), True)
    attrikit("apps", "set", "shop", "--no-app-id")
    assert not store.app("shop").allows_app_id


def test_when_a_key_was_last_used_is_listed(attrikit, store):
    attrikit("apps", "create", "shop")
    used, unused = (store.create_key("shop", [Scope.WRITE], at).key_id for at in (1, 2))
    store.record_use({used: 1_705_314_700_000})
    listed = attrikit("keys", "list").output
    assert re.search(rf"^{used}\t.*\tused 2024-01-15T10:31:40Z$", listed, re.M)
    assert re.search(rf"^{unused}\t.*\tnever used$", listed, re.M)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["apps", "set", "nope", "--plan", "pro"], 1, "there is no app 'nope'"),
        (["apps", "set", "nope", "--allow-origin", "*", "--no-origin"], 2, "contradicts"),
        (["apps", "create", "Shop!"], 1, "app id 'Shop!' is not acceptable"),
        (["apps", "create", "shop", "--timezone", "Mars"], 1, "timezone 'Mars'"),
        (["apps", "create", "shop", "--plan", "gold"], 2, "gold"),
        (["apps", "set", "nope", "--half-life-days", "1"], 1, "there is no app 'nope'"),
        (["apps", "set", "nope", "--window", "click"], 2, "expected click, impression"),
        (["apps", "set", "nope", "--position-weights", "1,2"], 2, "three numbers"),
        (["channels", "add", "x", "--app", "nope", "--channel", "c", "--source", "y"], 1, "there is no app 'nope'"),
        (["goals", "list", "--app", "nope"], 1, "there is no app 'nope'"),
        (["goals", "add", "Big!", "--app", "nope"], 1, "goal name 'Big!'"),
        (["goals", "add", "big", "--app", "nope", "--where", "amount is 5"], 2, "expected PROPERTY OPERATOR VALUE"),
        (["goals", "add", "big", "--app", "nope", "--where", "amount gte"], 2, "expected PROPERTY OPERATOR VALUE"),
        (["goals", "add", "big", "--app", "nope", "--where", "amount gte true"], 1, "value of gte True"),
        (["goals", "retire", "big", "--app", "nope"], 1, "there is no app 'nope'"),
        (["keys", "create", "--app", "nope"], 1, "there is no app 'nope'"),
        (["keys", "create"], 2, "--app"),
        (["keys", "create", "--app", "x", "--scope", "admin"], 2, "admin"),
        (["keys", "revoke", "key_x"], 1, "there is no key 'key_x'"),
        (["keys", "list", "--app", "nope"], 1, "there is no app 'nope'"),
    ],
)
def test_a_mistake_is_one_clear_message(attrikit, arguments, code, said):
    result = attrikit(*arguments)
    assert result.exit_code == code
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_wrong_setting_is_named(attrikit, monkeypatch):
    monkeypatch.setenv("ATTRIKIT_PARTITIONS", "many")
    result = attrikit("topics", "create")
    assert result.exit_code == 2
    assert result.output.startswith("ATTRIKIT_PARTITIONS: ")


def test_a_database_that_cannot_be_used_is_told_without_its_password(attrikit, monkeypatch, free_port):
    monkeypatch.setenv("ATTRIKIT_CONTROL_PLANE_URL", f"postgresql://me:hush@127.0.0.1:{free_port()}/x")
    result = attrikit("apps", "list")
    assert result.exit_code == 1
    assert "cannot be used" in result.output
    assert "hush" not in result.output


def test_topics_are_made_once_and_a_mismatch_is_refused(attrikit, monkeypatch, broker):
    monkeypatch.setenv("ATTRIKIT_KAFKA_BOOTSTRAP", broker)
    for _ in range(2):
        result = attrikit("topics", "create")
        assert result.output.splitlines()[-1] == "the topics are there"
    monkeypatch.setenv("ATTRIKIT_PARTITIONS", "9")
    result = attrikit("topics", "create")
    assert result.exit_code == 1
    assert "has 4 partitions, settings say 9" in result.output


def test_migrate_brings_both_up_to_date(make_settings, tmp_path):
    """In a process of its own: chDB cannot be opened on a second folder in this one."""
    command = [sys.executable, "-P", "-m", "deploy.cli", "migrate"]
    environment = {"ATTRIKIT_DATA_DIR": str(tmp_path), "PATH": ""}
    first = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "migrations applied: 1, 2" in first.stdout
    assert (tmp_path / "control.db").exists()
