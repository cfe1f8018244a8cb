"""`soma run` at a terminal: it draws, it asks, it hears."""

import os
import pty
import select
import signal
import time
from pathlib import Path

import pytest

from .conftest import EXAMPLE, Soma

pytestmark = pytest.mark.timeout(120)


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, soma: Soma, *words: str) -> None:
        self.shown = ""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            # A shell that starts the tests in the background has them ignore it, and they would pass that on.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            environment = soma.environment | {"TERM": "xterm", "COLUMNS": "110", "LINES": "40"}
            os.execve(soma.command[0], [*soma.command, *words], environment)

    def until(self, text: str, within_seconds: float = 40.0) -> None:
        """Wait until the text has been shown."""
        deadline = time.monotonic() + within_seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not self._read():
                raise AssertionError(f"ended without {text!r}: {self.shown}")

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def exit_code(self) -> int:
        while self._read():
            pass
        os.close(self._screen)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], 1.0)[0]:
            return True
        try:
            more = os.read(self._screen, 65_536)
        except OSError:
            return False
        self.shown += more.decode(errors="replace")
        return bool(more)


def test_the_person_sees_the_draft_and_approves(soma: Soma, saga_id: str) -> None:
    terminal = Terminal(soma, "run", str(EXAMPLE), "--id", saga_id)
    terminal.until("[a/r]")
    assert "draft_content" in terminal.shown and "45 %" in terminal.shown
    assert "Mend it yourself at Pedal & Spoke" in terminal.shown
    banner = next(line for line in terminal.shown.splitlines() if line.startswith("banner for blog: "))
    assert Path(banner.partition(": ")[2].strip()).is_file()
    terminal.type("perhaps\n")
    terminal.type("a\n")
    assert terminal.exit_code() == 0
    assert f"{saga_id} completed" in terminal.shown


def test_a_person_who_leaves_is_told_how_to_go_on_and_another_decides(soma: Soma, saga_id: str) -> None:
    leaving = Terminal(soma, "run", str(EXAMPLE), "--id", saga_id)
    leaving.until("[a/r]")
    leaving.type("\x03")
    assert leaving.exit_code() == 3
    assert f"soma approve {saga_id}" in leaving.shown and "Traceback" not in leaving.shown

    staying = Terminal(soma, "run", str(EXAMPLE), "--id", saga_id)
    staying.until("[a/r]")
    assert soma("reject", saga_id, "--reason", "decided elsewhere").exit_code == 0
    assert staying.exit_code() == 1
    assert "decided elsewhere" in staying.shown
