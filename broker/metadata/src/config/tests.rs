//! Scripts over whole configurations: sources in, typed values and problems out.

use barnabas_base::BrokerId;

use super::*;

fn from_file(text: &str) -> Result<(BrokerConfig, Vec<ConfigProblem>), Vec<ConfigProblem>> {
    let file = Some(("server.properties".to_owned(), text.to_owned()));
    BrokerConfig::from_sources(&ConfigSources { file, ..ConfigSources::default() })
}

fn problems(text: &str) -> Vec<String> {
    match from_file(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The file that Kafka's distribution ships, comments left out.
const SHIPPED: &str = "
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn a_start_without_anything_listens_on_this_machine_only() {
    let (config, warnings) = BrokerConfig::from_sources(&ConfigSources::default()).expect("built-in values are valid");
    assert_eq!(warnings, []);
    assert_eq!(config.node_id, BrokerId(1));
    assert_eq!(config.log_dirs, ["./barnabas-data"]);
    assert_eq!(config.metadata_log_dir, "./barnabas-data");
    assert_eq!(config.flush_policy, FlushPolicy::Ack);
    assert_eq!(config.shards, None);
    assert_eq!(config.groups.offsets_topic_replication_factor, None);
    let [listener] = config.listeners.as_slice() else { panic!("one listener") };
    assert_eq!((listener.name.as_str(), listener.host.as_str(), listener.port), ("PLAINTEXT", "localhost", 9092));
    assert_eq!(config.topic_defaults.retention_ms, Some(604_800_000));
    assert_eq!(config.topic_defaults.compression, CompressionType::Producer);
}

#[test]
fn the_file_of_kafkas_distribution_is_accepted() {
    let (config, warnings) = from_file(SHIPPED).expect("a stock file starts");
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[0].advertised, Some(("localhost".to_owned(), 9092)));
    assert!(config.listeners[1].is_controller);
    assert_eq!(config.groups.offsets_topic_replication_factor, Some(1));
    let warned: Vec<_> = warnings.iter().filter_map(|warning| warning.key.as_deref()).collect();
    assert!(warned.contains(&"num.recovery.threads.per.data.dir"), "changed and without effect: {warned:?}");
    assert!(!warned.contains(&"num.io.threads"), "a default is no news: {warned:?}");
    assert!(warned.contains(&"controller.listener.names"), "nobody opens it: {warned:?}");
}

/// What nobody reads must not look as if it did something.
#[test]
fn keys_without_effect_say_so() {
    for given in [
        "log.cleaner.io.max.bytes.per.second=1000000",
        "log.cleaner.io.buffer.size=1000",
        "log.cleaner.io.buffer.load.factor=0.5",
        "socket.send.buffer.bytes=1000",
        "socket.receive.buffer.bytes=-1",
        "socket.listen.backlog.size=5",
        "metadata.log.max.snapshot.interval.ms=5",
        "metadata.max.retention.bytes=5",
        "metadata.max.retention.ms=5",
        "offsets.topic.compression.codec=4",
        "offsets.commit.timeout.ms=5",
        "request.timeout.ms=5",
        "log.initial.task.delay.ms=5",
    ] {
        let (_, warnings) = from_file(given).expect("accepted");
        let [warning] = warnings.as_slice() else { panic!("{given}: {warnings:?}") };
        assert!(warning.message.starts_with("has no effect: "), "{given}: {warning}");
    }
}

#[test]
fn problems_name_their_line_and_what_was_meant() {
    let text =
        "log.retention.mss=5\nlog.segment.bytes=5\n\nzookeeper.connect=localhost:2181\nssl.keystore.location=/k\n";
    assert_eq!(
        problems(text),
        [
            "server.properties:1: log.retention.mss: unknown key, did you mean log.retention.ms?",
            "server.properties:2: log.segment.bytes: \
             Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576",
            "server.properties:5: ssl.keystore.location: not accepted: TLS does not work yet",
            "server.properties:4: zookeeper.connect: Kafka 4 has this key not any more: \
             use process.roles and controller.quorum.bootstrap.servers (KRaft)",
        ]
    );
}

#[test]
fn keys_that_do_not_work_are_refused_unless_they_say_what_is_so_anyway() {
    assert_eq!(problems("ssl.client.auth=none\nremote.log.storage.system.enable=false\n"), [""; 0]);
    for refused in [
        "ssl.client.auth=required",
        "sasl.enabled.mechanisms=PLAIN",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "remote.log.storage.system.enable=true",
        "listeners=SSL://:9092",
        "listener.security.protocol.map=PLAINTEXT:SASL_SSL",
        "listener.name.plaintext.max.connections=5",
        "process.roles=broker",
        "process.roles=foo",
        "controller.quorum.voters=2@h:1",
        "controller.quorum.voters=1@h:1,2@h:2",
        "controller.quorum.voters=x",
        "node.id=4\nbroker.id=5",
        "flush.policy=os\nlog.flush.interval.messages=1",
        "flush.policy=sometimes",
        "log.retention.ms=0",
        "log.retention.hours=0",
        "log.roll.ms=0",
        "default.replication.factor=0",
        "default.replication.factor=-1",
        "default.replication.factor=32768",
        "log.roll.jitter.ms=-1",
        "log.cleaner.dedupe.buffer.size=1048576",
        "log.cleaner.dedupe.buffer.size=4000000\nlog.cleaner.threads=4",
        "queued.max.request.bytes=5",
        "max.connections.per.ip=0",
        "max.connections.per.ip.overrides=x:y",
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners=OTHER://h:9092",
        "listeners=PLAINTEXT://:9092,PLAINTEXT://:9093",
        "listeners=",
        "log.dirs=",
        "group.coordinator.rebalance.protocols=nonsense",
        "controller.listener.names=PLAINTEXT",
    ] {
        let found = problems(refused);
        assert!(!found.is_empty(), "{refused}");
        assert!(found[0].starts_with("server.properties:"), "{refused}: {found:?}");
    }
}

#[test]
fn overrides_stand_above_the_environment_and_that_above_the_file() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let sources = ConfigSources {
        file: Some(("f".to_owned(), "num.partitions=2\nbroker.rack=a\nnode.id=7\nnum.partitions=3\n".to_owned())),
        environment: vec![pair("KAFKA_NUM_PARTITIONS", "4"), pair("KAFKA_BROKER_RACK", "b"), pair("HOME", "/root")],
        overrides: vec![pair("num.partitions", "5")],
        accept_unknown: false,
    };
    let (config, _) = BrokerConfig::from_sources(&sources).expect("all values are valid");
    assert_eq!(config.topics.partitions_default, 5);
    assert_eq!(config.rack.as_deref(), Some("b"));
    assert_eq!(config.node_id, BrokerId(7));
    let origin = config.statics.get("broker.rack").map(|value| value.origin.to_string());
    assert_eq!(origin.as_deref(), Some("KAFKA_BROKER_RACK"));
}

