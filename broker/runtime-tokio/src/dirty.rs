//! Whether a write to the page cache may be made on a shard's thread. Above a threshold of dirty pages the kernel stops
//! whoever writes until the device has caught up; from shortly below it on, writes go to the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::pool::Pool;

/// Bytes a node writes between two looks at the kernel's counters.
const CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// The same while writes leave the thread, so that they soon come back.
const CHECK_OVER_BYTES: u64 = 1024 * 1024;

/// Shared by the files of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirtyGauge {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    unchecked_bytes: AtomicU64,
    over: AtomicBool,
}

impl DirtyGauge {
    /// Counts a write of `bytes` and answers whether it has to leave the thread. Looks at the counters now and then, on
    /// the pool.
    pub(crate) fn must_leave(&self, bytes: u64, pool: &Pool) -> bool {
        let over = self.shared.over.load(Ordering::Relaxed);
        let limit = if over { CHECK_OVER_BYTES } else { CHECK_BYTES };
        let unchecked = self.shared.unchecked_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unchecked >= limit {
            self.shared.unchecked_bytes.store(0, Ordering::Relaxed);
            let shared = Arc::clone(&self.shared);
            pool.run_detached(move || {
                // A kernel that hides the counters leaves writes where they are fastest.
                let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
                shared.over.store(near_throttling(&text), Ordering::Relaxed);
            });
        }
        over
    }
}

/// Whether `vmstat` shows more dirty pages than halfway from the background threshold to the point where the kernel
/// begins to stop writers, which is the middle of the two thresholds (`dirty_freerun_ceiling`).
fn near_throttling(vmstat: &str) -> bool {
    let counter = |name: &str| {
        let value = vmstat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse::<u64>().ok()
    };
    let read = || {
        let dirty = counter("nr_dirty")? + counter("nr_writeback")?;
        let background = counter("nr_dirty_background_threshold")?;
        let threshold = counter("nr_dirty_threshold")?;
        Some(dirty > background + threshold.saturating_sub(background) / 4)
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "nr_free_pages 9\nnr_dirty 120\nnr_writeback 6\nnr_writeback_temp 7\n\
        nr_dirty_threshold 200\nnr_dirty_background_threshold 100\n";

    #[test]
    fn the_limit_lies_before_the_kernels_own() {
        assert!(near_throttling(TEXT), "126 pages of a limit of 125");
        assert!(!near_throttling(&TEXT.replace("nr_dirty 120", "nr_dirty 119")), "125 pages of 125");
    }

    #[test]
    fn missing_counters_change_nothing() {
        assert!(!near_throttling(""));
        assert!(!near_throttling("nr_dirty 1000000\n"));
    }
}
