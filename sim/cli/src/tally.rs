//! [`Tally`]: what a sweep has seen so far, and whether it has proved anything: a lane that is mostly void, a promise that
//! was never judged and a situation that never came up fail a sweep as a broken promise does.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::time::Duration;

use barnabas_nemesis::Cell;
use barnabas_plan::{Lane, Plan};

use crate::expected::Counts;
use crate::line::{Line, Verdict};
use crate::reached::Reached;

/// More void seeds than this share of a lane, in percent, prove that the lane is drawn badly.
const VOID_MAX_PERCENT: u64 = 10;
/// Seeds of a lane from which on its voids are held against it.
const VOID_SEEDS_MIN: u64 = 20;
/// Seeds of a lane from which on a promise that was never judged is held against it.
const JUDGED_SEEDS_MIN: u64 = 100;
/// Seeds that could have met a situation from which on it is held against them if fewer than one in a hundred did.
const MET_SEEDS_MIN: u64 = 300;
const MET_MIN_PERCENT: u64 = 1;

/// What was seen of one lane.
#[derive(Debug, Default)]
struct OfLane {
    seeds: u64,
    voids: u64,
    /// Facts by promise.
    judged: BTreeMap<String, u64>,
    /// By situation: seeds that could meet it, and those that did.
    met: BTreeMap<String, (u64, u64)>,
}

/// What a sweep has seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seeds: u64,
    lanes: BTreeMap<Lane, OfLane>,
    sent: u64,
    acknowledged: u64,
    events: u64,
    simulated_ms: u64,
    /// Seeds that were run a second time.
    pub(crate) twice: u64,
    /// Seeds that broke a promise.
    pub(crate) failed: u64,
    /// The first failure of each signature.
    failures: BTreeMap<String, Line>,
    matrix: BTreeMap<Cell, u64>,
    /// Marks and error codes that came up.
    pub(crate) reached: Reached,
    /// In how many seeds.
    pub(crate) counts: Counts,
}

impl Tally {
    /// Counts a seed; the line when it fails in a way that none did before.
    pub(crate) fn add(&mut self, plan: &Plan, line: Line) -> Option<&Line> {
        self.seeds += 1;
        self.sent += line.sent;
        self.acknowledged += line.acknowledged;
        self.events += line.events;
        self.simulated_ms += line.simulated_ms;
        self.reached.unite(&line.reached);
        self.counts.add(line.lane, &line.reached);
        barnabas_nemesis::matrix(plan, &mut self.matrix);
        let lane = self.lanes.entry(line.lane).or_default();
        lane.seeds += 1;
        lane.voids += u64::from(line.verdict == Verdict::Void);
        for (promise, facts) in &line.judged {
            *lane.judged.entry(promise.clone()).or_default() += facts;
        }
        for (situation, times) in &line.counters {
            let (could, did) = lane.met.entry(situation.clone()).or_default();
            *could += 1;
            *did += u64::from(*times > 0);
        }
        if line.verdict != Verdict::Fail {
            return None;
        }
        self.failed += 1;
        match self.failures.entry(line.signature.clone()) {
            Entry::Vacant(first) => Some(first.insert(line)),
            Entry::Occupied(_) => None,
        }
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &Line> {
        self.failures.values()
    }

    pub(crate) fn seeds_by_lane(&self) -> BTreeMap<String, u64> {
        self.lanes.iter().map(|(lane, of)| (lane.to_string(), of.seeds)).collect()
    }

    /// How far it is, in a line.
    pub(crate) fn progress(&self, took: Duration) -> String {
        format!(
            "{} seeds, {:.1} a second, {} void, {} failed, {:.1} simulated hours",
            self.seeds,
            self.seeds as f64 / took.as_secs_f64().max(0.001),
            self.lanes.values().map(|of| of.voids).sum::<u64>(),
            self.failed,
            self.simulated_ms as f64 / 3_600_000.0
        )
    }

    /// What was run, and what faults waited for.
    pub(crate) fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let each = |count: u64| count / self.seeds.max(1);
        let mut text = format!(
            "{} seeds in {seconds:.0} s ({:.0} an hour), {:.1} simulated hours; {} failed, {} run twice\n",
            self.seeds,
            self.seeds as f64 / seconds.max(0.001) * 3_600.0,
            self.simulated_ms as f64 / 3_600_000.0,
            self.failed,
            self.twice,
        );
        let _ = writeln!(
            text,
            "a seed sends {} records, {} are acknowledged, and has {} events",
            each(self.sent),
            each(self.acknowledged),
            each(self.events),
        );
        for (lane, of) in &self.lanes {
            let _ = writeln!(text, "  {:<12} {:>6} seeds, {} void", lane.to_string(), of.seeds, of.voids);
        }
        let _ = writeln!(text, "{}", self.reached.summary());
        let _ = write!(text, "faults by what they waited for:{}", self.matrix_lines());
        text
    }

