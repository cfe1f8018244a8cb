"""Where the world is: read from the environment, checked at start, all mistakes reported at once."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from producers.errors import NoStack
from producers.secrets import HttpUrl, SecretUrl, SmtpUrl


class KafkaSecurity(BaseModel):
    """How to log in to a Kafka cluster; plain text by default."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_a_login(self) -> Self:
        missing = [name for name in ("username", "password") if not getattr(self, name)]
        if self.protocol.startswith("SASL") and missing:
            variables = " and ".join(f"SOMA_KAFKA_SECURITY__{name.upper()}" for name in missing)
            raise ValueError(f"the protocol {self.protocol} needs a login: set {variables}")
        return self


class Bulkhead(BaseModel):
    """How much may be under way at one dependency, in one worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrent: int = Field(default=500, ge=1, description="Attempts at once.")
    per_second: float | None = Field(default=None, gt=0, description="Attempts begun within a second; unset: any.")


class Settings(BaseSettings):
    """What every program of the hub needs to know.

    `SOMA_HOME` holds the embedded stack's state. A cluster named by `KAFKA_BOOTSTRAP_SERVERS` or `CLICKHOUSE_URL` is
    used instead of the embedded one; unset, the addresses are those that `soma up` wrote into `SOMA_HOME`. There is no
    other default: a home without a stack and without a named server raises `NoStack`.
    """

    model_config = SettingsConfigDict(
        env_prefix="SOMA_",
        env_nested_delimiter="__",
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
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
    clickhouse_url: HttpUrl | None = Field(
        default=None,
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
    smtp_url: SmtpUrl | None = None
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
        """The Kafka brokers to talk to, `host:port[,host:port]`; raises `NoStack` where there are none."""
        return self.kafka_bootstrap_servers or self._embedded("kafka", "KAFKA_BOOTSTRAP_SERVERS")

    @property
    def store_url(self) -> SecretUrl:
        """The ClickHouse HTTP address to talk to; raises `NoStack` where there is none."""
        return self.clickhouse_url or SecretUrl(self._embedded("clickhouse", "CLICKHOUSE_URL"))

    @property
    def smtp(self) -> SecretUrl | None:
        """The SMTP server that mail leaves through; None where none is named and no stack runs."""
        embedded = self.stack().get("smtp")
        return self.smtp_url or (SecretUrl(embedded) if isinstance(embedded, str) else None)

    @property
    def stack_file(self) -> Path:
        """Where the embedded stack writes its addresses while it runs: `{"kafka", "clickhouse", "smtp"}`."""
        return self.home / "stack.json"

    def stack(self) -> dict[str, Any]:
        """The embedded stack's addresses, or nothing where it does not run."""
        try:
            addresses = json.loads(self.stack_file.read_text())
        except (OSError, ValueError):
            return {}
        return addresses if isinstance(addresses, dict) else {}

    def own_cluster_id(self) -> str | None:
        """The id of the embedded Kafka's cluster; None where Kafka is named, or this home has none yet."""
        if self.kafka_bootstrap_servers is not None:
            return None
        try:
            properties = (self.home / "kafka" / "log" / "meta.properties").read_text()
        except (OSError, ValueError):
            return None
        ids = [line.partition("=")[2].strip() for line in properties.splitlines() if line.startswith("cluster.id=")]
        return ids[0] if ids else None

    def _embedded(self, part: str, variable: str) -> str:
        address = self.stack().get(part)
        if not isinstance(address, str) or not address:
            raise NoStack(self.home, variable)
        return address


def mistakes_in(error: ValidationError | SettingsError) -> list[str]:
    """One line per wrong setting, each with the variable's name and what is wrong with it; never the value."""
    if isinstance(error, SettingsError):
        return [str(error)]
    return [f"{'__'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()]
