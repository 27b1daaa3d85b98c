//! From the start of the process to the first acknowledged record after SIGKILL: once with much log in few partitions,
//! once with many partitions.

use anyhow::Result;

use super::super::load;
use super::{Bench, Sample, start};
use crate::broker::Broker;

const LONG_TOPIC: &str = "long";
const LONG_PARTITIONS: i32 = 6;
/// 3.9 GB.
const LONG_RECORDS: u64 = 3_800_000;
const WIDE_TOPIC: &str = "wide";
const WIDE_PARTITIONS: i32 = 2_200;
const WIDE_RECORDS: u64 = 500_000;
const RECORD_LEN: usize = 1024;

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let long = killed(bench, "long", LONG_TOPIC, LONG_PARTITIONS, LONG_RECORDS)?;
    let wide = killed(bench, "wide", WIDE_TOPIC, WIDE_PARTITIONS, WIDE_RECORDS)?;
    Ok(Sample::from([("3.9 GB s", long), ("2200 partitions s", wide)]))
}

fn killed(bench: &Bench, folder: &str, topic: &str, partitions: i32, records: u64) -> Result<f64> {
    let mut broker = Broker::start(bench.spec.clone(), &bench.folder.join(folder))?;
    broker.create_topic(topic, partitions, &[])?;
    load::fill(&broker, topic, records, RECORD_LEN)?;
    broker.kill()?;
    let took = start::start_to_ack(&mut broker, topic, partitions - 1)?;
    // The last partition's answer does not show that all others are there.
    broker.create_topic(topic, partitions, &[])?;
    broker.kill()?;
    std::fs::remove_dir_all(bench.folder.join(folder))?;
    Ok(took.as_secs_f64())
}
