"""A broker that wants logins, TLS and rights: the embedded jars with other settings. Its certificates are made here.

Listeners: OPEN (plain text, its ANONYMOUS may do all), TLS (SASL_SSL with SCRAM-SHA-512), EXPIRED and OTHER_NAME (the
same with such certificates), PLAIN (SASL_PLAINTEXT with PLAIN). Everybody else is denied by default.
"""

import os
import subprocess
import time
from pathlib import Path

from deploy.local.jars import class_path, jars_folder, listed_jars
from deploy.local.java import JVM_FLAGS, ClassArchive, java_environment, java_executable
from deploy.local.kafka import kafka_answers
from deploy.local.kafka_format import new_cluster_id
from deploy.local.kafka_settings import server_properties
from deploy.local.places import cache_folder
from deploy.local.ports import choose_port

PASSWORD = "marker-of-the-right-password"
STORE_PASSWORD = "store-password"
# One with all rights it needs, and others whose tests give them some.
USERS = (
    "soma",
    "without_rights",
    "without_create",
    "reader",
    "without_group",
    "without_transactions",
    "without_status",
)
CERTIFICATES = {
    "tls": ("SAN=ip:127.0.0.1,dns:localhost", "-0d", "30"),
    "expired": ("SAN=ip:127.0.0.1", "-10d", "2"),
    "other_name": ("SAN=dns:kafka.example", "-0d", "30"),
}
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
READY_WITHIN_SECONDS = 60.0


class SecuredKafka:
    """Start it, use `address`, and stop it in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster_id = new_cluster_id()
        names = ("open", "controller", "tls", "expired", "other_name", "plain")
        self.ports: dict[str, int] = {}
        for name in names:
            self.ports[name] = choose_port([], avoid=list(self.ports.values()))
        self._running: subprocess.Popen[bytes] | None = None

    def address(self, listener: str) -> str:
        """`127.0.0.1:port` of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def ca_file(self, listener: str) -> Path:
        """The certificate of a listener, which is its own CA."""
        return self.folder / f"{listener}.pem"

    def start(self) -> None:
        """Make certificates and users, start the broker, and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_certificates()
        cache = cache_folder(self.folder)
        path = class_path(cache, listed_jars())
        (self.folder / "server.properties").write_text(self._properties())
        scram = [
            word
            for user in USERS
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},iterations=4096,password={PASSWORD}]")
        ]
        format_it = ["kafka.tools.StorageTool", "format", "--cluster-id", self.cluster_id, *scram]
        java = [str(java_executable()), *JVM_FLAGS, "-Dorg.apache.logging.log4j.level=WARN"]
        archive = ClassArchive(jars_folder(cache))
        archive.prepare()
        formatted = subprocess.run(
            [*java, "-cp", path, *format_it, "--config", "server.properties"],
            cwd=self.folder,
            env=java_environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        assert formatted.returncode == 0, formatted.stdout + formatted.stderr
        with (self.folder / "kafka.log").open("ab") as log:
            self._running = subprocess.Popen(
                [
                    *java,
                    *archive.flags(self.folder / "classes.unfinished"),
                    "-cp",
                    path,
                    "kafka.Kafka",
                    "server.properties",
                ],
                cwd=self.folder,
                env={**os.environ, **java_environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not kafka_answers(self.address("open")):
            assert self._running.poll() is None, (self.folder / "kafka.log").read_text()[-3_000:]
            assert time.monotonic() < deadline, "the secured broker did not answer in time"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; what it holds is not needed any more."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def _make_certificates(self) -> None:
        keytool = java_executable().with_name("keytool")
        making = []
        for name, (names, start, days) in CERTIFICATES.items():
            store = [
                "-keystore",
                f"{name}.p12",
                "-storetype",
                "PKCS12",
                "-storepass",
                STORE_PASSWORD,
                "-alias",
                "broker",
            ]
            make = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", f"CN={name}", "-ext", names]
            words = [*store, *make, "-startdate", start, "-validity", days, "-ext", "BC=ca:true"]
            making.append(
                (name, store, subprocess.Popen([str(keytool), *words], cwd=self.folder, stderr=subprocess.PIPE))
            )
        exporting = []
        for name, store, made in making:
            _, said = made.communicate(timeout=60)
            assert made.returncode == 0, said
            words = [*store, "-exportcert", "-rfc", "-file", f"{name}.pem"]
            exporting.append(subprocess.Popen([str(keytool), *words], cwd=self.folder, stderr=subprocess.PIPE))
        for exported in exporting:
            _, said = exported.communicate(timeout=60)
            assert exported.returncode == 0, said

    def _properties(self) -> str:
        ports = self.ports
        clients = ("open", "tls", "expired", "other_name", "plain")
        listeners = [f"{name.upper()}://127.0.0.1:{ports[name]}" for name in clients]
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        users = " ".join(f'user_{user}="{PASSWORD}"' for user in USERS)
        settings = {
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{ports['controller']}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": "OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAIN:SASL_PLAINTEXT,"
            "TLS:SASL_SSL,EXPIRED:SASL_SSL,OTHER_NAME:SASL_SSL",
            "inter.broker.listener.name": "OPEN",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            # Kafka's default: a request for a topic's metadata makes it, unless the request forbids that.
            "auto.create.topics.enable": "true",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": f"{PLAIN_LOGIN} required {users};",
        }
        for name in CERTIFICATES:
            settings |= {
                f"listener.name.{name}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
                f"listener.name.{name}.scram-sha-512.sasl.jaas.config": scram,
                f"listener.name.{name}.ssl.keystore.location": f"{name}.p12",
                f"listener.name.{name}.ssl.keystore.password": STORE_PASSWORD,
                f"listener.name.{name}.ssl.key.password": STORE_PASSWORD,
            }
        # The last of two lines with one name counts.
        return server_properties(ports["open"], ports["controller"], "log") + "".join(
            f"{name}={value}\n" for name, value in settings.items()
        )
