"""Free ports on the loopback interface."""

import random
import socket
from collections.abc import Collection, Iterable

from deploy.local.errors import PortUnavailable

LOOPBACK = "127.0.0.1"
# Below the range from which systems take ports for outgoing connections: a chosen port must still be free after a
# restart.
CHOICE = range(20_000, 32_000)
CHOICE_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    if answers(port, timeout_seconds=0.2):  # some systems let two listeners share a port
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int, timeout_seconds: float = 1.0, host: str = LOOPBACK) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout_seconds).close()
    except OSError:
        return False
    return True


def choose_port(preferred: Iterable[int | None], avoid: Collection[int] = ()) -> int:
    """The first preferred port that is free, or another free one. Raises `PortUnavailable` when none is."""
    for port in preferred:
        if port is not None and port not in avoid and is_free(port):
            return port
    for _ in range(CHOICE_ATTEMPTS):
        port = random.choice(CHOICE)
        if port not in avoid and is_free(port):
            return port
    raise PortUnavailable("no free port was found on the loopback interface; stop what occupies ports 20000 to 32000")
