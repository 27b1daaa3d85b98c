//! kcat's command line. Fields are separated by control characters that no record of its sample holds, and lengths
//! come before keys and values, so that reading is exact.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::client::{CASE_DEADLINE, Codec};
use super::record::{Header, Record, Seen};
use crate::process;

/// Between key and value of a line to send.
const KEY_SEPARATOR: char = '\u{1}';
/// One line of fields, then key and value of the announced lengths.
const FORMAT: &str = "%t\x01%p\x01%o\x01%T\x01%h\x01%K\x01%S\n%k%s\n";
/// One line for a member: its records are text without headers.
const MEMBER_FORMAT: &str = "%t\x01%p\x01%o\x01%T\x01%s\n";
/// kcat's word for a null in headers.
const NULL: &str = "NULL";

/// Produces; see [`super::client::Client::produce`].
pub(super) fn produce(bootstrap: &str, topic: &str, codec: Codec, records: &[Record]) -> Result<()> {
    let mut command = kcat(bootstrap);
    command
        .args(["-P", "-Z", "-t", topic, "-p", "0", "-z", codec.name()])
        .args(["-K", &KEY_SEPARATOR.to_string()])
        .args(["-X", "linger.ms=50"]);
    let headers = records.first().map_or(&[][..], |record| &record.headers);
    for (key, value) in headers {
        let value = value.as_ref().map(|value| String::from_utf8_lossy(value));
        command.arg("-H").arg(value.map_or_else(|| key.clone(), |value| format!("{key}={value}")));
    }
    let mut input = Vec::new();
    for record in records {
        ensure!(record.headers == headers, "kcat gives all records of a run the same headers");
        input.extend_from_slice(record.key.as_deref().unwrap_or_default());
        input.push(KEY_SEPARATOR as u8);
        input.extend_from_slice(record.value.as_deref().unwrap_or_default());
        input.push(b'\n');
    }
    process::run(&mut command, &input, CASE_DEADLINE)?.success()?;
    Ok(())
}

/// Consumes; see [`super::client::Client::consume`].
pub(super) fn consume(bootstrap: &str, wanted: &BTreeMap<String, usize>) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for (topic, count) in wanted {
        let mut command = kcat(bootstrap);
        command.args(["-C", "-q", "-t", topic, "-p", "0", "-o", "beginning", "-e"]).args(["-f", FORMAT]);
        let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
        let seen = parse_all(&finished.stdout)?;
        ensure!(seen.len() == *count, "{} of {count} records of {topic}", seen.len());
        all.extend(seen);
    }
    Ok(all)
}

/// The command of a member; see [`super::client::Client::join`].
pub(super) fn member(bootstrap: &str, group: &str, topic: &str) -> Command {
    let mut command = kcat(bootstrap);
    // -E: a broker that restarts is no reason to end; -u: print each record at once.
    command.args(["-E", "-u", "-q", "-f", MEMBER_FORMAT]);
    for property in super::groups::member_properties() {
        command.args(["-X", &property]);
    }
    command.args(["-G", group, topic]);
    command
}

/// Reads what a member printed.
pub(super) fn parse_member_line(line: &str) -> Result<Seen> {
    let fields: Vec<&str> = line.splitn(5, '\u{1}').collect();
    let [topic, partition, offset, timestamp_ms, value] = fields[..] else {
        anyhow::bail!("not a record of kcat: {line}");
    };
    Ok(Seen {
        topic: topic.to_owned(),
        partition: partition.parse()?,
        offset: offset.parse()?,
        timestamp_ms: timestamp_ms.parse()?,
        record: Record { key: None, value: Some(value.as_bytes().to_vec()), headers: Vec::new() },
    })
}

/// Runs kcat with other arguments; what it printed.
pub(super) fn ask(bootstrap: &str, arguments: &[&str]) -> Result<String> {
    let mut command = kcat(bootstrap);
    command.args(arguments);
    Ok(process::run(&mut command, &[], CASE_DEADLINE)?.success()?.text())
}

fn kcat(bootstrap: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", bootstrap]);
    command
}

fn parse_all(mut bytes: &[u8]) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').context("a line of fields")?;
        let fields = std::str::from_utf8(&bytes[..end])?;
        let fields: Vec<&str> = fields.split('\u{1}').collect();
        let [topic, partition, offset, timestamp_ms, headers, key_len, value_len] = fields[..] else {
            anyhow::bail!("not the fields of a record: {fields:?}");
        };
        bytes = &bytes[end + 1..];
        let key = take(&mut bytes, key_len)?;
        let value = take(&mut bytes, value_len)?;
        bytes = bytes.strip_prefix(b"\n").context("the end of a record")?;
        all.push(Seen {
            topic: topic.to_owned(),
            partition: partition.parse()?,
            offset: offset.parse()?,
            timestamp_ms: timestamp_ms.parse()?,
            record: Record { key, value, headers: parse_headers(headers) },
        });
    }
    Ok(all)
}

fn take(bytes: &mut &[u8], len: &str) -> Result<Option<Vec<u8>>> {
    let Ok(len) = usize::try_from(len.parse::<i64>()?) else {
        return Ok(None);
    };
    let (taken, rest) = bytes.split_at_checked(len).context("a record cut short")?;
    *bytes = rest;
    Ok(Some(taken.to_vec()))
}

fn parse_headers(text: &str) -> Vec<Header> {
    text.split(',')
        .filter(|header| !header.is_empty())
        .map(|header| {
            let (key, value) = header.split_once('=').unwrap_or((header, NULL));
            let value = (value != NULL).then(|| value.as_bytes().to_vec());
            (key.to_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_records_are_read_exactly() {
        let printed = b"t\x010\x015\x0199\x01case=t,void=NULL\x012\x013\nk\nv\n1\nt\x010\x016\x0199\x01\x01-1\x010\n\n";
        let seen = parse_all(printed).expect("two records");
        assert_eq!(seen[0].record.key.as_deref(), Some(&b"k\n"[..]));
        assert_eq!(seen[0].record.value.as_deref(), Some(&b"v\n1"[..]));
        assert_eq!(seen[0].record.headers, [("case".to_owned(), Some(b"t".to_vec())), ("void".to_owned(), None)]);
        assert_eq!((seen[1].offset, &seen[1].record.key), (6, &None));
        assert_eq!(seen[1].record.value.as_deref(), Some(&b""[..]));
    }
}
