//! Acknowledgement latency beside a consumer that reads segments which are not in memory, of the same partition and so
//! on the same shard: a broker that blocks on the device shows here.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

use super::super::load::{self, Pace};
use super::super::per;
use super::{Bench, Sample, milliseconds};

const TOPIC: &str = "cold";
const RECORD_LEN: usize = 1024;
const PACE: Pace = Pace { records_per_second: 1_000, record_len: 100 };

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    broker.create_topic(TOPIC, 1, &[])?;
    let records = bench.cold_bytes / RECORD_LEN as u64;
    load::fill(&broker, TOPIC, records, RECORD_LEN)?;
    let alone = load::ack_latencies(&broker, TOPIC, PACE, bench.length)?;
    forget(&broker.data())?;
    let reader = load::start_consumer(&broker, TOPIC, records)?;
    let beside = load::ack_latencies(&broker, TOPIC, PACE, bench.length)?;
    drop(reader);
    let (alone, beside) = (load::percentile(&alone, 99.0), load::percentile(&beside, 99.0));
    Ok(Sample::from([
        ("p99 ms alone", milliseconds(alone)),
        ("p99 ms beside", milliseconds(beside)),
        ("beside / alone", per(milliseconds(beside), milliseconds(alone))?),
    ]))
}

/// Has the kernel write back and drop every segment.
fn forget(data: &Path) -> Result<()> {
    for folder in std::fs::read_dir(data)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = File::open(file?.path())?;
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed).context("dropping a segment from memory")?;
        }
    }
    Ok(())
}
