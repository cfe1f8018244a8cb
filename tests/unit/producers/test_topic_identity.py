"""Metadata version 12, byte by byte as Kafka's protocol describes it."""

import uuid
from io import BytesIO

from producers.topic_identity import MetadataRequest, MetadataResponse_v12

TOPIC_ID = uuid.UUID("6f1c1b1e-0c1b-4c1b-8c1b-1b1b1b1b1b1b")


def test_the_request_names_topics_and_creates_none() -> None:
    request = MetadataRequest(["a.events"]).prepare({3: (0, 13)})
    assert (request.API_KEY, request.API_VERSION) == (3, 12)
    no_id, tags = bytes(16), b"\x00"
    assert request.encode() == b"\x02" + no_id + b"\x09a.events" + tags + b"\x00" + b"\x00" + tags


def test_ids_and_partitions_are_read_from_the_answer() -> None:
    nobody = b"\x00"
    broker = (5).to_bytes(4, "big") + b"\x05host" + (9092).to_bytes(4, "big") + nobody + b"\x00"
    node = b"\x02" + (5).to_bytes(4, "big")
    partition = bytes(2) + (3).to_bytes(4, "big") + (5).to_bytes(4, "big") + (1).to_bytes(4, "big")
    partition += node + node + b"\x01" + b"\x00"
    topic = bytes(2) + b"\x09a.events" + TOPIC_ID.bytes + b"\x00" + b"\x02" + partition + bytes(4) + b"\x00"
    answer = bytes(4) + b"\x02" + broker + b"\x04abc" + (5).to_bytes(4, "big") + b"\x02" + topic + b"\x00"
    read = MetadataResponse_v12.decode(BytesIO(answer))
    assert read.cluster_id == "abc"
    ((error, name, topic_id, internal, partitions, *_),) = read.topics
    assert (error, name, topic_id, internal) == (0, "a.events", TOPIC_ID, False)
    assert [one[1] for one in partitions] == [3]
