"""Sessions: statements with one `session_id` share a handle, and with it SET, USE and temporary tables."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .answers import Answer, Refused
from .engine import Engine, Request, assignments

SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
MARK = "SELECT 'this handle is clean'"


class Session:
    """One handle, used by one statement at a time."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.in_use = threading.Lock()
        self.ends_at = 0.0


class Sessions:
    """The open sessions, by id. Thread-safe; sessions that nobody used for their timeout are closed."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine = engine
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.guard = threading.Lock()

    def run(self, session_id: str, timeout_seconds: float, must_exist: bool, request: Request) -> Answer:
        """Run one statement in the session; its per-request settings end with it. Blocks.

        Raises:
            Refused: the statement failed, another one is running in this session, or the session had to exist.
        """
        with self.borrowed(session_id, timeout_seconds, must_exist) as session:
            before = settings_of(session.handle, request) if request.settings else {}
            try:
                answer = self.engine.run(request, session.handle)
            except Refused:
                session.handle = self.cleaned(session.handle)
                raise
            finally:
                restore_settings(session.handle, before)
            return answer

    @contextmanager
    def borrowed(self, session_id: str, timeout_seconds: float, must_exist: bool) -> Iterator[Session]:
        with self.guard:
            self.close_idle()
            session = self.sessions.get(session_id)
            if session is None:
                if must_exist:
                    raise Refused(SESSION_NOT_FOUND, f"Session {session_id} not found", "SESSION_NOT_FOUND")
                session = self.sessions[session_id] = Session(self.engine.open_handle())
            if not session.in_use.acquire(blocking=False):
                raise Refused(SESSION_IS_LOCKED, f"Session {session_id} runs a statement", "SESSION_IS_LOCKED")
        try:
            yield session
        finally:
            session.ends_at = self.clock() + timeout_seconds
            session.in_use.release()

    def close_idle(self) -> None:
        """Close what timed out. The guard must be held."""
        now = self.clock()
        for session_id, session in list(self.sessions.items()):
            if session.ends_at <= now and not session.in_use.locked():
                del self.sessions[session_id]
                session.handle.close()

    def cleaned(self, handle: Any) -> Any:
        """The handle with what a failed query left behind drained, or a new one where that cannot be."""
        try:
            for _ in range(3):
                if handle.query(MARK, "RawBLOB").bytes() == b"this handle is clean":
                    return handle
        except RuntimeError:
            pass
        handle.close()
        return self.engine.open_handle()

    def close(self) -> None:
        """Close all sessions."""
        with self.guard:
            for session in self.sessions.values():
                session.handle.close()
            self.sessions.clear()


def settings_of(handle: Any, request: Request) -> dict[str, str | None]:
    """What the session says about the settings that this request is about to change; None where it says nothing."""
    names = ", ".join(f"'{name}'" for name in request.settings if name.isidentifier())
    if not names:
        return {}
    answer = handle.query(f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})", "JSONCompact")
    changed: dict[str, str] = dict(json.loads(answer.bytes())["data"])
    return {name: changed.get(name) for name in request.settings if name.isidentifier()}


def restore_settings(handle: Any, before: dict[str, str | None]) -> None:
    """Put the session's own settings back."""
    for name, text in before.items():
        try:
            handle.query(f"SET {assignments({name: text})}" if text is not None else f"SET {name} = DEFAULT", "Null")
        except RuntimeError:
            # An unknown name: the request has been refused for it, and there is nothing to put back.
            continue
