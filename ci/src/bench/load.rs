//! The load clients: Apache Kafka's own performance tools where throughput counts, and a paced producer of the checks'
//! own where latency counts, which measures from the moment a record was due, so that a stall is not left out.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::broker::Broker;
use crate::clients::java;
use crate::process::{self, Running};
use crate::raw::{Connection, ProducerIdentity, batch};

/// A JVM's compiler has seen the hot paths after so long.
pub(super) const WARM_UP: Duration = Duration::from_secs(8);
/// No measurement runs that long.
const TOOL_DEADLINE: Duration = Duration::from_secs(1_800);
/// More than any run sends: the tool is stopped, it does not end.
const ENDLESS_RECORDS: &str = "2000000000";

/// Starts Kafka's performance producer, which sends as fast as it can until it is dropped.
pub(super) fn start_producer(broker: &Broker, topic: &str, record_len: usize) -> Result<Running> {
    let mut command = java::performance_tool("org.apache.kafka.tools.ProducerPerformance");
    command
        .args(["--bootstrap-server", &broker.bootstrap(), "--topic", topic])
        .args(["--num-records", ENDLESS_RECORDS, "--throughput", "-1"])
        .args(["--record-size", &record_len.to_string()])
        // The default of 32 MiB is one batch for each of 2,000 partitions, and the client would be what is measured.
        .args(["--command-property", "acks=all", "buffer.memory=268435456"]);
    Running::start(&mut command)
}

/// Fills a topic with Kafka's performance producer.
pub(super) fn fill(broker: &Broker, topic: &str, records: u64, record_len: usize) -> Result<()> {
    let mut command = java::performance_tool("org.apache.kafka.tools.ProducerPerformance");
    command
        .args(["--bootstrap-server", &broker.bootstrap(), "--topic", topic])
        .args(["--num-records", &records.to_string(), "--throughput", "-1"])
        .args(["--record-size", &record_len.to_string()])
        .args(["--command-property", "acks=all", "batch.size=65536", "linger.ms=5"]);
    process::run(&mut command, &[], TOOL_DEADLINE)?.success().context("filling the topic")?;
    Ok(())
}

/// Starts Kafka's performance consumer on a topic from its beginning.
pub(super) fn start_consumer(broker: &Broker, topic: &str, records: u64) -> Result<Running> {
    let mut command = java::performance_tool("org.apache.kafka.tools.ConsumerPerformance");
    command.args(["--bootstrap-server", &broker.bootstrap(), "--topic", topic, "--timeout", "60000"]).args([
        "--num-records",
        &records.to_string(),
        "--hide-header",
    ]);
    Running::start(&mut command)
}

/// Reads a topic to its end with Kafka's performance consumer.
pub(super) fn consume(broker: &Broker, topic: &str, records: u64) -> Result<()> {
    let mut consumer = start_consumer(broker, topic, records)?;
    let status = consumer.wait(TOOL_DEADLINE)?.context("the consumer hung")?;
    ensure!(status.success(), "the consumer ended with {status}");
    Ok(())
}

/// One record after the other at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) records_per_second: u32,
    pub(super) record_len: usize,
}

/// Sends at a pace with acks=all to partition 0 for `length` after a warm-up; the latencies, sorted.
pub(super) fn ack_latencies(broker: &Broker, topic: &str, pace: Pace, length: Duration) -> Result<Vec<Duration>> {
    let warm_up = length / 6;
    ack_latencies_while(broker, topic, pace, warm_up, |elapsed| Ok(elapsed < warm_up + length))
}

/// Sends at a pace with acks=all to partition 0 while `goes_on`, which is told for how long it has; the latencies after
/// `warm_up`, sorted.
pub(super) fn ack_latencies_while(
    broker: &Broker,
    topic: &str,
    pace: Pace,
    warm_up: Duration,
    mut goes_on: impl FnMut(Duration) -> Result<bool>,
) -> Result<Vec<Duration>> {
    let mut sending = broker.connect()?;
    let receiving = sending.split()?;
    let (due, dues) = channel();
    let interval = Duration::from_secs(1) / pace.records_per_second;
    thread::scope(|scope| {
        let receiver = scope.spawn(move || receive(receiving, &dues));
        let value = vec![b'x'; pace.record_len];
        let began = Instant::now();
        let mut moment = began;
        while goes_on(moment.duration_since(began))? {
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            let batch = batch::build(ProducerIdentity::NONE, batch::now_ms(), &[&value]);
            due.send(moment).context("the receiver is gone")?;
            sending.send_produce(topic, 0, -1, &batch)?;
            moment += interval;
        }
        drop(due);
        let all = receiver.join().expect("the receiver does not panic")?;
        let measured = all.into_iter().filter(|(moment, _)| moment.duration_since(began) >= warm_up);
        let mut latencies: Vec<Duration> = measured.map(|(_, latency)| latency).collect();
        ensure!(!latencies.is_empty(), "it was over within the warm-up of {warm_up:?}");
        latencies.sort_unstable();
        Ok(latencies)
    })
}

/// Answers come in the order of the requests.
fn receive(mut connection: Connection, dues: &Receiver<Instant>) -> Result<Vec<(Instant, Duration)>> {
    let mut latencies = Vec::new();
    for due in dues {
        let answer = connection.receive_produce()?;
        ensure!(answer.error_code == 0, "Produce answered error {}", answer.error_code);
        latencies.push((due, due.elapsed()));
    }
    Ok(latencies)
}

/// A percentile of sorted durations.
pub(super) fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let Some(last) = sorted.len().checked_sub(1) else {
        return Duration::ZERO;
    };
    let rank = (percent / 100.0 * last as f64).round() as usize;
    sorted[rank.min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let sorted: Vec<Duration> = (0..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50.0), Duration::from_millis(50));
        assert_eq!(percentile(&sorted, 99.0), Duration::from_millis(99));
        assert_eq!(percentile(&[], 99.0), Duration::ZERO);
    }
}
