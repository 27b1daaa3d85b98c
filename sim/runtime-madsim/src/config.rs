//! The knobs of a world: how long things take and how much fits. Plain data, drawn by whoever plans a run.

use std::time::Duration;

/// A duration that is drawn anew each time, evenly between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Shortest.
    pub min_ns: u64,
    /// Longest.
    pub max_ns: u64,
}

impl Span {
    /// From `min` to `max` microseconds.
    #[must_use]
    pub const fn micros(min: u64, max: u64) -> Self {
        assert!(min <= max, "a span runs forward");
        Self { min_ns: min * 1_000, max_ns: max * 1_000 }
    }
}

/// How a world behaves apart from faults.
#[derive(Clone, Debug)]
pub struct Config {
    /// CPU time of one poll of a task; the shard does nothing else meanwhile.
    pub poll: Span,
    /// A message from one shard to another of its node.
    pub message: Span,
    /// A job that left its shard for CPU work.
    pub offload: Span,
    /// One way between two nodes.
    pub link: Span,
    /// One flight in this many is lost and sent again; 0 for none.
    pub loss_one_in: u64,
    /// Bytes a second that a connection carries; 0 for no bound.
    pub bandwidth_bytes_per_s: u64,
    /// One way within a node.
    pub loopback: Span,
    /// Most bytes a connection holds between sender and reader; each draws its own window up to this.
    pub window_bytes_max: u64,
    /// One read or write in this many moves fewer bytes than it could; 0 for none.
    pub short_transfer_one_in: u64,
    /// A write that the page cache takes: the shard's thread does nothing else meanwhile.
    pub cache_write: Span,
    /// A read that has to come from the device.
    pub device_read: Span,
    /// A flush of one file or directory.
    pub sync: Span,
    /// A change of names, an open, a listing.
    pub metadata: Span,
    /// One read in this many finds its range not in the page cache; 0 for none.
    pub cold_read_one_in: u64,
    /// One write in this many finds too many dirty pages and leaves the thread; 0 for none.
    pub dirty_write_one_in: u64,
    /// Size of each node's file system.
    pub disk_bytes: u64,
    /// Wall-clock time at the start of the world, in milliseconds since the epoch.
    pub wall_start_ms: i64,
    /// A run of more polls than this is a livelock and panics.
    pub polls_max: u64,
    /// A run of more events than this is one, too.
    pub events_max: u64,
    /// Whether a world that something outlives fails its run: a cycle of handles holds it, and the next worlds of the
    /// process go without the memory. Not asked of a run in which a node panicked.
    pub leaves_nothing: bool,
    /// Whether every event is kept for [`crate::World::events`], beside the hash of all of them.
    pub keep_events: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll: Span::micros(1, 20),
            message: Span::micros(1, 50),
            offload: Span::micros(20, 5_000),
            link: Span::micros(100, 2_000),
            loss_one_in: 0,
            bandwidth_bytes_per_s: 0,
            loopback: Span::micros(10, 60),
            window_bytes_max: 4 * 1024 * 1024,
            short_transfer_one_in: 8,
            cache_write: Span::micros(1, 30),
            device_read: Span::micros(60, 2_000),
            sync: Span::micros(70, 3_000),
            metadata: Span::micros(10, 300),
            cold_read_one_in: 8,
            dirty_write_one_in: 16,
            disk_bytes: 4 * 1024 * 1024 * 1024,
            wall_start_ms: 1_750_000_000_000,
            polls_max: 100_000_000,
            events_max: 400_000_000,
            leaves_nothing: false,
            keep_events: false,
        }
    }
}

/// `nanos` as a duration.
pub(crate) const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}
