"""What `soma doctor` looks at: each check says what it found and, where that is not well, what to do about it."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from consumers.clickhouse.diagnosis import store_log_in
from deploy.local.errors import StackError
from deploy.local.jars import KAFKA_VERSION, listed_jars, wrong_jars
from deploy.local.java import java_version
from deploy.local.places import Places, cache_folder
from deploy.local.ports import is_free
from deploy.local.stack import Stack
from deploy.local.wiring import DEFAULT_PORTS, remembered_ports
from producers.diagnosis import log_in
from producers.errors import ConnectionFailed, Misconfigured, SomaError
from producers.secrets import SecretUrl
from producers.settings import Settings

LEAST_FREE_BYTES = 500 * 1024 * 1024
SMTP_TIMEOUT_SECONDS = 3.0
MOST_NAMED = 5


@dataclass(frozen=True)
class Check:
    """One thing looked at. `remedy` is what to do where it is not `ok`; `identity` says whose server it is."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None
    identity: str | None = None


def checks(stack: Stack) -> Iterator[Check]:
    """Look at everything that this home's programs need; never raises, changes nothing."""
    settings, places = stack.settings, stack.places
    embedded_kafka = settings.kafka_bootstrap_servers is None
    embedded = embedded_kafka or settings.clickhouse_url is None
    yield check_home(places)
    yield check_disk(places)
    if embedded_kafka:
        yield check_java()
        yield check_jars(places)
    if embedded:
        yield check_supervisor(stack)
        yield check_ports(stack)
    kafka = check_kafka(settings)
    yield kafka
    if kafka.ok:
        yield check_transactions(settings)
    yield check_clickhouse(settings)
    if embedded or settings.smtp_url is not None:
        yield check_smtp(settings.smtp)


def check_home(places: Places) -> Check:
    """Can the stack write where it should?"""
    home = places.home
    existing = home if home.exists() else next(folder for folder in home.parents if folder.exists())
    ok = existing.is_dir() and os.access(existing, os.W_OK)
    return Check(
        "home", ok, str(home), None if ok else f"{existing} cannot be written: set SOMA_HOME to a folder of yours"
    )


def check_disk(places: Places) -> Check:
    """Is there room for the records to come?"""
    folder = next(folder for folder in (places.home, *places.home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(folder).free
    ok = free_bytes >= LEAST_FREE_BYTES
    remedy = (
        None if ok else "free some space: Kafka stops when its disk is full (nothing is lost; it comes back by itself)"
    )
    return Check("disk", ok, f"{free_bytes / 1e9:.1f} GB free", remedy)


def check_java() -> Check:
    """Does the Java runtime start?"""
    return _unless_raised("java", java_version)


def check_jars(places: Places) -> Check:
    """Is every jar of Apache Kafka what the closed list says?"""
    cache = cache_folder(places.home)
    jars = listed_jars()
    wrong = wrong_jars(cache, jars)
    if not wrong:
        return Check("jars", True, f"Apache Kafka {KAFKA_VERSION}, {len(jars)} jars, checksums right")
    names = ", ".join(jar.name for jar in wrong[:3])
    return Check("jars", False, f"{len(wrong)} missing or wrong: {names}", "`soma up` fetches them (again)")


def check_supervisor(stack: Stack) -> Check:
    """Is somebody looking after the parts, and are all of them well?"""
    if stack.supervisor() is None:
        return Check("supervisor", False, "not running", "`soma up` starts the stack")
    unwell = [part for part in stack.status().get("parts", []) if part.get("state") != "running"]
    if not unwell:
        return Check("supervisor", True, "all parts run")
    words = ", ".join(
        f"{part['name']} {part['state']}" + (f" ({part['cause']})" if part["cause"] else "") for part in unwell
    )
    logs = ", ".join(str(stack.places.log(part["name"])) for part in unwell)
    return Check("supervisor", False, words, f"it is tried again by itself; the reason is in {logs}")


def check_ports(stack: Stack) -> Check:
    """Which ports are used, or would be?"""
    ports = remembered_ports(stack.places) or dict(DEFAULT_PORTS)
    shown = ", ".join(f"{name} {port}" for name, port in ports.items())
    if stack.supervisor() is not None:
        return Check("ports", True, shown)
    taken = [f"{name} {port}" for name, port in ports.items() if not is_free(port)]
    # No fault: another port is chosen then.
    return Check("ports", True, shown + (f"; taken by others: {', '.join(taken)}" if taken else ""))


def check_kafka(settings: Settings) -> Check:
    """Can we log in to Kafka, and whose is it?"""
    try:
        cluster = asyncio.run(log_in(settings))
    except (ConnectionFailed, Misconfigured) as failure:
        return _failed("kafka", failure)
    whose = "the one that is named" if settings.kafka_bootstrap_servers else "this home's own"
    detail = f"{settings.bootstrap_servers}, cluster {cluster.id} ({whose}), {cluster.brokers} broker(s)"
    return Check("kafka", True, detail, identity=cluster.id)


def check_transactions(settings: Settings) -> Check:
    """Does an open transaction hide records from every reader of a saga's commands or events?"""
    # 0.2 s of imports that `soma up` need not wait for
    from producers.open_transactions import look_for_open_transactions

    try:
        held = asyncio.run(look_for_open_transactions(settings))
    except Exception as error:
        why = str(error) or type(error).__name__
        return Check("transactions", False, f"cannot be looked at: {why}", "is the login right, and may it DESCRIBE?")
    if not held:
        return Check("transactions", True, "none is open for long")
    remedy = "; ".join(dict.fromkeys(f"`{one.remedy(settings.bootstrap_servers)}`" for one in held[:MOST_NAMED]))
    more = f"; and {len(held) - MOST_NAMED} more" if len(held) > MOST_NAMED else ""
    return Check(
        "transactions", False, "; ".join(one.words for one in held[:MOST_NAMED]) + more, f"{remedy} ends it now"
    )


def check_clickhouse(settings: Settings) -> Check:
    """Can we log in to ClickHouse, or our own store?"""
    try:
        version = store_log_in(settings)
    except ConnectionFailed as failure:
        return _failed("clickhouse", failure)
    return Check("clickhouse", True, f"{settings.store_url}, version {version}")


def _failed(name: str, failure: SomaError) -> Check:
    if isinstance(failure, ConnectionFailed):
        return Check(name, False, f"{failure.server} {failure.cause}", failure.remedy)
    return Check(name, False, str(failure))


def check_smtp(url: SecretUrl | None) -> Check:
    """Does the mail server accept connections, and greet?"""
    if url is None:
        return Check(
            "smtp", False, "no mail server is named", "`soma up` starts the mail catcher; or set SOMA_SMTP_URL"
        )
    address = urlsplit(url.get_secret_value())
    secure = address.scheme == "smtps"
    try:
        port = address.port or (465 if secure else 25)
        with socket.create_connection((address.hostname or "", port), timeout=SMTP_TIMEOUT_SECONDS) as connection:
            ok = secure or connection.recv(3) == b"220"
    except (OSError, ValueError):
        ok = False
    return Check("smtp", ok, str(url), None if ok else "`soma up` starts the mail catcher; or set SOMA_SMTP_URL")


def _unless_raised(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except StackError as error:
        return Check(name, False, "does not work", str(error))
