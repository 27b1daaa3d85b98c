//! One file per promise: a history goes in, a verdict comes out.
//!
//! A checker says which promise was broken and by which records, and how many facts it judged: one that judged nothing
//! proves nothing. Checkers read histories, never a broker; they share no code with what they judge.

mod duplicate;
mod inconsistent_offsets;
mod lost_write;
mod nonmonotonic_poll;
mod order;
mod phantom;
mod verdict;

pub use duplicate::duplicate;
pub use inconsistent_offsets::inconsistent_offsets;
pub use lost_write::lost_write;
pub use nonmonotonic_poll::nonmonotonic_poll;
pub use order::order;
pub use phantom::phantom;
pub use verdict::{Anomaly, Verdict};

use barnabas_history::History;

/// A checker: pure, total, deterministic.
pub type Checker = fn(&History) -> Verdict;

/// Every checker with the promise it enforces, in the order in which they are run.
pub const ALL: &[(&str, Checker)] = &[
    ("lost-write: an acknowledged record is in the final read", lost_write),
    ("duplicate: a value has one offset", duplicate),
    ("inconsistent-offsets: an offset has one value", inconsistent_offsets),
    ("order: later sends of a client land at later offsets", order),
    ("nonmonotonic-poll: offsets rise within a poll", nonmonotonic_poll),
    ("phantom: what is read was sent", phantom),
];
