"""Settings: no secret is shown, whatever makes text of them; and only what is named is reached."""

import copy
import json
import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from deploy.cli.logs import StructuredFormatter
from producers.cluster import connection
from producers.errors import NoStack
from producers.secrets import SecretUrl
from producers.settings import KafkaSecurity, Settings, mistakes_in

MARKER = "the-marker"


def settings(home: Path) -> Settings:
    return Settings(
        home=home,
        kafka_bootstrap_servers="far:9092",
        kafka_security=KafkaSecurity(protocol="SASL_PLAINTEXT", username="me", password=SecretStr(MARKER)),
        clickhouse_url=SecretUrl(f"https://me:{MARKER}@far:8443/path?password={MARKER}#{MARKER}"),
        smtp_url=SecretUrl(f"smtp://me:{MARKER}@far:25?from={MARKER}@here"),
    )


def test_text_made_of_settings_shows_no_secret(tmp_path: Path) -> None:
    import logging

    made = settings(tmp_path)
    record = logging.LogRecord("x", logging.INFO, "", 0, "event", (), None)
    record.url, record.all = made.store_url, made
    shown = [
        repr(made),
        str(made),
        f"{made.store_url} {made.smtp!r} {made.kafka_security}",
        f"{made.store_url}",
        made.model_dump_json(),
        str(made.model_dump()),
        repr(copy.deepcopy(made)),
        StructuredFormatter().format(record),
    ]
    assert not [text for text in shown if MARKER in text]
    assert str(made.store_url) == "https://far:8443/path" and str(made.smtp) == "smtp://far:25"


def test_who_needs_a_secret_has_it(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert connection(made)["sasl_plain_password"] == MARKER
    assert MARKER in made.store_url.get_secret_value()
    assert pickle.loads(pickle.dumps(made.store_url)).get_secret_value() == made.store_url.get_secret_value()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CLICKHOUSE_URL", f"http://me:{MARKER}/more@far:8123"),
        ("CLICKHOUSE_URL", f"http://me:80/{MARKER}@far:8123"),
        ("CLICKHOUSE_URL", f"ftp://me:{MARKER}@far"),
        ("CLICKHOUSE_URL", f"http://me:{MARKER}@far:port"),
        ("CLICKHOUSE_URL", f"http://me:{MARKER}@"),
        ("CLICKHOUSE_URL", f"http://me:{MARKER} @far"),
        ("CLICKHOUSE_URL", MARKER),
        ("SOMA_SMTP_URL", f"http://me:{MARKER}@far"),
        ("SOMA_SMTP_URL", f"smtp://[{MARKER}"),
        ("KAFKA_BOOTSTRAP_SERVERS", f"me:{MARKER}@far:9092"),
        ("SOMA_KAFKA_SECURITY", f'{{"password": "{MARKER}"'),
        ("SOMA_KAFKA_SECURITY", f'{{"passwort": "{MARKER}"}}'),
        ("SOMA_KAFKA_SECURITY__PROTOCOL", MARKER),
        ("SOMA_BULKHEADS", f'"{MARKER}"'),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises((ValidationError, SettingsError)) as refused:
        Settings()
    lines = mistakes_in(refused.value)  # type: ignore[arg-type]
    assert lines and MARKER not in "\n".join(lines) and MARKER not in str(refused.value)


@pytest.mark.parametrize("missing", ["username", "password"])
def test_a_login_needs_both_its_halves(missing: str) -> None:
    halves = {"username": "me", "password": MARKER, missing: None}
    with pytest.raises(ValidationError, match=f"set SOMA_KAFKA_SECURITY__{missing.upper()}"):
        KafkaSecurity.model_validate({"protocol": "SASL_SSL", **halves})


@pytest.mark.parametrize("content", [None, "{}", '{"ports": {"kafka": 9092}}', "{", '{"kafka": 7}', '["kafka"]'])
def test_a_home_without_a_running_stack_reaches_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "stack.json").write_text(content)
    made = Settings(home=tmp_path)
    for variable, look in (
        ("KAFKA_BOOTSTRAP_SERVERS", lambda: made.bootstrap_servers),
        ("CLICKHOUSE_URL", lambda: made.store_url),
    ):
        with pytest.raises(NoStack, match=f"no stack runs in this home; `soma up` starts one, or {variable}"):
            look()
    assert made.smtp is None


def test_a_home_with_a_running_stack_uses_its_addresses(tmp_path: Path) -> None:
    addresses = {"kafka": "127.0.0.1:1", "clickhouse": "http://127.0.0.1:2", "smtp": "smtp://127.0.0.1:3"}
    (tmp_path / "stack.json").write_text(json.dumps(addresses))
    made = Settings(home=tmp_path)
    assert [made.bootstrap_servers, str(made.store_url), str(made.smtp)] == list(addresses.values())


def test_only_an_embedded_kafka_has_an_identity_to_compare_with(tmp_path: Path) -> None:
    log = tmp_path / "kafka" / "log"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text("version=1\ncluster.id=abc\nnode.id=1\n")
    assert Settings(home=tmp_path).own_cluster_id() == "abc"
    assert Settings(home=tmp_path, kafka_bootstrap_servers="far:1").own_cluster_id() is None
    assert Settings(home=tmp_path / "new").own_cluster_id() is None
