"""The campaign as it ships, in a worker that dies where a test asks it to.

A test leaves a file `<moment>` in `SOMA_FAULTS`; the first worker that comes to that moment takes the file away, notes
the crash point in `crash-points.log`, and kills itself as SIGKILL would. Moments: `inside <Port>.<method>` (the effect
is made, nobody knows), `sent` (between the sends and the commit), `committed` (the commit is done, the memory does not
know). A saga misbehaves by its id: `sleeps-…` sleeps in Outbox.prepare, `kills-…` kills its worker in
SocialFeed.publish each time, `down-…` finds the blog down as long as the file `down` lies in the folder, and
`broken-…` gets no picture as long as the file `broken` does.
"""

import asyncio
import inspect
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from consumers import app
from consumers.kinds import SagaKind
from consumers.runtime.steps import Declined
from producers.transactions import TransactionalProducer

FOLDER = "SOMA_FAULTS"
LOG = "crash-points.log"
SLEEP_SECONDS = 60.0


def die_if_asked(moment: str) -> None:
    """Kill this process at once if a test has left a file for the moment."""
    folder = Path(os.environ[FOLDER])
    try:
        (folder / moment).unlink()
    except FileNotFoundError:
        return
    with (folder / LOG).open("a") as log:
        log.write(f"{moment}\n")
    os.kill(os.getpid(), signal.SIGKILL)


class DyingPort:
    """A port whose worker may die right after the effect was made."""

    def __init__(self, name: str, port: object) -> None:
        self._name, self._port = name, port

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            saga = str(args[0]).partition("/")[0] if args else ""
            if saga.startswith("down-") and (self._name, method) == ("Pictures", "draw"):
                return dict.fromkeys(args[3], "pictures/none.png")
            await misbehave(saga, f"{self._name}.{method}")
            await slowly(f"{self._name}.{method}")
            result = await found(*args, **named)
            die_if_asked(f"inside {self._name}.{method}")
            die_if_asked("inside any")
            return result

        call.__name__ = method
        return call


async def misbehave(saga: str, call: str) -> None:
    """Do what the saga's id says."""
    if call == "Outbox.prepare" and saga.startswith("sleeps-"):
        await asyncio.sleep(SLEEP_SECONDS)
    if call == "SocialFeed.publish" and saga.startswith("kills-"):
        os.kill(os.getpid(), signal.SIGKILL)
    if call == "Blog.publish" and saga.startswith("down-") and (Path(os.environ[FOLDER]) / "down").exists():
        raise ConnectionError("the blog does not answer")
    if call == "Pictures.draw" and saga.startswith("broken-") and (Path(os.environ[FOLDER]) / "broken").exists():
        # No breaker opens for a no, so every attempt is made at once.
        raise Declined("there is no ink")


async def slowly(call: str) -> None:
    """Wait first, where a test has left `slow <Port>.<method>` with a number of seconds in it."""
    path = Path(os.environ[FOLDER]) / f"slow {call}"
    if path.exists():
        await asyncio.sleep(float(path.read_text()))


def dying(commit: Callable[..., Any]) -> Callable[..., Any]:
    """A commit before or after which its worker may die."""

    async def end(producer: TransactionalProducer, decided: bool) -> None:
        die_if_asked("sent")
        await commit(producer, decided)
        die_if_asked("committed")

    return end


def die_at_commits() -> None:
    """From now on this process may die around every commit of a lane."""
    TransactionalProducer._end = dying(TransactionalProducer._end)  # type: ignore[method-assign]  # the seam is private


def sagas() -> tuple[SagaKind, ...]:
    """The shipped sagas over ports that die; `SOMA_APPLICATION=tests.faults.application:sagas`."""
    die_at_commits()
    return tuple(replace(kind, ports=_dying_ports(kind)) for kind in app.sagas())


def _dying_ports(kind: SagaKind) -> Callable[[Any], dict[type, object]]:
    def ports(settings: Any) -> dict[type, object]:
        return {port: DyingPort(port.__name__, adapter) for port, adapter in kind.ports(settings).items()}

    return ports
