"""Settings of the processes: frozen, typed, read once at the edge from `ATTRIKIT_…` environment variables.

One model per process (`GatewaySettings`, `WorkerSettings` …), put together from what its parts need (`KafkaSettings`
…); a part takes the smallest model that has its fields. `SETTINGS.md` and `.env.example` are made from these models and
their docstrings (`attrikit settings`). A secret, or a URL that may hold one, is a `SecretStr`: no `repr`, log or trace
shows it.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from pipeline.runtime.connection_settings import (
    NO_SECRET,
    ClickHouseSettings,
    ControlPlaneSettings,
    KafkaSettings,
    PartitionSettings,
    ProcessSettings,
    SecretBoxSettings,
    TracesSettings,
)
from pipeline.runtime.setting_checks import (
    check_delays,
    check_networks,
    check_redis,
    check_url,
    seconds_of,
    secret,
)

Port = Annotated[int, Field(ge=0, le=65535)]
Networks = Annotated[str, AfterValidator(check_networks)]


class HostSettings(ProcessSettings):
    """Address of HTTP."""

    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0: all of this machine's."""


class LivenessSettings(ProcessSettings):
    """Liveness."""

    stall_seconds: float = Field(default=120.0, gt=0)
    """A process that has something to do and gets nothing done for so long is not alive (`/healthz`: 503). Longer than
    the 30 seconds after which a gateway gives up a connection to the broker."""


class QuotaSettings(ProcessSettings):
    """Request limits of plans."""

    count_requests: bool = True
    """True if this process counts. Every request has to be counted once: not again by a query service behind a gateway
    that forwards to it (`query_url`).
    """
    quota_redis_url: Annotated[SecretStr, secret(check_redis)] = NO_SECRET
    """`redis://[user:password@]host:port/database`, shared by all that count; empty: this process counts for itself."""
    quota_timeout_seconds: float = Field(default=0.05, gt=0)
    """Maximum wait for Redis of a request of a limited plan; then it is let through uncounted."""


class ListenSettings(HostSettings):
    """Ports for everybody: of the gateway, the query service and the console."""

    port: Port = 8000
    """Port to listen at."""
    public_metrics: bool = False
    """True if anybody who reaches the port of the gateway or of the query service may read `/metrics`."""
    metrics_token: SecretStr = NO_SECRET
    """Token for reading `/metrics` there, sent as `Authorization: Bearer …`. Empty, and not public: there is no such
    path. The ports of a worker and of a dispatcher are for operators only, and ask for none.
    """


class HttpSettings(ListenSettings, QuotaSettings):
    """HTTP services that callers reach: the gateway and the query service."""


class ReadsSettings(ProcessSettings):
    """Reads from the query service."""

    query_url: Annotated[str, AfterValidator(check_url("http", "https"))] = ""
    """URL the gateway forwards reads to, so that one port serves all, and the console reads from; empty: the gateway
    answers reads with 404."""


class ProxySettings(ProcessSettings):
    """Proxies in front."""

    trusted_proxies: Networks = "127.0.0.1,::1"
    """Addresses and networks of the proxies in front, separated by commas: what they say in `X-Forwarded-For` of where
    a request came from is believed, and nobody else's word is. Empty: the client is whoever connects."""


class OperatorSettings(ProcessSettings):
    """Operators' reads."""

    operator_token: SecretStr = NO_SECRET
    """Token of `attrikit ledger` and `attrikit doctor` for the process that has the tables open; it lets them see the
    counts of every app. Empty: nobody may.
    """


class ConsoleAddressSettings(ProcessSettings):
    """Address of the console."""

    console_url: Annotated[str, AfterValidator(check_url("http", "https"))] = ""
    """Address of the console as people reach it, to which the gateway leads a browser that asks for `/`; empty: there
    is none."""


class BrokerDiskSettings(ProcessSettings):
    """Disk of an embedded broker."""

    broker_data_dir: str = ""
    """Data folder of the embedded broker (noida), set by `attrikit up`; empty: the broker looks after its own disk."""
    broker_margin_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Disk space to be left beside the embedded broker's next save; with less, the gateway refuses events."""


