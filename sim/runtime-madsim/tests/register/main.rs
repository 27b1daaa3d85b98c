//! The world's own test: a replicated register under every fault of network, disk, clock and process. It stays
//! linearizable and comes back; with a bug planted it does not, the world finds that, and what it needs for it is little.
#![allow(clippy::print_stdout, reason = "tells what was found and how small it became")]

mod client;
mod linear;
mod plan;
mod register;
mod scenario;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use barnabas_plan::thin;

use crate::plan::{KINDS, Plan, drawn};
use crate::register::Bug;
use crate::scenario::run;

/// Seeds that the sound register is run with. An unoptimised run takes several times as long.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 400 };
/// Seeds within which each planted bug is found.
const SEEDS_TO_FIND_MAX: u64 = 200;
/// What a shrunk plan has at most.
const FAULTS_MAX: usize = 4;
const OPERATIONS_MAX: usize = 12;
/// Run seeds that a plan without some faults is tried under, and one without some operations, of which there are many.
const RUN_SEEDS: u64 = 8;
const RUN_SEEDS_OF_OPERATIONS: u64 = 3;
/// Lines of the register itself: small enough to be read at once, and to be trusted.
const REGISTER_LINES_MAX: usize = 300;

#[test]
fn the_register_is_small() {
    assert!(include_str!("register.rs").lines().count() <= REGISTER_LINES_MAX);
}

#[test]
fn the_sound_register_is_linearizable_and_comes_back() {
    let mut counters: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut changed, mut slowest) = (0, Duration::ZERO);
    for seed in 0..SEEDS {
        let plan = drawn(seed, None);
        let ran = run(&plan);
        assert_eq!(ran.violation, None, "seed {seed}: {:#?}\n{:?}", plan.faults, ran.history);
        let served_after = ran.served_after;
        let served_after =
            served_after.unwrap_or_else(|| panic!("seed {seed}: not all are served: {:#?}", plan.faults));
        slowest = slowest.max(served_after);
        let is_damaged = |node: &u64| plan.faults.iter().any(|fault| fault.what.damages(*node));
        assert!(ran.refusing.iter().all(is_damaged), "seed {seed}: {:?} refuse, and why?", ran.refusing);
        changed += u64::from(ran.counters.get("elected").is_some_and(|elected| *elected > 1));
        ran.counters.into_iter().for_each(|(name, count)| *counters.entry(name).or_default() += count);
    }
    println!("{SEEDS} seeds, served again within {slowest:?}, the leader changed in {changed}: {counters:?}");
    assert!(changed > SEEDS / 4, "the leader changed in {changed} seeds of {SEEDS}");
    assert!(counters["acknowledged"] > 100 * SEEDS, "clients are served under faults as well");
    let planned = (0..SEEDS).flat_map(|seed| drawn(seed, None).faults).map(|fault| fault.what.name());
    let planned: BTreeSet<&str> = planned.collect();
    assert_eq!(planned.len() as u64, KINDS, "every kind is planned: {planned:?}");
    for name in planned {
        assert!(counters.contains_key(name), "`{name}` was planned and never took place");
    }
}

/// The plan with a run seed under which it fails, if there is one.
fn failing(plan: Plan, run_seeds: u64) -> Result<Option<Plan>, Infallible> {
    let seeds = plan.seed..plan.seed + run_seeds;
    Ok(seeds.map(|seed| Plan { seed, ..plan.clone() }).find(|plan| run(plan).violation.is_some()))
}

fn without_faults(plan: Plan) -> Plan {
    let Ok(plan) = thin(plan, |plan: &mut Plan| &mut plan.faults, |smaller, _| failing(smaller, RUN_SEEDS));
    plan
}

fn without_operations(plan: Plan) -> Plan {
    let fails = |smaller, _| failing(smaller, RUN_SEEDS_OF_OPERATIONS);
    let Ok(plan) = thin(plan, |plan: &mut Plan| &mut plan.operations, fails);
    plan
}

/// What a failing plan needs.
fn shrunk(plan: Plan) -> Plan {
    without_faults(without_operations(without_faults(plan)))
}

fn is_found_and_shrunk(bug: Bug) {
    let found = (0..SEEDS_TO_FIND_MAX).map(|seed| drawn(seed, Some(bug))).find(|plan| run(plan).violation.is_some());
    let found = found.unwrap_or_else(|| panic!("{bug:?} was not found in {SEEDS_TO_FIND_MAX} seeds"));
    let small = shrunk(found.clone());
    let ran = run(&small);
    println!(
        "{bug:?}: seed {}, {} faults and {} operations became {} and {}: {}\n{:?}\n{:?}",
        found.seed,
        found.faults.len(),
        found.operations.len(),
        small.faults.len(),
        small.operations.len(),
        ran.violation.as_deref().unwrap_or("nothing"),
        small.faults,
        ran.history,
    );
    assert!(ran.violation.is_some(), "the shrunk plan fails");
    assert_eq!(run(&small), ran, "again and again");
    let sound = run(&Plan { bug: None, ..small.clone() });
    assert_eq!(sound.violation, None, "without the bug it does not");
    assert!(small.faults.len() <= FAULTS_MAX, "{:?}", small.faults);
    assert!(small.operations.len() <= OPERATIONS_MAX, "{:?}", small.operations);
}

#[test]
fn an_answer_before_the_sync_is_found() {
    is_found_and_shrunk(Bug::AnswerBeforeSync);
}

#[test]
fn a_stale_leader_is_found() {
    is_found_and_shrunk(Bug::StaleLeader);
}

#[test]
fn a_forgotten_vote_is_found() {
    is_found_and_shrunk(Bug::ForgottenVote);
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let plan = drawn(seed, None);
        let first = run(&plan);
        assert_eq!(run(&plan), first, "seed {seed}");
        assert_ne!(run(&Plan { seed: seed + 1, ..plan }).trace_hash, first.trace_hash, "another seed is another run");
    }
}
