"""The validator: what the gateway itself says of events that are pasted, in the reader's language."""

import json

from console_reads import entries_of
from console_world import FOREIGN_APP, OWN_APP, ConsoleWorld, Visitor

from services.console.pages.validate import EXAMPLE

VALIDATE, KEYS = f"/apps/{OWN_APP}/validate", f"/apps/{OWN_APP}/api-keys"
WRONG = {"events": [{"event_name": "Sign Up", "user_id": "u"}, {"event_name": "page_view", "prise": 1, "user_id": "u"}]}


def test_the_example_is_valid_and_shows_what_would_become_of_it(mia: Visitor) -> None:
    assert "utm_source=baidu" in mia.get(VALIDATE).text
    shown = mia.submit(VALIDATE, events=EXAMPLE)
    assert shown.status_code == 200
    assert "Every event would be accepted" in shown.text
    assert "Paid search" in shown.text
    assert "tags:medium" in shown.text
    assert "CN¥199.90" in shown.text, "the goal it meets has its value"


def test_errors_and_warnings_are_told_in_both_languages(mia: Visitor) -> None:
    page = mia.submit(VALIDATE, events=json.dumps(WRONG)).text
    assert "1 of 2 events would be refused" in page
    assert "INVALID_EVENT_NAME" in page
    assert "sign_up" in page, "what may have been meant"
    assert "the field prise is not known" in page
    assert "1 of 2 events would be refused" in mia.submit(VALIDATE, events=json.dumps(WRONG["events"])).text, "a list"
    chinese = mia.client.post(
        VALIDATE, data={"token": mia.token(), "events": json.dumps(WRONG)}, headers={"Accept-Language": "zh"}
    ).text
    assert "事件名称无效" in chinese
    assert "未知字段 prise" in chinese


def test_what_is_no_json_is_told_with_the_text_that_was_typed(mia: Visitor) -> None:
    answer = mia.submit(VALIDATE, events='{"event_name": <b>')
    assert "1 of 1 events would be refused" in answer.text
    assert "&lt;b&gt;" in answer.text


def test_the_key_of_the_console_is_made_once_listed_and_follows_a_revoked_one(
    console: ConsoleWorld, mia: Visitor
) -> None:
    for _ in range(2):
        assert mia.submit(VALIDATE, events=EXAMPLE).status_code == 200
    own = [key for key in console.store.keys(OWN_APP) if key.key_id.startswith("key_console_")]
    assert [key.scopes for key in own] == [{"write"}]
    assert "of the console itself" in mia.get(KEYS).text
    assert [one["app_id"] for one in entries_of(console, "key.create")].count(OWN_APP) == 1
    assert mia.submit(f"{KEYS}/{own[0].key_id}/revoke").status_code == 303
    assert mia.submit(VALIDATE, events=EXAMPLE).status_code == 200
    assert len([key for key in console.store.keys(OWN_APP) if key.key_id.startswith("key_console_")]) == 2


def test_a_validation_needs_the_app_and_a_token(mia: Visitor) -> None:
    assert mia.submit(f"/apps/{FOREIGN_APP}/validate", events=EXAMPLE).status_code == 404
    assert mia.send(VALIDATE, events=EXAMPLE).status_code == 403


def test_a_gateway_that_is_away_is_told(world: ConsoleWorld) -> None:
    answer = world.visitor("admin").submit(VALIDATE, events=EXAMPLE)
    assert answer.status_code == 503
    assert "The data cannot be read now" in answer.text
