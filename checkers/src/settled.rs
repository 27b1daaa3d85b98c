//! Promise: when the faults have ended, everything settles within the bound.
//!
//! Where the device lies, what it damaged may be out of service for good, if the broker says so: a broker refuses to start
//! when its metadata does not read and there is no other copy, naming a file that was damaged; a coordinator whose log
//! does not read refuses its groups, and its broker observes that.

use std::collections::BTreeMap;

use barnabas_base::Observation;
use barnabas_history::{Call, Evidence, Happening, Outcome, Step, What};
use barnabas_plan::{ClientName, Plan};

use crate::facts::{Facts, whole};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "settled",
    words: "after the heal everything settles within the bound",
    kind: Kind::BlackBox,
    applies: promised,
    check,
};

fn promised(plan: &Plan) -> bool {
    plan.lane.promises().settles
}

/// Judges everything of which the world says that it did not settle, and once that it came to the last read.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let mut healed = None;
    let mut refused = false;
    for (position, step) in evidence.steps.iter().enumerate() {
        match &step.what {
            What::Happened(Happening::Unsettled { what }) => {
                let is_honest = is_honest_refusal(evidence, what);
                refused |= is_honest;
                court.judge(!is_honest, Some(position), None, || format!("{what} did not settle"));
            }
            What::Happened(Happening::Healed) => healed = Some(position),
            What::Happened(_) | What::Invoked { .. } | What::Ended { .. } | What::Member { .. } => {}
            What::Reborn { .. } | What::Observed { .. } => {}
        }
    }
    if healed.is_some() {
        let never_began = evidence.final_read().is_none() && !refused;
        court.judge(never_began, healed, None, || "the last read never began".to_owned());
    }
    judge_untold(facts, &mut court);
    court.verdict()
}

/// Whether a broker does not start because of damage and says where: it names a file about which the device lied.
fn is_honest_refusal(evidence: &Evidence, what: &str) -> bool {
    // What was damaged under its staging name is found under its own.
    let damaged = || evidence.damaged.iter().map(|path| path.strip_suffix(".tmp").unwrap_or(path));
    let refusal = what.split_once(THE_BROKER).map(|(_, why)| why);
    !whole(&evidence.plan) && refusal.is_some_and(|why| damaged().any(|path| why.contains(path)))
}

/// With these words the world says why a broker does not serve.
const THE_BROKER: &str = "the broker: ";
/// What a broker observes of a coordinator whose log does not read.
const LOAD_FAILED: &str = barnabas_base::mark::GROUP_LOAD_FAILED.name;

/// Judges whether the readers of everything were told the committed offsets for which they asked.
fn judge_untold(facts: &Facts<'_>, court: &mut Court<'_>) {
    let said = |step: &Step| matches!(step.what, What::Observed { observation: Observation::Mark { name }, .. } if name == LOAD_FAILED);
    let evidence = facts.evidence;
    let is_said = !whole(&evidence.plan) && evidence.steps.iter().any(said);
    let mut asked = BTreeMap::<_, (usize, bool)>::new();
    for view in &facts.calls {
        let (Call::Committed { group, topic }, true) = (view.call, view.by.client == READER) else { continue };
        let (at, told) = asked.entry((view.by.life, *group, *topic)).or_default();
        *at = view.invoked;
        *told |= matches!(view.outcome, Some(Outcome::Ok(_)));
    }
    for ((_, group, topic), (at, told)) in asked {
        court.judge(!told && !is_said, Some(at), None, || {
            format!("nobody told the committed offsets of {group} in {topic}, or why not")
        });
    }
}

/// The client that reads everything.
const READER: ClientName = ClientName(u16::MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_plan::{GroupName, Lane};

    #[test]
    fn accepts_a_run_that_comes_to_its_end() {
        accepts(
            &PROMISE,
            [
                durable().happened(Happening::Healed).last(&[]),
                durable().happened(Happening::Healed).happened(Happening::FirstRead).last(&[(0, 1)]),
            ],
        );
        passes_over(&PROMISE, [durable().started(0)]);
    }

    #[test]
    fn rejects_one_that_does_not() {
        let stuck = || Happening::Unsettled { what: "a Produce".to_owned() };
        rejects(
            &PROMISE,
            [
                durable().happened(Happening::Healed).happened(stuck()),
                durable().happened(Happening::Healed),
                durable().happened(Happening::Healed).last(&[]).happened(stuck()),
            ],
        );
    }

    fn refuses(piece: Piece, why: &str) -> Piece {
        let what = format!("c0 (life 1), the broker: {why}");
        piece.damaged("/data/quorum-state.tmp").happened(Happening::Healed).happened(Happening::Unsettled { what })
    }

    #[test]
    fn a_broker_refuses_to_start_for_damage_that_it_names() {
        let rot = || Piece::of(Lane::Rot);
        accepts(&PROMISE, [refuses(rot(), "/data/quorum-state does not read as a quorum state")]);
        rejects(
            &PROMISE,
            [
                refuses(rot(), "not serving"),
                refuses(rot(), "/data/meta.properties has no cluster.id"),
                refuses(durable(), "/data/quorum-state does not read as a quorum state"),
            ],
        );
    }

    #[test]
    fn a_coordinator_refuses_groups_whose_log_does_not_read() {
        let asks = |piece: Piece| {
            let call = Call::Committed { group: GroupName(0), topic: crate::piece::T0 };
            piece.call(u16::MAX, call, Outcome::Failed("NOT_COORDINATOR".to_owned()))
        };
        let says = |piece: Piece| piece.observed(Observation::Mark { name: LOAD_FAILED });
        accepts(&PROMISE, [asks(says(Piece::of(Lane::Rot))).happened(Happening::Healed).last(&[])]);
        rejects(&PROMISE, [asks(Piece::of(Lane::Rot)), asks(says(durable()))]);
    }
}
