"""How a verb talks to Kafka and to people: what goes wrong becomes a line and an exit code, never a traceback."""

import asyncio
import getpass
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError

from consumers.kinds import SagaKind
from consumers.runtime.graph import Graph
from consumers.topics import TopicsDiffer
from deploy.cli.application import sagas_of
from deploy.cli.terminal import speaks_unicode
from deploy.local.errors import StackError
from producers.answers import Answer, Published
from producers.client import Client
from producers.diagnosis import kafka_failure
from producers.errors import ConnectionFailed, FlowError, Misconfigured, SomaError, TimedOut, Unreadable
from producers.settings import Settings
from schemas.status import FINAL_STATES, STANDING_STATES, SagaState

ANSWER_WITHIN_SECONDS = 10.0
PUBLISH_WITHIN_SECONDS = 15.0


class Invalid(Exception):
    """What the person asked for cannot be meant: exit code 2. `lines` say why, one mistake a line."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))


def talk(settings: Settings, work: Callable[[Client], Awaitable[int]], interrupted: str = "interrupted") -> int:
    """Connect, do the work and return its exit code; blocks.

    Returns 2 for invalid input, 3 where Kafka does not answer in time or Ctrl-C ended the wait; stderr has the cause.
    """

    async def connected() -> int:
        async with Client(settings, source="soma.cli") as client:
            return await work(client)

    return guarded(settings, lambda: asyncio.run(connected()), interrupted)


def guarded(settings: Settings, work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run the work; whatever a person can cause ends in a line on stderr and the exit code it stands for."""
    # What the client tells its log about a broker that is away is found out and told once, with the remedy.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return work()
    except Invalid as invalid:
        say(*invalid.lines)
        return 2
    except TopicsDiffer as error:
        say(str(error))
        return 1
    except (Unreadable, FlowError) as error:
        say(str(error))
        return 2
    except StackError as error:
        say(str(error))
        return error.exit_code
    except (Misconfigured, ConnectionFailed, TimedOut) as error:
        say(str(error))
        return error.exit_code
    except SomaError as error:
        say(str(error))
        return 3
    except BrokenPipeError:
        # Whoever read our words has gone; `main` ends quietly.
        raise
    except (KafkaError, TimeoutError, ConnectionError) as error:
        failure = asyncio.run(kafka_failure(settings, error))
        say(str(failure))
        return failure.exit_code
    except OSError as error:
        # A disk that is full, most likely, under a file that stdout goes to.
        say(f"{error.filename or 'writing'}: {error.strerror or error}")
        return 3
    except KeyboardInterrupt:
        say(interrupted)
        return 3


async def ask(
    client: Client, saga: str, wire_type: str, saga_id: str, body: dict[str, Any]
) -> tuple[Published, Answer]:
    """Publish a command and wait for what it leads to; raises `TimedOut` if no answer comes in time."""
    try:
        async with asyncio.timeout(PUBLISH_WITHIN_SECONDS):
            published = await client.publish(saga, wire_type, saga_id, body)
    except TimeoutError:
        raise TimedOut(
            f"Kafka has not confirmed {wire_type} within {PUBLISH_WITHIN_SECONDS:.0f} s; it may yet arrive:"
            f" `soma status {saga_id}`"
        ) from None
    return published, await answer_in_time(client, published)


async def answer_in_time(client: Client, published: Published) -> Answer:
    """The answer; raises `TimedOut`, which says where the command stands, if none comes in time."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            return await client.answer_to(published)
    except TimeoutError:
        where = f"{published.topic}/{published.partition}/{published.offset}"
        raise TimedOut(
            f"no answer within {ANSWER_WITHIN_SECONDS:.0f} s; the command is kept at {where} and will be heard once a"
            f" worker runs: `soma doctor`, `soma status {published.saga_id}`"
        ) from None


def graphs_of(settings: Settings) -> dict[str, Graph]:
    """The flow of every saga kind, by its name."""
    return {kind.graph.saga: kind.graph for kind in kinds_of(settings)}


def kinds_of(settings: Settings) -> tuple[SagaKind, ...]:
    """Every saga kind of this hub; raises `FlowError` where there is none to be had."""
    return sagas_of(settings)


def chosen(settings: Settings, saga: str | None) -> list[str]:
    """The saga kinds that are meant: the one named, or all."""
    known = list(graphs_of(settings))
    if saga is not None and saga not in known:
        raise Invalid(f"there is no saga kind {printable(saga)!r}; there are {', '.join(known)}")
    return known if saga is None else [saga]


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def exit_code_of(state: SagaState) -> int:
    """0 while all is well, 1 where the saga ended otherwise than completed, or stands still."""
    ended_otherwise = state in FINAL_STATES and state != "completed"
    return 1 if ended_otherwise or state in STANDING_STATES else 0


def user_name() -> str:
    """Who sits at this command line."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def say(*lines: str) -> None:
    """Words for people, on stderr."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def show(what: dict[str, Any]) -> None:
    """One JSON object, on stdout, on a line of its own; what stdout cannot encode is escaped."""
    print(json.dumps(what, ensure_ascii=not speaks_unicode(sys.stdout.encoding)), flush=True)


def printable(text: object) -> str:
    """The text with everything a terminal would obey, or could not show, replaced by spaces."""
    return "".join(character if character.isprintable() else " " for character in str(text))
