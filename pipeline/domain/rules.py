"""An app's settings, compiled once per snapshot into what the hot path reads: milliseconds and lookups."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pipeline.domain.channels.classify import ChannelRules, compile_channels
from schemas.control import App, Goal
from schemas.facts import NANOS_PER_CONVERSION

DAY_MS: Final = 24 * 3600 * 1000
SESSION_CAP_MS: Final = DAY_MS
TIMER_STEP_MS: Final = 60_000
"""Sessions close at full minutes of event time."""


@dataclass(frozen=True, slots=True)
class AppRules:
    """Rules for reading the events of one app."""

    app_id: str
    currency: str
    gap_ms: int
    """Two events of a person belong to one session if they are *less* than this apart."""
    lateness_ms: int
    """Allowed lateness: an event further than this behind the watermark is stored, but no longer changes sessions or
    credits.
    """
    window_ms: dict[str, int]
    """Touch type → greatest age at the conversion with which a touch still counts (that age included)."""
    max_window_ms: int
    half_life_ms: float
    position_weights: tuple[int, int, int]
    """Weights of the first touch, of all between, and of the last, in billionths."""
    is_direct_fallback: bool
    """Direct visits get credit only where the path holds nothing else."""
    goals_by_event: dict[str, tuple[Goal, ...]]
    config_version: int
    """Version of the attribution settings, for the rows computed under them."""
    channels: ChannelRules
    history_ms: int = 400 * DAY_MS
    """Maximum age of an event on receipt, and how long an order is remembered."""


def compile_rules(app: App) -> AppRules:
    """The rules of `app`; raises ValueError on settings no journey can be computed with."""
    settings = app.attribution
    _refuse_nonsense(app)
    windows = {str(kind): days * DAY_MS for kind, days in settings.window_days.items()}
    goals: dict[str, tuple[Goal, ...]] = {}
    for goal in sorted(app.goals, key=lambda goal: goal.name):
        goals[goal.event_name] = (*goals.get(goal.event_name, ()), goal)
    return AppRules(
        app_id=app.app_id,
        currency=app.currency,
        gap_ms=settings.session_gap_seconds * 1000,
        lateness_ms=settings.allowed_lateness_seconds * 1000,
        window_ms=windows,
        max_window_ms=max(windows.values(), default=0),
        half_life_ms=settings.half_life_days * DAY_MS,
        position_weights=_billionths(settings.position_weights),
        is_direct_fallback=settings.direct_touch == "fallback",
        goals_by_event=goals,
        config_version=app.config_version,
        channels=compile_channels(settings.channels),
        history_ms=app.history_limit_days * DAY_MS,
    )


def _billionths(weights: tuple[float, float, float]) -> tuple[int, int, int]:
    """Convert to billionths by the shortest decimal form, so that 0.4 is 400,000,000 and not a little more."""
    first, middle, last = (int(Decimal(str(weight)) * NANOS_PER_CONVERSION) for weight in weights)
    return first, middle, last


def _refuse_nonsense(app: App) -> None:
    settings = app.attribution
    if settings.session_gap_seconds <= 0 or settings.allowed_lateness_seconds < 0:
        raise ValueError(f"app {app.app_id}: the session gap must be positive and the lateness not negative")
    if settings.half_life_days <= 0:
        raise ValueError(f"app {app.app_id}: the half-life must be positive")
    if min(settings.position_weights) < 0:
        raise ValueError(f"app {app.app_id}: position weights must not be negative")
    if settings.direct_touch not in ("include", "fallback"):
        raise ValueError(f"app {app.app_id}: direct_touch is 'include' or 'fallback'")
