//! Promise: what a process sends later to a log stands behind what it sent before, when it is idempotent or keeps one
//! batch in flight. Jepsen's nonmonotonic-send.

use std::collections::BTreeMap;

use crate::facts::{End, Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "order",
    words: "later sends of a process land at later offsets",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every acknowledged send against the one that the same process invoked before it.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let mut last = BTreeMap::new();
    for send in facts.sends() {
        let in_order = send.idempotent || evidence.plan.client(send.by.client).is_some_and(|one| one.in_flight == 1);
        let End::Ok(Some((log, offset))) = send.end else { continue };
        let (Some(stretch), true) = (facts.stretch(send.invoked, send.ended), in_order) else { continue };
        if let Some((before, value)) = last.insert((send.by, log, stretch), (offset, send.value)) {
            court.judge(offset <= before, Some(send.ended), Some(log), || {
                let now = send.value;
                format!("{now} was sent after {value} and landed at {offset}, not behind {before} of {}", shown(log))
            });
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, log, passes_over, rejects};

    use barnabas_plan::Lane;

    #[test]
    fn accepts_rising_offsets() {
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).sent(0, 2, 3),
                durable()
                    .send(0, 1)
                    .send(0, 2)
                    .send(0, 3)
                    .ends(1, durable().at_offset(1))
                    .ends(0, durable().at_offset(0)),
            ],
        );
        passes_over(
            &PROMISE,
            [
                durable().sent(0, 2, 3).sent(1, 1, 0),
                durable().sent(0, 1, 3).on(log(2)).sent(0, 2, 0),
                durable().plain().sent(0, 1, 3).sent(0, 2, 0),
                Piece::of(Lane::PageCache).sent(0, 1, 3).power_lost().sent(0, 2, 0),
            ],
        );
    }

    #[test]
    fn rejects_a_later_send_at_an_earlier_offset() {
        let at = |offset| durable().at_offset(offset);
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 5).sent(0, 2, 4),
                durable().sent(0, 1, 5).sent(0, 2, 5),
                durable().send(0, 1).send(0, 2).ends(1, at(0)).ends(0, at(1)),
                durable().plain().plan(|plan| plan.clients[0].in_flight = 1).sent(0, 1, 5).sent(0, 2, 4),
            ],
        );
    }
}
