//! Acknowledgement latency beside a consumer that reads segments which are not in memory, of the same partition and so
//! on the same shard: a broker that blocks on the device shows here.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

use super::super::load::{self, Pace};
use super::super::per;
use super::{Bench, Sample, milliseconds};
use crate::broker::Broker;

const TOPIC: &str = "cold";
const RECORD_LEN: usize = 1024;
const PACE: Pace = Pace { records_per_second: 1_000, record_len: 100 };

/// How long a reader takes until its virtual machine has compiled what it runs.
const READER_WARM_UP: Duration = Duration::from_secs(3);

/// Measures one contestant. The second reading, of what the first has brought into memory, tells what the processors do to
/// the figure from what the device does.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    broker.create_topic(TOPIC, 1, &[])?;
    let records = bench.cold_bytes / RECORD_LEN as u64;
    load::fill(&broker, TOPIC, records, RECORD_LEN)?;
    let alone = milliseconds(load::percentile(&load::ack_latencies(&broker, TOPIC, PACE, bench.length)?, 99.0));
    forget(&broker.data())?;
    let cold = p99_ms_beside_reader(&broker, records)?;
    let warm = p99_ms_beside_reader(&broker, records)?;
    Ok(Sample::from([
        ("p99 ms alone", alone),
        ("p99 ms beside", cold),
        ("p99 ms beside, in memory", warm),
        ("beside / alone", per(cold, alone)?),
    ]))
}

/// As long as there is something to read: afterwards the broker is alone again.
fn p99_ms_beside_reader(broker: &Broker, records: u64) -> Result<f64> {
    let mut reader = load::start_consumer(broker, TOPIC, records)?;
    let goes_on = |_| reader.is_running();
    let latencies = load::ack_latencies_while(broker, TOPIC, PACE, READER_WARM_UP, goes_on)?;
    Ok(milliseconds(load::percentile(&latencies, 99.0)))
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