#[test]
fn unknown_keys_pass_when_asked_to() {
    let file = Some(("f".to_owned(), "my.plugin.key=1\n".to_owned()));
    let sources = ConfigSources { file, accept_unknown: true, ..ConfigSources::default() };
    let (_, warnings) = BrokerConfig::from_sources(&sources).expect("unknown keys are accepted");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn a_higher_layer_wins_under_whichever_name() {
    let (config, _) = from_file("log.retention.ms=5000\nlog.retention.hours=1\n").expect("valid");
    assert_eq!(config.topic_defaults.retention_ms, Some(5_000));
    let (config, _) = from_file("log.retention.minutes=2\nlog.retention.hours=1\n").expect("valid");
    assert_eq!(config.topic_defaults.retention_ms, Some(120_000));
    let (config, _) = from_file("log.retention.hours=-1\n").expect("valid");
    assert_eq!(config.topic_defaults.retention_ms, None);
    let dynamic = config.with_dynamic(&map(&[("log.retention.ms", "7000")]), &ConfigMap::new()).expect("valid");
    assert_eq!(dynamic.topic_defaults.retention_ms, Some(7_000));
    let dynamic = config.with_dynamic(&map(&[("log.retention.ms", "7000")]), &map(&[("log.retention.ms", "8000")]));
    let dynamic = dynamic.expect("valid");
    assert_eq!(dynamic.topic_defaults.retention_ms, Some(8_000));
}

#[test]
fn garbage_of_another_program_in_the_metadata_log_is_passed_over() {
    let (config, _) = from_file("message.max.bytes=2000\n").expect("valid");
    let dynamic = config.with_dynamic(&map(&[("message.max.bytes", "many")]), &ConfigMap::new()).expect("passed over");
    assert_eq!(dynamic.topic_defaults.max_message_bytes, 2_000);
}

#[test]
fn dynamic_values_that_do_not_hold_together_are_told() {
    let (config, _) = from_file("max.connections.per.ip.overrides=10.0.0.1:5\n").expect("valid");
    let refusal = |pairs: &[(&str, &str)]| {
        let refused = config.with_dynamic(&map(pairs), &ConfigMap::new()).err();
        refused.map(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>())
    };
    assert_eq!(refusal(&[("max.connections.per.ip", "0")]), None);
    let messages = refusal(&[
        ("log.retention.ms", "0"),
        ("log.roll.ms", "0"),
        ("log.roll.jitter.ms", "-1"),
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", ""),
    ]);
    assert_eq!(
        messages.expect("none of them holds"),
        [
            "log.roll.ms must be greater than or equal to 1",
            "log.roll.jitter.ms must be greater than or equal to 0",
            "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
        ]
    );
}

fn layers_of<'a>(config: &'a BrokerConfig, dynamic_default: &'a ConfigMap, empty: &'a ConfigMap) -> BrokerLayers<'a> {
    BrokerLayers { dynamic_broker: empty, dynamic_default, statics: &config.statics }
}

