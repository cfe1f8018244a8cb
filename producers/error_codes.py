"""PURE: every error code of the transaction requests that matters, and what the producer does about each.

One table, so that a code is never retried by one request and fatal to another. The numbers and names are Kafka's own
(https://kafka.apache.org/protocol#protocol_error_codes).
"""

from enum import Enum
from typing import NamedTuple


class Reaction(Enum):
    """What the producer does about an error code."""

    RETRY = "send the same bytes to the same broker again"
    LOOK_AGAIN = "find the leader or coordinator, then send the same bytes there"
    WRITTEN = "the batch is in the log already; after a retry this is success"
    FENCED = "another owner has the transactional id: the lane is lost"
    REFUSED = "a record is at fault: no retry helps, another one in its place would"
    REOPEN = "the transaction cannot go on: throw the producer away and open another one"


class ErrorCode(NamedTuple):
    """A code's name and the reaction to it."""

    name: str
    reaction: Reaction


_BY_REACTION: dict[Reaction, dict[int, str]] = {
    Reaction.RETRY: {
        2: "CORRUPT_MESSAGE",
        7: "REQUEST_TIMED_OUT",
        14: "COORDINATOR_LOAD_IN_PROGRESS",
        19: "NOT_ENOUGH_REPLICAS",
        20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        51: "CONCURRENT_TRANSACTIONS",
        # The answer for the other partitions of a request of which one failed.
        55: "OPERATION_NOT_ATTEMPTED",
        75: "UNKNOWN_LEADER_EPOCH",
        78: "OFFSET_NOT_AVAILABLE",
        89: "THROTTLING_QUOTA_EXCEEDED",
    },
    Reaction.LOOK_AGAIN: {
        # For a moment a broker that has just become the leader may not know its partition.
        3: "UNKNOWN_TOPIC_OR_PARTITION",
        5: "LEADER_NOT_AVAILABLE",
        6: "NOT_LEADER_OR_FOLLOWER",
        8: "BROKER_NOT_AVAILABLE",
        9: "REPLICA_NOT_AVAILABLE",
        13: "NETWORK_EXCEPTION",
        15: "COORDINATOR_NOT_AVAILABLE",
        16: "NOT_COORDINATOR",
        56: "KAFKA_STORAGE_ERROR",
        72: "LISTENER_NOT_FOUND",
        74: "FENCED_LEADER_EPOCH",
        100: "UNKNOWN_TOPIC_ID",
    },
    Reaction.WRITTEN: {46: "DUPLICATE_SEQUENCE_NUMBER"},
    Reaction.FENCED: {47: "INVALID_PRODUCER_EPOCH", 90: "PRODUCER_FENCED"},
    Reaction.REFUSED: {
        10: "MESSAGE_TOO_LARGE",
        18: "RECORD_LIST_TOO_LARGE",
        32: "INVALID_TIMESTAMP",
        87: "INVALID_RECORD",
    },
    Reaction.REOPEN: {
        -1: "UNKNOWN_SERVER_ERROR",
        17: "INVALID_TOPIC_EXCEPTION",
        29: "TOPIC_AUTHORIZATION_FAILED",
        31: "CLUSTER_AUTHORIZATION_FAILED",
        35: "UNSUPPORTED_VERSION",
        42: "INVALID_REQUEST",
        45: "OUT_OF_ORDER_SEQUENCE_NUMBER",
        48: "INVALID_TXN_STATE",
        49: "INVALID_PRODUCER_ID_MAPPING",
        50: "INVALID_TRANSACTION_TIMEOUT",
        53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        59: "UNKNOWN_PRODUCER_ID",
        105: "TRANSACTIONAL_ID_NOT_FOUND",
        120: "TRANSACTION_ABORTABLE",
    },
}
ERROR_CODES: dict[int, ErrorCode] = {
    code: ErrorCode(name, reaction) for reaction, names in _BY_REACTION.items() for code, name in names.items()
}


def error_code(code: int) -> ErrorCode:
    """The code's entry; one that is not in the table ends the transaction."""
    return ERROR_CODES.get(code) or ErrorCode(f"error code {code}", Reaction.REOPEN)
