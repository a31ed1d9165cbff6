"""Pages in Chinese: no text of the catalogue is left in English."""

import pytest
from console_reads import ENDPOINT
from console_texts import english_texts_left
from console_world import OWN_APP, Visitor

PAGES = (
    *("overview", "performance", "models?base=linear&leave_out=direct", "paths", "funnel?stopped_after=1"),
    *("conversions", "conversions/cnv_g", "people", "people/browser-g", "live", "events/o1", "rejected", "validate"),
    *("goals", "goals/new", "goals/purchase", "goals/purchase/test", "channels", "costs", "alerts", "webhooks"),
    *(f"webhooks/{ENDPOINT}", "exports", "api-keys", "settings", "changes", "help", "first-event"),
)
ADDRESSES = [*(f"/apps/{OWN_APP}/{path}" for path in PAGES), "/apps", "/apps/new", "/users", "/profile", "/system"]


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_in_chinese_has_no_english_text_left(admin: Visitor, address: str) -> None:
    page = admin.client.get(address, headers={"Accept-Language": "zh"})
    assert page.status_code == 200, page.text
    assert 'lang="zh-CN"' in page.text
    assert english_texts_left(page.text) == set()
