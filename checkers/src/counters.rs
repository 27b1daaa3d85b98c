//! Counters of what a run went through (I44): a lane in which one of them stays at zero has proved less than its name says.

use std::collections::BTreeMap;

use barnabas_base::{Observation, Offset, RestartKind, mark};
use barnabas_history::{Call, CallId, Evidence, Happening, Membership, Outcome, Reply, Step, What};
use barnabas_plan::{Action, Family, NodeName, Plan, PlannedTopic};

use crate::observed::Replica;

/// Whether a run of a plan can raise a counter.
type Due = fn(&Plan) -> bool;

/// Every counter, and whether a run of a plan can raise it: a lane in which hardly one of those runs does is drawn badly.
const COUNTERS: &[(&str, Due)] = &[
    ("acknowledged sends", has_sends),
    ("batches taken back by a restart", |plan| has(plan, Family::Power)),
    ("bytes lost at power loss", |plan| has(plan, Family::Power)),
    ("clean restarts", |plan| has(plan, Family::Stop)),
    ("cleanings", |plan| plan.topics.iter().any(PlannedTopic::is_compacted)),
    ("commits in flight at a rebalance", |plan| does(plan, |action| matches!(action, Action::Commit {}))),
    // Where acknowledged records survive, what rots are caches.
    ("damaged ranges", |plan| plan.lane.promises().detection_only && has(plan, Family::Rot)),
    ("directories failed", |plan| has(plan, Family::DiskError)),
    ("duplicates recognised", has_sends),
    ("log starts moved", |plan| does(plan, |action| matches!(action, Action::Trim { .. }))),
    ("rebalances", |plan| does(plan, |action| matches!(action, Action::Join { .. }))),
    ("records read", |plan| does(plan, |action| matches!(action, Action::Poll { .. }))),
    ("restarts with sends in flight", |plan| has(plan, Family::Kill)),
    ("restarts with unsynced data", |plan| has(plan, Family::Power)),
    ("sends refused", has_sends),
    ("sends unanswered", has_sends),
    ("topics dropped", |plan| does(plan, |action| matches!(action, Action::Drop { .. }))),
    ("unclean restarts", |plan| has(plan, Family::Kill)),
];

fn has(plan: &Plan, family: Family) -> bool {
    plan.faults.iter().any(|planned| planned.fault.family() == family)
}

fn does(plan: &Plan, is_it: fn(&Action) -> bool) -> bool {
    plan.operations.iter().any(|operation| is_it(&operation.action))
}

fn has_sends(plan: &Plan) -> bool {
    does(plan, |action| matches!(action, Action::Send { .. } | Action::Put { .. }))
}

/// What a run went through, by name: the counters that its plan can raise.
#[must_use]
pub fn counters(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    let mut counters = all(evidence);
    let due = |name: &&str| COUNTERS.iter().any(|(counter, due)| counter == name && due(&evidence.plan));
    counters.retain(|name, _| due(name));
    counters
}

fn all(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    let mut count = Count { counters: COUNTERS.iter().map(|(name, _)| (*name, 0)).collect(), ..Count::default() };
    evidence.steps.iter().for_each(|step| count.step(step));
    count.counters
}

#[derive(Default)]
struct Count {
    counters: BTreeMap<&'static str, u64>,
    sends: u64,
    commits: u64,
    /// End and synced point of each log in its present life.
    logs: BTreeMap<Replica, (Offset, Offset)>,
    calls: BTreeMap<CallId, Open>,
}

/// What kind of call is under way.
#[derive(Clone, Copy)]
enum Open {
    Send,
    Commit,
    Drop,
    Other,
}

impl Count {
    fn add(&mut self, name: &'static str, count: u64) {
        *self.counters.get_mut(name).expect("every name is in the list") += count;
    }

    fn step(&mut self, step: &Step) {
        match &step.what {
            What::Invoked { id, call, .. } => self.invoked(*id, call),
            What::Ended { id, outcome } => self.ended(*id, outcome),
            What::Member { change, .. } => {
                if matches!(change, Membership::Assigned { .. }) {
                    self.add("rebalances", 1);
                } else {
                    self.add("commits in flight at a rebalance", self.commits);
                }
            }
            What::Reborn { .. } => {}
            What::Observed { node, observation, .. } => self.observed(*node, observation),
            What::Happened(happening) => self.happened(happening),
        }
    }

    fn invoked(&mut self, id: CallId, call: &Call) {
        let open = match call {
            Call::Send { .. } => Open::Send,
            Call::Commit { .. } => Open::Commit,
            Call::Drop { .. } => Open::Drop,
            _ => Open::Other,
        };
        self.sends += u64::from(matches!(open, Open::Send));
        self.commits += u64::from(matches!(open, Open::Commit));
        self.calls.insert(id, open);
    }

