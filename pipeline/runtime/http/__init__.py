"""What every HTTP service answers alike: the envelope, its errors, the caller's language, keys, request ids.

`envelope` and `auth` are pure; `middleware` and `handlers` put them around an ASGI or FastAPI application.
"""

from pipeline.runtime.http.auth import Caller, authenticate, bearer_token
from pipeline.runtime.http.envelope import ApiError, encode_json, failure_body, language_of, success_body
from pipeline.runtime.http.handlers import error_response, install_handlers, success_response
from pipeline.runtime.http.middleware import EnvelopeMiddleware, request_id_of
from pipeline.runtime.http.operations import add_operations

__all__ = [
    "ApiError",
    "Caller",
    "EnvelopeMiddleware",
    "add_operations",
    "authenticate",
    "bearer_token",
    "encode_json",
    "error_response",
    "failure_body",
    "install_handlers",
    "language_of",
    "request_id_of",
    "success_body",
    "success_response",
]
