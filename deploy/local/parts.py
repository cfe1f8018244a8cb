"""What the embedded stack is made of: one line says how a part starts, when it is ready and what it needs first."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.files import read_object
from deploy.local.kafka import Launch, kafka_answers, keep_archive, prepare_kafka
from deploy.local.mail import mail_answers
from deploy.local.places import cache_folder
from deploy.local.wiring import Wiring
from producers.settings import Settings

PROBE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Part:
    """One program of the stack.

    `launch` may take its time (it prepares what the program needs) and may raise a `StackError`. `ready` is asked until
    it says yes once. `ports` are the names of the ports it listens at. `told` parts get the others' addresses, and are
    started again when one of these changes. `needs` must be ready before it is started.
    """

    name: str
    launch: Callable[[Wiring], Launch]
    ready: Callable[[Wiring, int], bool]
    ports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    told: bool = False
    stop_timeout_seconds: float = 15.0
    ended_well: Callable[[Wiring], None] | None = None


def embedded_parts(settings: Settings) -> tuple[Part, ...]:
    """The parts to run: all, but for what the settings say is elsewhere."""
    servers: list[Part] = []
    if settings.kafka_bootstrap_servers is None:
        servers.append(kafka_part())
    if settings.clickhouse_url is None:
        servers.append(
            Part(
                "store",
                _launch_store,
                lambda wiring, pid: store_answers(wiring.clickhouse.get_secret_value()),
                ("clickhouse",),
            )
        )
    if settings.smtp_url is None:
        servers.append(mail_part())
    needs = tuple(part.name for part in servers)
    return (
        *servers,
        Part("sink", _launch_verb("sink"), announced("sink"), needs=needs, told=True),
        Part("worker", _launch_verb("worker"), announced("worker"), needs=needs, told=True),
    )


def kafka_part() -> Part:
    """The broker."""
    return Part(
        "kafka",
        lambda wiring: prepare_kafka(
            wiring.places.kafka, wiring.ports["kafka"], wiring.ports["controller"], cache_folder(wiring.places.home)
        ),
        lambda wiring, pid: kafka_answers(wiring.kafka),
        ports=("kafka", "controller"),
        stop_timeout_seconds=30.0,
        ended_well=lambda wiring: keep_archive(wiring.places.kafka, cache_folder(wiring.places.home)),
    )


def mail_part() -> Part:
    """The mail catcher."""
    return Part(
        "mail",
        lambda wiring: python(
            "-m", "deploy.local.mail", "--port", str(wiring.ports["smtp"]), "--folder", str(wiring.places.mail)
        ),
        lambda wiring, pid: mail_answers(wiring.ports["smtp"]),
        ports=("smtp",),
    )


def guardian_part(supervisor_command: tuple[str, ...]) -> Part:
    """The one that starts the supervisor again; the supervisor, in turn, starts it again like any other part."""
    return Part(
        "guardian",
        lambda wiring: python("-m", "deploy.local.guardian", str(wiring.places.home), *supervisor_command),
        lambda wiring, pid: True,
    )


def python(*arguments: str) -> Launch:
    """A Python program of ours. `-P`: the person's current folder is not searched for modules."""
    return Launch((sys.executable, "-P", *arguments))


def announced(name: str) -> Callable[[Wiring, int], bool]:
    """Ready as soon as the running program itself has said so, in `SOMA_HOME/run/<name>.ready`."""

    def ready(wiring: Wiring, pid: int) -> bool:
        return read_object(wiring.places.ready_file(name)).get("pid") == pid

    return ready


def participants_of(ready_file: Path, pid: int) -> list[str]:
    """Which participants the program says it runs; none while it is not ready."""
    said = read_object(ready_file)
    participants = said.get("participants", [])
    return [str(name) for name in participants] if said.get("pid") == pid and isinstance(participants, list) else []


def store_answers(url: str, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> bool:
    """Whether a ClickHouse server, or our own store, answers at this address. `/ping` asks for no password."""
    address = url.split("?", 1)[0].rstrip("/")
    scheme, _, rest = address.partition("://")
    try:
        # A proxy that the environment names for the outside world has no business between us and our store.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{scheme}://{rest.rpartition('@')[2]}/ping", timeout=timeout_seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _launch_store(wiring: Wiring) -> Launch:
    return python("-m", "deploy.cli.main", "store", "--port", str(wiring.ports["clickhouse"]))


def _launch_verb(verb: str) -> Callable[[Wiring], Launch]:
    return lambda wiring: python("-m", "deploy.cli.main", verb)
