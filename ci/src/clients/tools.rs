//! Apache Kafka's administrative and performance tools against the running broker: one case a thing a user does with
//! them. Each case makes the topics it needs and reads the tool's printed answer.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Suite;
use super::client::CASE_DEADLINE;
use super::java;
use crate::broker::Broker;
use crate::process;
use crate::raw::{ProducerIdentity, batch};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER_PERFORMANCE: &str = "org.apache.kafka.tools.ConsumerPerformance";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// What a case does to a broker.
type Body = fn(&Broker) -> Result<()>;

/// Every case, with whether the short run has it: one of each tool.
const CASES: [(&str, bool, Body); 14] = [
    ("topics: create, list, describe", true, topics_create),
    ("topics: more partitions", false, topics_alter),
    ("topics: delete and create again", true, topics_delete),
    ("topics: refusals", false, topics_refusals),
    ("configs: a topic's", true, configs_of_a_topic),
    ("configs: a broker's", false, configs_of_a_broker),
    ("producer and consumer performance", true, performance),
    ("producer performance, zstd, acks=1", false, performance_compressed),
    ("get-offsets", true, get_offsets),
    ("delete-records", true, delete_records),
    ("log-dirs", true, log_dirs),
    ("consumer-groups: list, describe, reset, delete", true, groups_life),
    ("consumer-groups: delete offsets", false, groups_delete_offsets),
    ("idempotent producer by default", true, idempotent_by_default),
];

/// Runs the cases.
pub(super) fn run(suite: &mut Suite<'_>) -> Result<()> {
    for (name, in_short, body) in CASES {
        if in_short || !suite.options.short {
            let broker = &suite.broker;
            suite.results.case("tools", name, || body(broker));
        }
    }
    Ok(())
}

/// Runs a tool against the broker; its standard output.
fn ask(broker: &Broker, class: &str, arguments: &[&str]) -> Result<String> {
    Ok(java::run_tool(class, &broker.bootstrap(), arguments)?.text())
}

/// Runs a tool that has to fail; all it said.
fn refused(broker: &Broker, class: &str, arguments: &[&str]) -> Result<String> {
    let mut command = java::tool(class);
    command.args(["--bootstrap-server", &broker.bootstrap()]).args(arguments);
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?;
    let status = finished.status.context("the tool hung")?;
    ensure!(!status.success(), "{} was not refused", arguments.join(" "));
    Ok(format!("{}{}", finished.text(), finished.complaints()))
}

