from deploy.local.demo_app import DEMO_APP, quick_start
from pipeline.control.rules import check_app


def test_the_first_request_is_the_document_s_but_for_host_and_key():
    assert quick_start("http://127.0.0.1:8000", "ak_live_x") == (
        "curl -X POST http://127.0.0.1:8000/v1/events/track \\\n"
        '  -H "Authorization: Bearer ak_live_x" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        "  -d '{\n"
        '    "event_name": "page_view",\n'
        '    "properties": {\n'
        '      "page_title": "首页",\n'
        '      "page_url": "https://example.com"\n'
        "    },\n"
        '    "timestamp": "2024-01-15T10:30:00Z"\n'
        "  }'"
    )


def test_the_demo_app_is_acceptable():
    check_app(DEMO_APP)