class GatewaySettings(
    KafkaSettings,
    BrokerDiskSettings,
    LivenessSettings,
    ControlPlaneSettings,
    HttpSettings,
    ReadsSettings,
    ProxySettings,
    ConsoleAddressSettings,
    TracesSettings,
):
    """Gateway."""

    max_in_flight_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Bodies being read and records waiting for the broker's acknowledgement, shared by apps and client networks; past
    its share a request is answered 500 with `Retry-After`."""
    max_client_connections: int = Field(default=256, gt=0)
    """Connections of one client (an address, a /64 of IPv6) to the gateway; trusted proxies have no limit."""
    app_id_requests_a_second: int = Field(default=50, gt=0)
    """Requests a second by an app's id (pages without a key) that one client network, an address or a /64 of IPv6, may
    send to a gateway process; past that they get 429 with `Retry-After`, which the SDK obeys."""
    publish_timeout_seconds: float = Field(default=2.0, gt=0)
    """Maximum wait of a request for the broker's acknowledgement."""


class WorkerSettings(KafkaSettings, LivenessSettings, ControlPlaneSettings, HostSettings, TracesSettings):
    """Stream."""

    stream_store: Literal["rocksdb", "memory"] = "rocksdb"
    """Store of the states of persons: on disk, or in memory, with a start that reads all of the changelog."""
    out_of_orderness_seconds: float = Field(default=60.0, ge=0)
    """How much later than a younger event an older one may come and still count as in order."""
    idle_seconds: float = Field(default=10.0, gt=0)
    """A partition without messages this long has its watermark moved on by the wall clock."""
    live_persons: int = Field(default=100_000, gt=0)
    """Decoded person states kept in memory, over all partitions of a worker."""
    live_state_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)
    """Limit on the memory of those states, over all partitions of a worker; the bound that is met first holds."""
    publish_interval_seconds: float = Field(default=1.0, ge=0)
    """Under continuous load, changed sessions are written this often; when a partition falls silent, at once."""
    worker_port: Port = 0
    """Port of the worker's `/healthz` and `/metrics`; 0: none."""
    worker_session_timeout_seconds: float = Field(default=20.0, ge=6)
    """A worker not heard of for this long loses its partitions to others; the broker says what is allowed."""


class ExportSettings(SecretBoxSettings):
    """Exports."""

    export_url: Annotated[SecretStr, secret(check_url("s3", "file"))] = NO_SECRET
    """`s3://bucket/prefix` (endpoint and credentials: the usual `AWS_…` variables) or `file:///folder`; empty: the
    folder `exports` under `data_dir`. Query services that share a control plane must share it too."""
    export_file_hours: float = Field(default=24.0, gt=0)
    """Lifetime of a file and its link."""
    export_max_unfinished: int = Field(default=100, gt=0)
    """Jobs of one app that wait or run."""
    export_max_seconds: float = Field(default=3600.0, gt=0)
    """Limit on the time of the query of one export."""
    export_max_memory_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=0)
    """Limit on the memory of the query of one export; 0: no limit."""


class QuerySettings(
    PartitionSettings, ClickHouseSettings, ExportSettings, HttpSettings, OperatorSettings, TracesSettings
):
    """Query service."""

    query_max_seconds: float = Field(default=20.0, gt=0)
    """Limit on the time of one read; past it, or one of the two that follow, the answer is an error that says so."""
    query_max_rows_to_read: int = Field(default=2_000_000_000, ge=0)
    """Limit on the rows of one read; 0: none."""
    query_max_memory_bytes: int = Field(default=4 * 1024 * 1024 * 1024, ge=0)
    """Limit on the memory of one read; 0: none."""
    query_max_user_memory_bytes: int = Field(default=0, ge=0)
    """Limit on the memory of all queries together of the ClickHouse user that this process is; inserts of a loader with
    the same user count, so give the query service a user of its own. 0: none."""
    query_answer_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    """Rows and answers that this process holds at once, shared by the apps: one alone may hold 7/16 of it; past that
    its reads are answered 429 with `Retry-After`. Large lists are read and sent 4 MiB at a time."""


