"""The ClickHouse schema: what it promises to the structs, and the rules every migration keeps."""

import re
import typing
from datetime import date
from typing import Any

import msgspec
import pytest

from schemas.clickhouse import (
    AppliedMigration,
    Migration,
    MigrationError,
    load_migrations,
    parse_migrations,
    pending_migrations,
)
from schemas.events import AcceptedEvent
from schemas.facts import (
    AlertRow,
    AlertWindowRow,
    AttributionRow,
    ConversionRow,
    CostRow,
    EventMarkRow,
    GatewayCountRow,
    PersonLinkRow,
    ProgressRow,
    RejectedRow,
    SessionRow,
    TouchRow,
)
from schemas.topics import Topic
from schemas.webhooks import WebhookAttemptRow

ROW_OF_TABLE: dict[str, type[msgspec.Struct]] = {
    "events": AcceptedEvent,
    "sessions": SessionRow,
    "touches": TouchRow,
    "conversions": ConversionRow,
    "attributions": AttributionRow,
    "event_marks": EventMarkRow,
    "rejected": RejectedRow,
    "progress": ProgressRow,
    "spend": CostRow,
    "webhook_attempts": WebhookAttemptRow,
    "person_links": PersonLinkRow,
    "gateway_counts": GatewayCountRow,
    "alert_windows": AlertWindowRow,
    "alerts": AlertRow,
}
PUBLISHED_CHECKSUMS = {
    1: "17f2180442b6768c56fc33a06cd0265b916f08b6613149d4a180d206b000b687",
    2: "5e2c2cb37791d05df8b2b5c1f557512ebd20f45381d72ee14d42507651f5308d",
    3: "ca13141d9287dc9f030e168a5e2e329d3fd84598581dd0742d7441d60be9b331",
    4: "4e7e0f8f2ab8d5afb7e163af12e37647d1bb88e7b29e74b61cc46cb5a193728e",
    5: "1b02c998eb8890c66e33a67f8e9268f2e0710c2c467650baaae2c280f8835437",
    6: "bd0dcb2bff748ddd59665aaf76db60c2c57d11765b159cfc581110c177dc3d6e",
    7: "d0838dcf51d95512cb03161c8db4da3003e7510cd43061d54e4d1d49b728400e",
    8: "c898352c7ad8cd2eaa13331a94370a2191eff66741ba899b8e9ef70168c72efd",
    9: "f1ebb9cd380ea64b061f32ceca439b7e2aac8569551854f356d01e349204c8ea",
    10: "419f7e7fd30d319a45afa4f4b92084259810f7aebfbbcdb62213f7cc0c1c3268",
    11: "4c45d15bb13a6c7dfd74ab5007ee8f22316e6f7b7a9a1340c658dd290bd20125",
    12: "a784fb1c52fb70d5833bad187a3a107da2494ae6ac550ce510efd70d536f4def",
    13: "37e20f3c310d49657e5e6f863cbeed509d6da3370eb52f194707cdccbd5ca9b4",
    14: "cc98cc0820b6e393f86d12c620daf22e963521d3da147bc16da3a8a5a7cacbef",
    15: "619bac33bf927d6393560a6981bb2c3ec0f9ca07f4c2903ea42643a9f08a1ec3",
}
"""An applied migration never changes. Do not edit a line here: add a migration."""

_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*?)\n\)\nENGINE = (.*)", re.DOTALL)
_NAME, _TYPE = r"`?(?!INDEX |CONSTRAINT )(\w+)`?", r"(\w+(?:\((?:[^()]|\([^()]*\))*\))?)"
_ALTER = re.compile(rf"ALTER TABLE (\w+) ADD COLUMN IF NOT EXISTS (\w+) {_TYPE}")
_COMPUTED = re.compile(r"ALTER TABLE (\w+) (?:MODIFY|ADD) COLUMN (?:IF NOT EXISTS )?(\w+) \S+ MATERIALIZED")
_COLUMN = re.compile(rf"^    {_NAME} {_TYPE}(?: (DEFAULT|MATERIALIZED|ALIAS|CODEC))?", re.MULTILINE)


def _tables() -> dict[str, tuple[dict[str, str], dict[str, str], str]]:
    """Table → (stored columns, computed columns, the engine clause), from the migrations' text."""
    found = {}
    for migration in load_migrations():
        for statement in migration.statements:
            match = _CREATE.match(statement)
            if match:
                columns = _COLUMN.findall(match[2])
                stored = {name: type_ for name, type_, kind in columns if kind not in ("ALIAS", "MATERIALIZED")}
                computed = {name: type_ for name, type_, kind in columns if kind in ("ALIAS", "MATERIALIZED")}
                found[match[1]] = (stored, computed, match[3])
            computed_later = _COMPUTED.match(statement)
            if computed_later:
                found[computed_later[1]][0].pop(computed_later[2], None)
            added = _ALTER.match(statement)
            if added and not computed_later:
                found[added[1]][0][added[2]] = added[3]
    return found


