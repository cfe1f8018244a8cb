"""Why the sink refuses to go on.

SinkError                    nothing was lost; a person or a restart must act
├── NoDeduplication          a table would count a repeated batch twice
├── AnotherCluster           these tables hold the records of another Kafka
├── TablesChanged            a table was made again under the running sink; its next start fills it
└── PartitionTaken           another sink has claimed the partition; a restart sorts it out
"""

from producers.errors import SomaError


class SinkError(SomaError):
    """The sink cannot go on; what is stored stays right."""


class NoDeduplication(SinkError):
    """A table without a deduplication window: a batch that is sent twice would be counted twice."""


class AnotherCluster(SinkError):
    """Offsets of one Kafka cluster mean nothing in another one."""


class TablesChanged(SinkError):
    """A table behind the views is another one than when the sink began."""


class PartitionTaken(SinkError):
    """Another sink has claimed the partition after this one."""
