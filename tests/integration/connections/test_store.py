"""What is wrong with the connection to ClickHouse is said as it is, and with a login that works all is well."""

import json
from collections.abc import Callable

import pytest

from tests.integration.connections.conftest import Environment, Run
from tests.integration.connections.secured_kafka import PASSWORD, SecuredKafka

Login = Callable[..., Environment]


def test_a_login_that_works_is_not_shown(login: Login, run: Run, store: str) -> None:
    environment = login(CLICKHOUSE_URL=f"http://soma:{PASSWORD}@{store}")
    assert json.loads(run(environment, "query", "SELECT 7 AS n", "--json").out) == {"columns": ["n"], "rows": [[7]]}
    found = json.loads(run(environment, "doctor", "--json").out)
    assert found["clickhouse"] == f"http://{store}"
    assert {check["name"]: check["ok"] for check in found["checks"]}["clickhouse"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://soma:wrong@{store}", "refuses the login of soma: wrong user name or password"),
        ("https://soma:{password}@{store}", "breaks off the TLS handshake: it speaks no TLS"),
        ("http://soma:{password}@{tls}", "speaks TLS, and CLICKHOUSE_URL begins with http://"),
        ("https://soma:{password}@{tls}", "has a certificate of a CA that is not trusted"),
        ("http://soma:{password}@127.0.0.1:9", "is not reachable: the connection is refused"),
        ("http://soma:{password}@nowhere.invalid:8123", "the name nowhere.invalid cannot be resolved"),
    ],
)
def test_each_cause_is_told_by_query_and_doctor(
    secured: SecuredKafka, login: Login, run: Run, store: str, url: str, told: str
) -> None:
    environment = login(CLICKHOUSE_URL=url.format(store=store, password=PASSWORD, tls=secured.address("tls")))
    said = run(environment, "query", "SELECT 1")
    assert (said.exit_code, said.out) == (3, "")
    assert told in said.err and len(said.err.splitlines()) == 1
    found = json.loads(run(environment, "doctor", "--json").out)
    check = next(check for check in found["checks"] if check["name"] == "clickhouse")
    assert not check["ok"] and told in check["detail"] and check["remedy"]


def test_a_sink_tells_a_wrong_password_at_once(login: Login, program: Run, store: str) -> None:
    said = program(login(CLICKHOUSE_URL=f"http://soma:wrong@{store}"), "sink")
    assert said.exit_code == 3
    assert "refuses the login of soma" in said.err.strip().splitlines()[-1] and "sink.waits" not in said.err
