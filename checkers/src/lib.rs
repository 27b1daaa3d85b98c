//! One file per promise: evidence goes in, a verdict comes out. Whoever runs a plan runs [`ALL`] over what it left.
//!
//! A checker says which promise was broken, by which records and at which step, and how many facts it judged: one that
//! judged nothing proves nothing. Checkers read evidence, never a broker; they share no code with what they judge.
//!
//! What they take for granted of whoever writes the evidence: a value is sent once in a run; a call is `Failed` only when
//! every attempt was answered by an error that rules out that it was done; the last read assigns every topic from its
//! start after [`FinalRead`](barnabas_history::Happening::FinalRead) and reads to its end, or says that it did not settle; a
//! raw trick ends `Ok` when the broker did what Kafka does, `Failed` when it did something else; what a trick sends under a
//! value of its own is recorded as a send as well.

mod aborted_read;
mod ack_after_sync;
mod answers;
mod believed;
mod bounds;
mod committed;
mod compacted;
mod counters;
mod dead_topic;
mod disk_check;
mod disk_index;
mod disk_keys;
mod disk_log;
mod disk_metadata;
mod disk_offsets;
mod disk_points;
mod disk_snapshot;
mod duplicate;
mod edn;
mod end_offset;
mod epochs;
mod facts;
mod forgotten;
mod gap_justified;
mod generation;
mod inconsistent_offsets;
mod int_nonmonotonic_poll;
mod judge;
mod lawful;
mod look;
mod lost_write;
mod manners;
mod mutated;
mod nonmonotonic_poll;
mod observed;
mod occasion;
mod offset_query;
mod order;
mod outgrown;
mod outlived;
mod panicked;
mod phantom;
#[cfg(test)]
mod piece;
mod poll_skip;
mod prompt;
mod reading;
mod realtime_send;
mod refusals;
mod restart;
mod scan;
mod sequences;
mod settled;
mod trimmed;
mod verdict;
mod watch;
mod watermarks;
mod withheld;
mod wrong_partition;

pub use counters::counters;
pub use edn::edn;
pub use judge::{Broken, Judgement, Scope, judge};
pub use verdict::{Anomaly, Verdict};

use barnabas_plan::Plan;
use facts::Facts;

/// A checker: pure, total, deterministic.
pub(crate) type Checker = fn(&Facts<'_>) -> Verdict;

/// What a checker looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What clients saw: the same on any Kafka.
    BlackBox,
    /// What the broker observed of itself and left on its disk.
    WhiteBox,
}

/// A promise and who enforces it.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// A stable name.
    pub name: &'static str,
    /// The promise in words.
    pub words: &'static str,
    /// What its checker looks at.
    pub kind: Kind,
    /// Whether a plan's lane promises it.
    pub applies: fn(&Plan) -> bool,
    /// Judges whether it was kept.
    pub(crate) check: Checker,
}

/// Every promise, in the order in which they are judged: the first that is broken names the failure.
pub const ALL: &[Promise] = &[
    lost_write::PROMISE,
    duplicate::PROMISE,
    inconsistent_offsets::PROMISE,
    order::PROMISE,
    realtime_send::PROMISE,
    phantom::PROMISE,
    mutated::PROMISE,
    wrong_partition::PROMISE,
    aborted_read::PROMISE,
    int_nonmonotonic_poll::PROMISE,
    nonmonotonic_poll::PROMISE,
    poll_skip::PROMISE,
    gap_justified::PROMISE,
    end_offset::PROMISE,
    offset_query::PROMISE,
    look::PROMISE,
    trimmed::PROMISE,
    outlived::PROMISE,
    forgotten::PROMISE,
    compacted::PROMISE,
    committed::PROMISE,
    generation::ONE_OWNER,
    generation::STALE_COMMIT,
    dead_topic::PROMISE,
    answers::PROMISE,
    manners::PROMISE,
    refusals::PROMISE,
    panicked::PROMISE,
    settled::PROMISE,
    watermarks::PROMISE,
    ack_after_sync::PROMISE,
    prompt::PROMISE,
    restart::PROMISE,
    believed::PROMISE,
    bounds::PROMISE,
    epochs::PROMISE,
    sequences::PROMISE,
    disk_keys::PROMISE,
    disk_log::PROMISE,
    disk_check::PROMISE,
    disk_index::PROMISE,
    disk_points::PROMISE,
    disk_metadata::PROMISE,
    disk_snapshot::PROMISE,
    disk_offsets::PROMISE,
    outgrown::PROMISE,
    withheld::PROMISE,
];
