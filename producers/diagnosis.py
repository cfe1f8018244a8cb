"""Why Kafka cannot be used: aiokafka tells its log and raises "unable to bootstrap", so the way in is walked again.

`log_in` walks it: name, port, TLS, login, first answer. `kafka_failure` turns any error of a client into one line.
"""

import asyncio
import contextlib
import ssl
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from producers.cluster import connection
from producers.errors import (
    AccessDenied,
    AnotherServer,
    ConnectionFailed,
    LoginFailed,
    NotReachable,
    TimedOut,
    TlsFailed,
    TlsMissing,
)
from producers.reaching import BREAKS_OFF, is_broken_off, network_failure, reach, speaks_tls, tls_failure
from producers.settings import Settings

ANSWER_SECONDS_MAX = 5.0
CLOSE_SECONDS_MAX = 1.0
PROTOCOL = "SOMA_KAFKA_SECURITY__PROTOCOL"
CA_FILE = "SOMA_KAFKA_SECURITY__CA_FILE"
DENIED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class Cluster(NamedTuple):
    """Whose Kafka it is."""

    id: str
    brokers: int


async def log_in(settings: Settings) -> Cluster:
    """Connect to the first broker that answers, log in and ask who it is.

    Raises `ConnectionFailed` with the cause, of the broker that let us come furthest; `Misconfigured`, `NoStack`.
    """
    named = connection(settings)
    hosts = collect_hosts(named.pop("bootstrap_servers"), randomize=False)
    named.pop("retry_backoff_ms")
    failures: list[ConnectionFailed] = []
    for host, port, _ in hosts:
        try:
            cluster = await _greet(settings, host, port, named)
        except ConnectionFailed as failure:
            failures.append(failure)
            continue
        own = settings.own_cluster_id()
        if own is not None and cluster.id != own:
            raise AnotherServer(
                f"Kafka at {host}:{port}", f"is cluster {cluster.id}, not this home's own {own}", "`soma up` starts it"
            )
        return cluster
    raise next((failure for failure in failures if not isinstance(failure, NotReachable)), failures[0])


async def kafka_failure(settings: Settings, error: BaseException, needs: str = "") -> ConnectionFailed | TimedOut:
    """The error of a Kafka client as what is wrong, with the remedy. `needs` names the right that the call takes."""
    if isinstance(error, ConnectionFailed | TimedOut):
        return error
    if (denied := denial(settings, error, needs)) is not None:
        return denied
    try:
        await log_in(settings)
    except ConnectionFailed as found:
        return found
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TimeoutError):
        return TimedOut(
            f"Kafka at {settings.bootstrap_servers} answers, but not this in time ({needs or why}); try again"
        )
    return ConnectionFailed(
        f"Kafka at {settings.bootstrap_servers}", f"answers, but not this: {why}", "`soma doctor` looks"
    )


def denial(settings: Settings, error: BaseException | None, needs: str = "") -> AccessDenied | None:
    """The missing right that the error tells of; None where it tells of something else."""
    if not isinstance(error, DENIED):
        return None
    user = settings.kafka_security.username or "ANONYMOUS"
    named = ", ".join(sorted(_names(error)))
    right = needs or {
        TopicAuthorizationFailedError: f"READ, WRITE or DESCRIBE on topic {named}".rstrip(),
        GroupAuthorizationFailedError: f"READ on group {named}".rstrip(),
        TransactionalIdAuthorizationFailed: f"WRITE on transactional id {named}".rstrip(),
    }.get(type(error), "CREATE or IDEMPOTENT_WRITE on the cluster")
    return AccessDenied(
        f"Kafka at {settings.bootstrap_servers}",
        f"denies User:{user} {right}",
        "allow it with an ACL (`kafka-acls --add`)",
    )


def _names(error: BaseException) -> set[str]:
    """What aiokafka's error names: a topic, a group, or several."""
    found: set[str] = set()
    for argument in error.args:
        found |= {argument} if isinstance(argument, str) else {str(one) for one in argument or ()}
    return found


