"""The command line without a stack: usage, exit codes, and what is said where."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app

EXAMPLE = Path(__file__).parents[4] / "deploy" / "examples" / "campaign.yaml"


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.delenv("SOMA_APPLICATION", raising=False)


def soma(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    "words",
    [
        ["run", str(EXAMPLE), "--approve"],
        ["publish", "campaign.cancel", "--set", "reason=x", "--id", "one"],
        ["status"],
        ["status", "one", "--json"],
        ["watch", "--json"],
        ["approve", "one"],
        ["reject", "one"],
        ["cancel", "one"],
        ["dead", "list"],
        ["dead", "show", "one"],
        ["dead", "replay", "one"],
        ["dead", "replay", "one", "--dry-run"],
        ["dead", "discard", "one", "--reason", "x"],
        ["stuck", "list"],
        ["stuck", "retry", "one"],
        ["steps", "list"],
        ["steps", "resume", "campaign.studio", "draft_content"],
        ["topics", "plan"],
        ["topics", "apply"],
        ["topics", "apply", "--reset", "campaign.studio", "--partition", "1", "--from", "now"],
        ["topics", "abort", "other.client"],
    ],
    ids=" ".join,
)
def test_a_kafka_that_does_not_answer_is_named_with_the_remedy(words: list[str]) -> None:
    said = soma(*words)
    assert (said.exit_code, said.stdout) == (3, "")
    # It was named: `soma up` would start another one.
    assert "Kafka at 127.0.0.1:9 is not reachable: the connection is refused; " in said.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in said.stderr and "soma up" not in said.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["publish", "campaign.begin"], "campaign.start"),
        (["publish", "campaign.opened"], "there is no command 'campaign.opened'"),
        (["publish", "campaign.start", "--set", "name=x"], "goal: Field required"),
        (["publish", "campaign.cancel", "--set", "reason=x"], "name it with --id"),
        (["publish", "campaign.cancel", "--set", "reason=x", "--set", "saga_id=a", "--id", "b"], "but --id says b"),
        (["publish", "campaign.start", "--file", "/nowhere"], "No such file"),
        (["run", "/nowhere"], "No such file"),
        (["run", str(EXAMPLE)], "--approve"),
        (["run", str(EXAMPLE), "--approve", "--reject"], "exclude each other"),
        (["run", str(EXAMPLE), "--approve", "--id", ""], "the id: "),
        (["flow", "weather"], "there is no saga kind 'weather'"),
        (["flow", "--format", "svg"], "svg"),
        (["topics", "apply", "--from", "yesterday"], "yesterday"),
        (["topics", "apply", "--reset", "campaign.studio"], "needs --partition N and --from beginning|now"),
        (["topics", "apply", "--reset", "campaign.studio", "--from", "now"], "needs --partition N"),
        (["topics", "apply", "--partition", "1"], "belong to --reset"),
        (["topics", "apply", "--yes"], "belong to --reset"),
        (
            ["topics", "apply", "--reset", "weather", "--partition", "1", "--from", "now"],
            "there is no participant 'weather'; there are campaign.",
        ),
        (["dead", "list", "--since", "yesterday"], "yesterday is no moment"),
        (["dead", "list", "--kind", "lost"], "lost"),
        (["dead", "show"], "ID"),
        (["dead", "replay"], "name the letters to replay: an ID, --fingerprint"),
        (["dead", "replay", "--dry-run"], "name the letters to replay: an ID, --fingerprint"),
        (["dead", "replay", "one", "--rate", "-1/s"], "--rate -1/s is no rate: write 10/s"),
        (["dead", "replay", "one", "--rate", "0", "--dry-run"], "--rate 0 is no rate"),
        (["dead", "replay", "--until", "1.2.3h"], "1.2.3h is no moment"),
        (["dead", "discard", "one"], "--reason"),
        (["dead", "discard", "one", "--reason", " "], "--reason is empty"),
        (["dead", "discard", "--reason", "x"], "name the letters to discard: an ID, --fingerprint"),
        (["weather"], "weather"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_ends_with_2_before_anything_is_started(
    words: list[str], told: str, tmp_path: Path
) -> None:
    said = soma(*words)
    assert (said.exit_code, said.stdout) == (2, "")
    assert told in said.stderr
    assert not (tmp_path / "home").exists()


def test_a_rejection_that_would_not_be_heard_is_not_started(tmp_path: Path) -> None:
    brief = tmp_path / "brief.yaml"
    brief.write_text(EXAMPLE.read_text().replace("review: required", "review: none"))
    said = soma("run", str(brief), "--reject")
    assert said.exit_code == 2 and "asks for no review" in said.stderr


def test_a_composition_root_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMA_APPLICATION", "nowhere.app:sagas")
    said = soma("flow")
    assert said.exit_code == 2 and "nowhere.app:sagas" in said.stderr


def test_a_flow_is_drawn_without_a_stack() -> None:
    assert "draft_content" in soma("flow", "campaign").stdout
    assert soma("flow", "campaign", "--format", "mermaid").stdout.startswith("flowchart TD")
    assert json.loads(soma("flow", "campaign", "--format", "json").stdout)["saga"] == "campaign"
    assert "campaign" in [flow["saga"] for flow in json.loads(soma("flow", "--json").stdout)["flows"]]
