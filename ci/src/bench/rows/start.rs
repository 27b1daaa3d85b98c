//! From the start of the process to the first acknowledged record, on a folder that was stopped cleanly.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Bench, Sample};
use crate::broker::Broker;
use crate::process;
use crate::raw::{Connection, ProducerIdentity, batch};

const TOPIC: &str = "start";
const DEADLINE: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let mut broker = bench.start()?;
    broker.create_topic(TOPIC, 1, &[])?;
    append(broker.port(), TOPIC, 0)?;
    broker.stop()?;
    let took = start_to_ack(&mut broker, TOPIC, 0)?;
    Ok(Sample::from([("s", took.as_secs_f64())]))
}

/// Starts a stopped broker; the time until a record of a partition is acknowledged.
pub(super) fn start_to_ack(broker: &mut Broker, topic: &str, partition: i32) -> Result<Duration> {
    let began = Instant::now();
    broker.start_without_waiting()?;
    let port = broker.port();
    let acknowledged = process::poll_until(DEADLINE, POLL_INTERVAL, || Ok(append(port, topic, partition).ok()))?;
    acknowledged.context("no record was acknowledged")?;
    Ok(began.elapsed())
}

fn append(port: u16, topic: &str, partition: i32) -> Result<i64> {
    let batch = batch::build(ProducerIdentity::NONE, batch::now_ms(), &[b"first"]);
    Connection::open(port)?.append(topic, partition, &batch)
}