def _fitting_types(annotation: Any) -> set[str]:
    """The ClickHouse types a field may have, LowCardinality aside."""
    if annotation in (str, msgspec.Raw):
        return {"String"}
    if annotation is date:
        return {"Date"}
    if annotation is bool:
        return {"Bool"}
    if annotation is int:
        return {"Int64", "UInt64"}
    if annotation is float:
        return {"Float64"}
    if annotation == float | None:
        return {"Nullable(Float64)"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return {f"Array({inner})" for inner in _fitting_types(arguments[0])}
    if origin is dict:
        return {f"Map(String, {inner})" for inner in _fitting_types(arguments[1])}
    raise AssertionError(f"no ClickHouse type known for {annotation}")


def _plain(type_: str) -> str:
    return re.sub(r"LowCardinality\((\w+)\)", r"\1", type_)


@pytest.mark.parametrize("table", ROW_OF_TABLE)
def test_every_field_of_a_row_is_a_column_that_holds_it(table: str) -> None:
    stored = _tables()[table][0]
    hints = typing.get_type_hints(ROW_OF_TABLE[table])
    for field, annotation in hints.items():
        assert field in stored, f"{table} has no column {field}"
        assert _plain(stored[field]) in _fitting_types(annotation), f"{table}.{field} is {stored[field]}"


@pytest.mark.parametrize("table", ROW_OF_TABLE)
def test_a_stored_column_is_a_field_or_computed_by_default(table: str) -> None:
    stored = set(_tables()[table][0])
    added = {"revision", "is_deleted"} if table == "events" else set()
    assert stored == set(typing.get_type_hints(ROW_OF_TABLE[table])) | added


def test_every_topic_has_its_table() -> None:
    assert {topic.value.replace("-", "_") for topic in Topic if topic.is_loaded} <= set(_tables())


@pytest.mark.parametrize("table", ROW_OF_TABLE)
def test_a_table_replaces_rows_and_never_splits_them(table: str) -> None:
    stored, _computed, engine = _tables()[table]
    assert engine.startswith("ReplacingMergeTree")
    assert "PARTITION BY" not in engine
    if "revision" in stored:
        assert engine.startswith("ReplacingMergeTree(revision, is_deleted)")
        sort_key = engine.split("ORDER BY")[1].split("SETTINGS")[0]
        changing = {"revision", "is_deleted", "end_ms"} | ({"user_id"} if table != "person_links" else set())
        assert not changing & set(re.findall(r"\w+", sort_key))


@pytest.mark.parametrize("table", ["events", "sessions", "touches", "conversions", "attributions", "event_marks"])
def test_a_row_without_its_ids_is_refused(table: str) -> None:
    statement = next(s for s in load_migrations()[0].statements if f"EXISTS {table}\n" in s)
    assert "CONSTRAINT has_identity CHECK app_id != '' AND" in statement


def test_times_have_a_readable_twin() -> None:
    _stored, computed, _engine = _tables()["events"]
    assert computed["timestamp"] == "DateTime64(3, 'UTC')"
    assert computed["received_at"] == "DateTime64(6, 'UTC')"
    assert computed["person_key"] == "String"


def test_published_migrations_are_what_they_were() -> None:
    assert {migration.number: migration.checksum for migration in load_migrations()} == PUBLISHED_CHECKSUMS


REPEATABLE = (
    r"CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS",
    r"ALTER TABLE \w+ \w+ .*IF (NOT )?EXISTS",
    r"ALTER TABLE \w+ (MODIFY (SETTING|COLUMN)|MODIFY QUERY|MATERIALIZE (COLUMN|INDEX|PROJECTION))\s",
    r"INSERT INTO (sessions_by_person|attribution_revisions|narrow_\w+)\nSELECT",  # rows replace themselves
    r"INSERT INTO spend \([\w, ]+\)\nSELECT",  # as well
)


def test_every_statement_can_run_twice_and_names_no_database() -> None:
    for migration in load_migrations():
        assert migration.statements
        for statement in migration.statements:
            assert any(re.match(pattern, statement) for pattern in REPEATABLE), statement
            assert not re.search(r"\b(attrikit|default)\.", statement)


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    sql = "-- a comment; with a semicolon\nCREATE x (a DEFAULT ';' );\n\n-- another\nCREATE y\n;\n"
    assert Migration(1, "x", sql).statements == ("CREATE x (a DEFAULT ';' )", "CREATE y")


def test_a_checksum_does_not_depend_on_line_ends() -> None:
    assert Migration(1, "x", "a\r\nb").checksum == Migration(1, "x", "a\nb").checksum
    assert Migration(1, "x", "a\nb").checksum != Migration(1, "x", "a\nc").checksum


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_gaps_and_doubles_in_the_numbers_are_refused(names: list[str]) -> None:
    with pytest.raises(MigrationError, match="without a gap"):
        parse_migrations(dict.fromkeys(names, "SELECT 1;"))


def test_a_file_with_another_name_is_refused() -> None:
    with pytest.raises(MigrationError, match="NNNN_name"):
        parse_migrations({"tables.sql": ""})


ONE, TWO = Migration(1, "one", "CREATE one;"), Migration(2, "two", "CREATE two;")


def _applied(migration: Migration) -> AppliedMigration:
    return AppliedMigration(migration.number, migration.name, migration.checksum)


def test_what_was_applied_is_not_pending() -> None:
    assert pending_migrations((ONE, TWO), []) == (ONE, TWO)
    assert pending_migrations((ONE, TWO), [_applied(ONE)]) == (TWO,)
    assert pending_migrations((ONE, TWO), [_applied(ONE), _applied(TWO)]) == ()


def test_a_changed_migration_stops_everything() -> None:
    with pytest.raises(MigrationError, match=r"0001 \(one\) was applied with checksum .* immutable"):
        pending_migrations((Migration(1, "one", "CREATE something else;"), TWO), [_applied(ONE)])


def test_a_database_of_a_newer_release_stops_everything() -> None:
    with pytest.raises(MigrationError, match="newer release"):
        pending_migrations((ONE,), [_applied(ONE), _applied(TWO)])
