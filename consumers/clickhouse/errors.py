"""Why the sink refuses to go on.

SinkError                    nothing was lost; a person or a restart must act
├── NoDeduplication          a table would count a repeated batch twice
├── AnotherCluster           these tables hold the records of another Kafka
├── RecordsGone              Kafka no longer keeps what comes next
├── LogTooShort              Kafka's log ends before what is stored: the topic was made anew
├── PartitionTaken           another sink has claimed the partition; a restart sorts it out
└── HalfStored               a dead row without its message: the tables were changed by hand
"""

from producers.errors import SomaError


class SinkError(SomaError):
    """The sink cannot go on; what is stored stays right."""


class NoDeduplication(SinkError):
    """A table without a deduplication window: a batch that is sent twice would be counted twice."""


class AnotherCluster(SinkError):
    """Offsets of one Kafka cluster mean nothing in another one."""


class RecordsGone(SinkError):
    """Kafka's retention has deleted records before they were stored."""


class LogTooShort(SinkError):
    """The topic holds fewer records than are stored: it was deleted and made anew."""


class PartitionTaken(SinkError):
    """Another sink has claimed the partition after this one."""


class HalfStored(SinkError):
    """`dead_rows` knows a batch that `messages` does not."""
