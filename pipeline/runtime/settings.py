"""Settings of the processes: frozen, typed, read once at the edge from `ATTRIKIT_…` environment variables.

One model per process (`GatewaySettings`, `WorkerSettings` …), put together from what its parts need (`KafkaSettings`
…); a part takes the smallest model that has its fields. `SETTINGS.md` and `.env.example` are made from these models and
their docstrings (`attrikit settings`). A secret, or a URL that may hold one, is a `SecretStr`: no `repr`, log or trace
shows it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.runtime.client_address import parse_networks

PREFIX: Final = "ATTRIKIT_"
_ADDRESS: Final = re.compile(r"[^\s:/]+:\d{1,5}\Z|\[[0-9A-Fa-f:.]+\]:\d{1,5}\Z")
_DELAY: Final = re.compile(r"\d{1,6}(\.\d+)?\Z")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9_.\-]{1,100}\Z")
_LONGEST_DELAY_SECONDS: Final = 7 * 86_400
_MAX_DELAYS: Final = 100
_LARGEST_FLOAT: Final = 2_000_000.0
"""Maximum of seconds, hours or days. As milliseconds, Kafka's 32 bits hold so many seconds (23 days)."""
_LARGEST_INT: Final = 1 << 50
"""Maximum of bytes, rows or persons: a thousand times as many still fit into 64 bits."""
_NO_SECRET: Final = SecretStr("")


def _check_url(*schemes: str) -> Callable[[str], str]:
    """Return a check: the URL is of one of these kinds, or empty. The message of its ValueError holds nothing that may
    be secret.
    """

    def check(given: str) -> str:
        parts = urlsplit(given)
        if given and (parts.scheme not in schemes or not (parts.netloc or parts.path)):
            kind = f"{parts.scheme}://" if parts.scheme.isalnum() else "this"
            raise ValueError(f"{kind} cannot be used here: expected {', '.join(f'{name}://' for name in schemes)}…")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("its port is no number") from None
        return given

    return check


def _check_hosts(given: str) -> str:
    for url in url_of_each_host(given):
        _check_url("http", "https")(url)
    return given


def _check_cluster(given: str) -> str:
    if given and not _CLUSTER.match(given):
        raise ValueError("expected letters, digits, '_', '-' and '.'")
    return given


def url_of_each_host(url: str) -> tuple[str, ...]:
    """Return a URL for each host of one that names several, `http://user:password@a:1,b:2/database` (pure)."""
    start, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    return tuple(f"{start}{separator}{login}{at}{host.strip()}{slash}{path}" for host in hosts.split(","))


def _secret(check: Callable[[str], str]) -> AfterValidator:
    """Return the validator of a secret whose text must pass the check."""

    def check_secret(given: SecretStr) -> SecretStr:
        check(given.get_secret_value())
        return given

    return AfterValidator(check_secret)


def _check_redis(given: str) -> str:
    if _check_url("redis", "rediss", "unix")(given):
        from redis.asyncio.connection import parse_url  # takes a while, and few need it

        parse_url(given)  # reads the options after `?`
    return given


def _check_addresses(given: str) -> str:
    addresses = [address.strip() for address in given.split(",")]
    if not all(_ADDRESS.match(address) and int(address.rpartition(":")[2]) <= 65_535 for address in addresses):
        raise ValueError("expected host:port, several separated by commas")
    return given


def _check_networks(given: str) -> str:
    parse_networks(given)
    return given


def _check_delays(given: str) -> str:
    if not all(_DELAY.match(delay.strip()) for delay in given.split(",") if delay.strip()):
        raise ValueError("expected seconds, several separated by commas")
    delays = _seconds_of(given)
    if len(delays) > _MAX_DELAYS or not all(0 < delay <= _LONGEST_DELAY_SECONDS for delay in delays):
        raise ValueError(f"expected at most {_MAX_DELAYS} delays, each more than 0 seconds and at most 7 days")
    return given


def _seconds_of(given: str) -> tuple[float, ...]:
    return tuple(float(part) for part in given.split(",") if part.strip())


Port = Annotated[int, Field(ge=0, le=65535)]
Networks = Annotated[str, AfterValidator(_check_networks)]


class ProcessSettings(BaseSettings):
    """Every process: what all of them have."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True)

    data_dir: Path = Path(".attrikit")
    """Folder where embedded parts and the stream's local state keep their files."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines of this level and above are logged."""

    @field_validator("*")
    @classmethod
    def _is_within_reason(cls, given: object) -> object:
        """Refuse numbers that their users fail on: too large, or none at all (`inf`, `nan`)."""
        largest = _LARGEST_FLOAT if isinstance(given, float) else _LARGEST_INT
        if isinstance(given, int | float) and not -largest <= given <= largest:
            raise ValueError(f"expected at most {largest:,.0f}")
        return given

    def as_environment(self) -> dict[str, str]:
        """Return the settings as environment variables for another process, secrets included."""
        return {
            PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in self
        }


