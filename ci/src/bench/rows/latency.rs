//! How long an acknowledgement takes at a low, steady rate: one connection, one record a batch, acks=all.

use anyhow::Result;

use super::super::load::{self, Pace};
use super::{Bench, Sample, milliseconds};

const TOPIC: &str = "latency";
const RECORD_LEN: usize = 100;

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    broker.create_topic(TOPIC, 1, &[])?;
    let slow = Pace { records_per_second: 200, record_len: RECORD_LEN };
    let slow = load::ack_latencies(&broker, TOPIC, slow, bench.length)?;
    let fast = Pace { records_per_second: 1_000, record_len: RECORD_LEN };
    let fast = load::ack_latencies(&broker, TOPIC, fast, bench.length)?;
    Ok(Sample::from([
        ("200/s p50 ms", milliseconds(load::percentile(&slow, 50.0))),
        ("200/s p99 ms", milliseconds(load::percentile(&slow, 99.0))),
        ("1000/s p50 ms", milliseconds(load::percentile(&fast, 50.0))),
        ("1000/s p99 ms", milliseconds(load::percentile(&fast, 99.0))),
    ]))
}
