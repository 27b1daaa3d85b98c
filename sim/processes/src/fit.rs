//! A plan cut to what can be done to a process from outside: killed, stopped, paused, its connections reset. Pure.

use barnabas_plan::{Fault, Lane, Machine, NodeName, Plan, PlannedFault, Trigger};

/// Lanes whose promises hold for a process that never loses power.
const LANES: [Lane; 7] =
    [Lane::Durable, Lane::Acks, Lane::Groups, Lane::Compacted, Lane::Admin, Lane::Retention, Lane::Raw];
/// A pause that is longer than this would last as long as the run.
const PAUSE_MS_MAX: u64 = 2_000;
/// The longest time between two faults of the same moment.
const APART_MS: u64 = 400;
/// The prefix of knobs that are the broker's configuration.
const BROKER: &str = "broker.";

/// The lane that a seed has when nobody names one.
pub(crate) fn lane_of(seed: u64) -> Lane {
    let index = usize::try_from(seed % LANES.len() as u64).expect("there are few lanes");
    LANES[index]
}

/// What the plan wants of the broker's configuration.
pub(crate) fn broker_config(plan: &Plan) -> Vec<(&str, &str)> {
    plan.knobs.under(BROKER).collect()
}

/// The plan with a safety phase of `safety_ms`. Faults that wait for an event nobody can see from outside come at the time
/// from which they would wait for it; a loss of power is a kill.
pub(crate) fn fit(mut plan: Plan, safety_ms: u64) -> Plan {
    plan.quiet = None;
    plan.safety_ms = safety_ms;
    plan.operations.retain(|operation| operation.at_ms < safety_ms);
    let mut faults: Vec<(u64, u32, Fault)> = plan
        .faults
        .iter()
        .filter_map(|planned| Some((planned.trigger.since_ms() % safety_ms, planned.id, from_outside(&planned.fault)?)))
        .collect();
    faults.sort_by_key(|(at_ms, id, _)| (*at_ms, *id));
    let mut earliest_ms = 0;
    plan.faults = faults
        .into_iter()
        .map(|(at_ms, id, fault)| {
            let ms = at_ms.max(earliest_ms);
            earliest_ms = ms + APART_MS;
            PlannedFault { id, trigger: Trigger::At { ms }, fault }
        })
        .filter(|planned| planned.trigger.since_ms() < safety_ms)
        .collect();
    plan
}

/// The nearest that can be done to a process.
fn from_outside(fault: &Fault) -> Option<Fault> {
    match fault {
        Fault::Crash { node, back_ms } | Fault::PowerLoss { node, back_ms, .. } => {
            Some(Fault::Crash { node: *node, back_ms: *back_ms })
        }
        Fault::Stop { .. } => Some(fault.clone()),
        Fault::Pause { machine: Machine::Node(node), for_ms } => {
            Some(Fault::Pause { machine: Machine::Node(*node), for_ms: (*for_ms).min(PAUSE_MS_MAX) })
        }
        Fault::FreezeShard { node, for_ms, .. } => {
            Some(Fault::Pause { machine: Machine::Node(*node), for_ms: (*for_ms).min(PAUSE_MS_MAX) })
        }
        Fault::Reset { .. } | Fault::ResetAfter { .. } | Fault::HalfOpen { .. } => {
            let (from, to) = (Machine::Node(NodeName(0)), Machine::Node(NodeName(0)));
            Some(Fault::Reset { from, to })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_can_be_done_to_a_process() {
        let (mut kills, mut pauses, mut resets, mut stops) = (0, 0, 0, 0);
        for seed in 0..200 {
            let lane = lane_of(seed);
            let plan = fit(barnabas_nemesis::draw(seed, lane), 20_000);
            assert!(plan.operations.iter().all(|operation| operation.at_ms < 20_000), "seed {seed}");
            let times: Vec<u64> = plan.faults.iter().map(|planned| planned.trigger.since_ms()).collect();
            assert!(times.windows(2).all(|pair| pair[0] + APART_MS <= pair[1]), "seed {seed}: {times:?}");
            for planned in &plan.faults {
                match planned.fault {
                    Fault::Crash { .. } => kills += 1,
                    Fault::Pause { .. } => pauses += 1,
                    Fault::Reset { .. } => resets += 1,
                    Fault::Stop { .. } => stops += 1,
                    ref other => panic!("seed {seed}: {other:?} cannot be done to a process"),
                }
            }
        }
        assert!([kills, pauses, resets, stops].iter().all(|count| *count > 20), "{kills} {pauses} {resets} {stops}");
    }

    #[test]
    fn the_broker_is_configured_as_the_simulated_one() {
        let mut plan = Plan::empty(1, Lane::Durable);
        plan.knobs.set("broker.log.index.interval.bytes", 512_u64);
        plan.knobs.set("world.shards", 3_u64);
        assert_eq!(broker_config(&plan), [("log.index.interval.bytes", "512")]);
    }
}
