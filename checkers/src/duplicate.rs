//! Promise: an idempotent producer's value stands at one offset of one log. A retry without idempotence may append twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "duplicate",
    words: "a value of an idempotent producer stands at one offset",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every record of an idempotent producer that was read.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let idempotent: BTreeSet<_> = facts.sends().iter().filter(|send| send.idempotent).map(|send| send.value).collect();
    let mut places = BTreeMap::new();
    for poll in facts.polls() {
        let (Some(stretch), Some(log)) = (poll.stretch, poll.log) else { continue };
        for seen in poll.records {
            let Some(value) = seen.content.value().filter(|value| idempotent.contains(value)) else { continue };
            let first = *places.entry((stretch, log, value)).or_insert(seen.offset);
            court.judge(first != seen.offset, Some(poll.ended), Some(log), || {
                format!("{value} stands at {first} and at {} of {}", seen.offset, shown(log))
            });
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, log, passes_over, rejects};

    #[test]
    fn accepts_a_value_read_twice_at_its_offset() {
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).polled(1, &[(0, 1)]).polled(1, &[(0, 1)]),
                durable().unknown(0, 1).polled(1, &[(0, 1)]).on(log(2)).polled(1, &[(3, 1)]),
            ],
        );
        passes_over(&PROMISE, [durable().plain().sent(0, 1, 1).polled(1, &[(0, 1), (1, 1)])]);
    }

    #[test]
    fn rejects_a_value_at_two_offsets() {
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).polled(1, &[(0, 1), (1, 1)]),
                durable().unknown(0, 1).polled(1, &[(0, 1)]).polled(2, &[(5, 1)]),
                durable().failed(0, 1).polled(1, &[(0, 1)]).last(&[(1, 1)]),
            ],
        );
    }
}
