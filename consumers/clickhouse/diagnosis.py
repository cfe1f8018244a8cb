"""Why ClickHouse cannot be used, in one line with the remedy."""

import ssl
from urllib.parse import unquote, urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError

from producers.errors import (
    AccessDenied,
    ConnectionFailed,
    DatabaseMissing,
    LoginFailed,
    NotReachable,
    TlsFailed,
    TlsMissing,
)
from producers.reaching import reach, speaks_tls
from producers.settings import Settings

from .connecting import NO_SUCH_DATABASE, connect

ANSWER_SECONDS_MAX = 5.0
# AUTHENTICATION_FAILED, and what older servers say: REQUIRED_PASSWORD, WRONG_PASSWORD, UNKNOWN_USER.
LOGIN_CODES = frozenset({516, 194, 193, 192})
ACCESS_DENIED = 497
CA_FILE = "SSL_CERT_FILE"


def store_log_in(settings: Settings) -> str:
    """Connect to ClickHouse with the login of the settings; the server's version. Blocks.

    Raises `ConnectionFailed`. The sagas' database may be missing: the sink makes it.
    """
    try:
        client = connect(settings.store_url.get_secret_value(), timeout_seconds=ANSWER_SECONDS_MAX)
    except ClickHouseError as error:
        raise clickhouse_failure(settings, error) from error
    try:
        return str(client.server_version)
    finally:
        client.close()


def clickhouse_failure(settings: Settings, error: ClickHouseError) -> ConnectionFailed:
    """The error of a ClickHouse client as what is wrong, with the remedy. Blocks where it has to look."""
    url = urlsplit(settings.store_url.get_secret_value())
    server, code = f"ClickHouse at {settings.store_url}", getattr(error, "code", None)
    user = unquote(url.username) if url.username else "default"
    if code in LOGIN_CODES:
        return LoginFailed(
            server, f"refuses the login of {user}: wrong user name or password", "check both in CLICKHOUSE_URL"
        )
    if code == ACCESS_DENIED:
        return AccessDenied(server, f"denies {user} what was asked ({words_of(error)})", "grant it")
    if code == NO_SUCH_DATABASE:
        return DatabaseMissing(
            server,
            f"has no database {settings.clickhouse_database}",
            "`soma sink` creates it; or check SOMA_CLICKHOUSE_DATABASE",
        )
    if code is not None:
        return ConnectionFailed(server, f"refuses: {words_of(error)}", "`soma doctor` looks")
    return _on_the_way(settings, server, error)


def _on_the_way(settings: Settings, server: str, error: ClickHouseError) -> ConnectionFailed:
    """The client's error tells no more than that the request failed: the way is walked again."""
    url = urlsplit(settings.store_url.get_secret_value())
    secure, host = url.scheme == "https", url.hostname or "127.0.0.1"
    port = url.port or (8443 if secure else 8123)
    named = settings.clickhouse_url is not None
    remedy = "is it running, and is CLICKHOUSE_URL right?" if named else "`soma up` starts it"
    try:
        context = ssl.create_default_context() if secure else None
        reach(server, host, port, context, ANSWER_SECONDS_MAX, remedy, CA_FILE)
    except TlsMissing as failure:
        return TlsMissing(server, failure.cause, "write http:// in CLICKHOUSE_URL, or its port for https")
    except ConnectionFailed as failure:
        return failure
    if not secure and speaks_tls(host, port, ANSWER_SECONDS_MAX):
        return TlsFailed(server, "speaks TLS, and CLICKHOUSE_URL begins with http://", "write https:// there")
    if "timed out" in str(error).lower() or "timeout" in str(error).lower():
        return NotReachable(server, "is not reachable: it accepts connections, but does not answer in time", remedy)
    return ConnectionFailed(server, f"does not answer as ClickHouse does: {words_of(error)[:300]}", remedy)


def words_of(error: Exception) -> str:
    """The error's own words, without the address it was asked at."""
    return str(error).partition(" (for url ")[0].removeprefix("Received ClickHouse exception, ")
