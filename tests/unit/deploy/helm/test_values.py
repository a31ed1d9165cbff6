"""The chart's values: each is in the schema, and the schema takes no other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.environment import setting_names

CHART = Path(__file__).parents[4] / "deploy" / "helm" / "attrikit"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if "properties" in schema:
        yield path, schema
        for name, inner in schema["properties"].items():
            yield from _objects(inner, f"{path}.{name}")


def test_no_unknown_key_is_taken() -> None:
    assert [path for path, found in _objects(SCHEMA) if found.get("additionalProperties") is not False] == []


def test_values_and_schema_have_the_same_keys() -> None:
    def compare(values: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
        declared = schema.get("properties")
        if declared is None or path.endswith((".resources", ".podDisruptionBudget")):
            return
        yield from (f"{path}.{name}" for name in set(values) ^ set(declared) - {"global"})
        for name, inner in values.items():
            if isinstance(inner, dict):
                yield from compare(inner, declared[name], f"{path}.{name}")

    assert list(compare(VALUES, SCHEMA, "")) == []


def test_the_settings_it_gives_are_settings() -> None:
    """Every variable named in a template is one that processes know, except files of secrets."""

    known = setting_names()
    named = {
        name.removesuffix("_FILE")
        for path in (CHART / "templates").rglob("*")
        if path.is_file()
        for name in re.findall(r"ATTRIKIT_[A-Z_]+", path.read_text())
    }
    assert sorted(named - known) == []
