"""Where the parts of the stack are: which ports they have, and what they are told about each other."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.local.errors import StackError
from deploy.local.files import read_object, write_whole
from deploy.local.places import Places
from deploy.local.ports import LOOPBACK, choose_port
from producers.secrets import SecretUrl
from producers.settings import Settings

DEFAULT_PORTS: Mapping[str, int] = {"kafka": 9_092, "controller": 9_093, "clickhouse": 8_123, "smtp": 2_525}


@dataclass(frozen=True)
class Wiring:
    """All addresses of one stack: those that the settings name, and the embedded ones for the rest."""

    places: Places
    ports: Mapping[str, int]
    kafka: str
    clickhouse: SecretUrl
    smtp: SecretUrl

    @property
    def environment(self) -> dict[str, str]:
        """What a part that is told the addresses finds in its environment; it may hold passwords."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "CLICKHOUSE_URL": self.clickhouse.get_secret_value(),
            "SOMA_SMTP_URL": self.smtp.get_secret_value(),
        }

    def fingerprint(self, ports: Collection[str], told: bool) -> str:
        """Tells whether a part was started with these addresses; a hash, since an address may hold a password."""
        content = [self.environment if told else {}, {name: self.ports[name] for name in ports}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def wire(settings: Settings, places: Places, ports: Mapping[str, int]) -> Wiring:
    """The addresses of a stack with these ports."""
    return Wiring(
        places=places,
        ports=ports,
        kafka=settings.kafka_bootstrap_servers or f"{LOOPBACK}:{ports['kafka']}",
        clickhouse=settings.clickhouse_url or SecretUrl(f"http://{LOOPBACK}:{ports['clickhouse']}"),
        smtp=settings.smtp_url or SecretUrl(f"smtp://{LOOPBACK}:{ports['smtp']}"),
    )


def choose_ports(keep: Mapping[str, int], remembered: Mapping[str, int]) -> dict[str, int]:
    """A port for every name: the one to keep, else the remembered, else the well-known one, else any that is free."""
    ports: dict[str, int] = {}
    for name, default in DEFAULT_PORTS.items():
        avoid = {*ports.values(), *keep.values()}
        ports[name] = keep[name] if name in keep else choose_port([remembered.get(name), default], avoid)
    return ports


def remembered_ports(places: Places) -> dict[str, int]:
    """The ports that this stack had last time; nothing where its file is missing or cannot be understood."""
    ports = read_object(places.stack_file).get("ports")
    if not isinstance(ports, dict):
        return {}
    return {name: port for name, port in ports.items() if isinstance(port, int) and 0 < port < 65_536}


def write_addresses(wiring: Wiring, parts: Collection[str]) -> StackError | None:
    """Write `stack.json`, where `Settings` looks for the embedded parts; returns what prevented it.

    What is elsewhere is left out: it is the settings' affair, and its address may hold a password.
    """
    content: dict[str, object] = {"site": str(wiring.places.site), "ports": dict(wiring.ports)}
    content |= {"kafka": wiring.kafka} if "kafka" in parts else {}
    content |= {"clickhouse": wiring.clickhouse.get_secret_value()} if "store" in parts else {}
    content |= {"smtp": wiring.smtp.get_secret_value()} if "mail" in parts else {}
    try:
        write_whole(wiring.places.stack_file, content)
    except StackError as error:
        return error
    return None


def withdraw_addresses(places: Places) -> None:
    """Leave only the ports in `stack.json`: what listens at the addresses from now on is not this home's.

    On a full disk the file goes, and the ports with it.
    """
    content = read_object(places.stack_file)
    if not content:
        return
    try:
        write_whole(places.stack_file, {name: content[name] for name in ("site", "ports") if name in content})
    except StackError:
        places.stack_file.unlink(missing_ok=True)
