"""`soma up`: start the embedded stack."""

import signal
import sys
import threading
import time

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.local.errors import StackError, explained
from deploy.local.files import read_object
from deploy.local.jars import KAFKA_VERSION
from deploy.local.jars import Report as JarsReport
from deploy.local.stack import Stack
from producers.settings import Settings

POLL_SECONDS = 0.2
# The guardian may need a moment to start another supervisor; only then is the stack gone.
GONE_AFTER_SECONDS = 15.0
WORDS_EVERY_SECONDS = 5.0


def up(settings: Settings, detach: bool, stack: Stack | None = None) -> int:
    """Start the stack, wait until it is ready, and tell people where it is.

    With `detach` the stack stays when this returns; without, it is shown to be up until Ctrl-C, which stops it. Returns
    0 (also where it was up already), 3 where a part is not ready in time, 2 where `SOMA_HOME` cannot be used.
    """
    try:
        with explained(settings.home):
            chosen = stack or Stack(settings)
            try:
                bring_up(chosen)
            except KeyboardInterrupt:
                if not detach:
                    chosen.down()
                raise
            return 0 if detach else _stay(chosen)
    except StackError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted" + ("; what has been started goes on: `soma down` stops it" if detach else ""))
        return 3


def bring_up(stack: Stack) -> None:
    """Fetch what is missing, start what does not run and wait for it, with words on stderr; for `soma run` too.

    Raises a `StackError` that names the cause and the remedy.
    """
    stack.places.prepare()
    _fetch(stack)
    began_seconds = time.monotonic()
    started = stack.up()
    addresses = read_object(stack.places.stack_file)
    where = ", ".join(f"{name} {addresses[name]}" for name in ("kafka", "clickhouse", "smtp") if name in addresses)
    _say(f"{'up in %.1f s' % (time.monotonic() - began_seconds) if started else 'already up'}: {where}")


def _fetch(stack: Stack) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        stack.fetch(_words())
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"fetching Apache Kafka {KAFKA_VERSION}", total=None, visible=False)
        stack.fetch(lambda done, total: progress.update(task, completed=done, total=total, visible=True))


def _words() -> JarsReport:
    """Progress for logs: a line now and then instead of a bar."""
    last_seconds = 0.0

    def report(done_bytes: int, total_bytes: int) -> None:
        nonlocal last_seconds
        now_seconds = time.monotonic()
        if now_seconds - last_seconds >= WORDS_EVERY_SECONDS or done_bytes == total_bytes:
            last_seconds = now_seconds
            megabytes = f"{done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB"
            _say(f"fetching Apache Kafka {KAFKA_VERSION} (once): {megabytes}")

    return report


def _stay(stack: Stack) -> int:
    """Keep the stack up until Ctrl-C, SIGTERM or the closing of the terminal; 0 when it was stopped elsewhere."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    _say("Ctrl-C stops it")
    seen_seconds = time.monotonic()
    while not asked.wait(POLL_SECONDS):
        if stack.supervisor() is not None:
            seen_seconds = time.monotonic()
        elif not stack.runs() or time.monotonic() - seen_seconds > GONE_AFTER_SECONDS:
            _say("the stack was stopped")
            return 0
    _say("stopping")
    stack.down()
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
