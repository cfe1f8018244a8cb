"""`soma run`: the main job, on a real stack."""

from pathlib import Path

import pytest

from .conftest import EXAMPLE, Soma

# Two campaigns may wait for the sink.
pytestmark = pytest.mark.timeout(120)


def files_of(home: Path, saga_id: str) -> list[Path]:
    return [path for name in ("drafts", "pictures", "outbox", "site") for path in (home / name).rglob(f"{saga_id}*")]


def test_an_approved_campaign_is_completed_and_found_again_under_its_id(soma: Soma, saga_id: str) -> None:
    first = soma("run", str(EXAMPLE), "--approve", "--id", saga_id, "--json")
    assert first.exit_code == 0, first.err
    told = first.json
    assert (told["saga_id"], told["state"]) == (saga_id, "completed")
    assert told["outcome"]["delivered"] == {"blog": 1, "social": 1, "email": 3}
    assert Path(told["links"]["blog"]).is_file() and Path(told["site"]).is_file()
    caught = [path.read_text(errors="replace") for path in Path(told["mail"]).rglob("*") if path.is_file()]
    assert sum("ada.lindqvist@example.org" in mail for mail in caught) >= 1
    assert f"{saga_id} is completed" in first.err

    stored = soma("query", f"SELECT count() FROM messages WHERE saga_id = '{saga_id}'", "--json")
    assert stored.json["rows"] == [[told["clickhouse_records"]]]
    # Two commands, a fact for each step of the story, and of the status what was told on the way: it may skip some.
    stored = soma(
        "query", f"SELECT _topic, count() FROM messages WHERE saga_id = '{saga_id}' GROUP BY _topic", "--json"
    )
    by_topic = dict(stored.json["rows"])
    assert by_topic["campaign.commands"] == 2
    assert by_topic["campaign.events"] >= 13, by_topic
    assert 1 <= by_topic["campaign.status"] <= by_topic["campaign.events"] + 1, by_topic

    again = soma("run", str(EXAMPLE), "--approve", "--id", saga_id, "--json")
    assert (again.exit_code, again.json["outcome"]) == (0, told["outcome"])
    assert "was started before" in again.err


def test_a_rejected_campaign_leaves_nothing_and_ends_with_1(soma: Soma, saga_id: str) -> None:
    said = soma("run", str(EXAMPLE), "--reject", "--id", saga_id, "--json")
    assert said.exit_code == 1
    assert said.json["state"] == "rejected"
    assert said.json["outcome"]["reason"] == "rejected on the command line"
    assert said.json["links"] == {}
    assert files_of(soma.home, saga_id) == []


def test_without_a_terminal_and_a_decision_nothing_is_started(soma: Soma, saga_id: str, tmp_path: Path) -> None:
    said = Soma(tmp_path / "never")("run", str(EXAMPLE), "--id", saga_id)
    assert said.exit_code == 2
    assert "--approve" in said.err
    assert not (tmp_path / "never").exists()


def test_a_brief_with_mistakes_names_their_lines_and_starts_nothing(tmp_path: Path) -> None:
    brief = tmp_path / "brief.yaml"
    brief.write_text(EXAMPLE.read_text().replace("channels: [blog, social, email]", "channels: [blog, television]"))
    line = next(number for number, text in enumerate(brief.read_text().splitlines(), 1) if "television" in text)
    said = Soma(tmp_path / "never")("run", str(brief), "--approve", "--json")
    assert (said.exit_code, said.out) == (2, "")
    assert f"{brief}:{line}: channels.1: " in said.err
    assert not (tmp_path / "never").exists()


def test_a_house_that_is_not_there_is_told_with_its_address(tmp_path: Path) -> None:
    never = Soma(tmp_path / "never")
    said = never("run", str(EXAMPLE), "--approve", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert said.exit_code == 3
    assert "Kafka at 127.0.0.1:9 is not reachable: the connection is refused" in said.err
    assert "KAFKA_BOOTSTRAP_SERVERS" in said.err and "soma up" not in said.err


def test_a_home_without_a_stack_reaches_no_other(soma: Soma, tmp_path: Path) -> None:
    """The stack of these tests listens; it is not this home's."""
    other = Soma(tmp_path / "other")
    for words in (["status"], ["cancel", "one"], ["query", "SELECT 1"], ["worker"], ["sink"]):
        said = other(*words)
        assert (said.exit_code, said.out) == (3, "")
        assert "no stack runs in this home; `soma up` starts one" in said.err
