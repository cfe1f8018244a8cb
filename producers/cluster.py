"""How to reach the cluster: the connection settings every client of ours starts from."""

import ssl
from pathlib import Path
from typing import Any

from aiokafka.protocol.metadata import MetadataRequest

from producers.errors import Misconfigured
from producers.settings import Settings


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for any aiokafka client; raises `Misconfigured` or `NoStack` where there are none."""
    never_create_topics()
    security = settings.kafka_security
    named: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": security.protocol,
        "retry_backoff_ms": 50,
    }
    if security.protocol.startswith("SASL"):
        named |= {
            "sasl_mechanism": security.sasl_mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password.get_secret_value() if security.password else None,
        }
    if security.protocol.endswith("SSL"):
        named["ssl_context"] = tls_context(security.ca_file)
    return named


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """What trusts the certificates of this file, or of the system; raises `Misconfigured` for a file it cannot use."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        why = "holds no certificate in PEM form"
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    raise Misconfigured(f"SOMA_KAFKA_SECURITY__CA_FILE={ca_file} {why}; name a PEM file with the CA's certificate")


def never_create_topics() -> None:
    """Let no metadata request of this program create a topic; repeating it changes nothing.

    A broker with `auto.create.topics.enable` creates each topic that a client asks about, with its default number of
    partitions. aiokafka sends the permission unless it is told otherwise, and its clients have no option for it.
    """
    MetadataRequest.__init__.__defaults__ = (None, False)
