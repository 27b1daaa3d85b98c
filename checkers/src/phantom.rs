//! Promise: what is read was sent by somebody; no record comes from nowhere.

use std::collections::BTreeSet;

use crate::facts::{Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise =
    Promise { name: "phantom", words: "what is read was sent", kind: Kind::BlackBox, applies: always, check };

/// Judges every record that was read, except those that nobody can read: they are [`super::mutated`]'s.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let sent: BTreeSet<_> = facts.sends().iter().map(|send| (send.value, send.invoked)).collect();
    for poll in facts.polls() {
        for seen in poll.records {
            let Some(value) = seen.content.value() else { continue };
            let invoked = sent.range((value, 0)..).next().filter(|(first, _)| *first == value);
            let before = invoked.is_some_and(|(_, invoked)| *invoked < poll.ended);
            court.judge(!before, Some(poll.ended), poll.log, || {
                let log = poll.log.map_or_else(|| "a log".to_owned(), shown);
                format!("{value} at {} of {log} was never sent", seen.offset)
            });
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    #[test]
    fn accepts_what_was_sent() {
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).unknown(0, 2).polled(1, &[(0, 1), (1, 2)]),
                durable().send(0, 1).polled(1, &[(0, 1)]),
            ],
        );
    }

    #[test]
    fn rejects_what_nobody_sent() {
        rejects(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1)]),
                durable().sent(0, 1, 0).last(&[(0, 1), (1, 2)]),
                durable().polled(1, &[(0, 1)]).sent(0, 1, 0),
            ],
        );
    }
}
