"""Publishing, deciding and looking, each by the real program on a real stack."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from producers.client import Client
from producers.settings import Settings

from .conftest import EXAMPLE, Said, Soma

pytestmark = pytest.mark.timeout(120)


def started(soma: Soma, saga_id: str) -> Said:
    return soma("publish", "campaign.start", "--file", str(EXAMPLE), "--id", saga_id, "--json")


def watched(soma: Soma, saga_id: str, *states: str) -> list[dict[str, object]]:
    """The changes of a saga until it is in one of these states."""
    command = [*soma.command, "watch", saga_id, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=soma.environment) as watching:
        assert watching.stdout is not None
        seen: list[dict[str, object]] = []
        for line in watching.stdout:
            seen.append(json.loads(line))
            if seen[-1]["state"] in states:
                watching.terminate()
                break
    return seen


def test_a_command_published_twice_starts_one_saga(soma: Soma, saga_id: str) -> None:
    first, second = started(soma, saga_id), started(soma, saga_id)
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert first.json["saga_id"] == saga_id and first.json["topic"] == "campaign.commands"
    assert second.json["partition"] == first.json["partition"] and second.json["offset"] > first.json["offset"]
    assert "started before" in second.json["reason"] and "started before" in second.err
    assert soma("cancel", saga_id, "--reason", "enough").exit_code == 0


def test_a_saga_is_told_of_decided_about_and_listed(soma: Soma, saga_id: str) -> None:
    assert started(soma, saga_id).exit_code == 0
    assert [one["state"] for one in watched(soma, saga_id, "waiting")][-1] == "waiting"
    shown = soma("status", saga_id, "--json")
    assert (shown.exit_code, shown.json["waiting_for"]) == (0, "approve or reject")
    assert f"soma approve {saga_id}" in soma("status", saga_id).out

    assert soma("reject", saga_id, "--reason", "too loud", "--reviewer", "Ada").exit_code == 0
    changes = soma("watch", saga_id, "--json")
    assert changes.exit_code == 1
    assert json.loads(changes.out.splitlines()[-1])["state"] == "rejected"
    assert soma("status", saga_id).exit_code == 1
    assert saga_id in [one["saga_id"] for one in soma("status", "--json").json["sagas"]]
    late = soma("approve", saga_id, "--json")
    assert (late.exit_code, late.json["answer"]) == (1, "refused")


def test_an_approval_too_early_is_refused_with_the_reason(soma: Soma, saga_id: str) -> None:
    said = soma("approve", saga_id)
    assert said.exit_code == 1
    assert "refused: there is no campaign" in said.err


def test_what_is_not_known_is_a_use_that_cannot_be_meant(soma: Soma, saga_id: str) -> None:
    assert soma("status", saga_id).exit_code == 2
    assert soma("dead", "show", saga_id).exit_code == 2


def test_a_record_nobody_can_read_is_found_among_the_dead(soma: Soma, saga_id: str) -> None:
    published = asyncio.run(publish_nonsense(soma.home, saga_id))
    found = [one for one in soma("dead", "list", "--json").json["dead_letters"] if one["saga_id"] == saga_id]
    assert [one["kind"] for one in found] == ["unreadable"]
    assert found[0]["id"] == published
    assert published in soma("dead", "list", "--letters").out
    shown = soma("dead", "show", published)
    assert json.loads(shown.out)["value"] == json.dumps({"loud": True}, separators=(",", ":"))


async def publish_nonsense(home: Path, saga_id: str) -> str:
    async with Client(Settings(home=home)) as client:
        published = await client.publish("campaign", "campaign.cancel", saga_id, {"loud": True})
        answer = await asyncio.wait_for(client.answer_to(published), 20)
        assert answer.kind == "dead" and "reason" in answer.reason
        again = await client.publish("campaign", "campaign.cancel", saga_id, {"reason": "x"}, message_id="once")
        first = await asyncio.wait_for(client.answer_to(again), 20)
        repeated = await client.publish("campaign", "campaign.cancel", saga_id, {"reason": "x"}, message_id="once")
        assert await asyncio.wait_for(client.answer_to(repeated), 20) == first
    return f"{published.topic}/{published.partition}/{published.offset}"


def test_nothing_stands_still_and_every_topic_is_there(soma: Soma) -> None:
    assert soma("stuck", "list", "--json").json == {"stuck": []}
    assert soma("topics", "plan", "--json").json == {"missing": [], "differing": []}
    assert soma("topics", "apply", "--from", "now").exit_code == 0


def test_a_reader_that_goes_away_is_no_error(soma: Soma) -> None:
    command = [*soma.command, "flow", "--format", "mermaid"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=soma.environment, **pipe) as drawing:  # type: ignore[call-overload]
        drawing.stdout.close()
        assert drawing.stderr.read() == ""
