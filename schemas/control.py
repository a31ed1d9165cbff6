"""Facts of the control plane, as the typed values every other process reads from its snapshot."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.facts import TouchType
from schemas.webhooks import EndpointState, EventType

ANY_ORIGIN: Final = "*"


class Scope(StrEnum):
    WRITE = "write"
    READ = "read"


class Plan(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Operator(StrEnum):
    """Comparison of a property. Numbers, and strings that are decimal numbers, compare as numbers."""

    EQ = "eq"
    NE = "ne"
    """The opposite of `eq`, so it also holds where the property is absent."""
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    CONTAINS = "contains"
    """A string that holds the value, or a list one of whose items equals it."""
    EXISTS = "exists"
    """The property is there and not null; with the value false: it is not."""


class Counting(StrEnum):
    """Counting of the events that meet a goal: all, or the earliest of a session or a person."""

    EVERY = "every"
    ONCE_PER_SESSION = "once_per_session"
    ONCE_PER_PERSON = "once_per_person"


@dataclass(frozen=True)
class GoalCondition:
    """On one property of the event. An absent property meets `ne` and `exists` false, and nothing else."""

    name: str
    """Name of a property, as it stands at the top of `properties`."""
    operator: Operator
    value: str | int | float | bool | None = None


MICRO: Final = "micro"


@dataclass(frozen=True)
class Goal:
    """A conversion event. `name` is unique in its app, snake_case, and never changes."""

    name: str
    display_name: str
    goal_type: str
    """`macro` or `micro`."""
    event_name: str
    value_properties: tuple[str, ...] = ("revenue", "amount", "price")
    """The first of these properties that holds a number gives the value."""
    conditions: tuple[GoalCondition, ...] = ()
    """All of them must hold."""
    counting: Counting = Counting.EVERY
    version: int = 1
    """One more with every change. The control plane keeps every version and when it came into force."""


@dataclass(frozen=True)
class ChannelRule:
    """A rule of an app's own, before the built-in ones. Patterns are lower case, `*` stands for any text; all that are
    given must match. `source`, `medium`, `campaign`: as normalised; `referrer`: a host; `landing_page`: an address."""

    name: str
    channel: str
    """A channel of ours, or a word of the app's own."""
    source: str = ""
    medium: str = ""
    campaign: str = ""
    referrer: str = ""
    landing_page: str = ""
    new_source: str = ""
    """Name of the source; empty: as tagged, else the referrer's host."""


@dataclass(frozen=True)
class ChannelSettings:
    """An app's own part of the channel rules. Hosts stand for their subdomains too."""

    own_domains: tuple[str, ...] = ()
    """Coming from there is moving about on the site."""
    ignored_referrers: tuple[str, ...] = ()
    """They say nothing of where somebody came from: a payment page, a survey tool."""
    rules: tuple[ChannelRule, ...] = ()
    """Rules in their order; the first that matches decides."""


@dataclass(frozen=True)
class AttributionSettings:
    """Per app. A touch counts if its age at the conversion is inside the window of its type."""

    session_gap_seconds: int = 30 * 60
    allowed_lateness_seconds: int = 24 * 3600
    window_days: dict[TouchType, int] = field(
        default_factory=lambda: {
            TouchType.CLICK: 30,
            TouchType.IMPRESSION: 1,
            TouchType.VIEW: 3,
            TouchType.VISIT: 30,
        }
    )
    half_life_days: float = 7.0
    position_weights: tuple[float, float, float] = (0.4, 0.2, 0.4)
    """Shares of the first touch, of all between, and of the last."""
    direct_touch: str = "include"
    """`include`: a direct visit is a touch in the models that spread credit. `fallback`: only where nothing else is."""
    channels: ChannelSettings = field(default_factory=ChannelSettings)


class AlertMetric(StrEnum):
    """Metric that a rule watches, per app and window. The first three go by event time; a request's time is its
    receipt.
    """

    EVENTS = "events"
    """Events stored, repeats left out."""
    CONVERSIONS = "conversions"
    VALUE = "value"
    """Value of conversions in the app's currency, in whole units, less refunds."""
    REJECTED_RATE = "rejected_rate"
    """Events refused, in percent of all that were sent."""
    API_LATENCY = "api_latency"
    """Milliseconds within which 95 % of the requests were answered."""


class Comparison(StrEnum):
    ABOVE = "above"
    BELOW = "below"
    ABOVE_AVERAGE = "above_average"
    """More than the threshold above the average of the trailing windows, in percent of it."""
    BELOW_AVERAGE = "below_average"
    OFF_AVERAGE = "off_average"
    """Above or below."""

    @property
    def is_relative(self) -> bool:
        return self not in (Comparison.ABOVE, Comparison.BELOW)


@dataclass(frozen=True)
class AlertRule:
    """A condition on a metric of one app over tumbling windows. It changes in nothing but its being paused."""

    rule_id: str
    app_id: str
    name: str
    metric: AlertMetric
    comparison: Comparison
    threshold: float
    """Threshold in the metric's unit; in percent of the average where the comparison is relative."""
    window_seconds: int
    """A day is the app's local day; shorter windows begin at multiples of their length in UTC."""
    trailing_windows: int = 7
    """Number of windows before it that the average is of."""
    subject: str = ""
    """Only events of this name, or conversions of this goal."""
    is_paused: bool = False
    active_from_ms: int = 0
    """Windows that begin before it are not judged."""


