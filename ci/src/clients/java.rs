//! Apache Kafka's command-line tools: each runs in a JVM of its own, as a user runs it, from an archive of loaded
//! classes that makes the start three times as fast. Driven by the matrix, the groups and the tools' own cases.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::client::{CASE_DEADLINE, Codec};
use super::record::{Header, Record, Seen};
use crate::process::{self, Finished};
use crate::workspace;

/// Stands for a null key, value or header; no record of the sample holds it.
const NULL: &str = "\u{3}";
/// Between the fields of a line; a tab would do but for the noise of the sample.
const SEPARATOR: &str = "\u{1}";
/// The end of a printed record.
const RECORD_END: &str = "\u{2}\n";

/// A JVM that starts fast; the tools run for a second or two.
pub(crate) fn virtual_machine() -> Command {
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"])
        .arg(format!("-Dlog4j2.configurationFile={}", workspace::own_file("kafka/log4j2-tools.properties").display()));
    command
}

/// Kafka's jars.
pub(crate) fn class_path() -> String {
    format!("{}/*", workspace::kafka_jars().display())
}

/// A performance tool by its class: it runs long, so its JVM has the full compiler and a heap of its own.
pub(crate) fn performance_tool(class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xms1g", "-Xmx1g"])
        .arg(format!("-Dlog4j2.configurationFile={}", workspace::own_file("kafka/log4j2-tools.properties").display()))
        .arg("-cp")
        .arg(class_path())
        .arg(class);
    command
}

/// A tool by its class.
pub(crate) fn tool(class: &str) -> Command {
    let mut command = virtual_machine();
    command
        .arg(format!("-XX:SharedArchiveFile={}", workspace::kafka_class_archive().display()))
        .arg("-Xlog:cds=off,cds+dynamic=off,class+path=off")
        .arg("-cp")
        .arg(class_path())
        .arg(class);
    command
}

/// Runs a tool to its end; a tool that fails is an error.
pub(crate) fn run_tool(class: &str, bootstrap: &str, arguments: &[&str]) -> Result<Finished> {
    let mut command = tool(class);
    command.args(["--bootstrap-server", bootstrap]).args(arguments);
    process::run(&mut command, &[], CASE_DEADLINE)?
        .success()
        .with_context(|| format!("{class} {}", arguments.join(" ")))
}

/// Sends a record in a transaction; see [`super::client::Client::transact`].
pub(super) fn transact(bootstrap: &str, topic: &str) -> Result<Option<String>> {
    let mut command = tool("org.apache.kafka.tools.ProducerPerformance");
    command.args(["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", "1", "--record-size", "1"]);
    command.args(["--throughput", "-1", "--transactional-id", topic, "--transaction-duration-ms", "1"]);
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?;
    let status = finished.status.context("it did not end")?;
    Ok((!status.success()).then(|| finished.last_words()))
}

/// Produces; see [`super::client::Client::produce`].
pub(super) fn produce(bootstrap: &str, topic: &str, codec: Codec, records: &[Record]) -> Result<()> {
    let mut command = tool("org.apache.kafka.tools.ConsoleProducer");
    command.args(["--bootstrap-server", bootstrap, "--topic", topic]);
    command.args(["--compression-codec", codec.name()]);
    // Every topic of the matrix has one partition, so that keys need not choose it.
    for property in [
        "parse.key=true".to_owned(),
        "parse.headers=true".to_owned(),
        format!("key.separator={SEPARATOR}"),
        format!("headers.delimiter={SEPARATOR}"),
        format!("null.marker={NULL}"),
    ] {
        command.arg("--reader-property").arg(property);
    }
    let mut input = String::new();
    for record in records {
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(key, value)| Ok(format!("{key}:{}", as_text(value)?)))
            .collect::<Result<_>>()?;
        let (key, value) = (as_text(&record.key)?, as_text(&record.value)?);
        input.push_str(&format!("{}{SEPARATOR}{key}{SEPARATOR}{value}\n", headers.join(",")));
    }
    let finished = process::run(&mut command, input.as_bytes(), CASE_DEADLINE)?.success()?;
    // The console producer reports a failed send and ends with success.
    let complaints = finished.complaints();
    ensure!(!complaints.contains("ERROR"), "{}", finished.last_words());
    Ok(())
}

fn as_text(bytes: &Option<Vec<u8>>) -> Result<&str> {
    match bytes {
        Some(bytes) => std::str::from_utf8(bytes).context("the console producer takes text"),
        None => Ok(NULL),
    }
}

/// Consumes all topics in one run; see [`super::client::Client::consume`].
pub(super) fn consume(bootstrap: &str, wanted: &BTreeMap<String, usize>) -> Result<Vec<Seen>> {
    let topics: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let total: usize = wanted.values().sum();
    let mut command = console_consumer(bootstrap);
    command.args(["--include", &topics.join("|"), "--from-beginning"]).args([
        "--max-messages",
        &total.to_string(),
        "--timeout-ms",
        "20000",
    ]);
    for property in ["print.timestamp", "print.headers", "print.key"] {
        command.arg("--formatter-property").arg(format!("{property}=true"));
    }
    command.arg("--formatter-property").arg(format!("null.literal={NULL}"));
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
    split_records(&finished.stdout).into_iter().map(parse_record).collect()
}

