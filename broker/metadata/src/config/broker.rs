//! The typed configuration of one broker, made from its layers, with the checks that concern several keys.
//!
//! Plain data. The node reads it; a change of dynamic configuration makes a new one from the same statics.

use std::collections::BTreeMap;
use std::sync::Arc;

use barnabas_base::BrokerId;

use super::listener::{Listener, inter_broker_listener, listeners, parse_host_port};
use super::load::{ConfigProblem, ConfigSources, StaticConfig, load};
use super::lookup::{BrokerLayers, ConfigMap};
use super::topic::TopicConfig;

/// Id of a node that was given none.
const NODE_ID_DEFAULT: i32 = 1;

/// `log.cleaner.dedupe.buffer.size` is larger than this for each of `log.cleaner.threads`.
const DEDUPE_BYTES_PER_THREAD_MIN: i64 = 1024 * 1024;

/// What an acknowledgement of acks=1 and acks=all stands for (design.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// The record is on the device.
    Ack,
    /// The record is in the page cache, as with Kafka.
    Os,
}

/// The configuration of one broker.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// What the broker was started with; dynamic values lie above it.
    pub statics: Arc<StaticConfig>,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `listeners` with the addresses of `advertised.listeners`.
    pub listeners: Vec<Listener>,
    /// Name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// `log.dirs`, or `log.dir`.
    pub log_dirs: Vec<String>,
    /// `metadata.log.dir`, or the first of the log directories.
    pub metadata_log_dir: String,
    /// `flush.policy`.
    pub flush_policy: FlushPolicy,
    /// `barnabas.shards`; `None` takes one for every two cores.
    pub shards: Option<u16>,
    /// `barnabas.tail.cache.bytes`, per shard.
    pub tail_cache_bytes: u64,
    /// `barnabas.memory.bytes`, per shard.
    pub memory_bytes: u64,
    /// Bounds of what each shard has of a log directory.
    pub storage: StorageConfig,
    /// Bounds of connections and requests.
    pub network: NetworkConfig,
    /// Creation and deletion of topics.
    pub topics: TopicsConfig,
    /// Committed offsets and classic groups.
    pub groups: GroupsConfig,
    /// The metadata log.
    pub metadata_log: MetadataLogConfig,
    /// Work on all logs.
    pub logs: LogsConfig,
    /// What a topic without its own configuration has.
    pub topic_defaults: TopicConfig,
}

/// Bounds of what one shard has of a log directory: `internal.barnabas.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// `journal.file.bytes`.
    pub journal_file_bytes: u64,
    /// `unsettled.bytes`.
    pub unsettled_bytes_max: u64,
    /// `sync.files`.
    pub sync_files_max: u32,
    /// `open.files`.
    pub open_files_max: u32,
    /// `index.cache.bytes`.
    pub index_cache_bytes_max: u64,
    /// `scan.bytes`.
    pub scan_bytes: u32,
    /// `check.range.bytes`.
    pub check_range_bytes: u32,
}

/// Bounds of connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: u32,
    /// `queued.max.requests`.
    pub queued_requests_max: u32,
    /// `queued.max.request.bytes`; `None` is the memory budget.
    pub queued_request_bytes_max: Option<u64>,
    /// `connections.max.idle.ms`; `None` never closes an idle connection.
    pub connection_idle_max_ms: Option<u64>,
    /// `max.connections`.
    pub connections_max: u32,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: u32,
    /// `max.connections.per.ip.overrides`: host to count.
    pub connections_per_ip_overrides: BTreeMap<String, u32>,
    /// `max.connection.creation.rate`, per second.
    pub connection_creation_rate_max: u32,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: u32,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: u32,
    /// `max.request.partition.size.limit`.
    pub described_partitions_max: i32,
}

/// Creation and deletion of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsConfig {
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enable: bool,
    /// `num.partitions`.
    pub partitions_default: i32,
    /// `default.replication.factor`.
    pub replication_factor_default: i16,
}

