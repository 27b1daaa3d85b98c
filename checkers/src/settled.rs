//! Promise: when the faults have ended, everything settles within the bound.

use barnabas_history::{Evidence, Happening, What};
use barnabas_plan::Plan;

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
fn check(evidence: &Evidence) -> Verdict {
    let mut court = Court::new(evidence);
    let mut healed = None;
    for (position, step) in evidence.steps.iter().enumerate() {
        match &step.what {
            What::Happened(Happening::Unsettled { what }) => {
                court.judge(true, Some(position), None, || format!("{what} did not settle"));
            }
            What::Happened(Happening::Healed) => healed = Some(position),
            What::Happened(_) | What::Invoked { .. } | What::Ended { .. } | What::Member { .. } => {}
            What::Reborn { .. } | What::Observed { .. } => {}
        }
    }
    if healed.is_some() {
        court.judge(evidence.final_read().is_none(), healed, None, || "the last read never began".to_owned());
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

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
}
