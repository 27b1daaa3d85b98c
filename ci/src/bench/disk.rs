//! The file system under the measurements: refused when it is memory, and timed, since every figure of a synced
//! acknowledgement stands on what one sync costs here.

use std::fmt::{self, Display};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load;

/// Kinds of file systems that keep nothing, by the kernel's numbers.
const IN_MEMORY: [(i64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
/// Some kinds by name; others are shown as numbers.
const KNOWN: [(i64, &str); 4] =
    [(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs"), (0x794c_7630, "overlay")];
const SYNCS: u64 = 500;
const SYNC_LEN: usize = 4096;

/// What the file system is and what a sync costs on it.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) file_system: String,
    pub(super) sync_p50: Duration,
    pub(super) sync_p99: Duration,
    pub(super) cores: usize,
}

impl Display for Disk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} cores, {}, fdatasync of 4 KiB: p50 {:.2} ms, p99 {:.2} ms",
            self.cores,
            self.file_system,
            self.sync_p50.as_secs_f64() * 1e3,
            self.sync_p99.as_secs_f64() * 1e3
        )
    }
}

/// Looks at the file system below `folder`.
pub(super) fn examine(folder: &Path) -> Result<Disk> {
    let kind = rustix::fs::statfs(folder).context("asking for the file system")?.f_type;
    let in_memory = IN_MEMORY.iter().find(|(number, _)| *number == kind);
    ensure!(
        in_memory.is_none(),
        "{} is on {}: nothing there is durable",
        folder.display(),
        in_memory.map_or("", |kind| kind.1)
    );
    let known = KNOWN.iter().find(|(number, _)| *number == kind);
    let latencies = time_syncs(&folder.join("sync"))?;
    Ok(Disk {
        file_system: known.map_or_else(|| format!("file system {kind:#x}"), |kind| kind.1.to_owned()),
        sync_p50: load::percentile(&latencies, 50.0),
        sync_p99: load::percentile(&latencies, 99.0),
        cores: std::thread::available_parallelism()?.get(),
    })
}

/// Appends a page and syncs it, again and again; sorted.
fn time_syncs(path: &Path) -> Result<Vec<Duration>> {
    let file = OpenOptions::new().create_new(true).write(true).open(path)?;
    let page = [7; SYNC_LEN];
    let mut latencies = Vec::new();
    for turn in 0..SYNCS {
        file.write_all_at(&page, turn * SYNC_LEN as u64)?;
        let began = Instant::now();
        file.sync_data()?;
        latencies.push(began.elapsed());
    }
    fs::remove_file(path)?;
    latencies.sort_unstable();
    Ok(latencies)
}
