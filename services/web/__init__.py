"""Common parts of every HTTP service: the envelope, its errors, the caller's language, keys, request ids.

`errors`, `envelope` and `auth` are pure; `middleware`, `handlers`, `operations` and `openapi` put them around an ASGI
or FastAPI application.
"""
