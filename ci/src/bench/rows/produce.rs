//! Throughput of Produce: bytes of records by processor second of the broker, and by second. Counted by the ends of
//! the partitions while the client runs, so that its start and its end are left out.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::super::{load, meter, per};
use super::{Bench, MEGABYTE, Sample};
use crate::broker::Broker;

const TOPIC: &str = "produce";
const PARTITIONS: i32 = 6;

/// Measures with records of `record_len` bytes.
pub(super) fn measure(bench: &Bench, record_len: usize) -> Result<Sample> {
    let broker = bench.start()?;
    measure_on(&broker, PARTITIONS, record_len, [load::WARM_UP, bench.length])
}

/// The same over any number of partitions of a new topic, with a warm-up and a length of its own.
pub(super) fn measure_on(
    broker: &Broker,
    partitions: i32,
    record_len: usize,
    [warm_up, length]: [Duration; 2],
) -> Result<Sample> {
    broker.create_topic(TOPIC, partitions, &[])?;
    let mut connection = broker.connect()?;
    let mut producer = load::start_producer(broker, TOPIC, record_len)?;
    thread::sleep(warm_up);
    let (cpu, end, began) =
        (meter::cpu_time(broker.pid()?)?, connection.end_of_topic(TOPIC, partitions)?, Instant::now());
    thread::sleep(length);
    let spent = (meter::cpu_time(broker.pid()?)? - cpu).as_secs_f64();
    let records = connection.end_of_topic(TOPIC, partitions)? - end;
    let took = began.elapsed().as_secs_f64();
    ensure!(producer.is_running()?, "the producer ended by itself");
    let megabytes = records as f64 * record_len as f64 / MEGABYTE;
    Ok(Sample::from([("MB/cpu-s", per(megabytes, spent)?), ("MB/s", per(megabytes, took)?)]))
}
