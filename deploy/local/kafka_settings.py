"""The broker's settings: one KRaft node for one person, on the loopback interface only."""

MOST_MESSAGE_BYTES = 8 * 1024 * 1024
PARTITIONS_OF_INTERNAL_TOPICS = 4


def server_properties(port: int, controller_port: int, log_folder: str) -> str:
    """The server's properties file.

    `log_folder` is relative to the broker's working folder: Kafka splits the setting at commas, and a properties file
    knows ASCII only, so a path of the person's never stands in it.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": log_folder,
        # After a kill -9 the controller waits for the dead broker's session: 9 s by default, and that is all of the
        # restart.
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 500,
        "offsets.topic.num.partitions": PARTITIONS_OF_INTERNAL_TOPICS,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": PARTITIONS_OF_INTERNAL_TOPICS,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # A frozen worker hides its partition's new records until its transaction times out, plus this scan (10 s by
        # default).
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
        # How long a transaction waits whose partitions still get the markers of the one before (20 ms by default).
        "add.partitions.to.txn.retry.backoff.ms": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # Topics are created with the partitions that the catalogue says, never by a misspelt name.
        "auto.create.topics.enable": "false",
        "message.max.bytes": MOST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MOST_MESSAGE_BYTES,
        "log.message.timestamp.type": "CreateTime",
        # Nothing is forgotten: retention is the topic's own affair.
        "log.retention.ms": -1,
        "offsets.retention.minutes": 525_600,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