#[test]
fn topics_are_described_as_kafka_describes_them() {
    let (config, _) = from_file("log.segment.bytes=2000000\nlog.retention.hours=5\n").expect("valid");
    let (empty, default) = (ConfigMap::new(), map(&[("message.max.bytes", "3000")]));
    let layers = layers_of(&config, &default, &empty);
    let entries = describe_topic(&layers, &map(&[("cleanup.policy", "compact")]));
    let line = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).expect("the key is described");
        let synonyms: Vec<_> = entry
            .synonyms
            .iter()
            .map(|one| format!("{}:{}={}", one.source.code(), one.name, one.value.as_deref().unwrap_or("null")))
            .collect();
        format!("{} from {} [{}]", entry.value.as_deref().unwrap_or("null"), entry.source.code(), synonyms.join(" "))
    };
    assert_eq!(line("cleanup.policy"), "compact from 1 [1:cleanup.policy=compact 5:log.cleanup.policy=delete]");
    assert_eq!(line("segment.bytes"), "2000000 from 4 [4:log.segment.bytes=2000000 5:log.segment.bytes=1073741824]");
    assert_eq!(line("max.message.bytes"), "3000 from 3 [3:message.max.bytes=3000 5:message.max.bytes=1048588]");
    assert_eq!(line("retention.ms"), "18000000 from 5 []");
    assert!(entries.iter().all(|entry| entry.name != "internal.segment.bytes"));
    let created = describe_new_topic(&layers, &empty);
    let retention = created.iter().find(|entry| entry.name == "retention.ms").expect("the key is described");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("18000000"), ConfigSource::StaticBroker));
}

#[test]
fn brokers_are_described_without_secrets_and_internals() {
    let (config, _) = from_file("num.partitions=3\n").expect("valid");
    let empty = ConfigMap::new();
    let entries = describe_broker(&layers_of(&config, &empty, &empty));
    let find = |name: &str| entries.iter().find(|entry| entry.name == name);
    let partitions = find("num.partitions").expect("a key of the broker");
    assert_eq!((partitions.value.as_deref(), partitions.read_only), (Some("3"), true));
    assert_eq!(partitions.source, ConfigSource::StaticBroker);
    assert!(find("log.cleaner.threads").is_some_and(|entry| !entry.read_only));
    assert!(find("ssl.key.password").is_some_and(|entry| entry.is_sensitive && entry.value.is_none()));
    assert!(find("producer.id.expiration.check.interval.ms").is_none());
}

