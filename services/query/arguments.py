"""Parse the texts of a query string into typed questions. Pure; raises `ApiError` naming the parameter at fault."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.domain.goals import REFUND
from pipeline.runtime.http.errors import Text, invalid
from schemas.control import App
from schemas.facts import Model
from services.query.attribution import AttributionQuery
from services.query.conversion_report import ConversionQuery
from services.query.conversions import ConversionFilter
from services.query.costs import CostFilter
from services.query.counted import counted_of
from services.query.credits import Dimension
from services.query.cursors import BadCursor, Cursors
from services.query.events import EventFilter
from services.query.funnels import MIN_STEPS, FunnelQuery
from services.query.pages import Page
from services.query.parameters import (
    ALL_MODELS,
    MAX_PROPERTIES,
    MAX_PROPERTY_CHARACTERS,
    PROPERTY_PREFIX,
    WITHIN_HOURS,
    AttributionParameters,
    ConversionReportParameters,
    ConversionsParameters,
    CostsParameters,
    EventsParameters,
    InPages,
    InRange,
    InZone,
    PerformanceParameters,
    RejectedParameters,
    UserEventsParameters,
    UsersParameters,
)
from services.query.performance import PerformanceQuery
from services.query.refunds import awaiting_order
from services.query.rejected import RejectedFilter
from services.query.times import BadTime, TimeRange, parse_end, parse_start, parse_zone
from services.query.users import UserFilter

T = TypeVar("T")


def zone_of(given: InZone, app: App) -> str:
    """Return the zone asked for, else the app's."""
    if given.tz is None:
        return app.timezone
    return _time("tz", lambda: parse_zone(given.tz or ""))


def range_of(given: InRange, app: App) -> TimeRange:
    zone = zone_of(given, app)
    start, end = given.from_, given.to
    from_ms = None if start is None else _time("from", lambda: parse_start(start, zone))
    to_ms = None if end is None else _time("to", lambda: parse_end(end, zone))
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise invalid("from", Text("必须早于 to", "must be before `to`"))
    return TimeRange(from_ms, to_ms)


