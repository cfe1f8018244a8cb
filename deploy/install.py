"""Makes the virtual environment of `make setup`. Needs nothing but Python's own library.

Two at once wait for one another; one that was interrupted is taken up where it stopped. What pip is told by PIP_*
about *where packages come from* is honoured, what would send them elsewhere or change what is installed is not.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INPUTS = (REPOSITORY / "requirements.lock", REPOSITORY / "pyproject.toml")
LOG = "setup.log"
SHOWN_LOG_LINES = 30
NOT_FOR_US = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PIP_REQUIREMENT",
    "PIP_CONSTRAINT",
    "PIP_EDITABLE",
    "PIP_NO_DEPS",
    "PIP_DRY_RUN",
    "PIP_IGNORE_INSTALLED",
    "PIP_REQUIRE_HASHES",
    "PIP_BUILD_CONSTRAINT",
    "PIP_NO_BINARY",
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "PYTHONPATH",
)


def main(folder: Path) -> int:
    """Make or freshen the environment in `folder`; returns an exit code, after telling what went wrong."""
    with INPUTS[0].open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if is_fresh(folder / ".ready"):
            return 0
        try:
            install(folder)
        except subprocess.CalledProcessError as failed:
            say(f"{' '.join(map(str, failed.cmd))} failed ({failed.returncode})")
            say("`make setup` takes it up again; `rm -rf .venv` starts over")
            return 1
        (folder / ".ready").touch()
    return 0


def is_fresh(stamp: Path) -> bool:
    """Whether the environment was made after its inputs were last changed."""
    return stamp.exists() and all(stamp.stat().st_mtime >= given.stat().st_mtime for given in INPUTS)


def install(folder: Path) -> None:
    """Two steps: what the lock names, each by its hash, then this project itself, built by the locked backend.

    What pip says goes to `folder/setup.log`; where it fails, the end of that is shown. Raises CalledProcessError.
    """
    environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_US}
    python = folder / "bin" / "python"
    pip: list[str | Path] = [python, "-I", "-u", "-m", "pip"]
    if not works([*pip, "--version"], environment):
        say(f"making {folder} with Python {sys.version.split()[0]}")
        subprocess.run([sys.executable, "-I", "-m", "venv", "--clear", folder], check=True, env=environment)
    began = time.monotonic()
    pins = sum(1 for line in INPUTS[0].read_text("utf-8").splitlines() if re.match(r"[A-Za-z0-9]", line))
    say(f"installing what the lock names (about 1 GB, once); the log is {folder / LOG}")
    quietly = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-color"]
    locked: list[str | Path] = ["--require-hashes", "-r", REPOSITORY / "requirements.lock"]
    run([*pip, "install", *quietly, *locked], environment, folder / LOG, pins)
    project: list[str | Path] = ["--no-build-isolation", "--no-deps", "-e", REPOSITORY]
    run([*pip, "install", *quietly, *project], environment, folder / LOG, pins)
    say(f"done in {time.monotonic() - began:.0f} s")


def run(command: list[str | Path], environment: dict[str, str], log: Path, pins: int) -> None:
    """Run pip with its words in the log and one line of progress on a terminal; raises CalledProcessError."""
    last: deque[str] = deque(maxlen=SHOWN_LOG_LINES)
    seen = 0
    with (
        log.open("a", encoding="utf-8", errors="replace") as kept,
        subprocess.Popen(
            command,
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as running,
    ):
        assert running.stdout is not None
        for line in running.stdout:
            kept.write(line)
            kept.flush()
            last.append(line)
            seen += line.startswith(("Collecting ", "Requirement already satisfied: "))
            show_progress(f"{min(seen, pins)} of about {pins} packages: {line.strip()}")
    show_progress("")
    if running.returncode != 0:
        say("the end of the log:")
        sys.stderr.writelines(last)
        raise subprocess.CalledProcessError(running.returncode, command)


def show_progress(words: str) -> None:
    """Draw the line over the one before; nothing where there is no terminal."""
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        line = f"setup: {words}" if words else ""
        sys.stderr.write("\r" + line.encode("ascii", "replace").decode()[: width - 1].ljust(width - 1) + "\r")
        sys.stderr.flush()


def say(words: str) -> None:
    """A line for people."""
    print(f"setup: {words}", file=sys.stderr, flush=True)


def works(command: list[str | Path], environment: dict[str, str]) -> bool:
    """Whether the command can be run: an interpreter that was upgraded away leaves a folder that looks whole."""
    try:
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(REPOSITORY / sys.argv[1]))