fn says(text: &str, wanted: &[&str]) -> Result<()> {
    for words in wanted {
        ensure!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    Ok(())
}

fn topics_create(broker: &Broker) -> Result<()> {
    let arguments = ["--create", "--topic", "tools-create", "--partitions", "3", "--config", "retention.ms=3600000"];
    let created = ask(broker, TOPICS, &arguments)?;
    says(&created, &["Created topic tools-create."])?;
    says(&ask(broker, TOPICS, &["--list"])?, &["tools-create"])?;
    let described = ask(broker, TOPICS, &["--describe", "--topic", "tools-create"])?;
    says(
        &described,
        &["TopicId: ", "PartitionCount: 3", "ReplicationFactor: 1", "retention.ms=3600000", "Partition: 2"],
    )
}

fn topics_alter(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-alter", 2, &[])?;
    ask(broker, TOPICS, &["--alter", "--topic", "tools-alter", "--partitions", "5"])?;
    let described = ask(broker, TOPICS, &["--describe", "--topic", "tools-alter"])?;
    says(&described, &["PartitionCount: 5", "Partition: 4"])?;
    let fewer = refused(broker, TOPICS, &["--alter", "--topic", "tools-alter", "--partitions", "1"])?;
    says(&fewer, &["InvalidPartitionsException"])
}

fn topics_delete(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-delete", 1, &[])?;
    produce(broker, "tools-delete", 3)?;
    let first = topic_id(broker, "tools-delete")?;
    ask(broker, TOPICS, &["--delete", "--topic", "tools-delete"])?;
    let gone = refused(broker, TOPICS, &["--describe", "--topic", "tools-delete"])?;
    says(&gone, &["does not exist"])?;
    broker.create_topic("tools-delete", 1, &[])?;
    let end = broker.connect()?.list_offset("tools-delete", 0, -1)?;
    ensure!(end == 0, "the new topic ends at {end}");
    let second = topic_id(broker, "tools-delete")?;
    ensure!(first != second, "the new topic has the old one's id {first}");
    Ok(())
}

fn topic_id(broker: &Broker, topic: &str) -> Result<String> {
    let described = ask(broker, TOPICS, &["--describe", "--topic", topic])?;
    let (_, rest) = described.split_once("TopicId: ").context("no topic id")?;
    Ok(rest.split_whitespace().next().context("an empty topic id")?.to_owned())
}

fn topics_refusals(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-twice", 1, &[])?;
    let cases: [(&[&str], &str); 4] = [
        (&["--topic", "tools-twice"], "TopicExistsException"),
        (&["--topic", "no spaces"], "InvalidTopicException"),
        (&["--topic", "tools-many", "--replication-factor", "3"], "InvalidReplicationFactorException"),
        (&["--topic", "tools-config", "--config", "retention.ms=soon"], "InvalidConfigurationException"),
    ];
    for (arguments, exception) in cases {
        let said = refused(broker, TOPICS, &[&["--create"], arguments].concat())?;
        // The tool checks some names and values itself, before it asks anybody.
        let by_the_tool = said.contains("illegal") || said.contains("Invalid value soon");
        ensure!(by_the_tool || said.contains(exception), "{exception} is not in:\n{said}");
    }
    Ok(())
}

fn configs_of_a_topic(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-configs", 1, &[])?;
    let entity = ["--entity-type", "topics", "--entity-name", "tools-configs"];
    let set = ["--alter", "--add-config", "retention.ms=12345,cleanup.policy=[compact,delete]"];
    ask(broker, CONFIGS, &[&entity[..], &set[..]].concat())?;
    let described = ask(broker, CONFIGS, &[&entity[..], &["--describe"]].concat())?;
    says(&described, &["retention.ms=12345", "cleanup.policy=compact,delete"])?;
    let unset = ["--alter", "--delete-config", "retention.ms"];
    ask(broker, CONFIGS, &[&entity[..], &unset[..]].concat())?;
    let described = ask(broker, CONFIGS, &[&entity[..], &["--describe"]].concat())?;
    ensure!(!described.contains("retention.ms=12345"), "still set:\n{described}");
    let all = ask(broker, CONFIGS, &[&entity[..], &["--describe", "--all"]].concat())?;
    says(&all, &["retention.ms=604800000", "segment.bytes=1073741824", "DEFAULT_CONFIG"])?;
    let unknown = ["--alter", "--add-config", "no.such.key=1"];
    let said = refused(broker, CONFIGS, &[&entity[..], &unknown[..]].concat())?;
    says(&said, &["InvalidConfigurationException"])
}

fn configs_of_a_broker(broker: &Broker) -> Result<()> {
    let described = ask(broker, CONFIGS, &["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"])?;
    says(&described, &["log.dirs=", "listeners=PLAINTEXT://", "num.partitions=1"])
}

fn performance(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-performance", 3, &[])?;
    produce_performance(broker, "tools-performance", &["acks=all"])?;
    let consumed = ask(
        broker,
        CONSUMER_PERFORMANCE,
        &["--topic", "tools-performance", "--num-records", "20000", "--timeout", "20000", "--hide-header"],
    )?;
    let records = consumed.split(',').nth(4).map(str::trim);
    ensure!(records == Some("20000"), "not all records were consumed:\n{consumed}");
    Ok(())
}

fn performance_compressed(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-performance-zstd", 3, &[])?;
    produce_performance(broker, "tools-performance-zstd", &["acks=1", "compression.type=zstd"])
}

fn produce_performance(broker: &Broker, topic: &str, properties: &[&str]) -> Result<()> {
    let bootstrap = broker.bootstrap();
    let size = ["--num-records", "20000", "--record-size", "100", "--throughput", "-1"];
    let arguments = [&["--topic", topic], &size[..]].concat();
    let mut command: Command = java::tool(PRODUCER_PERFORMANCE);
    command.args(["--bootstrap-server", &bootstrap]).args(arguments);
    command.arg("--command-property").args(properties);
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
    says(&finished.text(), &["20000 records sent"])?;
    let mut end = 0;
    for partition in 0..3 {
        end += broker.connect()?.list_offset(topic, partition, -1)?;
    }
    ensure!(end == 20_000, "the partitions hold {end} records");
    Ok(())
}

fn get_offsets(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-offsets", 2, &[])?;
    produce(broker, "tools-offsets", 7)?;
    let of_topic = ["--topic", "tools-offsets"];
    for (time, wanted) in [
        ("latest", ["tools-offsets:0:7", "tools-offsets:1:0"]),
        ("earliest", ["tools-offsets:0:0", "tools-offsets:1:0"]),
        // Seven records of one timestamp: Kafka answers the first of them.
        ("max-timestamp", ["tools-offsets:0:", "tools-offsets:1:"]),
        ("1", ["tools-offsets:0:0", "tools-offsets:1:"]),
    ] {
        let said = ask(broker, GET_OFFSETS, &[&of_topic[..], &["--time", time]].concat())?;
        says(&said, &wanted[..1]).with_context(|| format!("--time {time}"))?;
        if matches!(time, "latest" | "earliest") {
            says(&said, &wanted)?;
        }
    }
    Ok(())
}

fn delete_records(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-delete-records", 1, &[])?;
    produce(broker, "tools-delete-records", 10)?;
    let file = broker.data().with_file_name("delete-records.json");
    let wish = r#"{"partitions":[{"topic":"tools-delete-records","partition":0,"offset":4}],"version":1}"#;
    std::fs::write(&file, wish)?;
    let said = ask(broker, DELETE_RECORDS, &["--offset-json-file", &file.display().to_string()])?;
    says(&said, &["partition: tools-delete-records-0", "low_watermark: 4"])?;
    let mut connection = broker.connect()?;
    let start = connection.list_offset("tools-delete-records", 0, -2)?;
    ensure!(start == 4, "the log starts at {start}");
    let batches = connection.read_partition("tools-delete-records", 0, 4, 10)?;
    ensure!(!batches.is_empty(), "nothing is left");
    Ok(())
}

fn log_dirs(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-log-dirs", 1, &[])?;
    produce(broker, "tools-log-dirs", 5)?;
    let said = ask(broker, LOG_DIRS, &["--describe", "--topic-list", "tools-log-dirs"])?;
    let line = said.lines().find(|line| line.starts_with('{')).context("no JSON")?;
    let answer: serde_json::Value = serde_json::from_str(line)?;
    let folder = &answer["brokers"][0]["logDirs"][0];
    ensure!(folder["error"].is_null(), "{folder}");
    ensure!(folder["logDir"] == broker.data().display().to_string(), "{folder}");
    let partition = &folder["partitions"][0];
    ensure!(partition["partition"] == "tools-log-dirs-0", "{folder}");
    ensure!(partition["size"].as_u64().is_some_and(|size| size > 0), "{folder}");
    Ok(())
}

fn groups_life(broker: &Broker) -> Result<()> {
    let group = commit_by_console(broker, "tools-group")?;
    says(&ask(broker, GROUPS, &["--list"])?, &[group])?;
    let of_group = ["--group", group];
    let described = ask(broker, GROUPS, &[&of_group[..], &["--describe"]].concat())?;
    let row = described.lines().find(|line| line.starts_with(group)).context("no row")?;
    let fields: Vec<&str> = row.split_whitespace().collect();
    ensure!(fields[1..6] == ["tools-group", "0", "6", "6", "0"], "{row}");
    let state = ask(broker, GROUPS, &[&of_group[..], &["--describe", "--state"]].concat())?;
    says(&state, &["Empty"])?;
    let reset = ["--reset-offsets", "--topic", "tools-group", "--to-offset", "2", "--execute"];
    ask(broker, GROUPS, &[&of_group[..], &reset[..]].concat())?;
    let committed = broker.connect()?.committed_offsets(group, "tools-group", 1)?;
    ensure!(committed == [2], "after the reset the offset is {committed:?}");
    ask(broker, GROUPS, &[&of_group[..], &["--delete"]].concat())?;
    let committed = broker.connect()?.committed_offsets(group, "tools-group", 1)?;
    ensure!(committed == [-1], "after the deletion the offset is {committed:?}");
    Ok(())
}

fn groups_delete_offsets(broker: &Broker) -> Result<()> {
    let group = commit_by_console(broker, "tools-group-offsets")?;
    let arguments = ["--group", group, "--delete-offsets", "--topic", "tools-group-offsets"];
    says(&ask(broker, GROUPS, &arguments)?, &["Successful"])?;
    let committed = broker.connect()?.committed_offsets(group, "tools-group-offsets", 1)?;
    ensure!(committed == [-1], "after the deletion the offset is {committed:?}");
    Ok(())
}

/// A group of the topic's name reads six records with the console consumer, commits and leaves.
fn commit_by_console<'a>(broker: &Broker, topic: &'a str) -> Result<&'a str> {
    broker.create_topic(topic, 1, &[])?;
    produce(broker, topic, 6)?;
    let arguments = ["--topic", topic, "--group", topic, "--from-beginning", "--max-messages", "6"];
    let consumed = ask(broker, CONSOLE_CONSUMER, &arguments)?;
    ensure!(consumed.lines().count() == 6, "consumed:\n{consumed}");
    let committed = broker.connect()?.committed_offsets(topic, topic, 1)?;
    ensure!(committed == [6], "committed {committed:?}");
    Ok(topic)
}

/// The Java producer is idempotent unless told otherwise, and its batches on the log say so.
fn idempotent_by_default(broker: &Broker) -> Result<()> {
    broker.create_topic("tools-idempotent", 1, &[])?;
    let mut command = java::tool("org.apache.kafka.tools.ConsoleProducer");
    command.args(["--bootstrap-server", &broker.bootstrap(), "--topic", "tools-idempotent"]);
    process::run(&mut command, b"one\ntwo\n", CASE_DEADLINE)?.success()?;
    let batches = broker.connect()?.read_partition("tools-idempotent", 0, 0, 2)?;
    let first = batches.first().context("nothing was written")?;
    ensure!(first.producer.producer_id >= 0, "the batch has no producer id");
    ensure!(first.producer.base_sequence == 0, "the batch begins at {}", first.producer.base_sequence);
    Ok(())
}

/// Writes `count` records to partition 0 in one batch.
fn produce(broker: &Broker, topic: &str, count: usize) -> Result<()> {
    let values: Vec<String> = (0..count).map(|number| format!("record {number}")).collect();
    let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
    let batch = batch::build(ProducerIdentity::NONE, batch::now_ms(), &values);
    broker.connect()?.append(topic, 0, &batch)?;
    Ok(())
}