def _time(name: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except BadTime as error:
        raise invalid(name, error.reason) from None


def page_of(given: InPages, list_name: str, cursors: Cursors) -> Page:
    if given.cursor is None:
        return Page(given.limit, cursors=cursors)
    try:
        return Page(given.limit, cursors.decode(list_name, given.cursor), cursors)
    except BadCursor:
        reason = Text(
            "无效的游标，请原样传入上一页的 next_cursor", "not a cursor of this list; pass next_cursor unchanged"
        )
        raise invalid("cursor", reason) from None


def models_of(given: tuple[str, ...]) -> tuple[Model, ...]:
    """Return the models in the order of the documentation, each once; all of them for `all` or none given."""
    if not given or ALL_MODELS in given:
        unknown = [name for name in given if name != ALL_MODELS and name not in set(Model)]
        chosen: set[str] = set(Model)
    else:
        unknown = [name for name in given if name not in set(Model)]
        chosen = set(given)
    if unknown:
        choices = ", ".join([*Model, ALL_MODELS])
        raise invalid("model", Text(f"可选值：{choices}", f"must be one of: {choices}"))
    return tuple(model for model in Model if model in chosen)


def properties_of(given: EventsParameters) -> tuple[tuple[str, str], ...]:
    """Read the parameters without a name of their own, all of which must be `property.<name>`."""
    extras = given.model_extra or {}
    for parameter in extras:
        if not parameter.startswith(PROPERTY_PREFIX) or parameter == PROPERTY_PREFIX:
            raise invalid(parameter[:100], Text("没有这个参数", "there is no such parameter"))
    pairs = tuple((parameter.removeprefix(PROPERTY_PREFIX), value) for parameter, value in extras.items())
    if len(pairs) > MAX_PROPERTIES:
        reason = Text(f"最多 {MAX_PROPERTIES} 个属性条件", f"at most {MAX_PROPERTIES} properties can be asked for")
        raise invalid(PROPERTY_PREFIX + "*", reason)
    for name, value in pairs:
        if not isinstance(value, str):
            raise invalid(PROPERTY_PREFIX + name, Text("重复给出", "is given more than once"))
        if len(name) > MAX_PROPERTY_CHARACTERS or len(value) > MAX_PROPERTY_CHARACTERS:
            raise invalid(
                PROPERTY_PREFIX + name[:100],
                Text(f"最多 {MAX_PROPERTY_CHARACTERS} 个字符", f"at most {MAX_PROPERTY_CHARACTERS} characters"),
            )
    return pairs


def event_filter(given: EventsParameters, app: App) -> EventFilter:
    return EventFilter(
        event_names=given.event_name or ((REFUND,) if given.awaiting_order else ()),
        user_id=given.user_id,
        anonymous_id=given.anonymous_id,
        time_range=range_of(given, app),
        properties=properties_of(given),
        awaiting=(awaiting_order(),) if given.awaiting_order else (),
    )


def user_event_filter(given: UserEventsParameters, app: App, person_keys: tuple[str, ...]) -> EventFilter:
    return EventFilter(event_names=given.event_name, person_keys=person_keys, time_range=range_of(given, app))


def rejected_filter(given: RejectedParameters, app: App) -> RejectedFilter:
    return RejectedFilter(tuple(dict.fromkeys(given.code)), given.field, range_of(given, app))


def cost_filter(given: CostsParameters, app: App) -> CostFilter:
    return CostFilter(zone_of(given, app), range_of(given, app))


def user_filter(given: UsersParameters, app: App) -> UserFilter:
    return UserFilter(first_seen=range_of(given, app), include_bots=given.include_bots)


def conversion_filter(given: ConversionsParameters, app: App) -> ConversionFilter:
    currency = given.currency or (app.currency if given.min_value is not None else None)
    return ConversionFilter(
        goals=given.goal,
        user_id=given.user_id,
        time_range=range_of(given, app),
        currency=currency,
        min_value=given.min_value,
        include_bots=given.include_bots,
    )


def attribution_query(given: AttributionParameters, app: App) -> AttributionQuery:
    return AttributionQuery(
        dimension=given.dimension or Dimension.CHANNEL,
        models=models_of(given.model),
        counted=counted_of(given.goal, given.currency, app),
        time_range=range_of(given, app),
        include_bots=given.include_bots,
    )


def check_path_alone(given: AttributionParameters) -> None:
    """Refuse filters beside `conversion_id`, which asks about one conversion: choices among many have no meaning
    there.
    """
    others = {
        "from": given.from_,
        "to": given.to,
        "goal": given.goal,
        "dimension": given.dimension,
        "currency": given.currency,
        "include_bots": given.include_bots,
    }
    for name, value in others.items():
        if value:
            raise invalid(name, Text("不能与 conversion_id 同时使用", "cannot be combined with conversion_id"))


def performance_query(given: PerformanceParameters, app: App) -> PerformanceQuery:
    time_range = range_of(given, app)
    if given.compare is not None and (time_range.from_ms is None or time_range.to_ms is None):
        raise invalid("compare", Text("需要同时给出 from 和 to", "takes both `from` and `to`"))
    return PerformanceQuery(
        dimension=given.dimension,
        models=models_of(given.model),
        counted=counted_of(given.goal, given.currency, app),
        zone=zone_of(given, app),
        granularity=given.granularity,
        time_range=time_range,
        has_previous=given.compare is not None,
        include_bots=given.include_bots,
    )


def conversion_query(given: ConversionReportParameters, app: App) -> ConversionQuery:
    return ConversionQuery(counted_of(given.goal, given.currency, app), range_of(given, app), given.include_bots)


def funnel_query(given: ConversionReportParameters, app: App) -> FunnelQuery | None:
    if not given.steps:
        if given.within_hours is not None:
            raise invalid("within_hours", Text("只能与 steps 同时使用", "only goes with `steps`"))
        return None
    if len(given.steps) < MIN_STEPS:
        raise invalid("steps", Text(f"至少 {MIN_STEPS} 个步骤", f"must have at least {MIN_STEPS} steps"))
    window_seconds = (given.within_hours or WITHIN_HOURS) * 3600
    return FunnelQuery(given.steps, window_seconds, range_of(given, app), given.include_bots)
