"""Where the world is: read from the environment, checked at start, all mistakes reported at once."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_BOOTSTRAP_SERVERS = "127.0.0.1:9092"
DEFAULT_CLICKHOUSE_URL = "http://127.0.0.1:8123"


class KafkaSecurity(BaseModel):
    """How to log in to a Kafka cluster; plain text by default."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None


class Bulkhead(BaseModel):
    """How much may be under way at one dependency, in one worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrent: int = Field(default=500, ge=1, description="Attempts at once.")
    per_second: float | None = Field(default=None, gt=0, description="Attempts begun within a second; unset: any.")


class Settings(BaseSettings):
    """What every program of the hub needs to know.

    `SOMA_HOME` holds the embedded stack's state. A cluster named by `KAFKA_BOOTSTRAP_SERVERS` or `CLICKHOUSE_URL` is
    used instead of the embedded one; unset, the addresses are those that `soma up` wrote into `SOMA_HOME`.
    """

    model_config = SettingsConfigDict(
        env_prefix="SOMA_", env_nested_delimiter="__", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    home: Path = Field(default=Path(".soma"), validation_alias=AliasChoices("SOMA_HOME"))
    kafka_bootstrap_servers: str | None = Field(
        default=None,
        pattern=r"^[^:,\s]+:\d{1,5}(,[^:,\s]+:\d{1,5})*$",
        validation_alias=AliasChoices(
            "kafka_bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS", "SOMA_KAFKA__BOOTSTRAP_SERVERS"
        ),
    )
    kafka_security: KafkaSecurity = KafkaSecurity()
    clickhouse_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        validation_alias=AliasChoices("clickhouse_url", "CLICKHOUSE_URL", "SOMA_CLICKHOUSE__URL"),
    )
    clickhouse_database: str = Field(default="soma", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    clickhouse_cluster: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="The ClickHouse cluster whose replicas hold the tables; unset: one server, no ON CLUSTER.",
    )
    tenant: str = Field(
        default="default", min_length=1, validation_alias=AliasChoices("ORGANIZATION_ID", "SOMA_TENANT")
    )
    partitions: int = Field(default=4, ge=1, le=1_000, description="Partitions of every topic of a saga.")
    replication: int = Field(default=1, ge=1, le=9)
    smtp_url: str | None = Field(default=None, pattern=r"^smtps?://[^\s]+$")
    application: str = Field(
        default="consumers.app:sagas",
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="The composition root, module:function, that says which sagas there are.",
    )
    worker_metrics_host: str = Field(default="127.0.0.1", min_length=1)
    worker_metrics_port: int | None = Field(
        default=None, ge=0, le=65_535, description="Where a worker serves /metrics and /health; 0 or unset: nowhere."
    )
    bulkheads: dict[str, Bulkhead] = Field(
        default={}, description='By the name of the port, as JSON: {"Blog": {"concurrent": 10, "per_second": 5}}.'
    )
    drain_seconds: float = Field(
        default=8.0, ge=0, le=600, description="How long a worker that is to stop lets running attempts come to an end."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def bootstrap_servers(self) -> str:
        """The Kafka brokers to talk to, `host:port[,host:port]`."""
        return self.kafka_bootstrap_servers or str(self.stack().get("kafka", DEFAULT_BOOTSTRAP_SERVERS))

    @property
    def store_url(self) -> str:
        """The ClickHouse HTTP address to talk to."""
        return self.clickhouse_url or str(self.stack().get("clickhouse", DEFAULT_CLICKHOUSE_URL))

    @property
    def smtp(self) -> str:
        """The SMTP server that mail leaves through, `smtp://host:port`."""
        return self.smtp_url or str(self.stack().get("smtp", "smtp://127.0.0.1:2525"))

    @property
    def stack_file(self) -> Path:
        """Where the embedded stack writes its addresses: `{"kafka", "clickhouse", "smtp"}`."""
        return self.home / "stack.json"

    def stack(self) -> dict[str, Any]:
        """The embedded stack's addresses, or nothing where it was never started."""
        try:
            addresses = json.loads(self.stack_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return addresses if isinstance(addresses, dict) else {}


def mistakes_in(error: ValidationError) -> list[str]:
    """One line per wrong setting, each with the variable's name and what is wrong with it."""
    return [f"{'__'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()]
