"""Nothing that anyone can publish raises out of the memory of a lane, and the saga next to it completes."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.runtime.graph import Graph
from schemas.campaign import ApproveCampaign, StartCampaign
from schemas.message import Command
from tests.fuzz.bystander import GOOD, Partition, message
from tests.fuzz.hostile import records
from tests.simulation.campaign_world import BRIEF, campaign_graph
from tests.unit.consumers.runtime.small_saga import ORDER, PlaceOrder

# `SOMA_FUZZ_RECORDS=100000` for a night.
RECORDS = int(os.environ.get("SOMA_FUZZ_RECORDS", "1000"))
STARTS: dict[str, tuple[Graph, Command, dict[str, Command]]] = {
    "order": (ORDER, message(PlaceOrder, item="tulip"), {}),
    "campaign": (
        campaign_graph(),
        message(StartCampaign, **BRIEF),
        {"campaign.review.requested": message(ApproveCampaign, reviewer="ann")},
    ),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("saga", STARTS)
def test_hostile_records_raise_nothing_and_the_saga_next_to_them_completes(saga: str, seed: int) -> None:
    graph, start, answers = STARTS[saga][0], STARTS[saga][1], dict(STARTS[saga][2])
    partition = Partition(graph, seed)
    reads = records(graph, seed, RECORDS)
    for number, hostile in enumerate(reads):
        partition.publish(hostile)
        if number == RECORDS // 2:
            partition.says(start)
        if number % 10 == 9:
            partition.turn()
        if number % 500 == 499:
            partition.turn()
            partition.reopen()
    for _ in range(200):
        if is_waiting(partition):
            for asked in list(answers):
                partition.says(answers.pop(asked))
        partition.turn()
        if json.loads(partition.statuses.get(GOOD.encode(), b"{}")).get("state") == "completed":
            break
    assert json.loads(partition.statuses[GOOD.encode()])["state"] == "completed"
    assert partition.faults == {}


def is_waiting(partition: Partition) -> bool:
    """Whether the good saga waits for a person."""
    return bool(json.loads(partition.statuses.get(GOOD.encode(), b"{}")).get("state") == "waiting")


@given(seed=st.integers(min_value=0))
@settings(max_examples=15, deadline=None)
def test_any_seed_raises_nothing(seed: int) -> None:
    partition = Partition(ORDER, seed)
    for number, hostile in enumerate(records(ORDER, seed, 60, sagas=3)):
        partition.publish(hostile)
        if number % 5 == 4:
            partition.turn()
    partition.turn()
    partition.reopen()
    partition.turn()
    assert partition.faults == {}
