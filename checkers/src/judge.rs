//! [`judge`]: holds every promise against the evidence of a run. Sweeps, the shrinker, tests and whoever runs the workloads
//! against processes ask it.

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_history::Evidence;

use crate::facts::Facts;
use crate::{ALL, Kind};

/// Which promises are held against the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those that clients see, without panics: what an outsider could have found.
    ClientsOnly,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Name of the promise.
    pub promise: &'static str,
    /// The promise in words.
    pub words: &'static str,
    /// What was found, in words.
    pub what: String,
    /// When, in simulated time since the start.
    pub at: Duration,
    /// Position of the step at which it shows.
    pub step: usize,
    /// How many more anomalies of the same promise there are.
    pub more: usize,
}

impl Broken {
    /// What tells this failure from others: the promise and, for a panic, where it says it was.
    #[must_use]
    pub fn signature(&self) -> String {
        if self.promise != "panicked" && self.promise != "settled" {
            return self.promise.to_owned();
        }
        // Numbers differ from run to run.
        let words: String = self.what.chars().filter(|letter| !letter.is_ascii_digit()).take(120).collect();
        format!("{}: {words}", self.promise)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Broken promises in the order of the checkers; none for a run that holds.
    pub broken: Vec<Broken>,
    /// How many facts each checker judged.
    pub judged: BTreeMap<&'static str, usize>,
    /// Sends, and how many of them were acknowledged.
    pub sent: usize,
    /// Of these.
    pub acknowledged: usize,
}

/// A run acknowledges at least one send in this many, or it proves too little.
const ACKNOWLEDGED_ONE_IN: usize = 8;

impl Judgement {
    /// Whether the run acknowledged too little to prove anything.
    #[must_use]
    pub const fn is_void(&self) -> bool {
        self.broken.is_empty() && self.acknowledged * ACKNOWLEDGED_ONE_IN < self.sent
    }
}

/// Judges the evidence of a run.
#[must_use]
pub fn judge(evidence: &Evidence, scope: Scope) -> Judgement {
    let facts = Facts::new(evidence);
    let (sent, acknowledged) = (facts.sends().len(), evidence.acknowledged());
    let mut judgement = Judgement { sent, acknowledged, ..Judgement::default() };
    for promise in ALL.iter().filter(|promise| (promise.applies)(&evidence.plan)) {
        if scope == Scope::ClientsOnly && (promise.kind == Kind::WhiteBox || promise.name == "panicked") {
            continue;
        }
        let verdict = (promise.check)(&facts);
        judgement.judged.insert(promise.name, verdict.judged);
        let Some(first) = verdict.anomalies.first() else { continue };
        let step = first.step.unwrap_or(usize::MAX).min(evidence.steps.len().saturating_sub(1));
        let at = evidence.steps.get(step).map_or(Duration::ZERO, |step| Duration::from_nanos(step.at.0));
        judgement.broken.push(Broken {
            promise: promise.name,
            words: promise.words,
            what: first.what.clone(),
            at,
            step,
            more: verdict.anomalies.len() - 1,
        });
    }
    judgement
}
