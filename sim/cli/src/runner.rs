//! Runs one plan and says what came of it. Every command that runs anything drives it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::Result;
use barnabas_nemesis::{draw, lane_of};
use barnabas_plan::{Lane, Plan};
use barnabas_sim_world::{Broken, Judgement, Options, RunReport, Scope, execute, judge};

use crate::line::{Line, Verdict};
use crate::mutants::switch;
use crate::reached::Reached;

/// One run with what it showed.
pub(crate) struct Ran {
    pub(crate) plan: Plan,
    /// None when the world itself failed.
    pub(crate) report: Option<RunReport>,
    pub(crate) judgement: Judgement,
    /// How often planted bugs were reached.
    pub(crate) planted_hits: u64,
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) const fn outcome(&self) -> Verdict {
        if !self.judgement.broken.is_empty() {
            Verdict::Fail
        } else if self.judgement.is_void() {
            Verdict::Void
        } else {
            Verdict::Pass
        }
    }

    /// The first broken promise.
    pub(crate) fn broken(&self) -> Option<&Broken> {
        self.judgement.broken.first()
    }

    /// Everything that tells this failure from others.
    pub(crate) fn signatures(&self) -> Vec<String> {
        self.judgement.broken.iter().map(Broken::signature).collect()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.trace_hash)
    }

    /// Marks and error codes that came up.
    pub(crate) fn reached(&self) -> Reached {
        self.report.as_ref().map(|report| Reached::of(&report.evidence)).unwrap_or_default()
    }

    /// The run as a line, for programs.
    pub(crate) fn line(&self) -> Line {
        let counted = self.report.as_ref().map(|report| barnabas_checkers::counters(&report.evidence));
        let named = |(name, count): (&'static str, u64)| (name.to_owned(), count);
        let is_due = |name: &str| {
            barnabas_checkers::ALL.iter().any(|promise| promise.name == name && promise.has_occasion(self.plan.lane))
        };
        let judged = self.judgement.judged.iter().filter(|(name, _)| is_due(name));
        let judged = judged.map(|(name, facts)| (*name, *facts as u64));
        Line {
            seed: self.plan.seed,
            lane: self.plan.lane,
            verdict: self.outcome(),
            checker: self.broken().map_or("", |broken| broken.promise).to_owned(),
            what: self.broken().map_or("", |broken| broken.what.as_str()).to_owned(),
            signature: self.broken().map(Broken::signature).unwrap_or_default(),
            hash: format!("{:#018x}", self.hash()),
            planted_hits: self.planted_hits,
            sent: self.judgement.sent as u64,
            acknowledged: self.judgement.acknowledged as u64,
            events: self.report.as_ref().map_or(0, |report| report.events),
            simulated_ms: self.report.as_ref().map_or(0, |report| millis(report.simulated)),
            judged: judged.map(named).collect(),
            counters: counted.into_iter().flatten().map(named).collect(),
            reached: self.reached(),
        }
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.line()).expect("plain data")
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a plan.
///
/// # Errors
/// It names a planted bug that this build does not have.
pub(crate) fn run(plan: Plan, scope: Scope, options: Options) -> Result<Ran> {
    switch::switch_on(&plan.planted)?;
    let (before, began) = (switch::hits(), Instant::now());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let report = execute(&plan, options);
        let judgement = judge(&report.evidence, scope);
        (report, judgement)
    }));
    let took = began.elapsed();
    let planted_hits = switch::hits() - before;
    Ok(match outcome {
        Ok((report, judgement)) => Ran { plan, report: Some(report), judgement, planted_hits, took },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = text.unwrap_or_else(|| "a panic without a message".to_owned());
            let broken = Broken {
                promise: "world",
                words: "the world itself goes on",
                what,
                at: Duration::ZERO,
                step: 0,
                more: 0,
            };
            let judgement = Judgement { broken: vec![broken], ..Judgement::default() };
            Ran { plan, report: None, judgement, planted_hits, took }
        }
    })
}

/// Draws the plan of a seed in a lane, or else in its own, with planted bugs.
pub(crate) fn plan_of(seed: u64, lane: Option<Lane>, planted: &[String]) -> Plan {
    let mut plan = draw(seed, lane.unwrap_or_else(|| lane_of(seed)));
    plan.planted = planted.to_vec();
    plan
}
