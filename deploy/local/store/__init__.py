"""The embedded store: ClickHouse's engine (chDB) behind ClickHouse's own HTTP protocol.

The same clickhouse-connect code talks to it and to a real server. `serve_store` runs it inside an event loop;
`deploy/cli/store.py` is the `soma store` verb.
"""

from .engine import StoreInUse, StoreUnusable
from .server import serve_store

__all__ = ["StoreInUse", "StoreUnusable", "serve_store"]
