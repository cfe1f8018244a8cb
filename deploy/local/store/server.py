"""ClickHouse's HTTP protocol, in front of the engine.

Not spoken, on purpose: `client_protocol_version` (clients then use the plain Native format), `compress=1` (ClickHouse's
own block format) and external tables. Answers are whole, never streamed: so an error always has its HTTP status.
"""

import asyncio
import hmac
import ipaddress
import logging
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import BasicAuth, web

from .answers import Answer, Refused
from .bodies import LARGEST_BODY_BYTES, NOT_IMPLEMENTED, decompressed
from .engine import Engine, Request
from .sessions import Sessions
from .statements import DEFAULT_FORMAT, first_word, read_statement

log = logging.getLogger(__name__)

AUTHENTICATION_FAILED = 516
READONLY = 164
SYNTAX_ERROR = 62
INVALID_SESSION_TIMEOUT = 374
LONGEST_SESSION_SECONDS = 3_600
STATEMENTS_AT_ONCE = 16
# Parameters that speak about the request, not about the query.
TRANSPORT = frozenset(
    [
        *("query", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace", "query_id"),
        *("session_id", "session_timeout", "session_check", "wait_end_of_query", "buffer_size"),
        *(
            "compress",
            "decompress",
            "client_protocol_version",
            "enable_http_compression",
            "http_zlib_compression_level",
        ),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        "cancel_http_readonly_queries_on_client_close",
    ]
)


class StoreServer:
    """The HTTP side of one engine. `password` None lets everybody in: then the address must be a loopback one."""

    def __init__(self, engine: Engine, password: str | None = None) -> None:
        self.engine = engine
        self.sessions = Sessions(engine)
        self.password = password
        self.threads = ThreadPoolExecutor(STATEMENTS_AT_ONCE, thread_name_prefix="statement")

    def application(self) -> web.Application:
        """The aiohttp application; it decompresses nothing itself, because it would stop after the first frame."""
        application = web.Application(client_max_size=LARGEST_BODY_BYTES)
        application.router.add_get("/ping", self.ping)
        application.router.add_get("/replicas_status", self.ping)
        application.router.add_route("*", "/", self.answer)
        return application

    async def ping(self, _: web.Request) -> web.Response:
        """Say that the server is there."""
        return web.Response(text="Ok.\n")

    async def answer(self, request: web.Request) -> web.Response:
        """Run one statement; every failure is answered as ClickHouse would."""
        query_id = request.query.get("query_id") or request.headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
        try:
            answer = await self.run(request)
        except Refused as refused:
            return self.refusal(refused, query_id)
        except web.HTTPException:
            raise
        except Exception as broken:
            log.exception("store.request.broke", extra={"query_id": query_id})
            return self.refusal(Refused.from_engine(broken), query_id)
        if answer is None:
            return web.Response(text="Ok.\n")
        kind = "application/json" if "JSON" in (answer.output_format or "") else "text/plain"
        headers = answer.headers(query_id, self.engine.timezone)
        return web.Response(body=answer.body, headers=headers, content_type=kind, charset="UTF-8")

    def refusal(self, refused: Refused, query_id: str) -> web.Response:
        headers = {
            "X-ClickHouse-Exception-Code": str(refused.code),
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self.engine.timezone,
        }
        if refused.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse"'
        return web.Response(status=refused.status, text=refused.body(self.engine.version), headers=headers)

    async def run(self, request: web.Request) -> Answer | None:
        """Read the request and run its statement in a thread; None for a mere knock at the door."""
        refuse_strange_pages(request)
        said, body = await parameters_and_body(request)
        self.refuse_strangers(request, said)
        if not body and not said.get("query"):
            if request.method in ("GET", "HEAD"):
                return None
            raise Refused(SYNTAX_ERROR, "Empty query", "SYNTAX_ERROR")
        encoding = request.headers.get("Content-Encoding")
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.work, request, said, body, encoding)

    def work(self, request: web.Request, said: Mapping[str, str], body: bytes, encoding: str | None) -> Answer:
        """The blocking part, in a thread."""
        default_format = said.get("default_format") or request.headers.get("X-ClickHouse-Format") or DEFAULT_FORMAT
        statement = read_statement(encoded(said.get("query", "")), decompressed(body, encoding), default_format)
        if not first_word(statement.text):
            # The engine answers such a statement with silence.
            raise Refused(SYNTAX_ERROR, "Syntax error: the query does not begin with a word", "SYNTAX_ERROR")
        if request.method != "POST" and not statement.only_reads:
            raise Refused(READONLY, "Cannot execute query in readonly mode: use POST to write", "READONLY")
        asked = Request(
            statement,
            database=said.get("database") or request.headers.get("X-ClickHouse-Database"),
            settings={name: text for name, text in said.items() if is_setting(name)},
            parameters={name.removeprefix("param_"): text for name, text in said.items() if name.startswith("param_")},
        )
        if request.transport is None or request.transport.is_closing():
            # Whoever asked is gone and may be asking again by now: begin nothing in a dead program's name.
            raise Refused(210, "The client closed the connection", "NETWORK_ERROR")
        session_id = said.get("session_id")
        if not session_id:
            return self.engine.run(asked)
        return self.sessions.run(session_id, session_seconds(said), said.get("session_check") == "1", asked)

    def refuse_strangers(self, request: web.Request, said: Mapping[str, str]) -> None:
        """Ask for the password, if there is one."""
        if self.password is None:
            return
        given = request.headers.get("X-ClickHouse-Key") or said.get("password") or password_in(request)
        if given is None or not hmac.compare_digest(given.encode(), self.password.encode()):
            raise Refused(AUTHENTICATION_FAILED, "Authentication failed: wrong password", "AUTHENTICATION_FAILED")

    def close(self) -> None:
        """Wait for what runs, then close the engine. Blocks."""
        self.threads.shutdown(wait=True)
        self.sessions.close()
        self.engine.close()


