//! Every lane for a few seeds, the seed corpus, and determinism: what `cargo test` runs of the simulator.

use std::path::Path;

use barnabas_base::Monotonic;
use barnabas_history::{Happening, Step, What};
use barnabas_nemesis::draw;
use barnabas_plan::{Lane, Plan};
use barnabas_sim_world::{Options, RunReport, Scope, execute, judge};

/// Runs a plan and says what it broke.
fn broken(plan: &Plan) -> Vec<String> {
    let report = execute(plan, Options::default());
    let judgement = judge(&report.evidence, Scope::All);
    judgement.broken.iter().map(|broken| format!("{}: {}", broken.promise, broken.what)).collect()
}

#[test]
fn every_lane_keeps_its_promises() {
    const SEEDS: u64 = 2;
    let mut acknowledged = 0;
    for lane in Lane::ALL {
        for seed in 0..SEEDS {
            let report = execute(&draw(seed, *lane), Options::default());
            let judgement = judge(&report.evidence, Scope::All);
            assert_eq!(judgement.broken, [], "`cargo sim {seed} --lane {lane}`");
            acknowledged += judgement.acknowledged;
        }
    }
    assert!(acknowledged > 1_000, "only {acknowledged} records were acknowledged: the runs prove little");
}

#[test]
fn the_same_plan_gives_the_same_hash() {
    for seed in [3, 0x7f3a] {
        let plan = draw(seed, Lane::Durable);
        let [first, second] = [(); 2].map(|()| execute(&plan, Options::default()));
        assert!(first.events > 5_000, "a run of {} events shows nothing", first.events);
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.evidence.steps, second.evidence.steps, "seed {seed}");
    }
}

/// What shrinking stands on: without a fault, everything before it happens as it did.
#[test]
fn taking_a_fault_away_changes_nothing_before_it() {
    let mut compared = 0;
    for seed in 0..20 {
        let plan = draw(seed, Lane::Durable);
        let with = execute(&plan, Options { keep_events: true });
        let Some((at, id)) = with.evidence.steps.iter().find_map(first_fault) else { continue };
        let mut without = plan.clone();
        without.faults.retain(|planned| planned.id != id);
        let without = execute(&without, Options { keep_events: true });
        let before = |report: &RunReport| report.trace.iter().take_while(|event| event.at_ns < at.0).count();
        let count = before(&with);
        assert_eq!(count, before(&without), "seed {seed}, fault {id}");
        assert!(with.trace[..count] == without.trace[..count], "seed {seed}: fault {id} is felt before it begins");
        assert_ne!(with.trace_hash, without.trace_hash, "seed {seed}: fault {id} does nothing");
        compared += count;
        if compared > 50_000 {
            return;
        }
    }
    panic!("only {compared} events were compared");
}

fn first_fault(step: &Step) -> Option<(Monotonic, u32)> {
    match &step.what {
        What::Happened(Happening::Fault { id, .. }) => Some((step.at, *id)),
        _ => None,
    }
}

/// A disk that never loses anything would prove nothing about what survives it.
#[test]
fn power_loss_costs_what_was_not_synced() {
    let lost = |seed: u64| -> u64 {
        let report = execute(&draw(seed, Lane::PageCache), Options::default());
        let lost = report.evidence.steps.iter().map(|step| match step.what {
            What::Happened(Happening::PowerLost { lost_bytes, .. }) => lost_bytes,
            _ => 0,
        });
        lost.sum()
    };
    let lost: u64 = (0..8).map(lost).sum();
    assert!(lost > 0, "power losses under flush.policy=os lost nothing: the disk is too kind");
}

/// Plans of failures that were found and mended: each holds.
#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/seeds");
    for (name, text) in corpus(&folder) {
        let mut plan = Plan::parse(&text).unwrap_or_else(|malformed| panic!("{name}: {malformed}"));
        plan.planted.clear();
        assert_eq!(broken(&plan), Vec::<String>::new(), "{name}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the plans are files of the repository, read before any world begins")]
fn corpus(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "plan"));
    files.sort();
    let text = |file: &Path| std::fs::read_to_string(file).expect("a plan can be read");
    files.iter().map(|file| (file.display().to_string(), text(file))).collect()
}
