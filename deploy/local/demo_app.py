"""The app and key that a first run makes, so that the first request of the documentation works as written."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.control import AlreadyExists, ControlPlane
from pipeline.control.rules import secret_hash
from schemas.control import App, Scope

DEMO_APP: Final = App("demo", "Demo", history_limit_days=3650)
"""The demo app. Its history reaches back far enough for the timestamp in the document's example."""

_QUICK_START: Final = """\
curl -X POST {base}/v1/events/track \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "event_name": "page_view",
    "properties": {{
      "page_title": "首页",
      "page_url": "https://example.com"
    }},
    "timestamp": "2024-01-15T10:30:00Z"
  }}'"""


def quick_start(base_url: str, key: str) -> str:
    """Return the document's first request, word for word but for host and key."""
    return _QUICK_START.format(base=base_url, key=key)


def ensure_demo_key(store: ControlPlane, path: Path, now_ms: int) -> tuple[str, bool]:
    """Return the demo app's key, kept in `path` (mode 0600), and whether it is new.

    A key that is not in the file, or that the database does not know any more, is replaced by a new one.
    """
    with suppress(AlreadyExists):
        store.create_app(DEMO_APP, now_ms)
    kept = path.read_text().strip() if path.exists() else ""
    known = store.snapshot(now_ms).keys_by_sha256.get(secret_hash(kept))
    if known is not None and known.app_id == DEMO_APP.app_id and not known.is_revoked:
        path.chmod(0o600)
        return kept, False
    secret = store.create_key(DEMO_APP.app_id, list(Scope), now_ms).secret
    _write_private(path, secret + "\n")
    return secret, True


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
