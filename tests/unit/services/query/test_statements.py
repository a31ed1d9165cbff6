"""Every statement of the service: one app's rows, and all that a caller sends bound as parameters."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec

from schemas.facts import Model
from services.query.aggregates.counted_conversions import Counted
from services.query.aggregates.credit_sums import Dimension
from services.query.aggregates.left_out_touches import LeftOut
from services.query.attribution import statements as attribution
from services.query.conversions import statements as conversions
from services.query.core.cursors import Position
from services.query.core.lists import Page
from services.query.core.sql import Horizon, Listing, Statement
from services.query.core.times import TimeRange
from services.query.costs import statements as costs
from services.query.events import detail_statements as event_details
from services.query.events import statements as events
from services.query.events.ledger import count_ledger
from services.query.events.recent import RecentParameters, find_recent
from services.query.identity.person_links import find_persons, find_seen_with, links_of, owners_of
from services.query.identity.sessions import FoundSession, SessionPlace, session_place
from services.query.rejected import statements as rejected
from services.query.reports.conversion.funnels import FunnelQuery, funnel_rows, stopped_rows
from services.query.reports.conversion.statements import ConversionQuery, conversion_rows
from services.query.reports.performance.periods import Granularity
from services.query.reports.performance.statements import PerformanceQuery, performance_rows
from services.query.usage.routes import count_requests
from services.query.users import journeys
from services.query.users import statements as users

RANGE = TimeRange(1, 2)
PAGE = Page(10, Position(5, "x"))
HOSTILE = "'; DROP TABLE events; --"


def both_steps(listing: Listing[Any]) -> Iterator[Statement[Any]]:
    yield listing.horizon(listing.first_reach)
    yield listing.rows(Horizon(600, 5))
    yield listing.rows(Horizon(2, 5, [6, 5], [HOSTILE, "x"]))


def every_statement() -> Iterator[Statement[Any]]:
    """Each statement there is, with everything a caller can put into it."""
    app = "alpha"
    place = FoundSession(SessionPlace(HOSTILE, 1, 2), (HOSTILE,))
    wanted = events.EventFilter(
        (HOSTILE,), HOSTILE, HOSTILE, (HOSTILE,), place, RANGE, ((HOSTILE, HOSTILE), ("n", "1.5"))
    )
    yield from both_steps(events.list_events(app, wanted, PAGE))
    yield from both_steps(events.list_events(app, events.EventFilter(), Page(1)))
    of_nobody = events.EventFilter(
        (HOSTILE,), time_range=RANGE, properties=((HOSTILE, HOSTILE), ("n", "1.5"), ("z", "null"))
    )
    yield from both_steps(events.list_events(app, of_nobody, PAGE))
    yield session_place(app, HOSTILE)
    event = msgspec.convert(
        dict.fromkeys(event_details.EventPlaceRow.__struct_fields__, HOSTILE)
        | {"timestamp_ms": 1, "received_us": 1, "original_timestamp_ms": 0, "is_bot": False, "stored_at_ms": 1},
        event_details.EventPlaceRow,
    )
    yield event_details.find_event(app, HOSTILE)
    hostile = RecentParameters.model_construct(event_name=HOSTILE, user_id=HOSTILE, anonymous_id=HOSTILE)
    yield find_recent(app, hostile, 1)
    yield count_ledger(app, RANGE, 1)
    yield count_requests(app, RANGE)
    yield event_details.find_session(app, event, HOSTILE)
    yield event_details.find_conversions(app, event)
    yield event_details.find_delivered(app, (HOSTILE,))
    yield event_details.find_attributed(app, (HOSTILE,))
    yield event_details.count_marks(app, HOSTILE)
    touch = conversions.TouchFilter(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    asked_for = conversions.ConversionFilter((HOSTILE,), HOSTILE, RANGE, HOSTILE, touch=touch)
    yield from both_steps(conversions.list_conversions(app, asked_for, PAGE))
    yield conversions.find_conversion(app, HOSTILE)
    yield attribution.find_attribution(app, HOSTILE)
    fact = msgspec.convert(
        dict.fromkeys(conversions.ConversionFact.__struct_fields__, HOSTILE)
        | {
            "converted_at_ms": 1,
            "value_minor": 1,
            "refunded_minor": 0,
            "goal_version": 1,
            "path_channels": [],
            "is_bot": False,
        },
        conversions.ConversionFact,
    )
    yield attribution.touches_before(app, fact)
    yield rejected.list_rejected(app, rejected.RejectedFilter((HOSTILE,), HOSTILE, RANGE), PAGE)
    yield from both_steps(users.list_users(app, users.UserFilter(RANGE), PAGE))
    yield from both_steps(users.list_users(app, users.UserFilter(), Page(1)))
    yield users.find_user(app, HOSTILE)
    for facts in (journeys.sessions_of, journeys.touches_of, journeys.conversions_of, journeys.joined_of):
        yield facts(app, "u:" + HOSTILE)
    yield find_persons(app, HOSTILE)
    yield find_seen_with(app, HOSTILE)
    yield owners_of(app, HOSTILE)
    yield links_of(app, [HOSTILE])
    all_counted = (Counted(HOSTILE, (HOSTILE,)), Counted(HOSTILE, (), (HOSTILE,), (HOSTILE,)), Counted("CNY"))
    for counted in all_counted:
        yield conversion_rows(app, ConversionQuery(counted, RANGE))
    yield users.find_refunds(app, [HOSTILE], False)
    yield costs.list_costs(app, costs.CostFilter(HOSTILE, RANGE), PAGE)
    yield funnel_rows(app, FunnelQuery((HOSTILE, "b", HOSTILE), 60, RANGE, has_channels=True))
    yield stopped_rows(app, FunnelQuery((HOSTILE, "b", HOSTILE), 60, RANGE, stopped_after=1))
    for dimension in Dimension:
        for counted in all_counted:
            yield attribution.attribution_rows(
                app, attribution.AttributionQuery(dimension, tuple(Model), counted, RANGE)
            )
        for granularity, has_previous, counted in product((None, *Granularity), (False, True), all_counted):
            yield performance_rows(
                app,
                PerformanceQuery(dimension, (Model.LINEAR,), counted, "Asia/Tokyo", granularity, RANGE, has_previous),
            )
        for narrowed in ((Dimension.CHANNEL,), (Dimension.SOURCE, Dimension.MEDIUM, Dimension.CAMPAIGN)):
            places, both = tuple((each, HOSTILE) for each in narrowed), tuple(LeftOut)
            yield performance_rows(
                app,
                PerformanceQuery(dimension, tuple(Model), all_counted[0], "Asia/Tokyo", narrowed=places, left_out=both),
            )


def test_nothing_a_caller_sends_is_in_the_text_of_any_statement() -> None:
    made = list(every_statement())
    assert len(made) > 70
    for built in made:
        assert "DROP" not in built.sql
        assert built.parameters["app_id"] == "alpha"


def test_every_parameter_named_is_bound_and_every_one_bound_is_named() -> None:
    for built in every_statement():
        named = set(re.findall(r"\{(\w+):\w+(?:\(\w+\))?\}", built.sql))
        assert named == set(built.parameters), built.sql
