"""A supervisor for tests: some of the real parts and a part that does nothing but be there.

`python small_stack.py kafka mail idler` runs these; it is started and started again exactly as the real one is.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from deploy.local.files import write_whole
from deploy.local.kafka import Launch
from deploy.local.parts import Part, announced, kafka_part, mail_part
from deploy.local.supervisor import supervise
from producers.settings import Settings


def idle() -> None:
    """Say that we are ready, note our start and what we were told, and wait for SIGTERM."""
    home = Path(os.environ["SOMA_HOME"])
    with (home / "idler.starts").open("a") as starts:
        told = {name: os.environ[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "SOMA_SMTP_URL")}
        starts.write(json.dumps({"pid": os.getpid(), **told}) + "\n")
    write_whole(home / "run" / "idler.ready", {"pid": os.getpid(), "participants": ["test.idler"]})
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    ended.wait()


def main() -> int:
    if sys.argv[1:] == ["idle"]:
        idle()
        return 0
    command = (sys.executable, "-P", *sys.argv)
    servers = [part for part in (kafka_part(), mail_part()) if part.name in sys.argv]
    idler = Part(
        "idler",
        lambda wiring: Launch((sys.executable, "-P", sys.argv[0], "idle")),
        announced("idler"),
        needs=tuple(part.name for part in servers),
        told=True,
    )
    broken = Part(
        "broken",
        lambda wiring: Launch((sys.executable, "-c", "print('the reason it ends'); raise SystemExit(7)")),
        lambda wiring, pid: False,
    )
    parts = [*servers, *(part for part in (idler, broken) if part.name in sys.argv)]
    return supervise(Settings(), parts, command)


if __name__ == "__main__":
    sys.exit(main())