class LoaderSettings(KafkaSettings, ClickHouseSettings, LivenessSettings, HostSettings, TracesSettings):
    """Loader."""

    loader_max_rows: int = Field(default=50_000, gt=0)
    """A block is inserted when it holds this many rows,"""
    loader_max_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    """or this many bytes,"""
    loader_max_age_seconds: float = Field(default=0.2, ge=0)
    """or is this old."""
    loader_port: Port = 0
    """Port of the `/healthz`, `/readyz` and `/metrics` of a loader of its own; 0: none."""


class AlertsSettings(KafkaSettings, ClickHouseSettings, ControlPlaneSettings, HostSettings):
    """Alerts."""

    alerts_port: Port = 0
    """Port of the `/healthz`, `/readyz` and `/metrics` of the alerts; 0: none."""


class StoreSettings(LoaderSettings, QuerySettings, AlertsSettings):
    """Loader, query service and alerts in one process."""


class WebhookCallSettings(ProcessSettings):
    """Calls of webhooks."""

    webhook_allowed_networks: Networks = ""
    """Networks webhooks may be sent to though they are not public, separated by commas: `10.1.0.0/16,127.0.0.1`."""
    webhook_connect_seconds: float = Field(default=3.0, gt=0)
    """Timeout of the connection of an attempt."""
    webhook_timeout_seconds: float = Field(default=10.0, gt=0)
    """Timeout of a whole attempt."""


class WebhooksSettings(
    KafkaSettings, LivenessSettings, SecretBoxSettings, WebhookCallSettings, HostSettings, TracesSettings
):
    """Webhook dispatcher."""

    webhook_retry_seconds: Annotated[str, AfterValidator(check_delays)] = "5,300,1800,7200,18000,36000,36000"
    """Waits after each failed attempt (±20 %); after the last, the delivery is dead-lettered."""
    webhook_queue_deliveries: int = Field(default=5_000, gt=0)
    """Maximum number of one endpoint's deliveries waiting in memory; more wait in Kafka."""
    webhook_queue_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    """Limit on the bytes of all endpoints' waiting deliveries together."""
    webhook_disable_days: float = Field(default=5.0, gt=0)
    """An endpoint without a success for so long is disabled."""
    webhooks_port: Port = 0
    """Port of the dispatcher's `/healthz`, `/readyz` and `/metrics`; 0: none."""
    webhooks_instance: str = ""
    """A name that only this dispatcher bears: started again under it, it has its partitions back at once."""

    def webhook_retries(self) -> tuple[float, ...]:
        """Return the seconds after each failed attempt."""
        return seconds_of(self.webhook_retry_seconds)


class ConsoleSettings(
    KafkaSettings,
    SecretBoxSettings,
    WebhookCallSettings,
    ListenSettings,
    ReadsSettings,
    ProxySettings,
    OperatorSettings,
    ConsoleAddressSettings,
):
    """Console."""

    console_host: str = ""
    """Address the console listens on; empty: that of `host`."""
    console_port: Port = 0
    """Port of the console; 0: the one after `port`."""
    gateway_url: Annotated[str, AfterValidator(check_url("http", "https"))] = ""
    """URL of the gateway as the console reaches it, to validate events and to send refused ones again; empty: that of
    `console_api_url`."""
    console_api_url: Annotated[str, AfterValidator(check_url("http", "https"))] = ""
    """Address of the API as senders reach it, which the console's examples name; empty: that of `host` and `port`."""

    def api_address(self) -> str:
        """Return the address of the API as senders reach it."""
        return self.console_api_url or f"http://{self.host}:{self.port}"


class Settings(GatewaySettings, StoreSettings, WorkerSettings, WebhooksSettings, ConsoleSettings):
    """All settings: what `attrikit up` hands to its processes, and what operators' commands read."""
