//! What clients saw, as plain data: workloads record it, checkers judge it, neither knows the other.
//!
//! An operation is invoked and then ends as *ok*, *fail* or *unknown*. A timeout or a broken connection is unknown, never
//! "did not happen": the broker may have done it (correctness: Jepsen's rules of indeterminacy).

mod evidence;
mod payload;

pub use evidence::{
    Call, CallId, CallView, ClientLife, Content, DiskImage, Evidence, Happening, LogName, Membership, Outcome, Reply,
    Seen, Step, What,
};
pub use payload::{PAYLOAD_BYTES_MIN, Payload};

use std::fmt;

use barnabas_base::{Offset, PartitionIndex};

/// A record's payload: unique within a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u64);

/// A client that does one operation after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Acknowledged at this offset.
    Ok(Offset),
    /// A definite answer to every attempt: it is not in the log.
    Failed,
    /// At least one attempt was not answered: it may be in the log.
    Unknown,
}

/// One step of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client begins to send a value. One value is sent once; retries belong to the same send.
    SendInvoked {
        /// The client.
        process: Process,
        /// Where to.
        partition: PartitionIndex,
        /// What.
        value: Value,
    },
    /// The send ended.
    SendEnded {
        /// The client.
        process: Process,
        /// Where to.
        partition: PartitionIndex,
        /// What.
        value: Value,
        /// How.
        outcome: Sent,
    },
    /// Records of one fetch of one partition, in the order of the answer.
    Polled {
        /// The client.
        process: Process,
        /// Where from.
        partition: PartitionIndex,
        /// Offsets and values.
        records: Vec<(Offset, Value)>,
    },
    /// From here on polls are the final read: every record that is there is in them.
    FinalRead,
}

/// Everything clients saw, in the order in which it happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    events: Vec<Event>,
}

impl History {
    /// Nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step.
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// All steps.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The steps of the final read.
    #[must_use]
    pub fn final_read(&self) -> &[Event] {
        let start = self.events.iter().position(|event| *event == Event::FinalRead);
        start.map_or(&[], |start| &self.events[start + 1..])
    }

    /// How many sends were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let is_ok = |event: &&Event| matches!(event, Event::SendEnded { outcome: Sent::Ok(_), .. });
        self.events.iter().filter(is_ok).count()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}
