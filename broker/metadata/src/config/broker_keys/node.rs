//! Broker keys. The node itself: identity, roles, quorum, listeners, connections, threads.
//!
//! Names, types, defaults, bounds and update modes are those of Apache Kafka 4.3 (`KafkaConfig`); the words are ours.
//! A table, not code: `config::broker_keys` looks keys up in it.

use crate::config::key::keys;
use crate::config::reasons::{
    BACKLOG, BYTES_BOUND, INTERNALS, KERNEL_BUFFERS, LONE, LONE_QUORUM, NO_EFFECT_SASL, NO_SECURITY, NO_TXN, THREADS,
    UNSTABLE,
};

keys! { NODE

    // Node.
    "node.id": Int = null, AtLeast(0), ReadOnly, Works,
        "Id of this node, unique in the cluster. Without a file the node is number 1.";
    "broker.id": Int = "-1", Any, ReadOnly, Works,
        "Older name of node.id; when both are given they must agree.";
    "broker.rack": Str = null, Any, ReadOnly, Works,
        "Name of the rack or zone this broker stands in; placement spreads replicas over racks.";
    "process.roles": List = null, SomeOf(&["broker", "controller"]), ReadOnly, Works,
        "What this process is: broker, controller or both. Only both in one process works so far.";
    "controller.listener.names": List = null, NonEmpty, ReadOnly, Works,
        "Names of the listeners that speak to controllers. The first one is used by brokers.";
    "controller.quorum.bootstrap.servers": List = "", BootstrapServers, ReadOnly, Works,
        "Addresses at which nodes find the metadata quorum: host:port, separated by commas.";
    "controller.quorum.voters": List = "", QuorumVoters, ReadOnly, Works,
        "Fixed voters of the metadata quorum as id@host:port. One voter, this node, is accepted.";
    "controller.quorum.append.linger.ms": Int = "25", AtLeast(0), ReadOnly, Ignored(LONE),
        "How long the quorum leader gathers records before it writes them.";
    "controller.quorum.auto.join.enable": Bool = "false", Any, ReadOnly, Refused(LONE_QUORUM),
        "Whether a new controller adds itself to the voters.";
    "controller.quorum.election.backoff.max.ms": Int = "1000", AtLeast(0), ReadOnly, Ignored(LONE),
        "Longest random wait before another election after a split vote.";
    "controller.quorum.election.timeout.ms": Int = "1000", AtLeast(0), ReadOnly, Ignored(LONE),
        "How long a candidate waits for votes.";
    "controller.quorum.fetch.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, Ignored(LONE),
        "Most bytes of metadata log in one answer to a voter or observer.";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, Ignored(LONE),
        "Most bytes of a snapshot in one answer.";
    "controller.quorum.fetch.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, Ignored(LONE),
        "How long a voter goes without a fetch from the leader before it stands for election.";
    "controller.quorum.request.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, Ignored(LONE),
        "How long an answer within the quorum may take.";
    "controller.quorum.retry.backoff.ms": Int = "20", AtLeast(0), ReadOnly, Ignored(LONE),
        "Pause before a request within the quorum is repeated.";
    "controller.performance.always.log.threshold.ms": Long = "2000", AtLeast(0), Internal, Ignored(INTERNALS),
        "Controller events slower than this are always logged.";
    "controller.performance.sample.period.ms": Long = "60000", AtLeast(100), Internal, Ignored(INTERNALS),
        "How often slow controller events are summarised in the log.";
    "controller.socket.timeout.ms": Int = "30000", Any, ReadOnly, Ignored(LONE),
        "How long a request of this broker to the controller may take.";
    "broker.heartbeat.interval.ms": Int = "2000", Any, ReadOnly, Ignored(LONE),
        "How often a broker reports to the controller.";
    "broker.session.timeout.ms": Int = "9000", Any, ReadOnly, Ignored(LONE),
        "Silence after which the controller fences a broker.";
    "initial.broker.registration.timeout.ms": Int = "60000", Any, ReadOnly, Ignored(LONE),
        "How long a broker tries to register before it gives up and stops.";
    "controlled.shutdown.enable": Bool = "true", Any, ReadOnly, Ignored(LONE),
        "Whether a stopping broker first hands its partitions to others.";
    "auto.leader.rebalance.enable": Bool = "true", Any, ReadOnly, Ignored(LONE),
        "Whether leadership goes back to preferred replicas by itself.";
    "leader.imbalance.check.interval.seconds": Long = "300", AtLeast(1), ReadOnly, Ignored(LONE),
        "How often leadership is compared with the preferred replicas.";
    "unclean.leader.election.enable": Bool = "false", Any, ClusterWide, Works,
        "Whether a replica outside the in-sync set may lead, which loses records, when no other is left.";
    "unclean.leader.election.interval.ms": Long = "300000", AtLeast(1), Internal, Ignored(LONE),
        "How often partitions without a leader are tried for an unclean election.";
    "request.timeout.ms": Int = "30000", Any, ReadOnly, Ignored(LONE),
        "How long this broker waits for an answer of another one.";
    "server.max.startup.time.ms": Long = "9223372036854775807", AtLeast(0), Internal, Ignored(INTERNALS),
        "Longest time a start may take before the process gives up.";

    // Listeners.
    "listeners": List = "PLAINTEXT://:9092", NonEmpty, PerBroker, Works,
        "Addresses to listen on: NAME://host:port, separated by commas. An empty host means all interfaces.";
    "advertised.listeners": List = null, NonEmpty, ReadOnly, Works,
        "Addresses given to clients. Unset: those of listeners, with a host that the client can reach.";
    "listener.security.protocol.map": Str =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, PerBroker, Works,
        "Security protocol of each listener name. PLAINTEXT works so far.";
    "inter.broker.listener.name": Str = null, Any, ReadOnly, Works,
        "Listener that brokers use among themselves.";
    "security.inter.broker.protocol": Str =
        "PLAINTEXT", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, Refused(NO_SECURITY),
        "Security protocol between brokers, when no inter-broker listener is named.";
    "early.start.listeners": List = null, Any, ReadOnly, Ignored(INTERNALS),
        "Listeners that open before the authorizer is ready.";

    // Sockets.
    "socket.listen.backlog.size": Int = "50", AtLeast(1), ReadOnly, Ignored(BACKLOG),
        "Connections the kernel may hold that were not accepted yet.";
    "socket.send.buffer.bytes": Int = "102400", Any, ReadOnly, Ignored(KERNEL_BUFFERS),
        "Send buffer of a connection; -1 leaves it to the kernel.";
    "socket.receive.buffer.bytes": Int = "102400", Any, ReadOnly, Ignored(KERNEL_BUFFERS),
        "Receive buffer of a connection; -1 leaves it to the kernel.";
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), ReadOnly, Works,
        "Largest request a client may send; a larger one ends its connection.";
    "socket.connection.setup.timeout.ms": Long = "10000", Any, ReadOnly, Ignored(LONE),
        "How long this broker waits for a connection it opens.";
    "socket.connection.setup.timeout.max.ms": Long = "30000", Any, ReadOnly, Ignored(LONE),
        "Upper end of the growing wait for a connection.";
    "queued.max.requests": Int = "500", AtLeast(1), ReadOnly, Ignored(BYTES_BOUND),
        "Requests that may wait to be handled before connections stop being read.";
    "queued.max.request.bytes": Long = "-1", Any, ReadOnly, Works,
        "Bytes of requests held at once before connections stop being read; -1 is the memory budget.";
    "connections.max.idle.ms": Long = "600000", Any, ReadOnly, Works,
        "A connection without traffic for this long is closed.";
    "max.connections": Int = "2147483647", AtLeast(0), ClusterWide, Works,
        "Most connections of the broker.";
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), ClusterWide, Works,
        "Most connections from one address.";
    "max.connections.per.ip.overrides": Str = "", Any, ClusterWide, Works,
        "Limits of single addresses or host names: host:count, separated by commas.";
    "max.connection.creation.rate": Int = "2147483647", AtLeast(0), ClusterWide, Works,
        "New connections a second the broker accepts; more of them wait.";
    "connection.failed.authentication.delay.ms": Int = "100", AtLeast(0), ReadOnly, Ignored(NO_EFFECT_SASL),
        "Delay before a connection that failed to authenticate is closed.";
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), ReadOnly, Works,
        "Most partitions described by one answer to DescribeTopicPartitions.";
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), ReadOnly, Works,
        "Most bytes in one answer to a fetch.";
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), ReadOnly, Works,
        "Fetch sessions kept at once.";

    // Threads.
    "num.network.threads": Int = "3", AtLeast(1), ClusterWide, Ignored(THREADS),
        "Kafka's network threads. Here shards do that work: see barnabas.shards.";
    "num.io.threads": Int = "8", AtLeast(1), ClusterWide, Ignored(THREADS),
        "Kafka's request threads. Here shards do that work: see barnabas.shards.";
    "background.threads": Int = "10", AtLeast(1), ClusterWide, Ignored(THREADS),
        "Kafka's threads for background work.";
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), ClusterWide, Ignored(THREADS),
        "Kafka's threads that recover logs at a start.";
    "num.replica.alter.log.dirs.threads": Int = null, Any, ReadOnly, Ignored(THREADS),
        "Kafka's threads that move replicas between directories.";
    "num.replica.fetchers": Int = "1", AtLeast(1), ClusterWide, Ignored(THREADS),
        "Kafka's threads that fetch from one leader.";
    "producer.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, Ignored(INTERNALS),
        "How often Kafka purges finished produce requests from its waiting list.";
    "fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, Ignored(INTERNALS),
        "How often Kafka purges finished fetches from its waiting list.";
    "delete.records.purgatory.purge.interval.requests": Int = "1", Any, ReadOnly, Ignored(INTERNALS),
        "How often Kafka purges finished record deletions from its waiting list.";
    "share.fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, Ignored(INTERNALS),
        "How often Kafka purges finished share fetches from its waiting list.";
    "unstable.api.versions.enable": Bool = "false", Any, Internal, Refused(UNSTABLE),
        "Offers versions of requests that are still being designed.";
    "unstable.feature.versions.enable": Bool = "false", Any, Internal, Refused(UNSTABLE),
        "Offers feature levels that are still being designed.";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Pause before a partition is again added to a transaction on behalf of a producer.";
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", AtLeast(0), ReadOnly, Ignored(NO_TXN),
        "Longest such pause in total.";
}