#[test]
fn topic_values_are_refused_in_kafkas_words() {
    let (config, _) = from_file("").expect("valid");
    let empty = ConfigMap::new();
    let layers = layers_of(&config, &empty, &empty);
    let refusal = |pairs: &[(&str, &str)]| validate_topic(&map(pairs), &layers).err().map(|error| error.0);
    for (pairs, message) in [
        (
            &[("cleanup.policy", "foo")][..],
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (&[("cleanup.policy", "delete,")], "Configuration 'cleanup.policy' values must not be empty."),
        (&[("retention.ms", "x")], "Invalid value x for configuration retention.ms: Not a number of type LONG"),
        (&[("retention.ms", "-2")], "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        (&[("nonsense", "1"), ("other", "2")], "Unknown topic config name: nonsense"),
        (
            &[("min.cleanable.dirty.ratio", "2")],
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            &[("preallocate", "yes")],
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        (
            &[("compression.gzip.level", "0")],
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            &[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")],
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            &[("leader.replication.throttled.replicas", "x")],
            "Invalid value [x] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        (
            &[("remote.storage.enable", "true")],
            "Invalid value true for configuration remote.storage.enable: not accepted: tiered storage does not work yet",
        ),
    ] {
        assert_eq!(refusal(pairs).as_deref(), Some(message));
    }
    for accepted in [
        &[("cleanup.policy", "")][..],
        &[("cleanup.policy", " compact , delete ")],
        &[("cleanup.policy", "delete,delete")],
        &[("retention.ms", "+5")],
        &[("min.cleanable.dirty.ratio", "0.5f")],
        &[("preallocate", "TRUE")],
        &[("retention.bytes", "-5")],
        &[("leader.replication.throttled.replicas", "*")],
        &[("remote.storage.enable", "false")],
    ] {
        assert_eq!(refusal(accepted), None, "{accepted:?}");
    }
}

#[test]
fn broker_values_are_refused_in_kafkas_words() {
    let refusal = |all, pairs: &[(&str, &str)]| validate_broker(&map(pairs), all).err().map(|error| error.0);
    for (all, pair, message) in [
        (false, ("node.id", "4"), "Cannot update these configs dynamically: [node.id]"),
        (false, ("log.retention.hours", "4"), "Cannot update these configs dynamically: [log.retention.hours]"),
        (
            true,
            ("listeners", "PLAINTEXT://:1"),
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
        ),
        (
            false,
            ("ssl.keystore.location", "x"),
            "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]",
        ),
        (
            true,
            ("message.max.bytes", "-1"),
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            true,
            ("log.retention.ms", "x"),
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
    ] {
        assert_eq!(refusal(all, &[pair]).as_deref(), Some(message));
    }
    assert_eq!(refusal(true, &[("log.retention.ms", "5"), ("message.max.bytes", "5")]), None);
    assert_eq!(refusal(true, &[("my.plugin.key", "5")]), None);
    assert!(refusal(false, &[("listeners", "PLAINTEXT://:9092")]).is_some());
}

#[test]
fn replicas_that_one_node_cannot_give_are_warned_about() {
    let text = "min.insync.replicas=2\ndefault.replication.factor=3\noffsets.topic.replication.factor=3\n";
    let (_, warnings) = from_file(text).expect("Kafka starts with it");
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "min.insync.replicas asks for no more replicas than a partition has: {said:?}");
    assert!(said[0].contains(":2: default.replication.factor: "), "{said:?}");
    assert!(said[0].contains("INVALID_REPLICATION_FACTOR"), "{said:?}");
    assert!(said[1].contains("COORDINATOR_NOT_AVAILABLE"), "{said:?}");
    let (_, none) = from_file(&text.replace(['2', '3'], "1")).expect("what one node can give");
    assert_eq!(none, []);
}
