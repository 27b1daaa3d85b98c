//! What is drawn: the same from the same seed, within the lane, readable, with enough events and extremes.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_plan::{Action, Lane, Plan, Trigger};

use crate::{FAMILIES, draw, knob_names, matrix};

fn plans() -> impl Iterator<Item = Plan> {
    Lane::ALL.iter().flat_map(|lane| (0..40).map(move |seed| draw(seed, *lane)))
}

#[test]
fn a_seed_gives_one_plan_and_its_text_reads_back() {
    for plan in plans() {
        assert_eq!(draw(plan.seed, plan.lane), plan);
        assert_eq!(Plan::parse(&plan.to_string()), Ok(plan));
    }
    assert_ne!(draw(1, Lane::Durable).operations, draw(2, Lane::Durable).operations);
}

#[test]
fn faults_stay_within_their_lane() {
    for plan in plans() {
        for planned in &plan.faults {
            assert!(plan.lane.families().contains(&planned.fault.family()), "{} in {}", planned.fault, plan.lane);
        }
    }
}

#[test]
fn half_of_the_faults_wait_for_an_event() {
    let triggers: Vec<Trigger> = plans().flat_map(|plan| plan.faults).map(|planned| planned.trigger).collect();
    let waiting = triggers.iter().filter(|trigger| !matches!(trigger, Trigger::At { .. })).count();
    assert!(waiting * 2 >= triggers.len(), "{waiting} of {}", triggers.len());
}

#[test]
fn enough_is_asked_of_the_broker() {
    for plan in plans() {
        let sends = plan.operations.iter().map(|operation| match operation.action {
            Action::Send { records, .. } => u64::from(records),
            Action::Put { .. } | Action::Delete { .. } => 1,
            _ => 0,
        });
        let sends: u64 = sends.sum();
        assert!(sends > 300, "seed {} in {} sends {sends} records", plan.seed, plan.lane);
    }
}

#[test]
fn every_word_is_drawn_in_some_run() {
    let mut counts = BTreeMap::new();
    let mut knobs = BTreeSet::new();
    for plan in plans() {
        matrix(&plan, &mut counts);
        knobs.extend(plan.knobs.iter().map(|(name, value)| format!("{name} {value}")));
    }
    let families: BTreeSet<_> = counts.keys().map(|cell| cell.family).collect();
    // What clients do is drawn among the operations.
    assert_eq!(families.len(), FAMILIES.len() - 1, "{families:?}");
    for (name, values) in knob_names() {
        for value in values {
            assert!(knobs.contains(&format!("{name} {value}")), "{name} is never {value}");
        }
    }
}
