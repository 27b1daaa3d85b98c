//! Log compaction: when a log is cleaned, what stays of it, and how the cleaned segments take the place of the old
//! ones. Not retention. The decisions and the filter are pure; `run` does the work on files, the node's cleaner
//! drives it, one log at a time.

mod choose;
mod filter;
mod offset_map;

pub use choose::{Cleanable, LogFacts, SegmentFacts, group_segments};
pub use filter::{AbortedRanges, CleanError, CleanErrorCause, CleanRules, Cleaned, Filter, LastRecord};
pub use offset_map::{OffsetMap, SLOT_BYTES};
