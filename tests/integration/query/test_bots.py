"""What bots did is in no report and no list of people, unless it is asked for.

The app `bots` has the rows of `alpha` and beside them those of another world, all marked: what is said of it is what is
said of `alpha`.
"""

import asyncio
from typing import Any

import msgspec
import pytest
from query_world import World, insert_world, make_world

from pipeline.runtime.clickhouse import ClickHouse

_RENAMED = {"event_id", "session_id", "touch_id", "conversion_id", "person_key", "user_id", "anonymous_id"}
REPORTS: list[tuple[str, dict[str, Any]]] = [
    ("reports/performance", {}),
    ("reports/performance", {"granularity": "week", "dimension": "campaign", "tz": "UTC"}),
    (
        "reports/performance",
        {"goal": "purchase", "from": "2024-01-15", "to": "2024-01-21", "compare": "previous_period"},
    ),
    ("reports/conversion", {"steps": "page_view,purchase"}),
    ("reports/conversion", {"goal": "purchase", "from": "2024-01-10", "to": "2024-01-20"}),
    ("attribution", {}),
    ("attribution", {"dimension": "touch_type", "currency": "USD"}),
    ("conversions", {"limit": 1000}),
    ("conversions", {"limit": 7, "goal": "purchase"}),
    ("users", {"limit": 1000}),
    ("users", {"limit": 5}),
    ("users", {"from": "2024-01-10", "to": "2024-01-20"}),
]


def _marked(world: World) -> World:
    """Its rows under ids of their own, and a bot's."""

    def row(given: Any) -> Any:
        changes: dict[str, Any] = {name: _name(getattr(given, name)) for name in _RENAMED & {*given.__struct_fields__}}
        for name in {"path_touch_ids", "touch_ids"} & {*given.__struct_fields__}:
            changes[name] = [_name(text) for text in getattr(given, name)]
        if "is_bot" in given.__struct_fields__:
            changes["is_bot"] = True
        return msgspec.structs.replace(given, app_id="bots", **changes)

    return World("bots", *([row(given) for given in rows] for rows in world.tables().values()))


def _name(text: str) -> str:
    prefix = text[:2] if text[1:2] == ":" else ""
    return prefix + "bot-" + text.removeprefix(prefix) if text else ""


@pytest.fixture(scope="module")
def bots(facts: ClickHouse, alpha: World) -> World:
    marked = _marked(make_world("bots", seed=5, persons=12))
    people = World(
        "bots", *([msgspec.structs.replace(row, app_id="bots") for row in rows] for rows in alpha.tables().values())
    )

    async def fill() -> None:
        await insert_world(facts, marked)
        await insert_world(facts, people)

    asyncio.run(fill())
    return marked


@pytest.mark.parametrize(("path", "given"), REPORTS, ids=str)
async def test_people_alone_are_counted(ask: Any, bots: World, path: str, given: dict[str, Any]) -> None:
    found, wanted = await ask(path, key="bots", **given), await ask(path, **given)
    for answer in (found, wanted):
        answer.pop("next_cursor", None)
    assert found == wanted
    everybody = await ask(path, key="bots", **given, include_bots="true")
    everybody.pop("next_cursor", None)
    assert everybody != found, "there are bots to see"


async def test_everybody_is_counted_where_it_is_asked_for(ask: Any, alpha: World, bots: World) -> None:
    report = await ask("reports/performance", key="bots", include_bots="true")
    for name in ("sessions", "touches"):
        assert report["totals"][name] == len(getattr(alpha, name)) + len(getattr(bots, name))
    listed = await ask("conversions", key="bots", include_bots="true", limit=1000)
    assert {item["conversion_id"] for item in listed["items"] if item["is_bot"]} == {
        row.conversion_id for row in bots.conversions
    }
    listed = await ask("users", key="bots", include_bots="true", limit=1000)
    assert {item["id"] for item in listed["items"] if item["is_bot"]} == {row.person_key[2:] for row in bots.sessions}
    assert len(listed["items"]) == len({row.person_key for row in [*alpha.sessions, *bots.sessions]})


async def test_what_is_asked_for_by_its_id_is_shown(ask: Any, bots: World) -> None:
    one = bots.sessions[0]
    detail = await ask("users/{}", one.person_key[2:], key="bots")
    assert detail["user"]["is_bot"] is True
    events = await ask("users/{}/events", one.person_key[2:], key="bots")
    assert events["items"]
    listed = await ask("events", key="bots", session_id=one.session_id)
    assert {item["event_id"] for item in listed["items"]} & {event.event_id for event in bots.events}


@pytest.mark.parametrize("given", ["1", "yes", "True", ""])
async def test_a_flag_is_true_or_false(client: Any, given: str) -> None:
    headers = {"Authorization": "Bearer ak_test_alpha"}
    answer = await client.get("/v1/users", params={"include_bots": given}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "include_bots")
