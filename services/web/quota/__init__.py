"""Quotas of requests: a limit a UTC day by the app's plan, and one a second for `/v1/events/validate`.

    rules       pure: which window a request falls into, whether it fits, what the answer's headers say
    counters    where is counted: in this process, or (`redis_counter`) in a Redis that several share
    gate        both put together, for the gateway to call and as a layer around the query service

What counts: every request under `/v1` with a valid key, once, whatever it is answered and whichever of the app's keys
it carries; a batch is one request. Not counted: requests without a valid key, preflights and requests of pages the app
does not allow, and everything outside `/v1`. Enterprise apps have no limit, so nothing is counted for them and they are
told no limit.

Exactly as many requests as the limit says are let through, because counting and asking are one step: `limits` adds one
and learns the sum at once (in Redis inside a script). Its own fixed windows begin with the first request, so the day is
part of the counter's name here. In memory the counts end with the process.

While Redis is away or slow, requests are let through uncounted: a customer's data is worth more than our arithmetic.
"""

from services.web.quota.gate import API_PREFIX, CountRequests, Quota, limited_app, open_quota
from services.web.quota.rules import is_limited

__all__ = ["API_PREFIX", "CountRequests", "Quota", "is_limited", "limited_app", "open_quota"]
