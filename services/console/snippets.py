"""Text to paste: the script tag of a site, and a first request. Pure."""

from typing import Final

_SCRIPT: Final = """\
<script>
  (function () {
    var a = window.AttriKit = window.AttriKit || function () { a.q.push(arguments); };
    a.q = a.q || [];
    a.init = a.init || function () { a.q.push(arguments); };
    var s = document.createElement('script');
    s.async = true;
    s.src = '%(api)s/sdk/latest/attrikit.min.js';
    document.head.appendChild(s);
  })();
  AttriKit.init({ appId: '%(app_id)s', autoTrack: true });
</script>"""
_CURL: Final = """\
curl -X POST %(api)s/v1/events/track \\
  -H "Authorization: Bearer %(key)s" \\
  -H "Content-Type: application/json" \\
  -d '{"event_name": "page_view", "anonymous_id": "first-visitor", "properties": {"page_url": "https://example.com"}}'"""


def script_tag(api_url: str, app_id: str) -> str:
    return _SCRIPT % {"api": api_url.rstrip("/"), "app_id": app_id}


def curl(api_url: str, key: str) -> str:
    return _CURL % {"api": api_url.rstrip("/"), "key": key}


def curl_of_read(api_url: str, path: str, query: str) -> str:
    """Return the call of the API that gives a page's numbers."""
    address = f"{api_url.rstrip('/')}{path}" + (f"?{query}" if query else "")
    return f'curl -H "Authorization: Bearer $ATTRIKIT_KEY" "{address}"'
