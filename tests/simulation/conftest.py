"""Worlds that end with their test."""

from collections.abc import Callable, Iterator

import pytest

from tests.simulation.campaign_world import CampaignWorld


@pytest.fixture
def new_world() -> Iterator[Callable[..., CampaignWorld]]:
    """Makes worlds; each is closed when the test is over."""
    made: list[CampaignWorld] = []

    def make(seed: int = 0) -> CampaignWorld:
        made.append(CampaignWorld(seed))
        return made[-1]

    yield make
    for world in made:
        world.loop.close()
