"""Read the installation's state after the demo's traffic in three ways: the topic, the API, the tables themselves."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import httpx
from aiokafka import TopicPartition

from deploy.demo.ledger import Credited, Observed
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from schemas.facts import NANOS_PER_CONVERSION, Model
from schemas.money import to_minor
from schemas.persons import ANONYMOUS_KEY_SQL
from schemas.topics import Topic

Report = dict[str, Any]
CURRENCY: Final = "CNY"

_COUNTS: Final = """
SELECT
    (SELECT count() FROM events FINAL WHERE app_id = {app:String}) AS stored,
    (SELECT countIf(mark = 'duplicate') FROM event_marks FINAL WHERE app_id = {app:String}) AS duplicates,
    (SELECT countIf(mark = 'late') FROM event_marks FINAL WHERE app_id = {app:String}) AS late,
    (SELECT count() FROM attributions FINAL WHERE app_id = {app:String}) AS attributions,
    (SELECT sum(value_minor - refunded_minor) FROM conversions FINAL WHERE app_id = {app:String}) AS value_minor,
    (SELECT count() FROM person_links FINAL WHERE app_id = {app:String}) AS links,
    (SELECT uniqExact(person_key) FROM sessions FINAL WHERE app_id = {app:String}) AS people,
    (
        SELECT count() FROM sessions FINAL WHERE app_id = {app:String} AND person_key IN
            (SELECT ANONYMOUS_KEY FROM person_links FINAL WHERE app_id = {app:String})
    ) AS strays
""".replace("ANONYMOUS_KEY", ANONYMOUS_KEY_SQL)
_REJECTED: Final = "SELECT code, count() FROM rejected FINAL WHERE app_id = {app:String} GROUP BY code"
_CONVERSIONS: Final = "SELECT goal, count() FROM conversions FINAL WHERE app_id = {app:String} GROUP BY goal"
_UNBALANCED: Final = """
SELECT conversion_id
FROM (SELECT * FROM attributions FINAL WHERE app_id = {app:String}) AS attributed
LEFT JOIN
(
    SELECT conversion_id, value_minor - refunded_minor AS whole FROM conversions FINAL WHERE app_id = {app:String}
) AS converted USING (conversion_id)
WHERE value_minor != whole OR arrayExists(
    model -> arraySum(credits_nanos[model]) != {one:Int64} OR arraySum(values_minor[model]) != value_minor
        OR length(credits_nanos[model]) != length(channels) OR length(values_minor[model]) != length(channels),
    {models:Array(String)}
)
ORDER BY conversion_id
"""
_CREDITED: Final = """
SELECT model, sum(arraySum(credits_nanos[model])), sum(arraySum(values_minor[model]))
FROM attributions FINAL
ARRAY JOIN {models:Array(String)} AS model
WHERE app_id = {app:String}
GROUP BY model
"""


async def count_topic_lines(settings: KafkaSettings) -> int:
    """Read the topic `events` from its beginning to its present end and count the events in it."""
    places = [TopicPartition(Topic.EVENTS.value, partition) for partition in range(settings.partitions)]
    async with started(build_consumer(settings)) as consumer:
        ranges = await whole_range(consumer, places)
        return sum(
            [len(record.value.splitlines()) async for _, records in read_range(consumer, ranges) for record in records]
        )


async def read_report(client: httpx.AsyncClient) -> Report:
    """Read the performance report by channel under the documented models."""
    parameters = {"dimension": "channel", "model": ",".join(Model)}
    response = await client.get("/v1/reports/performance", params=parameters, timeout=60.0)
    response.raise_for_status()
    report: Report = response.json(parse_float=Decimal)["data"]
    return report


def credited_by_report(report: Report) -> dict[Model, Credited]:
    """Read the totals row of each model."""
    return {
        Model(name): _credited(Decimal(totals["credited_conversions"]), Decimal(totals["credited_value"]))
        for name, totals in report["totals"]["models"].items()
    }


def sum_of_items(report: Report) -> dict[Model, Credited]:
    """Add up the report's lines, which must give its totals row."""
    return {
        model: _credited(
            sum((Decimal(item["models"][model]["credited_conversions"]) for item in report["items"]), Decimal()),
            sum((Decimal(item["models"][model]["credited_value"]) for item in report["items"]), Decimal()),
        )
        for model in Model
    }


def _credited(conversions: Decimal, value: Decimal) -> Credited:
    value_minor = to_minor(str(value), CURRENCY)
    return Credited(conversions, 0 if value_minor is None else value_minor)


async def read_tables(clickhouse: ClickHouse, app_id: str, topic_lines: int, report: Report) -> Observed:
    """Count in the tables themselves, final rows only."""
    bound: Mapping[str, Any] = {"app": app_id, "models": [model.value for model in Model]}
    exact: Mapping[str, Any] = {**bound, "one": NANOS_PER_CONVERSION}
    (counts,) = await clickhouse.query_dicts(_COUNTS, {"app": app_id})
    credited = await clickhouse.query(_CREDITED, bound)
    return Observed(
        topic_lines=topic_lines,
        stored=counts["stored"],
        duplicates=counts["duplicates"],
        late=counts["late"],
        rejected=Counter(dict(await clickhouse.query(_REJECTED, {"app": app_id}))),
        conversions=Counter(dict(await clickhouse.query(_CONVERSIONS, {"app": app_id}))),
        value_minor=counts["value_minor"],
        attributions=counts["attributions"],
        links=counts["links"],
        people=counts["people"],
        strays=counts["strays"],
        unbalanced=tuple(row[0] for row in await clickhouse.query(_UNBALANCED, exact)),
        credited={Model(m): Credited(Decimal(nanos) / NANOS_PER_CONVERSION, value) for m, nanos, value in credited},
        reported=credited_by_report(report),
        added_up=sum_of_items(report),
    )
