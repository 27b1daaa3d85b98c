//! One promise after the other: the evidence of a run goes in, a verdict comes out.
//!
//! A checker says which promise was broken and by which records, and how many facts it judged: one that judged nothing
//! proves nothing. Checkers read evidence, never a broker; they share no code with what they judge.

mod compaction;
mod disk;
mod facts;
mod groups;
mod log_order;
mod lost_write;
mod observed;
mod queries;
mod reading;
mod running;
mod scan;
#[cfg(test)]
mod tests;
mod verdict;

pub use facts::{Facts, Read, Send};
pub use verdict::{Anomaly, Verdict};

/// A checker: pure, total, deterministic.
pub type Checker = fn(&Facts<'_>) -> Verdict;

/// What a checker looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What clients saw, and nothing else.
    BlackBox,
    /// What brokers observed, and their disks.
    WhiteBox,
}

/// A promise with its checker.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Its name, stable.
    pub name: &'static str,
    /// In words.
    pub words: &'static str,
    /// What is looked at.
    pub kind: Kind,
    /// Who judges.
    pub check: Checker,
}

const fn black(name: &'static str, words: &'static str, check: Checker) -> Promise {
    Promise { name, words, kind: Kind::BlackBox, check }
}

const fn white(name: &'static str, words: &'static str, check: Checker) -> Promise {
    Promise { name, words, kind: Kind::WhiteBox, check }
}

/// Every promise, in the order in which they are judged.
pub const ALL: &[Promise] = &[
    black("panic", "nothing panics", running::panic),
    black("lost-write", "an acknowledged record is in the last read", lost_write::lost_write),
    black("duplicate", "a value of an idempotent producer has one offset", log_order::duplicate),
    black("inconsistent-offsets", "an offset has one value", log_order::inconsistent_offsets),
    black("realtime-send", "what is sent after an acknowledgement lands behind it", log_order::realtime_send),
    black("process-order", "sends of one client to one log keep their order", log_order::process_order),
    black("phantom", "what is read was sent and not refused", reading::phantom),
    black("mutated", "every byte is as it was written", reading::mutated),
    black("wrong-partition", "a record is where it was sent", reading::wrong_partition),
    black("nonmonotonic-poll", "offsets rise within a poll", reading::nonmonotonic_poll),
    black("poll-skip", "a reader passes over nothing", reading::poll_skip),
    black("gap", "the last read has no holes", reading::gap),
    black("compaction", "a compacted topic keeps the last value of a key", compaction::compaction),
    black("one-owner", "a partition has one owner in a generation", groups::one_owner),
    black("stale-commit", "commits come from the current generation", groups::stale_commit),
    black("committed-offset", "a committed offset stays until the next is accepted", groups::committed_offset),
    black("end-offset", "the end of a log never falls", queries::end_offset),
    black("start-offset", "the start of a log never falls", queries::start_offset),
    black("timestamp-offset", "a search by time passes over nothing", queries::timestamp_offset),
    black("trimmed", "what was deleted stays deleted", queries::trimmed),
    black("created", "what was created is there", queries::created),
    black("manners", "bad manners are answered as they have to be", queries::manners),
    black("settles", "after the heal everything comes to its end", running::settles),
    white("acked-synced", "what is acknowledged is durable (I06)", observed::acked_synced),
    white("served-committed", "readers get what is below the high watermark (I14)", observed::served_committed),
    white(
        "watermarks",
        "start, high watermark and end keep their order and direction (I14, I28)",
        observed::watermarks,
    ),
    white("appends", "offsets are contiguous, epochs never fall (I13, I38)", observed::appends),
    white("restart", "a log comes up with all that was synced and nothing else (I16)", observed::restart),
    white("sequences", "no batch of a producer is appended twice (I20)", observed::sequences),
    white("metadata", "metadata is applied in order (I34)", observed::metadata),
    white("segments", "files hold whole batches in order (I13, I16)", disk::segments),
    white("indexes", "indexes find what a scan finds (I15)", disk::indexes),
    white("stored", "what is on disk is what was read (I16)", disk::stored),
];
