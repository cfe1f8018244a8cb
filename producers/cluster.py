"""How to reach the cluster: the connection settings every client of ours starts from."""

import ssl
from typing import Any

from producers.settings import Settings


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for any aiokafka client."""
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
            "sasl_plain_password": security.password,
        }
    if security.protocol.endswith("SSL"):
        named["ssl_context"] = ssl.create_default_context(cafile=security.ca_file)
    return named
