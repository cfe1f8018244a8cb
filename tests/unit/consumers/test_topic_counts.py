"""Partition counts: a topic that does not fit is named with the remedy, and no count is taken from it."""

from consumers.topics import count_mistakes

WANTED = ["campaign.commands", "campaign.events", "campaign.status", "other.events", "other.status"]


def test_nothing_there_and_all_there_are_well() -> None:
    assert count_mistakes(WANTED, {}, 12, True) == ()
    assert count_mistakes(WANTED, dict.fromkeys(WANTED, 12), 12, True) == ()


def test_a_topic_that_the_broker_made_gives_no_count_to_the_others() -> None:
    (drift,) = count_mistakes(WANTED, {"campaign.status": 1}, 4, False)
    line = str(drift)
    assert line.startswith("campaign.status: partitions is 1, not 4 (SOMA_PARTITIONS): DANGER: the other topics of")
    assert "set SOMA_PARTITIONS=1" in line and "kafka-topics --delete --topic campaign.status" in line


def test_a_topic_that_differs_from_its_siblings_is_named() -> None:
    counts = {"campaign.commands": 4, "campaign.events": 4, "campaign.status": 6, "other.events": 4, "other.status": 4}
    (drift,) = count_mistakes(WANTED, counts, 4, False)
    assert (drift.topic, drift.found, drift.value) == ("campaign.status", "6", None) and "have 4," in drift.danger


def test_complete_topics_of_another_count_are_right_unless_another_was_asked_for() -> None:
    counts = dict.fromkeys(WANTED, 12)
    assert count_mistakes(WANTED, counts, 4, False) == ()
    assert len(count_mistakes(WANTED, counts, 4, True)) == len(WANTED)


def test_a_missing_topic_is_not_fitted_to_the_others_in_silence() -> None:
    found = count_mistakes(WANTED, {"campaign.commands": 12, "campaign.events": 12}, 4, False)
    assert [one.topic for one in found] == ["campaign.commands", "campaign.events"]


LANES = ["campaign.studio.state", "campaign.tracker.state"]
HUB = [*WANTED[:3], *LANES]


def test_partitions_that_were_added_are_told_and_keep_no_worker_from_starting() -> None:
    counts = dict.fromkeys(HUB, 4) | {"campaign.commands": 6}
    for is_said, partitions in ((False, 12), (True, 4)):
        (drift,) = count_mistakes(HUB, counts, partitions, is_said)
        assert (drift.topic, drift.found, drift.wanted, drift.is_dangerous) == ("campaign.commands", "6", "4", False)
        assert "2 added ones" in drift.danger


def test_a_topic_with_fewer_partitions_than_there_are_lanes_is_dangerous() -> None:
    counts = dict.fromkeys(HUB, 4) | {"campaign.commands": 1}
    (drift,) = count_mistakes(HUB, counts, 4, False)
    assert (drift.topic, drift.is_dangerous) == ("campaign.commands", True)


def test_lanes_of_another_count_than_was_asked_for_are_not_taken_for_added() -> None:
    counts = dict.fromkeys(HUB, 6)
    found = count_mistakes(HUB, counts, 4, True)
    assert len(found) == len(HUB) and all(one.is_dangerous for one in found)
