//! Reads what the kernel counts for a process: processor time, memory, descriptors, threads. Asking costs the broker
//! nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's clock ticks a second in `/proc`, the same on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of a process since its start, its own and the kernel's for it.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the broker's processor time")?;
    // The name in parentheses may hold spaces; the fields that count come after it.
    let (_, fields) = text.rsplit_once(')').context("no end of the name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("the broker's memory")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident memory")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Open descriptors.
pub(super) fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Threads.
pub(super) fn threads(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).expect("memory") > 100_000);
        assert!(descriptors(pid).expect("descriptors") >= 3);
        assert!(threads(pid).expect("threads") >= 1);
        cpu_time(pid).expect("processor time");
    }
}
