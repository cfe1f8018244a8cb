"""The documents that are made from the code say what the code does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from consumers import documents
from consumers.app import sagas
from consumers.asyncapi import document, schema_of, wire_models
from consumers.topics import wanted_topics
from deploy import flow_map
from producers.settings import Settings
from schemas.campaign import StartCampaign

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return document(sagas(), "0")


def test_the_committed_documents_are_fresh() -> None:
    assert documents.stale(REPOSITORY / "deploy" / "asyncapi") == []


def test_the_flow_maps_of_the_readme_are_fresh() -> None:
    assert flow_map.main(["--check", str(REPOSITORY / "README.md")]) == 0


def test_a_stale_a_missing_and_a_left_over_document_are_noticed(tmp_path: Path) -> None:
    documents.write(tmp_path)
    assert documents.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "schemas" / "campaign.start.json").unlink()
    (tmp_path / "schemas" / "campaign.gone.json").write_text("{}")
    assert documents.stale(tmp_path) == [
        Path("asyncapi.json"),
        Path("schemas/campaign.gone.json"),
        Path("schemas/campaign.start.json"),
    ]
    assert documents.main(["--check", str(tmp_path)]) == 1


def test_every_reference_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    references = list(references_in(asyncapi))
    assert len(references) > 100
    for reference in references:
        found: Any = asyncapi
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)


def test_every_topic_and_every_message_of_a_saga_is_in_it(asyncapi: dict[str, Any]) -> None:
    topics = {topic.name for topic in wanted_topics(sagas(), Settings()) if not topic.name.endswith(".state")}
    assert set(asyncapi["channels"]) == topics
    told = {name for channel in asyncapi["channels"].values() for name in channel["messages"]}
    assert told == set(wire_models(sagas())) == set(asyncapi["components"]["messages"])


def test_every_participant_is_in_it_with_its_group(asyncapi: dict[str, Any]) -> None:
    groups = {
        operation["bindings"]["kafka"]["groupId"]["const"]
        for operation in asyncapi["operations"].values()
        if operation["action"] == "receive"
    }
    assert groups == {participant for kind in sagas() for participant in kind.participants}


def test_a_command_that_the_schema_accepts_is_one_that_the_class_accepts() -> None:
    schema = schema_of(StartCampaign)
    jsonschema.Draft202012Validator.check_schema(schema)
    brief = {"name": "Spring", "goal": "Sell tulips", "audience": {"description": "gardeners"}, "channels": ["blog"]}
    jsonschema.validate(brief, schema)
    StartCampaign.model_validate(brief | {"saga_id": "c-1"})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(brief | {"chanels": []}, schema)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "deploy" / "asyncapi" / "schemas").glob("*.json")), ids=str)
def test_every_committed_schema_is_a_json_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
