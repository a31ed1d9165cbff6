"""The SDK's core and its mini-program adapter, by Node's own test runner; and the tables it shares with Python code."""

import json

import pytest
from node import SDK, node_is_missing, run_node

from pipeline.domain.channels.tables import CLICK_IDS, HINTED_CLICK_IDS, ORGANIC_CLICK_IDS
from schemas.control import DEFAULT_DROPPED_PARAMETERS

pytestmark = pytest.mark.skipif(bool(node_is_missing()), reason=node_is_missing())


@pytest.mark.parametrize("file", sorted(path.name for path in (SDK / "test").glob("*.test.ts")))
def test_typescript(file: str) -> None:
    ended = run_node("--test", "--test-reporter=spec", f"test/{file}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_click_ids_and_denied_parameters_are_those_of_the_stream_and_the_gateway() -> None:
    program = "import('./src/core/urls.ts').then(m => console.log(JSON.stringify([m.CLICK_IDS, m.DENIED])))"
    click_ids, denied = json.loads(run_node("-e", program).stdout)
    assert set(click_ids) == {*CLICK_IDS, *HINTED_CLICK_IDS, *ORGANIC_CLICK_IDS}
    assert set(denied) == {name.replace("_", "") for name in DEFAULT_DROPPED_PARAMETERS}
