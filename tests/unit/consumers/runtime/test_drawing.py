"""What a drawing of a flow must show. The campaign is drawn as it ships; rules of the drawing are tested on it."""

import json

import pytest

from consumers.app import sagas
from consumers.runtime.drawing import as_json, as_mermaid, as_text, story_of
from consumers.runtime.graph import Graph


@pytest.fixture(scope="module", params=[kind.graph for kind in sagas()], ids=lambda graph: graph.saga)
def graph(request: pytest.FixtureRequest) -> Graph:
    found: Graph = request.param
    return found


@pytest.fixture(scope="module")
def campaign() -> Graph:
    return next(kind.graph for kind in sagas() if kind.graph.saga == "campaign")


def line_with(drawing: str, *words: str) -> str:
    (line,) = [line for line in drawing.splitlines() if all(word in line for word in words)]
    return line


def test_every_step_undo_and_word_stands_on_the_map(graph: Graph) -> None:
    words = as_text(graph).replace(":", " ").split()
    for step in graph.steps.values():
        assert step.name in words
        assert {kind.removeprefix(f"{graph.saga}.") for kind in step.says} <= set(words)
    assert set(graph.undos) <= set(words)
    assert {participant.removeprefix(f"{graph.saga}.") for participant in graph.participants} <= set(words)


def test_the_map_fits_100_columns_and_ends_no_line_with_space(graph: Graph) -> None:
    for line in as_text(graph).splitlines():
        assert len(line) <= 100
        assert line == line.rstrip()


def test_a_step_stands_below_whoever_says_what_it_hears(graph: Graph) -> None:
    place = {step["name"]: number for number, step in enumerate(as_json(graph)["steps"])}
    for step in graph.steps.values():
        for kind in (kind for leg in step.legs for kind in leg):
            assert all(place[sayer.name] < place[step.name] for sayer in graph.sayers.get(kind, ()))


def test_the_campaigns_map_shows_what_matters_beside_each_step(campaign: Graph) -> None:
    drawing = as_text(campaign)
    assert "→ content.drafted" in line_with(drawing, "─ draft_content") and "↩ discard_content" in drawing
    assert line_with(drawing, "─ send_email").endswith("pivot: no way back")
    assert line_with(drawing, "─ collect_delivery").endswith("held if it fails")
    assert "✓ completed" in line_with(drawing, "─ collect_delivery")
    assert "✗ rejected" in line_with(drawing, "» reject: reject_campaign")
    assert "(waits for approve or reject)" in line_with(drawing, "review.requested   (")
    assert line_with(drawing, "+ email.prepared or email.not_wanted").endswith("(all within 6 h)")
    assert line_with(drawing, "» cancel").endswith("(a command, at any time)")


def test_the_campaigns_map_says_what_an_undo_waits_for(campaign: Graph) -> None:
    lines = as_text(campaign).splitlines()
    below = lines[
        next(
            number
            for number, line in enumerate(lines)
            if "↩ remove_assets  " in line and "→" in line and "designed → " in line
        )
        + 1
    ]
    assert below.strip() == "waits until these have settled: review, distribution, analytics"


def test_the_story_is_the_way_to_a_good_end(campaign: Graph) -> None:
    story = story_of(campaign)
    assert story[0] == "open_campaign" and story[-1] == "collect_delivery"
    assert not {"reject_campaign", "cancel_campaign", "expire_review", "approve_campaign"} & set(story)


def test_mermaid_has_an_arrow_for_every_message_and_hearer(graph: Graph) -> None:
    lines = {line.strip() for line in as_mermaid(graph).splitlines()}
    for step in graph.steps.values():
        for kind in step.says:
            for hearer in graph.hearers.get(kind, ()):
                assert f'{step.name} -- "{kind}" --> {hearer.name}' in lines
        if step.undo is not None:
            assert f"{step.name} -. undone by .-> {step.undo.name}" in lines
    assert sum(line.startswith("subgraph ") for line in lines) == len(graph.participants)


def test_json_is_plain_and_names_every_end(campaign: Graph) -> None:
    told = json.loads(json.dumps(as_json(campaign)))
    assert told == as_json(campaign)
    assert told["ends"]["campaign.completed"] == "completed"
    assert told["ends"]["campaign.rejected"] == "rejected"
    assert told["ends"]["campaign.blog.refused"] == "compensated"
    (send,) = [step for step in told["steps"] if step["name"] == "send_email"]
    assert (send["pivot"], send["undo"], send["when_it_fails"]) == (True, None, "hold")
