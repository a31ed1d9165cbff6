"""A real access log, robots and a month of made traffic go in over HTTP; the tables must hold what SQL makes of them.

One product of its own, for the watermark of its partitions must come from this traffic alone: it goes in in the order
log, robot, month, which is the order of their times.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from access_log import DAY_MS, PageView, read_page_views, shuffled
from operator_commands import attrikit, ledger_totals
from reference_sessions import RawEvent, Session, sessions_of
from tables import read_tables

from deploy.demo.generator import Kind, Plan, Sending, Truth, generate, truth_of
from deploy.demo.observe import count_topic_lines
from deploy.demo.poster import Form, Parcel, Posted, Poster, parcels
from deploy.demo.product import Product
from pipeline.readmodel.progress import open_reader, wait_until_settled
from schemas.ids import session_id
from schemas.persons import person_key

APP_ID = "demo"
SHUFFLED_SECONDS = 59
"""Inside the 60 s by which events may come out of order."""
LOG_DAYS_AGO = 60
ROBOT_DAYS_AGO = 45
ACCESS_LOG = Path(os.environ.get("ATTRIKIT_ACCESS_LOG") or Path(__file__).parents[3] / "shared" / "data" / "access.log")

_SESSIONS = """
SELECT session_id, person_key, start_ms, end_ms, events, page_views, entry_page, exit_page,
    is_bounce, conversions, channel
FROM sessions FINAL
WHERE app_id = 'demo'
"""
_COUNTS = """
SELECT
    (SELECT count() FROM events FINAL) AS stored,
    (SELECT countIf(mark = 'duplicate') FROM event_marks FINAL) AS duplicates,
    (SELECT countIf(mark = 'late') FROM event_marks FINAL) AS late,
    (SELECT count() FROM rejected FINAL) AS rejected,
    (SELECT count() FROM conversions FINAL) AS conversions,
    (SELECT sum(value_minor) FROM conversions FINAL) AS value_minor
