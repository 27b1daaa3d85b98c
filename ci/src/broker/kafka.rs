//! How Apache Kafka is configured, formatted and started as one combined node. Driven by `Broker` only.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Broker;
use crate::clients::java;
use crate::process;
use crate::workspace;

/// Sixteen bytes in base64url; any cluster id does.
const CLUSTER_ID: &str = "YmFybmFiYXMtcGVlci0wMQ";
/// Formatting starts a JVM once.
const FORMAT_DEADLINE: Duration = Duration::from_secs(60);
/// Heap and collector as Kafka's own start script sets them.
const JVM_OPTIONS: [&str; 7] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// Writes the configuration and formats the log directory.
pub(super) fn format(broker: &Broker) -> Result<()> {
    ensure!(workspace::kafka_jars().is_dir(), "Apache Kafka is missing: run `cargo ci setup` first");
    fs::write(properties_path(broker), properties(broker)).context("writing server.properties")?;
    let mut command = java::virtual_machine();
    command
        .arg("-cp")
        .arg(java::class_path())
        .args(["kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER_ID, "-c"])
        .arg(properties_path(broker));
    process::run(&mut command, &[], FORMAT_DEADLINE)?.success().context("formatting Apache Kafka's log directory")?;
    Ok(())
}

/// The command that starts it.
pub(super) fn command(broker: &Broker) -> Command {
    let mut command = Command::new("java");
    command
        .args(JVM_OPTIONS)
        .arg(format!("-Dlog4j2.configurationFile={}", workspace::own_file("kafka/log4j2-broker.properties").display()))
        .arg("-cp")
        .arg(java::class_path())
        .arg("kafka.Kafka")
        .arg(properties_path(broker));
    command
}

fn properties_path(broker: &Broker) -> std::path::PathBuf {
    broker.folder.join("server.properties")
}

fn properties(broker: &Broker) -> String {
    let (port, controller_port) = (broker.port, broker.controller_port);
    let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}"),
        format!("listeners={listeners}"),
        format!("advertised.listeners={listeners}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "inter.broker.listener.name=PLAINTEXT".to_owned(),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
        format!("log.dirs={}", broker.data().display()),
    ];
    // Internal topics want three copies unless told that there is one broker.
    for prefix in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        lines.push(format!("{prefix}.replication.factor=1"));
    }
    lines.push("transaction.state.log.min.isr=1".to_owned());
    lines.push("share.coordinator.state.topic.min.isr=1".to_owned());
    for (key, value) in &broker.spec.overrides {
        lines.push(format!("{key}={value}"));
    }
    lines.push(String::new());
    lines.join("\n")
}
