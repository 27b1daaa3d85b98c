//! The Python clients: one script each under `ci/clients/`, driven over JSON lines. The scripts' common module
//! describes the protocol.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::client::{CASE_DEADLINE, Client, Codec};
use super::record::{self, Record, Seen};
use crate::{process, workspace};

/// Produces through a script; see [`Client::produce`].
pub(super) fn produce(client: Client, bootstrap: &str, topic: &str, codec: Codec, records: &[Record]) -> Result<()> {
    let mut input = String::new();
    for record in records {
        input.push_str(&record::to_line(topic, record));
        input.push('\n');
    }
    let mut command = script(client, "produce", bootstrap);
    command.arg(codec.name());
    let finished = process::run(&mut command, input.as_bytes(), CASE_DEADLINE)?.success()?;
    let acknowledged = finished.text().lines().count();
    ensure!(acknowledged == records.len(), "{acknowledged} of {} records were acknowledged", records.len());
    Ok(())
}

/// Consumes through a script; see [`Client::consume`].
pub(super) fn consume(client: Client, bootstrap: &str, wanted: &BTreeMap<String, usize>) -> Result<Vec<Seen>> {
    let mut command = script(client, "consume", bootstrap);
    for (topic, count) in wanted {
        command.arg(format!("{topic}={count}"));
    }
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
    finished.text().lines().map(record::from_line).collect()
}

/// Sends a record in a transaction; see [`Client::transact`].
pub(super) fn transact(client: Client, bootstrap: &str, topic: &str) -> Result<Option<String>> {
    let mut command = script(client, "transact", bootstrap);
    command.arg(topic);
    let finished = process::run(&mut command, &[], CASE_DEADLINE)?.success()?;
    let said: serde_json::Value = serde_json::from_str(finished.text().lines().last().context("it said nothing")?)?;
    Ok(said["error"].as_str().map(str::to_owned))
}

/// The command of a member; see [`Client::join`].
pub(super) fn member(client: Client, bootstrap: &str, group: &str, topic: &str) -> Command {
    let mut command = script(client, "member", bootstrap);
    command.args([group, topic]);
    command
}

/// Reads what a member printed.
pub(super) fn parse_member_line(line: &str) -> Result<Seen> {
    record::from_line(line).context("a member's line")
}

fn script(client: Client, action: &str, bootstrap: &str) -> Command {
    let file = match client {
        Client::Confluent => "confluent.py",
        Client::KafkaPython => "kafkapython.py",
        Client::Aiokafka => "aio.py",
        Client::Kcat | Client::Java => unreachable!("not a Python client"),
    };
    let mut command = Command::new(workspace::clients_venv().join("bin/python"));
    // Without this the interpreter would leave compiled modules in the source tree.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(workspace::own_file("clients").join(file)).args([action, bootstrap]);
    command
}
