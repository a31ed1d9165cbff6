"""A row of the table of errors (`conformance`): a request, and what its answer says; and the endpoints it may be to.

A row names the endpoint as the document does. Unless it says otherwise, its request is a good one to that endpoint with
a key that may make it, and its answer's `details` are those the code has everywhere (`DETAILS`).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from served_api import SECRET_KEY

from schemas.errors import ErrorCode as E

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE

EVENT = {"event_name": "page_view"}
REPORTING = {
    "POST /v1/events/track": EVENT,
    "POST /v1/events/batch": {"events": [EVENT]},
    "POST /v1/events/validate": EVENT,
}
VISITOR = "POST /v1/visitor"
READS = {
    "GET /v1/events": "/v1/events",
    "GET /v1/events/rejected": "/v1/events/rejected",
    "GET /v1/events/{event_id}": "/v1/events/evt_00001",
    "GET /v1/conversions": "/v1/conversions",
    "GET /v1/costs": "/v1/costs",
    "GET /v1/attribution": "/v1/attribution",
    "GET /v1/users": "/v1/users",
    "GET /v1/users/{user_id}": "/v1/users/user4",
    "GET /v1/users/{user_id}/events": "/v1/users/user4/events",
    "GET /v1/users/{user_id}/journey": "/v1/users/user4/journey",
    "GET /v1/reports/performance": "/v1/reports/performance",
    "GET /v1/reports/conversion": "/v1/reports/conversion",
    "GET /v1/alerts": "/v1/alerts",
    "GET /v1/webhooks/deliveries": "/v1/webhooks/deliveries",
    "GET /v1/webhooks/deliveries/{delivery_id}": "/v1/webhooks/deliveries/whd_1",
}
RESEND = "POST /v1/webhooks/deliveries/{delivery_id}/resend"
RESEND_PATH = "/v1/webhooks/deliveries/whd_1/resend"
EXPORT = "POST /v1/reports/export"
EXPORT_JOB = "/v1/reports/export/exp_" + "0" * 24
EXPORTS = {
    EXPORT: "/v1/reports/export",
    "GET /v1/reports/export/{job_id}": EXPORT_JOB,
    "DELETE /v1/reports/export/{job_id}": EXPORT_JOB,
}
DOWNLOAD = "GET /v1/reports/export/{job_id}/download"
DOWNLOAD_PATH = EXPORT_JOB + "/download"
LISTS = [
    name
    for name in READS
    if name.endswith(("events", "rejected", "conversions", "costs", "users", "deliveries", "alerts"))
]
RANGES = [name for name in READS if name not in ("GET /v1/events/{event_id}", "GET /v1/users/{user_id}")]

DETAILS: dict[E, set[str]] = {
    E.INVALID_API_KEY: {"reason"},
    E.FORBIDDEN: {"required_scope"},
    E.MISSING_REQUIRED_FIELD: {"field"},
    E.INVALID_EVENT_NAME: {"field", "value", "suggestion"},
    E.INVALID_PARAMETER: {"field", "reason"},
    E.PAYLOAD_TOO_LARGE: {"field", "reason", "limit", "actual"},
    E.NOT_FOUND: set(),
    E.METHOD_NOT_ALLOWED: {"allowed"},
    E.RATE_LIMIT_EXCEEDED: {"limit", "plan", "reset_at"},
    E.SERVER_ERROR: {"request_id"},
}
HEADERS: dict[E, set[str]] = {
    E.INVALID_API_KEY: {"www-authenticate"},
    E.METHOD_NOT_ALLOWED: {"allow"},
    E.RATE_LIMIT_EXCEEDED: {"retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"},
    E.SERVER_ERROR: {"retry-after"},
}


@dataclass(frozen=True)
class Row:
    endpoint: str
    code: E
    path: str = ""
    """With query; by default the endpoint's."""
    method: str = ""
    key: str | None = SECRET_KEY
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    """Details which must be stated so; the others must be there."""
    names: set[str] | None = None
    """Names of all details; None: as everywhere."""
    answered_in: str = ""
    """`results`, `errors`: the error of one event (the last) in an answer of success."""
    without: str = ""
    """A part that fails meanwhile: `broker`, `control plane`, `ClickHouse`, `quota` (which is used up)."""

    @property
    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        method, _, _ = self.endpoint.partition(" ")
        good = REPORTING.get(self.endpoint)
        body = self.body if self.body is not None or good is None else json.dumps(good).encode()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        return self.method or method, self.path or path_of(self.endpoint), body, headers | self.headers

    @property
    def detail_names(self) -> set[str]:
        return DETAILS[self.code] if self.names is None else self.names

    def __str__(self) -> str:
        return f"{self.code} {self.endpoint} {self.details.get('field', '')}{self.without}"


def path_of(endpoint: str) -> str:
    return READS.get(endpoint) or (RESEND_PATH if endpoint == RESEND else endpoint.partition(" ")[2])
