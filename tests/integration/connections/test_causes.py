"""What is wrong with the connection to Kafka is said as it is, by whatever meets it."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.client import Client
from producers.diagnosis import log_in
from producers.errors import ConnectionFailed, LoginFailed, NotReachable, TlsFailed, TlsMissing
from producers.settings import Settings
from tests.integration.connections.conftest import Ended, Environment, Run
from tests.integration.connections.secured_kafka import PASSWORD, SecuredKafka

Login = Callable[..., Environment]

CASES: list[tuple[str, dict[str, str | None], type[ConnectionFailed], str]] = [
    ("tls", {"password": "wrong"}, LoginFailed, "refuses the login of soma with SCRAM-SHA-512: wrong"),
    ("plain", {"password": "wrong"}, LoginFailed, "refuses the login of soma with PLAIN: wrong user name or password"),
    ("tls", {"username": "nemo"}, LoginFailed, "refuses the login of nemo with SCRAM-SHA-512"),
    ("plain", {"sasl_mechanism": "SCRAM-SHA-256"}, LoginFailed, "does not offer the SASL mechanism SCRAM-SHA-256"),
    ("tls", {"ca_file": None}, TlsFailed, "has a certificate of a CA that is not trusted"),
    ("expired", {}, TlsFailed, "has a certificate that has expired"),
    ("other_name", {}, TlsFailed, "has a certificate that is not made out to 127.0.0.1"),
    ("tls", {"protocol": "PLAINTEXT"}, TlsFailed, "speaks TLS, and SOMA_KAFKA_SECURITY__PROTOCOL is PLAINTEXT"),
    ("tls", {"protocol": "SASL_PLAINTEXT"}, TlsFailed, "SOMA_KAFKA_SECURITY__PROTOCOL is SASL_PLAINTEXT"),
    ("plain", {"protocol": "SASL_SSL"}, TlsMissing, "breaks off the TLS handshake: it speaks no TLS"),
    ("plain", {"protocol": "PLAINTEXT"}, LoginFailed, "expects a login"),
    ("tls", {"protocol": "SSL"}, LoginFailed, "expects a login"),
    ("open", {"protocol": "SASL_PLAINTEXT", "ca_file": None}, LoginFailed, "takes no login at this port"),
    ("tls", {"KAFKA_BOOTSTRAP_SERVERS": "nowhere.invalid:9092"}, NotReachable, "nowhere.invalid cannot be resolved"),
    ("tls", {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, NotReachable, "is not reachable: the connection is refused"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("listener", "otherwise", "kind", "told"),
    CASES,
    ids=[f"{case[0]}-{'-'.join(case[1])}-{case[3][:24]}" for case in CASES],
)
def test_each_cause_has_its_own_error_and_words(
    secured: SecuredKafka,
    login: Login,
    monkeypatch: pytest.MonkeyPatch,
    listener: str,
    otherwise: dict[str, str | None],
    kind: type[ConnectionFailed],
    told: str,
) -> None:
    for name, text in login(listener if listener != "open" else "tls", **otherwise).items():
        monkeypatch.setenv(name, text)
    if listener == "open":
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", secured.address("open"))
    settings = Settings()

    async def enter() -> None:
        async with Client(settings):
            pass

    for attempt in (lambda: log_in(settings), enter):
        with pytest.raises(ConnectionFailed) as failed:
            asyncio.run(attempt())
        assert type(failed.value) is kind
        assert told in str(failed.value) and "soma up" not in str(failed.value)
        assert ("is not reachable" in str(failed.value)) == (kind is NotReachable)


def test_a_server_that_never_answers_is_told_from_one_that_refuses(login: Login, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        said = run(login("plain", KAFKA_BOOTSTRAP_SERVERS=address), "status")
    assert said.exit_code == 3
    assert f"Kafka at {address} is not reachable: it accepts connections, but gives no answer within 5 s" in said.err


VERBS = [("status",), ("watch", "one"), ("topics", "plan"), ("topics", "apply"), ("dead", "list"), ("stuck", "list")]
WRONG_PASSWORD = "refuses the login of soma with PLAIN: wrong user name or password"


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_verbs_tell_the_cause(login: Login, run: Run, words: tuple[str, ...]) -> None:
    said = run(login("plain", password="wrong"), *words)
    assert (said.exit_code, said.out) == (3, "")
    assert WRONG_PASSWORD in said.err and len(said.err.splitlines()) == 1


def test_a_worker_tells_the_cause_and_does_not_try_again(login: Login, program: Run) -> None:
    said = program(login("plain", password="wrong"), "worker")
    assert said.exit_code == 3
    assert WRONG_PASSWORD in lines(said)[-1] and "worker.waits" not in said.err


def test_a_sink_tells_the_cause_and_does_not_try_again(login: Login, program: Run, store: str) -> None:
    said = program(login("plain", password="wrong", CLICKHOUSE_URL=f"http://soma:{PASSWORD}@{store}"), "sink")
    assert said.exit_code == 3
    assert WRONG_PASSWORD in lines(said)[-1] and "sink.waits" not in said.err


def lines(said: Ended) -> list[str]:
    return said.err.strip().splitlines()


def test_doctor_logs_in_and_says_whose_kafka_it_is(secured: SecuredKafka, login: Login, run: Run) -> None:
    found = json.loads(run(login(), "doctor", "--json").out)
    kafka = next(check for check in found["checks"] if check["name"] == "kafka")
    assert (kafka["ok"], found["cluster_id"]) == (True, secured.cluster_id)
    wrong = json.loads(run(login(password="wrong"), "doctor", "--json").out)
    kafka = next(check for check in wrong["checks"] if check["name"] == "kafka")
    assert not kafka["ok"] and "wrong user name or password" in kafka["detail"] and "PASSWORD" in kafka["remedy"]
    assert wrong["cluster_id"] is None


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({"username": None}, "needs a login: set SOMA_KAFKA_SECURITY__USERNAME"),
        ({"password": None}, "needs a login: set SOMA_KAFKA_SECURITY__PASSWORD"),
        ({"ca_file": "/nowhere/ca.pem"}, "SOMA_KAFKA_SECURITY__CA_FILE=/nowhere/ca.pem cannot be read"),
        ({"ca_file": __file__}, "holds no certificate in PEM form"),
        ({"sasl_mechanism": "GSSAPI"}, "SASL_MECHANISM"),
        ({"pasword": "x"}, "pasword: Extra inputs are not permitted"),
        ({"SOMA_KAFKA_SECURITY": "{"}, "kafka_security"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_used_end_with_2(
    login: Login, run: Run, otherwise: dict[str, str | None], told: str
) -> None:
    said = run(login(**otherwise), "status")
    assert said.exit_code == 2
    assert told.lower() in said.err.lower()


def test_a_worker_without_its_ca_file_ends_with_2(login: Login, program: Run) -> None:
    said = program(login(ca_file="/nowhere/ca.pem"), "worker")
    assert said.exit_code == 2 and "SOMA_KAFKA_SECURITY__CA_FILE=/nowhere/ca.pem cannot be read" in lines(said)[-1]


def test_an_address_of_another_home_is_not_used(secured: SecuredKafka, tmp_path: Path, run: Run) -> None:
    log = tmp_path / "home" / "kafka" / "log"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text("cluster.id=mine\n")
    (tmp_path / "home" / "stack.json").write_text(json.dumps({"kafka": secured.address("open")}))
    said = run({"SOMA_HOME": str(tmp_path / "home")}, "status")
    assert said.exit_code == 3
    assert f"is cluster {secured.cluster_id}, not this home's own mine" in said.err
