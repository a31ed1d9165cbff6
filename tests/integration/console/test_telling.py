"""The pages of costs, reports, alerts and exports, over a console with its reads and a broker."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from console_reads import entries_of, records_of, store_event
from console_texts import translated_texts
from console_world import FOREIGN_APP, OWN_APP, ConsoleWorld, Visitor
from waiting import until

from pipeline.control.alerts import AlertRules
from pipeline.control.exports import ExportJobs
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.amounts import ValueIssue
from schemas.events import AcceptedEvent
from schemas.facts import NANOS_PER_CONVERSION, AttributionRow, ConversionRow, Model, encode_rows
from schemas.topics import Topic
from services.console.setting_words import VALUE_ISSUES

COSTS, ALERTS = f"/apps/{OWN_APP}/costs", f"/apps/{OWN_APP}/alerts"
EXPORTS = f"/apps/{OWN_APP}/exports"
RULE = {"metric": "rejected_rate", "comparison": "above", "threshold": "50"} | {
    "window_minutes": "60",
    "trailing": "7",
    "subject": "",
    "name": "",
}
GOOD_FILE = "date,channel,campaign,source,cost\n2026-01-15,paid_search,brand,baidu,12.50\n2026-01-16,serch,,baidu,1\n"
BAD_FILE = "date,channel,cost\n2026-01-15,paid_search,12.50\n2026-13-45,paid_search,1\n2026-01-17,email,much\n"


# Costs


def upload(mia: Visitor, content: bytes | None, do: str = "import", path: str = COSTS, token: str | None = None) -> Any:
    files = None if content is None else {"file": ("costs.csv", content, "text/csv")}
    fields = {"token": mia.token() if token is None else token, "do": do}
    return mia.client.post(path, data=fields, files=files)


def test_a_file_of_costs_is_checked_then_imported(console: ConsoleWorld, mia: Visitor) -> None:
    checked = upload(mia, GOOD_FILE.encode(), "check")
    assert checked.status_code == 200
    assert "The file is right" in checked.text
    assert "CN¥13.50" in checked.text
    assert "serch" in checked.text, "a channel that no touch has is told"
    assert entries_of(console, "costs.import") == []
    imported = upload(mia, b"\xef\xbb\xbf" + GOOD_FILE.encode())
    assert imported.headers["location"] == COSTS + "?imported=2"
    assert "2 rows were taken" in mia.get(imported.headers["location"]).text
    lines = b"".join(records_of(console.settings, Topic.COSTS)).splitlines()
    sent = [line for line in lines if b'"app_id":"own"' in line]
    assert sum(b'"cost_minor":1250' in line for line in sent) == 1
    assert sum(b'"is_marker":true' in line for line in sent) == 2, (
        "what was imported before of these days is taken back"
    )
    assert entries_of(console, "costs.import")[0]["after"]["sources"] == ["baidu"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BAD_FILE.encode(), "2 rows are wrong; nothing was imported"),
        (BAD_FILE.encode(), "is no amount such as 1234.50"),
        (b"day,cost\n1,2\n", "no column date, channel"),
        (b"date,channel,cost\n", "The file has no rows"),
        ("date,channel,cost\n2026-01-15,ämail,1\n".encode("latin-1"), "not UTF-8"),
        (None, "Choose a CSV file first"),
    ],
)
def test_a_wrong_file_of_costs_is_refused_row_by_row(
    console: ConsoleWorld, mia: Visitor, content: bytes | None, told: str
) -> None:
    before = len(entries_of(console, "costs.import"))
    answer = upload(mia, content)
    assert answer.status_code == 400
    assert told in answer.text
    assert len(entries_of(console, "costs.import")) == before


def test_stored_costs_show_their_gaps(admin: Visitor, mia: Visitor) -> None:
    page = mia.get(COSTS).text
    assert "baidu" in page
    assert "CN¥37.02" in page
    assert len(re.findall(r'class="badge warn">\d{4}-', page)) == 2, "a day, and two days in a row"
    assert "No costs yet" in admin.get(f"/apps/{FOREIGN_APP}/costs").text


# Reports


def test_models_have_switches_and_the_call_names_what_is_left_out(mia: Visitor) -> None:
    page = mia.get(f"/apps/{OWN_APP}/models?leave_out=direct&leave_out=impression").text
    assert len(re.findall(r'name="leave_out" value="\w+" checked', page)) == 2
    assert "leave_out=direct%2Cimpression" in page
    assert 'name="leave_out" value="direct,impression"' in page, "the export of this view"


def store_conversion(tables: ClickHouse, conversion_id: str, issue: str = "") -> int:
    """Store a conversion of long ago without credits; return its time."""
    long_ago = now_ms() - 300 * 86_400_000
    bought = ConversionRow(
        conversion_id, "purchase", "macro", f"o_{conversion_id}", "u:old", "old", "", "ses_o", long_ago, 0, "CNY", "",
        OWN_APP, [], [], [], [], [], [], [], revision=1, value_issue=issue,
    )  # fmt: skip
    asyncio.run(tables.insert_ndjson("conversions", encode_rows([bought])))
    return long_ago


@pytest.mark.parametrize("issue", ValueIssue)
def test_a_value_that_is_not_known_says_why(mia: Visitor, tables: ClickHouse, issue: ValueIssue) -> None:
    conversion_id = f"cnv_{issue}"
    store_conversion(tables, conversion_id, issue.value)
    page = mia.client.get(f"/apps/{OWN_APP}/conversions/{conversion_id}", headers={"Accept-Language": "zh"}).text
    assert f">{translated_texts()[VALUE_ISSUES[issue]]}<" in page
    assert "尚未归因" in page, "a conversion is stored before its credits"


def test_credits_from_before_there_was_a_model_are_told_without_it(mia: Visitor, tables: ClickHouse) -> None:
    at_ms = store_conversion(tables, "cnv_five")
    five = [model.value for model in Model if model is not Model.LAST_NON_DIRECT]
    credited = AttributionRow(
        OWN_APP, "cnv_five", "purchase", "u:old", at_ms, 0, "CNY", [""], [at_ms], ["visit"], ["direct"], [""], [""],
        [""], {model: [NANOS_PER_CONVERSION] for model in five}, {model: [0] for model in five}, "initial", 1,
    )  # fmt: skip
    asyncio.run(tables.insert_ndjson("attributions", encode_rows([credited])))
    answer = mia.get(f"/apps/{OWN_APP}/conversions/cnv_five")
    assert answer.status_code == 200
    assert re.findall(r'/help#(\w+)">', answer.text)[:5] == five
    assert "#last_non_direct" not in answer.text


def test_a_funnel_leads_to_those_who_came_no_further(mia: Visitor) -> None:
    path = f"/apps/{OWN_APP}/funnel?step=purchase&step=page_view&step=none_such&stopped_after=2"
    page = mia.get(path).text
    assert "Came no further than page_view" in page
    assert f'href="/apps/{OWN_APP}/people/visitor"' in page
    assert "By channel" in page
    assert "step=purchase&amp;step=page_view&amp;step=none_such" in page, "links keep all steps"
    for none in ("9", "9" * 5_000):
        assert mia.get(path.replace("stopped_after=2", f"stopped_after={none}")).status_code == 200


def test_an_app_without_events_has_every_page_and_says_what_to_do(admin: Visitor) -> None:
    app = f"/apps/{FOREIGN_APP}"
    for path in ("performance", "models", "paths", "conversions", "people"):
        assert "Is the first event there?" in admin.get(f"{app}/{path}").text, path
    funnel = admin.get(f"{app}/funnel")
    assert (funnel.status_code, "Nobody did the first step" in funnel.text) == (200, True)


def test_a_person_has_a_journey_of_sessions_touches_conversions_and_joined_ids(mia: Visitor) -> None:
    page = mia.get(f"/apps/{OWN_APP}/people/browser-g").text
    for told in ("https://shop.example/g", "Paid search · baidu · brand", "ad click", "browser-g → guest", "Journey"):
        assert told in page
    assert f'href="/apps/{OWN_APP}/conversions/cnv_g">purchase · CN¥1.00' in page
    assert f'href="/apps/{OWN_APP}/events/t_g"' in page


def test_the_search_finds_an_order(mia: Visitor) -> None:
    assert mia.get(f"/apps/{OWN_APP}/people?q=bot").headers["location"].endswith("/events/o5")
    assert "Nothing has the id" in mia.get(f"/apps/{OWN_APP}/people?q=none").text


def test_the_search_finds_the_person_of_a_session(console: ConsoleWorld, tables: ClickHouse, mia: Visitor) -> None:
    [(start_ms,)] = asyncio.run(tables.query("SELECT start_ms FROM sessions WHERE session_id = 'ses_g'"))
    raw, received_us = msgspec.Raw(b"{}"), now_ms() * 1000
    store_event(tables, AcceptedEvent(OWN_APP, "s_g", "ping", start_ms + 1, received_us, "guest", "browser-g", raw))
    assert mia.get(f"/apps/{OWN_APP}/people?q=ses_g").headers["location"].endswith("/people/guest")


def test_conversions_can_be_narrowed_by_the_content_of_a_touch(mia: Visitor) -> None:
    shown = mia.get(f"/apps/{OWN_APP}/conversions?channel=paid_search&content=banner").text
    assert "Content: banner" in shown
    assert "No conversions here" in shown
    assert 'name="content" value="banner"' in shown, "a further filter keeps it"


# Alerts


def rules_of(console: ConsoleWorld, app_id: str = OWN_APP) -> Any:
    return AlertRules(console.settings.control_plane_dsn()).rules(app_id)


def test_an_alert_rule_is_tested_on_the_past_then_added_paused_and_removed(console: ConsoleWorld, mia: Visitor) -> None:
    assert "No rule yet" in mia.get(ALERTS).text
    assert "No alert so far" in mia.get(ALERTS).text
    tested = mia.submit(ALERTS, **RULE, do="preview")
    assert tested.status_code == 200
    assert "It would have begun 1 times" in tested.text
    assert rules_of(console) == []
    assert mia.submit(ALERTS, **RULE).headers["location"] == ALERTS + "?saved=1"
    (rule,) = rules_of(console)
    assert rule.name == "rejected_rate above 50"
    for do, paused in (("pause", True), ("resume", False)):
        assert mia.submit(f"{ALERTS}/{rule.rule_id}", do=do).status_code == 303
        assert rules_of(console)[0].is_paused is paused
    assert mia.submit(f"{ALERTS}/{rule.rule_id}", do="explode").status_code == 400
    assert mia.submit(f"/apps/{OWN_APP}/alerts/rule_none", do="pause").status_code == 404
    assert mia.submit(f"{ALERTS}/{rule.rule_id}", do="remove").status_code == 303
    assert rules_of(console) == []
    assert [len(entries_of(console, f"alert.{do}")) for do in ("add", "pause", "resume", "remove")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"threshold": "-1"}, "threshold"),
        ({"threshold": "much"}, "must be numbers"),
        ({"threshold": "nan"}, "a number"),
        ({"window_minutes": "7"}, "one of 1, 5"),
        ({"window_minutes": "9" * 4_300}, "one of 1, 5"),
        ({"window_minutes": "9" * 5_000}, "must be numbers"),
        ({"trailing": "61"}, "1 to 60"),
        ({"subject": "purchase"}, "is about all events"),
        ({"metric": "luck"}, "This cannot be done"),
    ],
)
@pytest.mark.parametrize("do", ["preview", "save"])
def test_an_alert_rule_that_is_not_acceptable_is_refused(
    console: ConsoleWorld, mia: Visitor, change: dict[str, str], told: str, do: str
) -> None:
    answer = mia.submit(ALERTS, **RULE | change, do=do)
    assert answer.status_code == 400
    assert told in answer.text
    assert rules_of(console) == []


# Exports


def test_an_export_is_asked_for_followed_and_fetched(console: ConsoleWorld, admin: Visitor, mia: Visitor) -> None:
    assert "No file yet" in mia.get(EXPORTS).text
    prefilled = mia.get(EXPORTS + "?report=conversions&from=2026-01-01&goal=purchase").text
    assert 'value="2026-01-01"' in prefilled
    assert mia.submit(EXPORTS, report="events", format="spreadsheet", compression="none").status_code == 303
    jobs = ExportJobs(console.settings.control_plane_dsn())
    (job,) = jobs.newest(OWN_APP, 10)
    asyncio.run(until(lambda: jobs.newest(OWN_APP, 10)[0].state.value == "done", "the file", 60))
    part = mia.get(EXPORTS + "?part=jobs").text
    assert f"{job.job_id}/file" in part
    assert "data-arrived" in part
    led = mia.get(f"{EXPORTS}/{job.job_id}/file")
    assert led.status_code == 303
    assert f"/v1/reports/export/{job.job_id}/download?expires=" in led.headers["location"]
    assert entries_of(console, "export.create")[0]["target"] == job.job_id
    assert mia.submit(f"{EXPORTS}/{job.job_id}/cancel").status_code == 303
    foreign = admin.get(f"/apps/{FOREIGN_APP}/exports/{job.job_id}/file")
    assert foreign.status_code == 404, "a job of another app"


def test_an_export_tells_its_filters_in_the_words_of_its_form(mia: Visitor) -> None:
    asked = {"dimension": "campaign", "channel": "email", "model": "linear", "leave_out": "direct,impression"}
    form = {"report": "performance", "format": "csv", "include_bots": "true"}
    assert mia.submit(EXPORTS, **form, **asked).status_code == 303
    told = "Model: Linear · Dimension: Campaign · Without: Direct, impression · Channel: E-mail"
    assert f"With bots · {told}" in mia.get(EXPORTS + "?part=jobs").text
    part = mia.client.get(EXPORTS + "?part=jobs", headers={"Accept-Language": "zh"})
    assert "模型: 线性" in part.text


@pytest.mark.parametrize("change", [{"report": "luck"}, {"format": "docx"}, {"from": "soon"}, {"compression": "rar"}])
def test_an_export_that_is_not_acceptable_is_refused(
    console: ConsoleWorld, mia: Visitor, change: dict[str, str]
) -> None:
    before = len(entries_of(console, "export.create"))
    answer = mia.submit(EXPORTS, **{"report": "conversions", "format": "csv", "compression": "none"} | change)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert len(entries_of(console, "export.create")) == before


@pytest.mark.parametrize("path", ["costs", "alerts", "webhooks", "exports"])
def test_a_change_needs_the_app_and_a_token(mia: Visitor, path: str) -> None:
    assert upload(mia, GOOD_FILE.encode(), path=f"/apps/{FOREIGN_APP}/{path}").status_code == 404
    assert upload(mia, GOOD_FILE.encode(), path=f"/apps/{OWN_APP}/{path}", token="").status_code == 403