    /// How often each event met each family; the empty cells by number.
    fn matrix_lines(&self) -> String {
        let mut by_event: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (cell, count) in &self.matrix {
            by_event.entry(&cell.event).or_default().push(format!("{} {count}", cell.family));
        }
        let families = barnabas_nemesis::FAMILIES.len() - 1;
        let line = |(event, cells): (&str, Vec<String>)| {
            let empty = match families - cells.len() {
                0 => String::new(),
                empty => format!(" ({empty} empty)"),
            };
            format!("\n  {event:<26} {}{empty}", cells.join(", "))
        };
        by_event.into_iter().map(line).collect()
    }

    /// What the sweep did not prove although its name says so.
    pub(crate) fn hollow(&self) -> Vec<String> {
        self.lanes.iter().flat_map(|(lane, of)| of.hollow(*lane)).collect()
    }
}

impl OfLane {
    fn hollow(&self, lane: Lane) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.seeds >= VOID_SEEDS_MIN && self.voids * 100 > self.seeds * VOID_MAX_PERCENT {
            complaints.push(format!("lane {lane}: {} of {} seeds are void", self.voids, self.seeds));
        }
        if self.seeds >= JUDGED_SEEDS_MIN {
            let silent = self.judged.iter().filter(|(_, facts)| **facts == 0);
            complaints.extend(
                silent.map(|(promise, _)| format!("lane {lane}: {promise} judged nothing in {} seeds", self.seeds)),
            );
        }
        let rare =
            self.met.iter().filter(|(_, (could, did))| *could >= MET_SEEDS_MIN && did * 100 < could * MET_MIN_PERCENT);
        complaints.extend(rare.map(|(situation, (could, did))| {
            format!("lane {lane}: `{situation}` came up in {did} of {could} seeds that could have it")
        }));
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seed: u64, verdict: Verdict) -> Line {
        let mut line = Line::accident(seed, Lane::Raw, "it broke".to_owned());
        line.verdict = verdict;
        line
    }

    fn swept(seeds: u64, each: impl Fn(u64) -> Line) -> Tally {
        let mut tally = Tally::default();
        let plan = Plan::empty(0, Lane::Raw);
        (0..seeds).for_each(|seed| drop(tally.add(&plan, each(seed)).cloned()));
        tally
    }

    #[test]
    fn a_failure_is_told_once() {
        let mut tally = Tally::default();
        let plan = Plan::empty(0, Lane::Raw);
        assert!(tally.add(&plan, line(1, Verdict::Fail)).is_some());
        assert!(tally.add(&plan, line(2, Verdict::Fail)).is_none());
        assert!(tally.add(&plan, line(3, Verdict::Pass)).is_none());
        assert_eq!((tally.failed, tally.failures().count()), (2, 1));
    }

    #[test]
    fn a_lane_that_is_mostly_void_has_proved_nothing() {
        let void = |one_in| {
            move |seed: u64| line(seed, if seed.is_multiple_of(one_in) { Verdict::Void } else { Verdict::Pass })
        };
        assert_eq!(swept(20, void(10)).hollow(), Vec::<String>::new());
        assert_eq!(swept(20, void(5)).hollow(), ["lane raw: 4 of 20 seeds are void"]);
        assert!(swept(19, void(1)).hollow().is_empty(), "too few to tell");
    }

    #[test]
    fn a_promise_that_was_never_judged_is_told() {
        let judged = |facts| {
            move |seed| Line {
                judged: [("order".to_owned(), if seed == 7 { facts } else { 0 })].into(),
                ..line(seed, Verdict::Pass)
            }
        };
        assert!(swept(100, judged(1)).hollow().is_empty());
        assert_eq!(swept(100, judged(0)).hollow(), ["lane raw: order judged nothing in 100 seeds"]);
        assert!(swept(99, judged(0)).hollow().is_empty(), "too few to tell");
    }

    #[test]
    fn a_situation_that_hardly_came_up_is_told() {
        let met = |first: u64| {
            move |seed| Line {
                counters: [("cleanings".to_owned(), u64::from(seed < first))].into(),
                ..line(seed, Verdict::Pass)
            }
        };
        assert!(swept(300, met(3)).hollow().is_empty());
        assert_eq!(swept(300, met(2)).hollow(), ["lane raw: `cleanings` came up in 2 of 300 seeds that could have it"]);
    }
}
