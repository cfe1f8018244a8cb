"""Makes the virtual environment of `make setup`. Needs nothing but Python's own library.

Two at once wait for one another; one that was interrupted is taken up where it stopped. What pip is told by PIP_*
about *where packages come from* is honoured, what would send them elsewhere or change what is installed is not.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INPUTS = (REPOSITORY / "requirements.lock", REPOSITORY / "pyproject.toml")
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
            print(f"setup: {' '.join(map(str, failed.cmd))} failed ({failed.returncode}), see above", file=sys.stderr)
            print("setup: `make setup` takes it up again; `rm -rf .venv` begins anew", file=sys.stderr)
            return 1
        (folder / ".ready").touch()
    return 0


def is_fresh(stamp: Path) -> bool:
    """Whether the environment was made after its inputs were last changed."""
    return stamp.exists() and all(stamp.stat().st_mtime >= given.stat().st_mtime for given in INPUTS)


def install(folder: Path) -> None:
    """Two steps: what the lock names, each by its hash, then this project itself, built by the locked backend."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_US}
    python = folder / "bin" / "python"
    pip: list[str | Path] = [python, "-I", "-m", "pip"]
    if not works([*pip, "--version"], environment):
        print(f"setup: making {folder} with Python {sys.version.split()[0]}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-I", "-m", "venv", "--clear", folder], check=True, env=environment)
    print("setup: installing what the lock names (about 1 GB, once)", file=sys.stderr, flush=True)
    quietly = ["--disable-pip-version-check", "--no-input"]
    locked: list[str | Path] = ["--require-hashes", "-r", REPOSITORY / "requirements.lock"]
    subprocess.run([*pip, "install", *quietly, *locked], check=True, env=environment, cwd=REPOSITORY)
    project: list[str | Path] = ["--no-build-isolation", "--no-deps", "-e", REPOSITORY]
    subprocess.run([*pip, "install", *quietly, *project], check=True, env=environment, cwd=REPOSITORY)


def works(command: list[str | Path], environment: dict[str, str]) -> bool:
    """Whether the command can be run: an interpreter that was upgraded away leaves a folder that looks whole."""
    try:
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(REPOSITORY / sys.argv[1]))
