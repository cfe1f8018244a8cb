"""`make setup` says little, keeps all of it in a log, and shows the end of that where it fails."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.install import SHOWN_LOG_LINES, run

NOISE = "for n in range(200): print(f'Collecting package-{n}')"


def test_without_a_terminal_nothing_is_shown_and_the_log_has_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run([sys.executable, "-c", NOISE], dict(os.environ), tmp_path / "setup.log", 150)
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "setup.log").read_text().count("Collecting") == 200


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command: list[str | Path] = [sys.executable, "-c", NOISE + "\nraise SystemExit('no such wheel')"]
    with pytest.raises(subprocess.CalledProcessError):
        run(command, dict(os.environ), tmp_path / "setup.log", 150)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "setup: the end of the log:" and "no such wheel" in lines[1:]
    assert len(lines) == SHOWN_LOG_LINES + 1


def test_on_a_terminal_one_line_is_drawn_over_and_over(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from deploy.install import run
run([{sys.executable!r}, "-c", {NOISE!r}], dict(os.environ), Path({str(tmp_path)!r}) / "setup.log", 150)
"""
    screen, terminal = pty.openpty()
    started = subprocess.Popen([sys.executable, "-c", program], stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while more := os.read(screen, 65_536):
            shown += more
    except OSError:
        # Linux says so at the end.
        pass
    os.close(screen)
    assert started.wait(30) == 0
    assert b"setup: 150 of about 150 packages: Collecting package-199" in shown
    assert b"\n" not in shown and shown.endswith(b"\r")
