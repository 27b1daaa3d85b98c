//! Throughput of Fetch: bytes by processor second of the broker, the first time after the records were written, and
//! again and again afterwards.

use std::time::Instant;

use anyhow::Result;

use super::super::{load, meter, per};
use super::{Bench, MEGABYTE, Sample};

const TOPIC: &str = "consume";
const PARTITIONS: i32 = 6;
const RECORD_LEN: usize = 1024;
/// Two gigabytes: they fit into the page cache of a small machine.
const RECORDS: u64 = 2_000_000;

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    broker.create_topic(TOPIC, PARTITIONS, &[])?;
    load::fill(&broker, TOPIC, RECORDS, RECORD_LEN)?;
    let megabytes = RECORDS as f64 * RECORD_LEN as f64 / MEGABYTE;
    let pid = broker.pid()?;
    let cpu = meter::cpu_time(pid)?;
    load::consume(&broker, TOPIC, RECORDS)?;
    let first = per(megabytes, (meter::cpu_time(pid)? - cpu).as_secs_f64())?;
    let (cpu, began) = (meter::cpu_time(pid)?, Instant::now());
    let mut again = 0.0;
    while began.elapsed() < bench.length {
        load::consume(&broker, TOPIC, RECORDS)?;
        again += megabytes;
    }
    let warm = per(again, (meter::cpu_time(pid)? - cpu).as_secs_f64())?;
    let rate = per(again, began.elapsed().as_secs_f64())?;
    Ok(Sample::from([("first MB/cpu-s", first), ("warm MB/cpu-s", warm), ("warm MB/s", rate)]))
}
