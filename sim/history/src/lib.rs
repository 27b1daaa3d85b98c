//! What a run leaves, as plain data: workloads and the world record it, checkers judge it, neither knows the other.
//!
//! A call is invoked and then ends as *ok*, *failed* or *unknown*. A timeout or a broken connection is unknown, never
//! "did not happen": the broker may have done it (correctness: Jepsen's rules of indeterminacy).

mod evidence;
mod payload;

use std::fmt;

pub use evidence::{
    Call, CallId, CallView, ClientLife, Content, DiskImage, Evidence, Happening, LogName, Membership, Outcome, Reply,
    SPARE_SNAPSHOTS_MAX, Seen, Step, What,
};
pub use payload::{PAYLOAD_BYTES_MIN, Payload};

/// What a record holds: unique within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [client, life] = [self.0 >> 48, self.0 >> 32 & 0xffff];
        write!(f, "c{client}.{life}#{}", self.0 & 0xffff_ffff)
    }
}
