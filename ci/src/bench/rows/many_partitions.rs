//! Throughput of Produce over 2,000 partitions: small batches, and a sync that must not be one a file.

use std::time::Duration;

use anyhow::Result;

use super::produce;
use super::{Bench, Sample};

const PARTITIONS: i32 = 2_000;
/// Kafka is busy with the new folders for a while.
const WARM_UP: Duration = Duration::from_secs(30);

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    produce::measure_on(&broker, PARTITIONS, 1024, [WARM_UP, bench.length])
}
