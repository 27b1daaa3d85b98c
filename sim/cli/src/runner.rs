//! Runs one plan and says what came of it. Every command that runs anything drives it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::Result;
use barnabas_nemesis::{draw, lane_of};
use barnabas_plan::{Lane, Plan};
use barnabas_sim_world::{Broken, Judgement, Options, RunReport, Scope, execute, judge};
use serde_json::json;

use crate::mutants::switch;

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

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It proves nothing.
    Void,
}

impl Ran {
    pub(crate) const fn outcome(&self) -> Outcome {
        if !self.judgement.broken.is_empty() {
            Outcome::Failed
        } else if self.judgement.is_void() {
            Outcome::Void
        } else {
            Outcome::Passed
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

    /// The run as one line of JSON, for programs.
    pub(crate) fn json(&self) -> String {
        let verdict = match self.outcome() {
            Outcome::Passed => "pass",
            Outcome::Failed => "fail",
            Outcome::Void => "void",
        };
        let judged: usize = self.judgement.judged.values().sum();
        json!({
            "seed": format!("{:#x}", self.plan.seed),
            "lane": self.plan.lane.word(),
            "verdict": verdict,
            "checker": self.broken().map_or("", |broken| broken.promise),
            "what": self.broken().map_or("", |broken| broken.what.as_str()),
            "signature": self.broken().map(Broken::signature).unwrap_or_default(),
            "hash": format!("{:#018x}", self.hash()),
            "operations": self.judgement.sent,
            "acknowledged": self.judgement.acknowledged,
            "events": self.report.as_ref().map_or(0, |report| report.events),
            "simulated_ms": self.report.as_ref().map_or(0, |report| report.simulated.as_millis()),
            "judged": judged,
            "silent": self.silent(),
            "planted_hits": self.planted_hits,
        })
        .to_string()
    }

    /// Checkers that judged nothing.
    fn silent(&self) -> Vec<&'static str> {
        self.judgement.judged.iter().filter(|(_, judged)| **judged == 0).map(|(name, _)| *name).collect()
    }
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