/// Committed offsets and classic groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsConfig {
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`; `None` when it was not given: 3, or as many as there are brokers.
    pub offsets_topic_replication_factor: Option<i16>,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `group.max.size`.
    pub size_max: i32,
}

/// The metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataLogConfig {
    /// `metadata.log.segment.bytes`, or `internal.metadata.log.segment.bytes` where it is set.
    pub segment_bytes: i32,
    /// `metadata.log.segment.ms`.
    pub segment_ms: i64,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub bytes_between_snapshots: i64,
}

/// Work on all logs.
#[derive(Clone, Debug, PartialEq)]
pub struct LogsConfig {
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub recovery_point_checkpoint_interval_ms: i64,
    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub log_start_checkpoint_interval_ms: i64,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub high_watermark_checkpoint_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_expiration_check_interval_ms: i64,
    /// The log cleaner.
    pub cleaner: CleanerConfig,
    /// `log.scrub.interval.ms`; `None` for never.
    pub scrub_interval_ms: Option<i64>,
    /// `log.scrub.io.max.bytes.per.second`, per shard.
    pub scrub_bytes_per_second_max: u64,
}

/// The log cleaner.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enable: bool,
    /// `log.cleaner.backoff.ms`.
    pub backoff_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`, or `internal.barnabas.dedupe.buffer.bytes` where it is set.
    pub dedupe_buffer_bytes: i64,
}

impl BrokerConfig {
    /// Reads the sources of a start; the second part of the answer is what a person should know.
    ///
    /// # Errors
    /// Every problem found, each with its place.
    pub fn from_sources(sources: &ConfigSources) -> Result<(Self, Vec<ConfigProblem>), Vec<ConfigProblem>> {
        let (statics, mut warnings) = load(sources)?;
        let statics = Arc::new(statics);
        let empty = ConfigMap::new();
        let layers = BrokerLayers { dynamic_broker: &empty, dynamic_default: &empty, statics: &statics };
        warnings.extend(beyond_one_node(&layers));
        let config = Self::from_layers(Arc::clone(&statics), &layers)?;
        warnings.extend(unheard_controllers(&layers, &config.listeners));
        Ok((config, warnings))
    }

    /// The configuration with dynamic values above the static ones.
    ///
    /// # Errors
    /// Everything that does not hold together. The controller refuses to store such values, so that whoever reads them
    /// back meets this only where the static ones have changed since.
    pub fn with_dynamic(
        &self,
        dynamic_default: &ConfigMap,
        dynamic_broker: &ConfigMap,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let layers = BrokerLayers { dynamic_broker, dynamic_default, statics: &self.statics };
        Self::from_layers(Arc::clone(&self.statics), &layers)
    }