"""


@dataclass(frozen=True)
class Stored:
    """Events sent, answers received, and rows in the tables after the product has stopped. `data_dir`: its folder.
    `reports`: what its API answered by path.
    """

    data_dir: Path
    reports: dict[str, Any]
    views: list[PageView]
    sendings: list[Sending]
    posted: Posted
    topic_lines: int
    sessions: dict[Session, dict[str, object]]
    counts: dict[str, int]

    @property
    def truth(self) -> Truth:
        return truth_of(self.sendings)

    def found(self, is_wanted: Callable[[str], bool]) -> list[Session]:
        """Sessions in ClickHouse of those persons."""
        return sorted(session for session in self.sessions if is_wanted(session.person))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    now_ms = int(time.time() * 1000)
    views = [*_log(now_ms), *_robot(now_ms)]
    sendings = generate(Plan(end_ms=now_ms, events=5_000, seed=7, has_sent_at=False))
    product = Product(tmp_path_factory.mktemp("history"))
    try:
        product.start()
        posted, topic_lines = asyncio.run(_post(product, views, sendings))
        reports = _reports(product, now_ms)
    finally:
        product.stop()
    tables = read_tables(product.data_dir, {"sessions": _SESSIONS, "counts": _COUNTS})
    sessions = {_session(row): row for row in tables["sessions"]}
    assert len(sessions) == len(tables["sessions"])
    return Stored(product.data_dir, reports, views, sendings, posted, topic_lines, sessions, tables["counts"][0])


def _log(now_ms: int) -> Iterator[PageView]:
    if ACCESS_LOG.exists():
        yield from shuffled(read_page_views(ACCESS_LOG, now_ms - LOG_DAYS_AGO * DAY_MS), SHUFFLED_SECONDS, seed=1)


def _robot(now_ms: int) -> Iterator[PageView]:
    """Two visitors without a pause of half an hour in three days, and one whose day ends just short of 24 h."""
    random = Random(3)
    begin_ms = (now_ms // DAY_MS - ROBOT_DAYS_AGO) * DAY_MS + random.randrange(DAY_MS)
    views = []
    for name, hours in (("robot-1", 75), ("robot-2", 25), ("robot-3", 23)):
        at_ms, number = begin_ms, 0
        while at_ms < begin_ms + hours * 3_600_000:
            url = f"https://robot.example/{random.randrange(10)}"
            views.append(PageView(f"{name}-{number}", name, at_ms // 1000 * 1000, url, "", ""))
            at_ms, number = at_ms + random.randrange(60_000, 29 * 60_000), number + 1
    yield from shuffled(sorted(views, key=lambda view: view.timestamp_ms), SHUFFLED_SECONDS, seed=2)


async def _post(product: Product, views: list[PageView], sendings: list[Sending]) -> tuple[Posted, int]:
    """One request after the other, so that of two sendings with one id the first is accepted first."""
    history = [Sending(0, view.body()) for view in views]
    batches = [Parcel(Form.NDJSON, history[at : at + 500]) for at in range(0, len(history), 500)]
    headers = {"Authorization": f"Bearer {product.key}"}
    async with httpx.AsyncClient(base_url=product.base_url, headers=headers, timeout=30.0, trust_env=False) as client:
        await Poster(client, concurrency=1).post_all(batches)
        posted = await Poster(client, concurrency=1).post_all(parcels(sendings, seed=7))
    async with open_reader(product.settings) as reader:
        await wait_until_settled(reader, timeout_seconds=60.0)
    return posted, await count_topic_lines(product.settings)


def _reports(product: Product, now_ms: int) -> dict[str, Any]:
    """Read reports and lists over a time that has ended."""
    day = [datetime.fromtimestamp((now_ms - days * DAY_MS) / 1000, UTC).strftime("%Y-%m-%d") for days in (25, 2)]
    period = f"from={day[0]}&to={day[1]}"
    paths = [f"reports/performance?dimension=channel&model=linear&{period}", f"conversions?{period}", f"users?{period}"]
    headers = {"Authorization": f"Bearer {product.key}"}
    with httpx.Client(base_url=product.base_url, headers=headers, timeout=60.0, trust_env=False) as client:
        answers = {path: client.get(f"/v1/{path}") for path in paths}
    assert {answer.status_code for answer in answers.values()} == {200}, [one.text[:300] for one in answers.values()]
    return {path: answer.json()["data"] | {"next_cursor": None} for path, answer in answers.items()}


def _session(row: dict[str, object]) -> Session:
    """Its first event is not in the row, but the session's name is made from it: see `_assert_same`."""
    keys = ("person_key", "start_ms", "end_ms", "events", "page_views", "entry_page", "exit_page", "session_id")
    return Session(*(row[key] for key in keys))  # type: ignore[arg-type]


def _expected(events: Iterable[RawEvent]) -> list[Session]:
    """Compute the expected rows by plain SQL, named as a session of that start and first event is."""
    return [
        Session(*list(vars(s).values())[:-1], session_id(APP_ID, s.person, s.start_ms, s.first_event_id))
        for s in sessions_of(events)
    ]


