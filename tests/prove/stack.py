"""The embedded stack with two workers, one of which reaches the broker through a proxy only.

`python -m tests.prove.stack` is its supervisor, started and started again exactly as the real one is.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace

from deploy.local.files import read_object, write_whole
from deploy.local.kafka import Launch
from deploy.local.parts import Part, embedded_parts, kafka_part, python
from deploy.local.ports import answers, choose_port
from deploy.local.supervisor import supervise
from deploy.local.wiring import Wiring
from producers.settings import Settings

COMMAND = (sys.executable, "-P", "-m", "tests.prove.stack")
WORKERS = ("worker-1", "worker-2")
PROXIED = "worker-2"
# Where the proxy listens, and the file that says where the broker does for it.
PROXY_PORT = "SOMA_PROVE_PROXY_PORT"
BEHIND_FILE = "behind.json"


def kafka_behind(proxy_port: int) -> Part:
    """The embedded broker with a second listener, which sends its clients to the proxy's port."""
    plain = kafka_part()

    def launch(wiring: Wiring) -> Launch:
        prepared = plain.launch(wiring)
        own, controller = wiring.ports["kafka"], wiring.ports["controller"]
        file = wiring.places.home / BEHIND_FILE
        # As the other ports, it is another one where a stranger has taken it meanwhile.
        behind_port = choose_port([read_object(file).get("port")], {own, controller, proxy_port})
        write_whole(file, {"port": behind_port})
        lines = (
            f"listeners=CLIENT://127.0.0.1:{own},CUT://127.0.0.1:{behind_port},CONTROLLER://127.0.0.1:{controller}",
            f"advertised.listeners=CLIENT://127.0.0.1:{own},CUT://127.0.0.1:{proxy_port}",
            "listener.security.protocol.map=CLIENT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        )
        # Of a property that is set twice the last one counts.
        with (wiring.places.kafka / "server.properties").open("a") as properties:
            properties.writelines(f"{line}\n" for line in lines)
        return prepared

    return replace(plain, launch=launch)


def carrier(name: str, *address: str) -> Part:
    """A worker with a folder of its own."""

    def ready(wiring: Wiring, pid: int) -> bool:
        return read_object(wiring.places.home / name / "run" / "worker.ready").get("pid") == pid

    needs = ("kafka", "store", "proxy") if address else ("kafka", "store")
    return Part(name, lambda wiring: python("-m", "tests.prove.carrier", name, *address), ready, needs=needs, told=True)


def parts(settings: Settings, proxy_port: int) -> tuple[Part, ...]:
    """Broker, store, sink, proxy, two workers."""
    keep = {part.name: part for part in embedded_parts(settings) if part.name in ("store", "sink")}
    keep["sink"] = replace(keep["sink"], needs=("kafka", "store"))
    proxy = Part(
        "proxy",
        lambda wiring: python("-m", "tests.prove.proxy", str(proxy_port), str(settings.home / BEHIND_FILE)),
        lambda wiring, pid: answers(proxy_port),
    )
    return (
        kafka_behind(proxy_port),
        *keep.values(),
        proxy,
        *(carrier(name, *((f"127.0.0.1:{proxy_port}",) if name == PROXIED else ())) for name in WORKERS),
    )


def main(environment: Callable[[str], str | None] = os.environ.get) -> int:
    settings = Settings()
    return supervise(settings, parts(settings, int(environment(PROXY_PORT) or 0)), COMMAND)


if __name__ == "__main__":
    sys.exit(main())
