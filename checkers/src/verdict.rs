//! What a checker says, and [`Court`], in which it comes to say it. Plain data.

use barnabas_base::Monotonic;
use barnabas_history::{Evidence, LogName};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// In words, with the records concerned.
    pub what: String,
    /// When it shows.
    pub at: Option<Monotonic>,
    /// Position in the evidence's steps where it shows.
    pub step: Option<usize>,
    /// The log concerned.
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
}

/// Collects what is judged over one piece of evidence.
pub(crate) struct Court<'a> {
    evidence: &'a Evidence,
    verdict: Verdict,
}

impl<'a> Court<'a> {
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        Self { evidence, verdict: Verdict::default() }
    }

    /// Counts one fact, and the anomaly when `broken`: it shows at `step` and concerns `log`.
    pub(crate) fn judge(
        &mut self,
        broken: bool,
        step: Option<usize>,
        log: Option<LogName>,
        what: impl FnOnce() -> String,
    ) {
        self.verdict.judged += 1;
        if broken {
            let at = step.and_then(|step| self.evidence.steps.get(step)).map(|step| step.at);
            self.verdict.anomalies.push(Anomaly { what: what(), at, step, log });
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        self.verdict
    }
}

/// A log in the words of a plan.
pub(crate) fn shown(log: LogName) -> String {
    format!("{}-{}", log.topic, log.partition)
}