def is_setting(name: str) -> bool:
    """Whether the URL parameter is a setting of the query."""
    return name not in TRANSPORT and not name.startswith("param_")


def encoded(text: str) -> bytes:
    """The statement's bytes; what was no UTF-8 in the URL stays what it was."""
    return text.encode("utf-8", "surrogateescape")


def session_seconds(said: Mapping[str, str]) -> float:
    """How long the session outlives this request."""
    wanted = said.get("session_timeout", "60")
    if not wanted.isdecimal() or int(wanted) > LONGEST_SESSION_SECONDS:
        raise Refused(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{wanted}'", "INVALID_SESSION_TIMEOUT")
    return float(wanted)


def password_in(request: web.Request) -> str | None:
    """The password of the Authorization header, Basic or Bearer."""
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ")
    try:
        return str(BasicAuth.decode(header).password)
    except ValueError:
        return None


def refuse_strange_pages(request: web.Request) -> None:
    """Refuse what a web page of another origin makes a browser send: the loopback address keeps nobody else out."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_loopback(urlsplit(origin).hostname or ""):
        raise Refused(AUTHENTICATION_FAILED, f"Requests from pages of {origin} are refused", "AUTHENTICATION_FAILED")


def is_loopback(host: str) -> bool:
    """Whether the name means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def parameters_and_body(request: web.Request) -> tuple[dict[str, str], bytes]:
    """The URL's parameters with the form's fields, and the body that is no form."""
    said = dict(request.query)
    for unspoken in ("compress", "decompress"):
        if said.get(unspoken) == "1":
            raise Refused(NOT_IMPLEMENTED, f"{unspoken}=1 is not supported, use HTTP compression", "NOT_IMPLEMENTED")
    if request.content_type != "multipart/form-data":
        # `curl -d` calls any body a form: it is the statement, or its rows.
        return said, await request.read()
    fields: Mapping[str, Any] = await request.post()
    for name, field in fields.items():
        if not isinstance(field, str):
            raise Refused(NOT_IMPLEMENTED, "External tables are not supported", "NOT_IMPLEMENTED")
        said[name] = field
    return said, b""


async def serve_store(path: Path, host: str, port: int, password: str | None = None) -> None:
    """Serve the data folder on `host:port` until cancelled; on the way out, statements that run are finished.

    Raises:
        StoreInUse, StoreUnusable: the folder cannot be opened.
        ValueError: the address can be reached from other machines and there is no password.
        OSError: the address is taken.
    """
    if password is None and not is_loopback(host):
        raise ValueError(f"{host} can be reached from other machines: the store without a password stays on 127.0.0.1")
    engine = await asyncio.to_thread(Engine, path)
    server = StoreServer(engine, password)
    runner = web.AppRunner(server.application(), access_log=None, auto_decompress=False, shutdown_timeout=10.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        log.info("store.listening", extra={"host": host, "port": port, "folder": str(path), "version": engine.version})
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        await asyncio.to_thread(server.close)
        log.info("store.stopped", extra={"folder": str(path)})