    fn from_layers(statics: Arc<StaticConfig>, layers: &BrokerLayers<'_>) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let node_id = node_id(layers, &mut problems);
        check_roles(layers, node_id, &mut problems);
        check_combinations(layers, &mut problems);
        let listeners = listeners(layers, &mut problems);
        let inter_broker_listener = inter_broker_listener(layers, &listeners, &mut problems);
        let network = network(layers, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let log_dirs = layers.list("log.dirs").or_else(|| layers.list("log.dir")).unwrap_or_default();
        let metadata_log_dir = layers.string("metadata.log.dir").or_else(|| log_dirs.first().cloned());
        let shards = u16::try_from(layers.int("barnabas.shards")).ok().filter(|count| *count > 0);
        let flush_policy = match layers.string("flush.policy").as_deref() {
            Some("os") => FlushPolicy::Os,
            Some(_) | None => FlushPolicy::Ack,
        };
        Ok(Self {
            statics,
            node_id: BrokerId(node_id),
            rack: layers.string("broker.rack"),
            listeners,
            inter_broker_listener,
            metadata_log_dir: metadata_log_dir.unwrap_or_default(),
            log_dirs,
            flush_policy,
            shards,
            tail_cache_bytes: layers.integer("barnabas.tail.cache.bytes").unsigned_abs(),
            memory_bytes: layers.integer("barnabas.memory.bytes").unsigned_abs(),
            storage: storage(layers),
            network,
            topics: topics(layers),
            groups: groups(layers),
            metadata_log: metadata_log(layers),
            logs: logs(layers),
            topic_defaults: TopicConfig::resolve(layers, &ConfigMap::new()),
        })
    }
}

fn node_id(layers: &BrokerLayers<'_>, problems: &mut Vec<ConfigProblem>) -> i32 {
    let node_id = layers.optional_integer("node.id");
    let broker_id = Some(layers.integer("broker.id")).filter(|id| *id >= 0);
    if let (Some(node_id), Some(broker_id)) = (node_id, broker_id)
        && node_id != broker_id
    {
        let message = "You must set `node.id` to the same value as `broker.id`.";
        problems.push(layers.statics.problem("node.id", message));
    }
    node_id.or(broker_id).and_then(|id| i32::try_from(id).ok()).unwrap_or(NODE_ID_DEFAULT)
}

/// One node that is broker and controller is what works; a quorum is accepted when it consists of this node.
fn check_roles(layers: &BrokerLayers<'_>, node_id: i32, problems: &mut Vec<ConfigProblem>) {
    let mut refuse = |key: &str, message: String| problems.push(layers.statics.problem(key, message));
    if let Some(roles) = layers.list("process.roles")
        && roles.len() < 2
    {
        refuse("process.roles", "only broker,controller in one process works yet".to_owned());
    }
    let voters = layers.list("controller.quorum.voters").unwrap_or_default();
    for voter in &voters {
        let parsed = voter.split_once('@').and_then(|(id, address)| {
            parse_host_port(address).and_then(|_| id.parse::<i32>().ok()).filter(|id| *id >= 0)
        });
        match parsed {
            None => {
                refuse("controller.quorum.voters", "Each entry should be in the form `{id}@{host}:{port}`.".to_owned())
            }
            Some(id) if id != node_id => refuse(
                "controller.quorum.voters",
                format!("voter {id} is not this node ({node_id}), and a quorum of several nodes does not work yet"),
            ),
            Some(_) => {}
        }
    }
    let servers = layers.list("controller.quorum.bootstrap.servers").unwrap_or_default();
    if servers.iter().any(|server| parse_host_port(server).is_none()) {
        refuse("controller.quorum.bootstrap.servers", "Each entry should be in the form \"{host}:{port}\"".to_owned());
    }
    if servers.len() > 1 {
        refuse(
            "controller.quorum.bootstrap.servers",
            "a quorum of several nodes does not work yet, name this node only".to_owned(),
        );
    }
}

/// What was asked for and takes more nodes than the one there is. Kafka starts with these values as well and refuses
/// what depends on them, which a person would look for in the wrong place.
fn beyond_one_node(layers: &BrokerLayers<'_>) -> Vec<ConfigProblem> {
    const CONSEQUENCES: [(&str, &str); 2] = [
        (
            "default.replication.factor",
            "topics created without a replication factor of their own, and by naming them, are refused with \
             INVALID_REPLICATION_FACTOR",
        ),
        (
            "offsets.topic.replication.factor",
            "__consumer_offsets cannot be created, and consumer groups are refused with COORDINATOR_NOT_AVAILABLE",
        ),
    ];
    let given = CONSEQUENCES.into_iter().filter(|(key, _)| layers.statics.get(key).is_some());
    let beyond = given.filter(|(key, _)| layers.integer(key) > 1);
    beyond
        .map(|(key, consequence)| {
            let wanted = layers.integer(key);
            layers.statics.problem(key, format!("this node is alone and cannot give {wanted} replicas: {consequence}"))
        })
        .collect()
}

/// Listeners of the controller that nobody opens: the only one who asks it is the broker of the same process.
fn unheard_controllers(layers: &BrokerLayers<'_>, listeners: &[Listener]) -> Option<ConfigProblem> {
    let unheard: Vec<&str> = listeners.iter().filter(|one| one.is_controller).map(|one| one.name.as_str()).collect();
    let message = format!(
        "nothing listens on {}: the controller is part of this process, and tools reach it with --bootstrap-server, not \
         with --bootstrap-controller",
        unheard.join(", ")
    );
    (!unheard.is_empty()).then(|| layers.statics.problem("controller.listener.names", message))
}

/// Kafka's `KafkaConfig.validateValues`, as far as its keys do something here.
fn check_combinations(layers: &BrokerLayers<'_>, problems: &mut Vec<ConfigProblem>) {
    check_durations(layers, problems);
    let mut refuse = |key: &str, message: &str| problems.push(layers.statics.problem(key, message));
    if layers.string("flush.policy").as_deref() == Some("os") {
        for key in ["log.flush.interval.messages", "log.flush.interval.ms", "log.flush.scheduler.interval.ms"] {
            if layers.statics.get(key).is_some() {
                refuse(key, "flush.policy=os leaves syncing to the kernel; use flush.policy=ack instead of this key");
            }
        }
    }
    // Kafka divides and asks for more than the bound; without a thread it cannot divide.
    let per_thread =
        layers.integer("log.cleaner.dedupe.buffer.size").checked_div(layers.integer("log.cleaner.threads"));
    if per_thread.is_none_or(|bytes| bytes <= DEDUPE_BYTES_PER_THREAD_MIN) {
        refuse(
            "log.cleaner.dedupe.buffer.size",
            "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
        );
    }
    if !(0..=4).contains(&layers.int("offsets.topic.compression.codec")) {
        refuse("offsets.topic.compression.codec", "Unknown compression type id");
    }
    let queued_bytes = layers.integer("queued.max.request.bytes");
    if queued_bytes > 0 && queued_bytes < layers.integer("socket.request.max.bytes") {
        refuse(
            "queued.max.request.bytes",
            "queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
        );
    }
    if layers.int("max.connections.per.ip") == 0 && layers.string("max.connections.per.ip.overrides").is_none() {
        refuse(
            "max.connections.per.ip",
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
        );
    }
    if layers.int("group.min.session.timeout.ms") > layers.int("group.max.session.timeout.ms") {
        refuse("group.min.session.timeout.ms", "it is larger than group.max.session.timeout.ms");
    }
    if i16::try_from(layers.int("default.replication.factor")).is_err() {
        refuse("default.replication.factor", "a replication factor is at most 32767");
    }
}

/// Durations whose bounds hold under whichever of their names they stand. A retention of 0 would empty every topic.
fn check_durations(layers: &BrokerLayers<'_>, problems: &mut Vec<ConfigProblem>) {
    let mut check = |name: &str, is_valid: fn(i64) -> bool, message: &str| {
        if !is_valid(layers.duration_ms(name)) {
            let given = layers.effective(name).map_or(name, |(key, ..)| key.name);
            problems.push(layers.statics.problem(given, message));
        }
    };
    check("log.roll.ms", |ms| ms >= 1, "log.roll.ms must be greater than or equal to 1");
    check("log.roll.jitter.ms", |ms| ms >= 0, "log.roll.jitter.ms must be greater than or equal to 0");
    check("log.retention.ms", |ms| ms != 0, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
}

fn network(layers: &BrokerLayers<'_>, problems: &mut Vec<ConfigProblem>) -> NetworkConfig {
    let count = |name: &str| u32::try_from(layers.int(name)).unwrap_or(0);
    let mut overrides = BTreeMap::new();
    let text = layers.string("max.connections.per.ip.overrides").unwrap_or_default();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.rsplit_once(':').and_then(|(host, count)| Some((host.trim(), count.trim().parse().ok()?))) {
            Some((host, count)) => drop(overrides.insert(host.to_owned(), count)),
            None => problems.push(
                layers
                    .statics
                    .problem("max.connections.per.ip.overrides", format!("{entry} is not of the form host:count")),
            ),
        }
    }
    NetworkConfig {
        request_bytes_max: count("socket.request.max.bytes"),
        queued_requests_max: count("queued.max.requests"),
        queued_request_bytes_max: u64::try_from(layers.integer("queued.max.request.bytes")).ok(),
        connection_idle_max_ms: u64::try_from(layers.integer("connections.max.idle.ms")).ok(),
        connections_max: count("max.connections"),
        connections_per_ip_max: count("max.connections.per.ip"),
        connections_per_ip_overrides: overrides,
        connection_creation_rate_max: count("max.connection.creation.rate"),
        fetch_bytes_max: count("fetch.max.bytes"),
        fetch_sessions_max: count("max.incremental.fetch.session.cache.slots"),
        described_partitions_max: layers.int("max.request.partition.size.limit"),
    }
}

fn storage(layers: &BrokerLayers<'_>) -> StorageConfig {
    StorageConfig {
        journal_file_bytes: layers.integer("internal.barnabas.journal.file.bytes").unsigned_abs(),
        unsettled_bytes_max: layers.integer("internal.barnabas.unsettled.bytes").unsigned_abs(),
        sync_files_max: layers.int("internal.barnabas.sync.files").unsigned_abs(),
        open_files_max: layers.int("internal.barnabas.open.files").unsigned_abs(),
        index_cache_bytes_max: layers.integer("internal.barnabas.index.cache.bytes").unsigned_abs(),
        scan_bytes: layers.int("internal.barnabas.scan.bytes").unsigned_abs(),
        check_range_bytes: layers.int("internal.barnabas.check.range.bytes").unsigned_abs(),
    }
}

fn topics(layers: &BrokerLayers<'_>) -> TopicsConfig {
    TopicsConfig {
        auto_create: layers.flag("auto.create.topics.enable"),
        delete_enable: layers.flag("delete.topic.enable"),
        partitions_default: layers.int("num.partitions"),
        replication_factor_default: i16::try_from(layers.int("default.replication.factor"))
            .expect("checked with the combinations"),
    }
}

fn groups(layers: &BrokerLayers<'_>) -> GroupsConfig {
    let factor = layers.statics.get("offsets.topic.replication.factor");
    GroupsConfig {
        offset_metadata_bytes_max: layers.int("offset.metadata.max.bytes"),
        offsets_retention_ms: layers.integer("offsets.retention.minutes").saturating_mul(60_000),
        offsets_retention_check_interval_ms: layers.integer("offsets.retention.check.interval.ms"),
        offsets_topic_partitions: layers.int("offsets.topic.num.partitions"),
        offsets_topic_replication_factor: factor
            .and_then(|_| i16::try_from(layers.int("offsets.topic.replication.factor")).ok()),
        offsets_topic_segment_bytes: layers.int("offsets.topic.segment.bytes"),
        initial_rebalance_delay_ms: layers.int("group.initial.rebalance.delay.ms"),
        session_timeout_min_ms: layers.int("group.min.session.timeout.ms"),
        session_timeout_max_ms: layers.int("group.max.session.timeout.ms"),
        size_max: layers.int("group.max.size"),
    }
}

fn metadata_log(layers: &BrokerLayers<'_>) -> MetadataLogConfig {
    MetadataLogConfig {
        segment_bytes: layers
            .optional_integer("internal.metadata.log.segment.bytes")
            .and_then(|bytes| i32::try_from(bytes).ok())
            .unwrap_or_else(|| layers.int("metadata.log.segment.bytes")),
        segment_ms: layers.integer("metadata.log.segment.ms"),
        bytes_between_snapshots: layers.integer("metadata.log.max.record.bytes.between.snapshots"),
    }
}

fn logs(layers: &BrokerLayers<'_>) -> LogsConfig {
    LogsConfig {
        retention_check_interval_ms: layers.integer("log.retention.check.interval.ms"),
        recovery_point_checkpoint_interval_ms: layers.integer("log.flush.offset.checkpoint.interval.ms"),
        log_start_checkpoint_interval_ms: layers.integer("log.flush.start.offset.checkpoint.interval.ms"),
        high_watermark_checkpoint_interval_ms: layers.integer("replica.high.watermark.checkpoint.interval.ms"),
        producer_id_expiration_ms: layers.integer("producer.id.expiration.ms"),
        producer_id_expiration_check_interval_ms: layers.integer("producer.id.expiration.check.interval.ms"),
        cleaner: CleanerConfig {
            enable: layers.flag("log.cleaner.enable"),
            backoff_ms: layers.integer("log.cleaner.backoff.ms"),
            dedupe_buffer_bytes: layers
                .optional_integer("internal.barnabas.dedupe.buffer.bytes")
                .unwrap_or_else(|| layers.integer("log.cleaner.dedupe.buffer.size")),
        },
        scrub_interval_ms: Some(layers.integer("log.scrub.interval.ms")).filter(|ms| *ms > 0),
        scrub_bytes_per_second_max: layers.integer("log.scrub.io.max.bytes.per.second").unsigned_abs(),
    }
}
