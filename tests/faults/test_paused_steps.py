"""A step that fails for saga after saga is paused, and what comes is held until it is resumed; on the real broker."""

import json
from typing import Any

import pytest

from tests.faults.hub import BRIEF, TOPICS, Hub, eventually
from tests.faults.test_neighbours import of_partition_zero

STEP = ("campaign.studio", "design_assets")
FAILING, HELD = 10, 20


def paused(hub: Hub) -> list[dict[str, Any]]:
    """What `soma steps list` tells of the step."""
    told = json.loads(hub.soma("steps", "list", "--saga", "campaign", "--json").stdout)["paused"]
    return [one for one in told if (one["participant"], one["step"]) == STEP]


def start(hub: Hub, sagas: list[str]) -> None:
    for saga in sagas:
        hub.publish_soon("campaign.start", saga, BRIEF | {"channels": ["blog"]}, f"start-{saga}")
    hub.flush()


def judge_anew(hub: Hub) -> None:
    """Let what the step did for other tests' sagas in the partition not count; to resume it twice is no harm."""
    (saga,) = of_partition_zero("anew", 1)
    hub.publish("campaign.step.resume", saga, dict(zip(("participant", "step"), STEP, strict=True)), f"anew-{saga}")
    eventually(lambda: hub.answers(f"anew-{saga}") == ["campaign.step.resumed"])


def said(hub: Hub, wire_type: str, sagas: list[str]) -> list[str]:
    """The sagas of which this was said, once for each time."""
    found = [one.key for one in hub.records(TOPICS.events) if one.headers.get("ce_type") == wire_type]
    return [saga for saga in found if saga in sagas]


@pytest.mark.timeout(240)
def test_a_step_that_always_fails_is_paused_and_its_other_sagas_are_held_until_it_is_resumed(hub: Hub) -> None:
    sagas = of_partition_zero("broken", FAILING + HELD)
    failing, held = sagas[:FAILING], sagas[FAILING:]
    (hub.faults / "broken").touch()
    judge_anew(hub)
    start(hub, failing)
    eventually(lambda: said(hub, "campaign.step.paused", failing), seconds=90, every=0.5)
    start(hub, held)
    others = of_partition_zero("well", 3)
    start(hub, others)
    eventually(lambda: len(said(hub, "campaign.content.drafted", held)) == HELD, seconds=60, every=0.5)

    (told,) = paused(hub)
    assert (told["partition"], told["saga_id"] in failing) == (0, True)
    assert told["cause"] == "10 of its last 10 sagas failed here, the last one with Declined: there is no ink"
    assert told["freed_by"] == "soma steps resume campaign.studio design_assets"
    # Whoever drafts has long had its turn, and so would have the step.
    assert said(hub, "campaign.assets.designed", held + others) == []
    assert said(hub, "campaign.step.failed", held) == []
    assert {one.body["saga_id"] for one in hub.records(TOPICS.dead)} & set(held) == set()

    (hub.faults / "broken").unlink()
    answered = json.loads(hub.soma("steps", "resume", *STEP, "--reason", "there is ink again", "--json").stdout)
    assert (answered["answer"], answered["type"]) == ("event", "campaign.step.resumed")
    everybody = held + others
    eventually(lambda: all(hub.states().get(saga) == "completed" for saga in everybody), seconds=90)
    assert paused(hub) == []
    assert sorted(said(hub, "campaign.step.failed", sagas)) == sorted(failing)
    eventually(lambda: all(hub.states().get(saga) == "compensated" for saga in failing), seconds=60)
