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