class PartitionSettings(ProcessSettings):
    """Topics of Kafka."""

    partitions: int = Field(default=4, ge=1, le=1024)
    """Number of partitions of every topic. It decides where a person's events go, so it cannot change once there are
    events.
    """


class KafkaSettings(PartitionSettings):
    """Kafka: where it is, and how to be let in."""

    kafka_bootstrap: Annotated[str, AfterValidator(_check_addresses)] = "127.0.0.1:9092"
    """`host:port[,host:port…]`"""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """TLS (SSL), a login (SASL), or both."""
    kafka_ca_path: str = ""
    """PEM file of the authorities that may sign the brokers' certificates; empty: those the system trusts. Files of TLS
    are read again when they change."""
    kafka_certificate_path: str = ""
    """PEM file of the client's certificate, where brokers ask for one."""
    kafka_key_path: str = ""
    """PEM file of that certificate's private key; empty: it is in the same file."""
    kafka_key_password: SecretStr = _NO_SECRET
    """Password of the private key; empty: it is not encrypted."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """Kind of login."""
    kafka_username: str = ""
    """User of PLAIN and SCRAM; with OAUTHBEARER the client id for `kafka_token_url`."""
    kafka_password: SecretStr = _NO_SECRET
    """Password of that user; with OAUTHBEARER the client's secret."""
    kafka_token_url: Annotated[str, AfterValidator(_check_url("http", "https"))] = ""
    """Endpoint that gives OAUTHBEARER's tokens by the client credentials grant (RFC 6749, 4.4)."""
    kafka_token_scope: str = ""
    """Scope asked for there; empty: none."""
    kafka_token_path: str = ""
    """File with OAUTHBEARER's token, read anew for every connection: a service account token of Kubernetes, say."""
    replication_factor: int = Field(default=1, ge=1, le=1000)
    """Number of brokers that keep each record of a topic, when it is created."""
    min_insync_replicas: int = Field(default=1, ge=1, le=1000)
    """Number of them that must have a record before it is acknowledged; with fewer alive, events are refused."""
    skip_lost_records: bool = False
    """Go on after records that Kafka deleted before they were read, with a line of the log, instead of stopping. For
    one start, once `attrikit doctor` has said what is lost.
    """
    bells: str = Field(default="", pattern=r"^(\d*;\d+(,\d+)*)?$")
    """Descriptors of the pipes by which processes beside an embedded broker tell each other of new records, set by
    `attrikit up`; empty: there are none."""

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        """Refuse SASL without what its mechanism needs."""
        if not self.kafka_security_protocol.startswith("SASL_"):
            return self
        kind = f"{self.kafka_security_protocol} with {self.kafka_sasl_mechanism}"
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if not (self.kafka_token_url or self.kafka_token_path):
                raise ValueError(f"KAFKA_TOKEN_URL or KAFKA_TOKEN_PATH: needed for {kind}")
        elif not (self.kafka_username and self.kafka_password):
            raise ValueError(f"KAFKA_USERNAME and KAFKA_PASSWORD: needed for {kind}")
        return self


class ClickHouseSettings(ProcessSettings):
    """ClickHouse."""

    clickhouse_url: Annotated[SecretStr, _secret(_check_hosts)] = _NO_SECRET
    """`http(s)://user:password@host:port[,host:port…]/database`; empty: embedded (chDB under `data_dir`). Of several
    hosts each can answer everything: replicas, or any servers of a cluster. One that is away is passed over."""
    clickhouse_cluster: Annotated[str, AfterValidator(_check_cluster)] = ""
    """Name of the cluster in the servers' configuration (`remote_servers`), whose tables are replicated; empty: one
    server. To be set before the first migration (`deploy/docs/clickhouse-cluster.md`)."""
    clickhouse_sharded: bool = False
    """True if rows are spread over the cluster's shards; false: it has one shard."""
    clickhouse_ca_path: str = ""
    """PEM file of the authorities that may sign the servers' certificates; empty: those the system trusts."""
    clickhouse_certificate_path: str = ""
    """PEM file of the client's certificate, where servers ask for one."""
    clickhouse_key_path: str = ""
    """PEM file of that certificate's private key; empty: it is in the same file."""
    database: str = "attrikit"
    """Name of the database where the URL names none."""