/// The command of a member; see [`super::client::Client::join`].
pub(super) fn member(bootstrap: &str, group: &str, topic: &str) -> Command {
    let mut command = console_consumer(bootstrap);
    command.args(["--topic", topic, "--group", group]);
    for property in super::groups::member_properties() {
        command.arg("--command-property").arg(property);
    }
    command
}

/// Reads what a member printed.
pub(super) fn parse_member_line(line: &str) -> Result<Seen> {
    let line = line.strip_suffix('\u{2}').context("the end of a record")?;
    let fields: Vec<&str> = line.splitn(3, SEPARATOR).collect();
    let [partition, offset, value] = fields[..] else {
        anyhow::bail!("not a record of the console consumer: {line}");
    };
    Ok(Seen {
        topic: String::new(),
        partition: labelled(partition, "Partition")?,
        offset: labelled(offset, "Offset")?,
        timestamp_ms: 0,
        record: Record { key: None, value: Some(value.as_bytes().to_vec()), headers: Vec::new() },
    })
}

fn console_consumer(bootstrap: &str) -> Command {
    let mut command = tool("org.apache.kafka.tools.consumer.ConsoleConsumer");
    command.args(["--bootstrap-server", bootstrap]);
    for property in [
        "print.partition=true".to_owned(),
        "print.offset=true".to_owned(),
        format!("key.separator={SEPARATOR}"),
        format!("line.separator={RECORD_END}"),
    ] {
        command.arg("--formatter-property").arg(property);
    }
    command
}

fn split_records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let end = RECORD_END.as_bytes();
    let mut records = Vec::new();
    while let Some(at) = bytes.windows(end.len()).position(|window| window == end) {
        records.push(&bytes[..at]);
        bytes = &bytes[at + end.len()..];
    }
    records
}

/// Timestamp, partition, offset, headers, key, value: the formatter's own order.
fn parse_record(line: &[u8]) -> Result<Seen> {
    let separator = SEPARATOR.as_bytes()[0];
    let mut fields = line.splitn(5, |byte| *byte == separator);
    let mut text = || -> Result<&str> { Ok(std::str::from_utf8(fields.next().context("a field is missing")?)?) };
    let timestamp_ms = labelled(text()?, "CreateTime")?;
    let partition = labelled(text()?, "Partition")?;
    let offset = labelled(text()?, "Offset")?;
    let headers = parse_headers(text()?);
    // A value may hold the separator, a key of the sample never does.
    let rest = fields.next().context("key and value are missing")?;
    let (key, value) = split_key(rest, separator)?;
    let topic = headers.iter().find(|(key, _)| key == "case");
    let topic = topic.and_then(|(_, value)| value.clone()).context("a record without its origin")?;
    Ok(Seen {
        topic: String::from_utf8(topic)?,
        partition,
        offset,
        timestamp_ms,
        record: Record { key: unless_null(key), value: unless_null(value), headers },
    })
}

fn split_key(rest: &[u8], separator: u8) -> Result<(&[u8], &[u8])> {
    let at = rest.iter().position(|byte| *byte == separator).context("a key without a value")?;
    Ok((&rest[..at], &rest[at + 1..]))
}

fn unless_null(bytes: &[u8]) -> Option<Vec<u8>> {
    (bytes != NULL.as_bytes()).then(|| bytes.to_vec())
}

fn parse_headers(text: &str) -> Vec<Header> {
    text.split(',')
        .filter_map(|header| header.split_once(':'))
        .map(|(key, value)| (key.to_owned(), unless_null(value.as_bytes())))
        .collect()
}

fn labelled<T: std::str::FromStr>(field: &str, label: &str) -> Result<T> {
    field
        .strip_prefix(label)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{label} is missing in {field:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_records_are_read_exactly() {
        let printed = b"CreateTime:9\x01Partition:0\x01Offset:4\x01case:t,void:\x03\x01\x03\x01a\x01b\nc\x02\n";
        let records = split_records(printed);
        assert_eq!(records.len(), 1);
        let seen = parse_record(records[0]).expect("a record");
        assert_eq!((seen.topic.as_str(), seen.offset, seen.timestamp_ms), ("t", 4, 9));
        assert_eq!(seen.record.key, None);
        assert_eq!(seen.record.value.as_deref(), Some(&b"a\x01b\nc"[..]));
        assert_eq!(seen.record.headers[1], ("void".to_owned(), None));
    }

    #[test]
    fn a_member_line_is_read() {
        let seen = parse_member_line("Partition:3\u{1}Offset:12\u{1}3/12\u{2}").expect("a record");
        assert_eq!((seen.partition, seen.offset), (3, 12));
    }
}