async def _greet(settings: Settings, host: str, port: int, named: dict[str, Any]) -> Cluster:
    server, protocol, remedy = f"Kafka at {host}:{port}", settings.kafka_security.protocol, kafka_remedy(settings)
    user, mechanism = settings.kafka_security.username, settings.kafka_security.sasl_mechanism
    conn = AIOKafkaConnection(host, port, request_timeout_ms=int(ANSWER_SECONDS_MAX * 1_000), **named)
    is_connected = False
    try:
        await conn.connect()
        is_connected = True
        metadata = await conn.send(MetadataRequest([]))
        return Cluster(str(metadata.cluster_id), len(metadata.brokers))
    except SaslAuthenticationFailed as error:
        raise LoginFailed(
            server,
            f"refuses the login of {user} with {mechanism}: wrong user name or password",
            "check SOMA_KAFKA_SECURITY__USERNAME, __PASSWORD and __SASL_MECHANISM",
        ) from error
    except UnsupportedSaslMechanismError as error:
        raise LoginFailed(
            server,
            f"does not offer the SASL mechanism {mechanism}",
            "set SOMA_KAFKA_SECURITY__SASL_MECHANISM to one that the listener has",
        ) from error
    except IllegalSaslStateError as error:
        raise LoginFailed(server, "takes no login at this port", f"check the port and {PROTOCOL}={protocol}") from error
    except TimeoutError as error:
        raise await asyncio.to_thread(_silence, server, host, port, remedy) from error
    except ssl.SSLError as error:
        raise tls_failure(server, host, error, CA_FILE, f"check the port and {PROTOCOL}={protocol}") from error
    except (OSError, UnicodeError) as error:
        if protocol.endswith("SSL") and is_broken_off(error):
            raise TlsMissing(server, BREAKS_OFF, f"check the port and {PROTOCOL}={protocol}") from error
        raise network_failure(server, host, error, ANSWER_SECONDS_MAX, remedy) from error
    except (KafkaError, EOFError, AssertionError) as error:
        raise await _closed(server, host, port, protocol, is_connected) from error
    finally:
        await _close(conn)


async def _close(conn: AIOKafkaConnection) -> None:
    """Close the connection and wait until it is gone: with TLS the other side has a word in that."""
    closed = conn.close()
    # Without a protocol there was no connection, and nothing would ever tell of its end.
    if conn._protocol is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.shield(closed)


def _silence(server: str, host: str, port: int, remedy: str) -> ConnectionFailed:
    """What a time-out means: no connection, or no answer on it. Blocks."""
    try:
        reach(server, host, port, None, ANSWER_SECONDS_MAX, remedy, CA_FILE)
    except ConnectionFailed as failure:
        return failure
    cause = f"is not reachable: it accepts connections, but gives no answer within {ANSWER_SECONDS_MAX:g} s"
    return NotReachable(server, cause, remedy)


async def _closed(server: str, host: str, port: int, protocol: str, is_connected: bool) -> ConnectionFailed:
    """Why a broker closes a connection without a word: it expects TLS, or a login."""
    if not protocol.endswith("SSL") and await asyncio.to_thread(speaks_tls, host, port, ANSWER_SECONDS_MAX):
        return TlsFailed(server, f"speaks TLS, and {PROTOCOL} is {protocol}", f"set {PROTOCOL} to SSL or SASL_SSL")
    if is_connected and not protocol.startswith("SASL"):
        return LoginFailed(server, "expects a login", f"set {PROTOCOL} to SASL_SSL or SASL_PLAINTEXT, and the login")
    return NotReachable(
        server, "is not reachable: it closes the connection at once", f"check the port and {PROTOCOL}={protocol}"
    )


def kafka_remedy(settings: Settings) -> str:
    """What to do where Kafka does not answer; it depends on whose it is."""
    if settings.kafka_bootstrap_servers is None:
        return "`soma up` starts it"
    return "is it running, and is KAFKA_BOOTSTRAP_SERVERS right?"
