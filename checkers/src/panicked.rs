//! Promise: nothing panics, in the broker, the clients or the world.

use barnabas_history::{Happening, What};

use crate::facts::{Facts, always};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise =
    Promise { name: "panicked", words: "no process panics", kind: Kind::BlackBox, applies: always, check };

/// Judges every life of a process and every panic.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for (position, step) in evidence.steps.iter().enumerate() {
        match &step.what {
            What::Happened(Happening::Panicked { machine, task, message }) => {
                court.judge(true, Some(position), None, || format!("{task} on {machine} panicked: {message}"));
            }
            What::Happened(Happening::Started { .. }) | What::Reborn { .. } => {
                court.judge(false, Some(position), None, String::new);
            }
            What::Happened(_) | What::Invoked { .. } | What::Ended { .. } => {}
            What::Member { .. } | What::Observed { .. } => {}
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use barnabas_plan::{ClientName, Machine, NodeName};

    #[test]
    fn accepts_lives_without_panics() {
        accepts(&PROMISE, [durable().started(0), durable().started(0).power_lost().started(1)]);
    }

    #[test]
    fn rejects_any_panic() {
        let panics = |machine| Happening::Panicked { machine, task: "shard 0".to_owned(), message: "no".to_owned() };
        rejects(
            &PROMISE,
            [
                durable().started(0).happened(panics(Machine::Node(NodeName(0)))),
                durable().happened(panics(Machine::Client(ClientName(1)))),
                durable().started(0).last(&[]).happened(panics(Machine::Node(NodeName(0)))),
            ],
        );
    }
}
