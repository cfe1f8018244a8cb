"""The campaign as a whole: its flow, its ports, its example."""

from pathlib import Path

import yaml

from compensations.campaign import UNDOS
from consumers.campaign import FLOW
from consumers.campaign.adapters import adapters
from consumers.runtime.graph import graph_of
from schemas.campaign import StartCampaign
from schemas.topics import catalogue

EXAMPLE = Path(__file__).parents[4] / "deploy" / "examples" / "campaign.yaml"


def test_every_step_lives_in_a_file_of_its_own_name() -> None:
    for participant in FLOW.participants:
        for step in participant.steps:
            assert step.__module__ == f"consumers.campaign.{step.__name__}"


def test_every_step_with_an_effect_is_undone_or_is_the_pivot() -> None:
    graph = graph_of(FLOW, UNDOS, catalogue()["campaign"])
    assert [step.name for step in graph.steps.values() if step.has_effect and not step.undo] == ["send_email"]
    assert graph.steps["send_email"].pivot


def test_every_port_that_a_step_or_undo_asks_for_has_an_adapter_and_the_reverse(tmp_path: Path) -> None:
    graph = graph_of(FLOW, UNDOS, catalogue()["campaign"])
    signatures = [step.signature for step in graph.steps.values()] + [undo.signature for undo in graph.undos.values()]
    wanted = {port for signature in signatures for _, port in signature.ports}
    assert wanted == set(adapters(tmp_path / "home", "smtp://localhost:25"))


def test_composing_the_adapters_touches_nothing(tmp_path: Path) -> None:
    adapters(tmp_path / "home", "smtp://localhost:25")
    assert not (tmp_path / "home").exists()


def test_the_example_brief_is_valid_and_reaches_three_people_on_three_channels() -> None:
    start = StartCampaign(saga_id="c1", **yaml.safe_load(EXAMPLE.read_text("utf-8")))
    assert set(start.channels) == {"blog", "social", "email"}
    assert len(start.audience.recipients) == 3
    assert start.sources