class ClientAddress(StrEnum):
    """The part of a client's address that is stored with an event."""

    WHOLE = "whole"
    SHORTENED = "shortened"
    """The network: /24 of IPv4, /48 of IPv6."""
    NONE = "none"


DEFAULT_DROPPED_PARAMETERS: Final = (
    *("token", "access_token", "refresh_token", "id_token", "auth_token", "oauth_token", "api_token", "csrf_token"),
    *("reset_token", "session_token", "jwt", "otp", "api_key", "access_key", "secret", "secret_key", "client_secret"),
    *("password", "passwd", "passcode", "pwd", "auth", "authorization", "credential", "credentials"),
    *("sig", "signature", "x_amz_signature", "x_amz_credential", "x_amz_security_token", "x_goog_signature"),
    *("session", "session_id", "phpsessid", "jsessionid"),
    *("email", "e_mail", "mail", "email_address", "user_email"),
    *("phone", "phone_number", "tel", "telephone", "mobile", "mobile_phone"),
    *("ssn", "id_card", "card_number", "credit_card"),
)
"""Names that commonly carry secrets or say who a person is. A `code` is as often a coupon, so it is not one of them."""


@dataclass(frozen=True)
class PrivacySettings:
    """Privacy settings: parts of an app's events that are not written anywhere."""

    dropped_parameters: tuple[str, ...] = DEFAULT_DROPPED_PARAMETERS
    """Names of query parameters, without regard to case, `_` and `-`. Campaign tags and click ids are never dropped."""
    client_address: ClientAddress = ClientAddress.SHORTENED


@dataclass(frozen=True)
class App:
    app_id: str
    name: str
    plan: Plan = Plan.ENTERPRISE
    currency: str = "CNY"
    timezone: str = "Asia/Shanghai"
    history_limit_days: int = 400
    goals: tuple[Goal, ...] = ()
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    config_version: int = 1
    """Version of `attribution`: one more with every change of it."""
    allowed_origins: tuple[str, ...] = (ANY_ORIGIN,)
    """Origins of the pages that may report into this app from a browser: `https://shop.example`,
    `https://*.shop.example` (any subdomain), or `*`; none: no page may.

    All by default: what a page can do here takes a write key, which reads nothing, and no cookie gives any right, so
    an open door shows nobody anything; a shut one loses the events of the site somebody forgot to list. Listing them
    keeps strangers' pages from reporting with a key copied out of yours; programs it cannot stop.
    """
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    allows_app_id: bool = False
    """True if pages of the allowed origins may report with the app's id alone, without a key."""
    retired_micro_goals: tuple[str, ...] = ()
    """Names of goals that were micro when they were retired. Their conversions are still there."""

    @property
    def micro_goals(self) -> tuple[str, ...]:
        """Names of the goals whose conversions no total adds up with those of the others."""
        return (*(goal.name for goal in self.goals if goal.goal_type == MICRO), *self.retired_micro_goals)


@dataclass(frozen=True)
class WebhookEndpoint:
    """Endpoint that an app's facts are sent to. Secrets are encrypted (`pipeline.runtime.secret_box`)."""

    endpoint_id: str
    app_id: str
    url: str
    event_types: frozenset[EventType]
    secret: str = field(repr=False)
    created_at_ms: int
    """It gets what was written from then on."""
    description: str = ""
    state: EndpointState = EndpointState.ACTIVE
    state_reason: str = ""
    """Reason why it is disabled."""
    previous_secret: str = field(default="", repr=False)
    previous_valid_until_ms: int = 0
    max_concurrency: int = 16
    """Attempts under way at once."""
    max_per_second: float = 0.0
    """Attempts begun per second; 0: no limit."""
    failing_since_ms: int | None = None
    """Since when no attempt has succeeded though some were made; None: the last one did, or there was none."""


@dataclass(frozen=True)
class ApiKey:
    key_id: str
    app_id: str
    secret_sha256: str
    """Hex SHA-256 of the whole key. A key has 160+ random bits, so a fast hash leaves nothing to guess."""
    scopes: frozenset[Scope]
    is_revoked: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The control plane at one moment."""

    apps: dict[str, App]
    keys_by_sha256: dict[str, ApiKey]
    taken_at_ms: int
    signing_key: str = field(default="", repr=False)
    """Key with which every replica signs cursors and links: encrypted (`pipeline.runtime.secret_box`), or in hex where
    there is no key to encrypt with. Empty: nothing can be signed.
    """
    webhooks: dict[str, tuple[WebhookEndpoint, ...]] = field(default_factory=dict)
    """App id → its endpoints."""
    alert_rules: tuple[AlertRule, ...] = ()
    attribution_versions: dict[tuple[str, int], AttributionSettings] = field(default_factory=dict)
    """(app id, config version) → the settings that version stands for, of every version there ever was."""


DEFAULT_GOALS: tuple[Goal, ...] = (
    Goal("purchase", "购买", "macro", "purchase"),
    Goal("user_signup", "注册", "macro", "user_signup"),
    Goal("app_install", "安装应用", "macro", "app_install"),
    Goal("form_submitted", "提交表单", "macro", "form_submitted"),
    Goal("add_to_cart", "加入购物车", "macro", "add_to_cart", value_properties=()),
)
"""Goals of a new app. A cart carries no value of its own: the purchase after it does."""
