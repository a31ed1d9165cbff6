"""Names of the choices, states and metrics of settings, as the pages show them."""

from typing import Final

from services.console.i18n.catalogue import text

GOAL_TYPES: Final = {"macro": text("main goal"), "micro": text("micro goal, left out of totals")}
COUNTINGS: Final = {
    "every": text("every event"),
    "once_per_session": text("once per session"),
    "once_per_person": text("once per person"),
}
GOAL_CHANGES: Final = {"added": text("added"), "updated": text("changed"), "retired": text("retired")}
OPERATORS: Final = {
    "eq": text("is"),
    "ne": text("is not"),
    "gt": text("is more than"),
    "gte": text("is at least"),
    "lt": text("is less than"),
    "lte": text("is at most"),
    "contains": text("contains"),
    "exists": text("is there (false: is not)"),
}
KINDS: Final = {
    "string": text("text"),
    "number": text("number"),
    "boolean": text("true or false"),
    "array": text("list"),
    "object": text("object or nothing"),
}
UNMET: Final = {
    "absent": text("the property is not there"),
    "present": text("the property is there"),
    "incomparable": text("a value of this type cannot be compared with it"),
    "other": text("the value does not meet it"),
}
"""By `pipeline.domain.conversions.conditions.Unmet`."""
VALUE_ISSUES: Final = {
    "unreadable_currency": text("not known: the currency cannot be read"),
    "unreadable_value": text("not known: the amount cannot be read"),
    "negative_value": text("not known: the amount is negative"),
}
CHANNEL_CHANGES: Final = {
    "rule": text("Save the rule"),
    "remove": text("Remove the rule"),
    "up": text("Move the rule up"),
    "down": text("Move the rule down"),
    "hosts": text("Save the hosts"),
    "restore": text("Go back to this version"),
}
METRICS: Final = {
    "events": text("events"),
    "conversions": text("conversions"),
    "value": text("value of conversions"),
    "rejected_rate": text("refused events, %% of all"),
    "api_latency": text("answer time of 95 of 100 requests, ms"),
    "webhook_failing": text("a webhook that keeps failing, hours"),
}
COMPARISONS: Final = {
    "above": text("more than"),
    "below": text("less than"),
    "above_average": text("%% above its average"),
    "below_average": text("%% below its average"),
    "off_average": text("%% off its average, either way"),
}
ALERT_STATES: Final = {"began": text("began"), "ended": text("ended")}
REPORTS: Final = {
    "performance": text("Performance"),
    "conversions": text("Conversions"),
    "attribution": text("Credit of each touch"),
    "events": text("Events"),
    "sessions": text("Sessions"),
    "touches": text("Touches"),
    "users": text("People"),
}
FORMATS: Final = {
    "spreadsheet": text("CSV for a spreadsheet"),
    "csv": text("CSV for programs"),
    "jsonl": text("JSON lines"),
    "parquet": text("Parquet"),
}
COMPRESSIONS: Final = {"none": text("none"), "gzip": text("gzip"), "zstd": text("zstd")}
EXPORT_FILTERS: Final = {
    "from": text("From"),
    "to": text("To"),
    "goal": text("Goal"),
    "model": text("Model"),
    "dimension": text("Dimension"),
    "include_bots": text("With bots"),
    "leave_out": text("Without"),
}
EXPORT_STATES: Final = {
    "queued": text("waiting"),
    "running": text("being written"),
    "done": text("done"),
    "failed": text("failed"),
    "cancelled": text("cancelled"),
    "expired": text("removed, its time was over"),
}
COST_PROBLEMS: Final = (
    text("no column %(missing)s; the columns are %(columns)s"),
    text("unknown column %(names)s"),
    text("a column stands twice"),
    text("the day, channel, campaign, source and currency of line %(line)s again: add them up"),
    text("this is no CSV: %(reason)s"),
    text("it has more or fewer values than the header has columns"),
    text("currency %(given)s is no ISO 4217 code such as CNY"),
    text("date %(given)s is no day such as 2024-01-15"),
    text("channel %(given)s is no name such as paid_search"),
    text("campaign %(given)s is not printable"),
    text("cost %(given)s is no amount such as 1234.50"),
)
"""In the words of `pipeline.domain.cost_rows.REASONS`."""
EVENT_TYPES: Final = {
    "conversion.created": text("a conversion was counted"),
    "attribution.completed": text("its credits were computed, or computed again"),
    "threshold.alert": text("an alert began or ended"),
    "webhook.test": text("a test"),
}
PLANS: Final = {"free": text("Free"), "pro": text("Pro"), "enterprise": text("Enterprise")}
ENDPOINT_STATES: Final = {"active": text("active"), "paused": text("paused"), "disabled": text("disabled")}
OUTCOMES: Final = {
    "delivered": text("delivered"),
    "retrying": text("to be tried again"),
    "deferred": text("put off"),
    "failed": text("failed"),
    "skipped": text("skipped"),
}
IMPOSSIBLE: Final = {
    "CUT": text("cannot be sent again: its end is missing, as it was longer than an event may be"),
    "EMPTY": text("cannot be sent again: nothing of it was kept"),
    "UNDECODABLE": text("cannot be sent again: it held bytes that are no UTF-8"),
    "NOT_AN_EVENT": text("cannot be sent again: it is no JSON object of one event"),
    "NOT_OURS": text("cannot be sent again: it was accepted, and refused behind the gateway"),
}
"""By the names of `pipeline.domain.rejected_replay.Impossible`."""
