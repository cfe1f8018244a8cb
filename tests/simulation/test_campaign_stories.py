"""Every story of the campaign, told once as it is, and once for every moment at which its worker can die."""

from dataclasses import replace

import pytest

from tests.simulation.campaign_stories import STORIES
from tests.simulation.stories import Story, crash_points, told, violations


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_story_keeps_the_promises_however_its_worker_dies(story: Story) -> None:
    calm = told(story)
    assert list(violations(story, calm)) == []
    points = crash_points(story)
    assert len(points) > 40
    broken = [
        (point, found) for point in points if (found := list(violations(story, told(story, kill_at=point)))) != []
    ]
    assert broken == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_interleavings_keep_the_promises_as_well(seed: int) -> None:
    for story in STORIES:
        assert list(violations(story, told(replace(story), seed=seed))) == []