    fn ended(&mut self, id: CallId, outcome: &Outcome) {
        let open = self.calls.remove(&id).unwrap_or(Open::Other);
        match (open, outcome) {
            (Open::Send, Outcome::Ok(_)) => self.add("acknowledged sends", 1),
            (Open::Send, Outcome::Failed(_)) => self.add("sends refused", 1),
            (Open::Send, Outcome::Unknown(_)) => self.add("sends unanswered", 1),
            (Open::Drop, Outcome::Ok(_)) => self.add("topics dropped", 1),
            (Open::Other, Outcome::Ok(Reply::Polled { logs })) => {
                self.add("records read", logs.iter().map(|(_, records)| records.len() as u64).sum());
            }
            (Open::Commit | Open::Drop | Open::Other, _) => {}
        }
        self.sends -= u64::from(matches!(open, Open::Send));
        self.commits -= u64::from(matches!(open, Open::Commit));
    }

    fn observed(&mut self, node: NodeName, observation: &Observation) {
        match observation {
            Observation::Appended { partition, end_offset, .. } => {
                self.logs.entry((node, *partition)).or_default().0 = *end_offset;
            }
            Observation::Synced { partition, offset } => {
                self.logs.entry((node, *partition)).or_default().1 = *offset;
            }
            Observation::LogLoaded { partition, end_offset, .. } => {
                let before = self.logs.insert((node, *partition), (*end_offset, *end_offset));
                let shorter = before.is_some_and(|(end, _)| *end_offset < end);
                self.add("batches taken back by a restart", u64::from(shorter));
            }
            Observation::Acked { duplicate: true, .. } => self.add("duplicates recognised", 1),
            Observation::LogStartSet { .. } => self.add("log starts moved", 1),
            Observation::Damaged { .. } => self.add("damaged ranges", 1),
            Observation::DirectoryFailed { .. } => self.add("directories failed", 1),
            Observation::Restarted { kind: RestartKind::Clean, .. } => self.add("clean restarts", 1),
            Observation::Restarted { kind: RestartKind::Unclean, .. } => self.add("unclean restarts", 1),
            Observation::Mark { name } => self.add("cleanings", u64::from(*name == mark::LOG_CLEANED.name)),
            _ => {}
        }
    }

    fn happened(&mut self, happening: &Happening) {
        match happening {
            Happening::Ended { node, .. } => {
                self.add("restarts with sends in flight", u64::from(self.sends > 0));
                let mut logs = self.logs.iter().filter(|((of, _), _)| of == node);
                let unsynced = logs.any(|(_, (end, synced))| synced < end);
                self.add("restarts with unsynced data", u64::from(unsynced));
            }
            Happening::PowerLost { lost_bytes, .. } => self.add("bytes lost at power loss", *lost_bytes),
            Happening::Started { .. }
            | Happening::Serving { .. }
            | Happening::Panicked { .. }
            | Happening::Fault { .. }
            | Happening::FaultEnded { .. }
            | Happening::Quiet
            | Happening::Healed
            | Happening::FirstRead
            | Happening::FinalRead
            | Happening::Holds { .. }
            | Happening::Misanswered { .. }
            | Happening::Unsettled { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::durable;
    use barnabas_plan::{Fate, Fault, PlannedFault, Trigger};

    #[test]
    fn everything_is_counted_once() {
        let piece = durable().started(0).sent(0, 1, 0).failed(0, 2).unknown(0, 3).appended(0, 2).synced(1);
        let piece = piece.send(0, 4).lives(false).power_lost().loaded(RestartKind::Unclean, 0, 1).polled(1, &[(0, 1)]);
        let counted = all(&piece.evidence);
        let expected = [
            ("acknowledged sends", 1),
            ("sends refused", 1),
            ("sends unanswered", 1),
            ("restarts with sends in flight", 1),
            ("restarts with unsynced data", 1),
            ("batches taken back by a restart", 1),
            ("bytes lost at power loss", 9),
            ("records read", 1),
            ("duplicates recognised", 0),
        ];
        for (name, count) in expected {
            assert_eq!(counted.get(name), Some(&count), "{name}");
        }
    }

    #[test]
    fn only_what_the_plan_can_raise_is_told() {
        let mut piece = durable().sent(0, 1, 0).lives(false);
        assert_eq!(counters(&piece.evidence), BTreeMap::new(), "nothing is planned");
        let fault = Fault::PowerLoss { node: NodeName(0), fate: Fate::Drawn, back_ms: 1 };
        piece.evidence.plan.faults.push(PlannedFault { id: 0, trigger: Trigger::At { ms: 1 }, fault });
        assert!(counters(&piece.evidence).contains_key("bytes lost at power loss"));
        assert!(!counters(&piece.evidence).contains_key("damaged ranges"));
    }

    #[test]
    fn a_commit_at_a_rebalance_is_counted() {
        let piece = durable().assigned(1, 1, None).invoke(1, durable().to_commit(1, 1, 5));
        let change = Membership::Revoked { group: crate::piece::G0, reason: "rebalance".to_owned() };
        let piece = piece.push(What::Member { by: crate::piece::life(1), change });
        assert_eq!(all(&piece.evidence)["commits in flight at a rebalance"], 1);
        assert_eq!(all(&piece.evidence)["rebalances"], 1);
    }
}