def _assert_same(found: list[Session], expected: list[Session]) -> None:
    """One by one, with the first differences told."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    assert not missing, f"{len(missing)} missing, {len(extra)} extra: {missing[:3]} {extra[:3]}"
    assert not extra, f"{len(extra)} extra: {extra[:3]}"
    assert len(found) == len(expected)


@pytest.mark.skipif(not ACCESS_LOG.exists(), reason="no access log here; ATTRIKIT_ACCESS_LOG may name one")
def test_sessions_of_the_access_log(stored: Stored) -> None:
    views = [view for view in stored.views if view.event_id.startswith("log-")]
    expected = _expected(_raw(views))
    assert len(views) == sum(session.events for session in expected)
    assert len(expected) > 100
    visitors = {session.person for session in expected}
    _assert_same(stored.found(visitors.__contains__), sorted(expected))


def test_a_visit_without_end_is_cut_at_midnight(stored: Stored) -> None:
    expected = _expected(_raw(view for view in stored.views if view.anonymous_id.startswith("robot-")))
    lengths = {
        person: [s.person for s in expected].count(f"a:{person}") for person in ("robot-1", "robot-2", "robot-3")
    }
    assert lengths["robot-1"] >= 4
    assert lengths["robot-2"] == 2
    assert lengths["robot-3"] == 1
    _assert_same(stored.found(lambda person: person.startswith("a:robot-")), sorted(expected))


def _raw(views: Iterable[PageView]) -> Iterator[RawEvent]:
    for view in views:
        yield RawEvent(f"a:{view.anonymous_id}", view.timestamp_ms, view.event_id, "page_view", view.page_url)


def test_sessions_of_made_traffic(stored: Stored) -> None:
    """Out of order, late by hours, repeated with other times: the sessions are those of the first sending of each, and
    who signs up was the same person all along."""
    counted = _made(stored.sendings)
    persons = {event.person for event in counted}
    _assert_same(stored.found(persons.__contains__), sorted(_expected(counted)))


def _made(sendings: list[Sending]) -> list[RawEvent]:
    accepted = [sending for sending in sendings if sending.kind is not Kind.INVALID]
    owners = {s.body["anonymous_id"]: s.body["user_id"] for s in accepted if s.body.get("user_id")}
    return [_raw_event(sending.body, owners) for sending in accepted if sending.kind is Kind.VALID]


def _raw_event(body: dict[str, Any], owners: dict[str, str]) -> RawEvent:
    at_ms = round(datetime.fromisoformat(body["timestamp"]).astimezone(UTC).timestamp() * 1000)
    anonymous_id = body.get("anonymous_id", "")
    person = person_key(body.get("user_id") or owners.get(anonymous_id, ""), anonymous_id, body["event_id"])
    url = body["context"].get("page", {}).get("url", "")
    return RawEvent(person, at_ms, body["event_id"], body["event_name"], url)


def test_nothing_else_is_there(stored: Stored) -> None:
    counted = _made(stored.sendings)
    assert len(stored.sessions) == len(_expected([*_raw(stored.views), *counted]))


def test_a_bounce_is_one_event_without_a_conversion(stored: Stored) -> None:
    assert {row["is_bounce"] for row in stored.sessions.values()} == {True, False}
    for row in stored.sessions.values():
        is_visit = row["channel"] != ""  # what a backend posts is none
        assert row["is_bounce"] == (row["events"] == 1 and row["conversions"] == 0 and is_visit)


def test_counts_are_conserved(stored: Stored) -> None:
    """accepted = stored + duplicates, and each of them is what was sent."""
    truth, posted, counts = stored.truth, stored.posted, stored.counts
    assert posted.surprises == []
    assert posted.sent == truth.sent == posted.accepted + posted.duplicates + posted.rejected.total()
    assert stored.topic_lines == posted.accepted + len(stored.views)
    assert stored.topic_lines == counts["stored"] + counts["duplicates"]
    assert counts["stored"] == truth.stored + len(stored.views)
    assert posted.duplicates + counts["duplicates"] == truth.duplicates
    assert counts["duplicates"] > 0
    assert posted.rejected == truth.rejected
    assert counts["rejected"] == truth.rejected.total()
    assert counts["late"] == truth.late
    assert (counts["conversions"], counts["value_minor"]) == (truth.conversions.total(), truth.revenue_minor)


def test_a_backup_brings_all_of_it_back(stored: Stored, tmp_path: Path) -> None:
    """Kept twice, destroyed, brought back into an empty folder: counts, reports and the ledger are those of before."""
    now_ms = int(time.time() * 1000)
    place = str(tmp_path / "backups")
    before = Product(stored.data_dir.parent)
    first, second = (_done(attrikit(before, "backup", place)) for _ in range(2))
    assert "all of them" in first
    assert "what is new since" in second
    refused = attrikit(before, "restore", place)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "holds an installation already" in refused.stderr
    shutil.rmtree(stored.data_dir)

    after = Product(tmp_path)
    told = _done(attrikit(after, "restore", place))
    assert "nothing is missing between them and the tables" in told
    assert "nothing of the backup is missing" in _done(attrikit(after, "restore", place, "--check"))
    assert read_tables(after.data_dir, {"counts": _COUNTS})["counts"][0] == stored.counts
    try:
        after.start()
        assert _reports(after, now_ms) == stored.reports
        assert ledger_totals(after, APP_ID)["stored"] == stored.counts["stored"]
        assert asyncio.run(_post(after, [], stored.sendings))[0].surprises == []
        assert ledger_totals(after, APP_ID)["stored"] == stored.counts["stored"], "all of them are known still"
    finally:
        after.stop()


def _done(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
