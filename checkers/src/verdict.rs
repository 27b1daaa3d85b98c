//! What a checker says. Plain data.

use barnabas_history::LogName;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// In words, with the records concerned.
    pub what: String,
    /// Position of the step at which it shows.
    pub step: usize,
    /// The log concerned, if it is about one.
    pub log: Option<LogName>,
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
    pub(crate) fn judge(&mut self, broken: bool, step: usize, log: Option<LogName>, what: impl FnOnce() -> String) {
        self.judged += 1;
        if broken {
            self.anomalies.push(Anomaly { what: what(), step, log });
        }
    }
}
