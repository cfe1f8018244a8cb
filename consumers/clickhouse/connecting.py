"""Clients of the store that `Settings` names, embedded or not."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from clickhouse_connect.driver.httputil import get_pool_manager

# Worth another try: too many parts, memory, timeouts, network, replicas that are not there yet.
RETRYABLE_CODES = frozenset({159, 202, 209, 210, 225, 236, 241, 242, 243, 252, 285, 286, 319, 394, 439, 999})
NO_SUCH_DATABASE = 81


def connect(
    url: str, database: str | None = None, timeout_seconds: float = 60.0, settings: Mapping[str, Any] | None = None
) -> Client:
    """A client that may be used from several threads at once, since it has no session. Blocks.

    `settings` go with each of its statements.

    Raises:
        OperationalError: nobody answers there.
        DatabaseError: the store answers with an error, for instance that the database does not exist.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    is_local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8443 if secure else 8123),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else "",
        database=database,
        settings=dict(settings or {}),
        # On the loopback compressing costs more than it saves.
        compress=not is_local,
        connect_timeout=5,
        send_receive_timeout=int(timeout_seconds),
        autogenerate_session_id=False,
        # A proxy that the environment names is for the outside world.
        **({"pool_mgr": get_pool_manager()} if is_local else {"dedicated_pool": True}),
    )


def is_retryable(error: BaseException) -> bool:
    """Whether the same statement may succeed later: the store is away, busy or full.

    An answer without ClickHouse's code comes from something in between (a proxy), so that is worth a try as well.
    """
    if isinstance(error, OperationalError):
        return error.code is None or error.code in RETRYABLE_CODES
    return isinstance(error, DatabaseError) and (error.code is None or error.code in RETRYABLE_CODES)
