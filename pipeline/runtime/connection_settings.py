"""Settings of what processes are connected with: Kafka, ClickHouse, the control plane; and what every process has.

The models per process are put together from these in `settings`.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.runtime.setting_checks import (
    check_addresses,
    check_cluster,
    check_collector,
    check_hosts,
    check_url,
    secret,
)

PREFIX: Final = "ATTRIKIT_"
_LARGEST_FLOAT: Final = 2_000_000.0
"""Maximum of seconds, hours or days. As milliseconds, Kafka's 32 bits hold so many seconds (23 days)."""
_LARGEST_INT: Final = 1 << 50
"""Maximum of bytes, rows or persons: a thousand times as many still fit into 64 bits."""
NO_SECRET: Final = SecretStr("")


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


class TracesSettings(ProcessSettings):
    """Traces."""

    traces_endpoint: Annotated[str, AfterValidator(check_collector)] = ""
    """URL of a collector of traces that takes OTLP over HTTP, `http://collector:4318`; without a path, `/v1/traces` of
    it is meant. Empty: no traces, at no cost (`deploy/docs/traces.md`)."""
    traces_sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the requests that are traced, of those that come without a `traceparent`; one that brings it is traced
    if it says so."""


class PartitionSettings(ProcessSettings):
    """Topics of Kafka."""

    partitions: int = Field(default=4, ge=1, le=1024)
    """Number of partitions of every topic. It decides where a person's events go, so it cannot change once there are
    events.
    """


class KafkaSettings(PartitionSettings):
    """Kafka: where it is, and how to be let in."""

    kafka_bootstrap: Annotated[str, AfterValidator(check_addresses)] = "127.0.0.1:9092"
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
    kafka_key_password: SecretStr = NO_SECRET
    """Password of the private key; empty: it is not encrypted."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """Kind of login."""
    kafka_username: str = ""
    """User of PLAIN and SCRAM; with OAUTHBEARER the client id for `kafka_token_url`."""
    kafka_password: SecretStr = NO_SECRET
    """Password of that user; with OAUTHBEARER the client's secret."""
    kafka_token_url: Annotated[str, AfterValidator(check_url("http", "https"))] = ""
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

    clickhouse_url: Annotated[SecretStr, secret(check_hosts)] = NO_SECRET
    """`http(s)://user:password@host:port[,host:port…]/database`; empty: embedded (chDB under `data_dir`). Of several
    hosts each can answer everything: replicas, or any servers of a cluster. One that is away is passed over."""
    clickhouse_cluster: Annotated[str, AfterValidator(check_cluster)] = ""
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

    @model_validator(mode="after")
    def _has_a_cluster(self) -> Self:
        """Refuse shards of no cluster: they would have no effect."""
        if self.clickhouse_sharded and not self.clickhouse_cluster:
            raise ValueError("CLICKHOUSE_CLUSTER: needed for CLICKHOUSE_SHARDED")
        return self


class ControlPlaneSettings(ProcessSettings):
    """Control plane: apps, keys, goals."""

    control_plane_url: Annotated[SecretStr, secret(check_url("sqlite", "postgresql", "postgresql+psycopg"))] = NO_SECRET
    """SQLAlchemy URL (`postgresql+psycopg://user:password@host/database`); empty: SQLite under `data_dir`."""
    control_plane_refresh_seconds: float = Field(default=2.0, gt=0)
    """Time between looks for changes there."""

    def control_plane_dsn(self) -> str:
        return self.control_plane_url.get_secret_value() or f"sqlite:///{self.data_dir.resolve()}/control.db"


class SecretBoxSettings(ControlPlaneSettings):
    """Encrypted secrets: the control plane with those it keeps."""

    webhook_key: SecretStr = NO_SECRET
    """Key that encrypts endpoints' secrets and the signing key (a Fernet key; several, separated by commas: the first
    encrypts); empty: a key file under `data_dir`.
    """
