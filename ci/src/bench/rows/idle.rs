//! What a broker takes that has nothing to do, and what it holds while it works as hard as it can.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::super::{load, meter};
use super::{Bench, MEBIBYTE, Sample};

const TOPIC: &str = "idle";
/// After a start things are still being finished.
const CALM: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let broker = bench.start()?;
    broker.create_topic(TOPIC, 6, &[])?;
    let pid = broker.pid()?;
    thread::sleep(CALM);
    let cpu = meter::cpu_time(pid)?;
    thread::sleep(bench.length);
    let idle_share = (meter::cpu_time(pid)? - cpu).as_secs_f64() / bench.length.as_secs_f64();
    let idle_bytes = meter::resident_bytes(pid)?;
    let producer = load::start_producer(&broker, TOPIC, 1024)?;
    let mut loaded_bytes = 0;
    for _ in 0..(bench.length.as_millis() / LOOK_INTERVAL.as_millis()) {
        thread::sleep(LOOK_INTERVAL);
        loaded_bytes = loaded_bytes.max(meter::resident_bytes(pid)?);
    }
    drop(producer);
    Ok(Sample::from([
        ("idle MiB", idle_bytes as f64 / MEBIBYTE),
        ("loaded MiB", loaded_bytes as f64 / MEBIBYTE),
        ("idle % of a core", idle_share * 100.0),
    ]))
}