class ControlPlaneSettings(ProcessSettings):
    """Control plane: apps, keys, goals."""

    control_plane_url: Annotated[SecretStr, _secret(_check_url("sqlite", "postgresql", "postgresql+psycopg"))] = (
        _NO_SECRET
    )
    """SQLAlchemy URL (`postgresql+psycopg://user:password@host/database`); empty: SQLite under `data_dir`."""
    control_plane_refresh_seconds: float = Field(default=2.0, gt=0)
    """Time between looks for changes there."""

    def control_plane_dsn(self) -> str:
        return self.control_plane_url.get_secret_value() or f"sqlite:///{self.data_dir.resolve()}/control.db"


class SecretBoxSettings(ControlPlaneSettings):
    """Encrypted secrets: the control plane with those it keeps."""

    webhook_key: SecretStr = _NO_SECRET
    """Key that encrypts endpoints' secrets and the signing key (a Fernet key; several, separated by commas: the first
    encrypts); empty: a key file under `data_dir`.
    """


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
    quota_redis_url: Annotated[SecretStr, _secret(_check_redis)] = _NO_SECRET
    """`redis://[user:password@]host:port/database`, shared by all that count; empty: this process counts for itself."""
    quota_timeout_seconds: float = Field(default=0.05, gt=0)
    """Maximum wait for Redis of a request of a limited plan; then it is let through uncounted."""


class ListenSettings(HostSettings):
    """Ports for everybody: of the gateway, the query service and the console."""

    port: Port = 8000
    """Port to listen at."""
    public_metrics: bool = False
    """True if anybody who reaches the port of the gateway or of the query service may read `/metrics`."""
    metrics_token: SecretStr = _NO_SECRET
    """Token for reading `/metrics` there, sent as `Authorization: Bearer …`. Empty, and not public: there is no such
    path. The ports of a worker and of a dispatcher are for operators only, and ask for none.
    """


class HttpSettings(ListenSettings, QuotaSettings):
    """HTTP services that callers reach: the gateway and the query service."""


class ReadsSettings(ProcessSettings):
    """Reads from the query service."""

    query_url: Annotated[str, AfterValidator(_check_url("http", "https"))] = ""
    """URL the gateway forwards reads to, so that one port serves all, and the console reads from; empty: the gateway
    answers reads with 404."""


class ProxySettings(ProcessSettings):
    """Proxies in front."""

    trusted_proxies: Networks = "127.0.0.1,::1"
    """Addresses and networks of the proxies in front, separated by commas: what they say in `X-Forwarded-For` of where
    a request came from is believed, and nobody else's word is. Empty: the client is whoever connects."""


class OperatorSettings(ProcessSettings):
    """Operators' reads."""

    operator_token: SecretStr = _NO_SECRET
    """Token of `attrikit ledger` and `attrikit doctor` for the process that has the tables open; it lets them see the
    counts of every app. Empty: nobody may.
    """


class ConsoleAddressSettings(ProcessSettings):
    """Address of the console."""

    console_url: Annotated[str, AfterValidator(_check_url("http", "https"))] = ""
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


class WorkerSettings(KafkaSettings, LivenessSettings, ControlPlaneSettings, HostSettings):
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

    export_url: Annotated[SecretStr, _secret(_check_url("s3", "file"))] = _NO_SECRET
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


class QuerySettings(PartitionSettings, ClickHouseSettings, ExportSettings, HttpSettings, OperatorSettings):
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


class LoaderSettings(KafkaSettings, ClickHouseSettings, LivenessSettings, HostSettings):
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


class WebhooksSettings(KafkaSettings, LivenessSettings, SecretBoxSettings, WebhookCallSettings, HostSettings):
    """Webhook dispatcher."""

    webhook_retry_seconds: Annotated[str, AfterValidator(_check_delays)] = "5,300,1800,7200,18000,36000,36000"
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
        return _seconds_of(self.webhook_retry_seconds)


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
    gateway_url: Annotated[str, AfterValidator(_check_url("http", "https"))] = ""
    """URL of the gateway as the console reaches it, to validate events and to send refused ones again; empty: that of
    `console_api_url`."""
    console_api_url: Annotated[str, AfterValidator(_check_url("http", "https"))] = ""
    """Address of the API as senders reach it, which the console's examples name; empty: that of `host` and `port`."""

    def api_address(self) -> str:
        """Return the address of the API as senders reach it."""
        return self.console_api_url or f"http://{self.host}:{self.port}"


class Settings(GatewaySettings, StoreSettings, WorkerSettings, WebhooksSettings, ConsoleSettings):
    """All settings: what `attrikit up` hands to its processes, and what operators' commands read."""
