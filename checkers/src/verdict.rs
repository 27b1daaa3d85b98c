//! What a checker says. Plain data.

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// In words, with the records concerned.
    pub what: String,
}

/// The result of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many facts could have broken the promise.
    pub judged: usize,
    /// Those that did.
    pub anomalies: Vec<Anomaly>,
}

impl Verdict {
    /// Whether the promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.anomalies.is_empty()
    }

    /// Counts one fact, and the anomaly when `broken`.
    pub(crate) fn judge(&mut self, broken: bool, what: impl FnOnce() -> String) {
        self.judged += 1;
        if broken {
            self.anomalies.push(Anomaly { what: what() });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    //! Short words for hand-written histories of one partition.

    use barnabas_base::{Offset, PartitionIndex};
    use barnabas_history::{Event, History, Process, Sent, Value};

    pub(crate) fn history(events: &[Event]) -> History {
        let mut history = History::new();
        for event in events {
            history.push(event.clone());
        }
        history
    }

    pub(crate) fn invoked(process: u32, value: u64) -> Event {
        Event::SendInvoked { process: Process(process), partition: PartitionIndex(0), value: Value(value) }
    }

    pub(crate) fn ended(process: u32, value: u64, outcome: Sent) -> Event {
        Event::SendEnded { process: Process(process), partition: PartitionIndex(0), value: Value(value), outcome }
    }

    pub(crate) fn acked(process: u32, value: u64, offset: i64) -> Event {
        ended(process, value, Sent::Ok(Offset(offset)))
    }

    pub(crate) fn polled(records: &[(i64, u64)]) -> Event {
        let records = records.iter().map(|(offset, value)| (Offset(*offset), Value(*value))).collect();
        Event::Polled { process: Process(99), partition: PartitionIndex(0), records }
    }

    pub(crate) const fn final_read() -> Event {
        Event::FinalRead
    }
}
