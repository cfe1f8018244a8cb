"""What the fuzz on a real stack takes for wrong: memory that grows, and states that only an outsider tells."""

from types import SimpleNamespace

import pytest

from tests.prove.fuzzing import grown, state_of

MB = 2**20


def test_a_program_that_has_doubled_since_the_half_has_grown_and_one_that_knows_a_few_more_sagas_has_not() -> None:
    assert grown({"worker": 200 * MB, "sink": 400 * MB}, {"worker": 400 * MB, "sink": 500 * MB}) == [
        "worker has grown from 200 to 400 MB"
    ]


def test_a_program_that_was_not_there_at_the_half_has_grown() -> None:
    assert grown({}, {"sink": 300 * MB}) == ["sink has grown from 0 to 300 MB"]


@pytest.mark.parametrize(
    ("value", "state"), [(b'{"state": "completed"}', "completed"), (b"{}", ""), (b"[]", ""), (b"\xff", ""), (None, "")]
)
def test_a_status_that_tells_no_state_has_none(value: bytes | None, state: str) -> None:
    assert state_of(SimpleNamespace(value=lambda: value)) == state
