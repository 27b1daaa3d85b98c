//! Promise: a send that failed for certain is never read: every attempt was answered by an error that says that nothing
//! was appended.

use std::collections::BTreeSet;

use crate::facts::{End, Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "aborted-read",
    words: "what was refused for certain is never read",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every record that was read.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let failed: BTreeSet<_> =
        facts.sends().iter().filter(|send| send.end == End::Failed).map(|send| send.value).collect();
    for poll in facts.polls() {
        for seen in poll.records {
            let Some(value) = seen.content.value() else { continue };
            court.judge(failed.contains(&value), Some(poll.ended), poll.log, || {
                let log = poll.log.map_or_else(|| "a log".to_owned(), shown);
                format!("{value} was refused and stands at {} of {log}", seen.offset)
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
    fn accepts_what_was_not_refused() {
        accepts(
            &PROMISE,
            [durable().sent(0, 1, 0).polled(1, &[(0, 1)]), durable().unknown(0, 1).failed(0, 2).polled(1, &[(0, 1)])],
        );
    }

    #[test]
    fn rejects_what_was() {
        rejects(
            &PROMISE,
            [
                durable().failed(0, 1).polled(1, &[(0, 1)]),
                durable().send(0, 1).polled(1, &[(0, 1)]).ends(0, barnabas_history::Outcome::Failed("x".to_owned())),
                durable().failed(0, 1).sent(0, 2, 1).last(&[(0, 1), (1, 2)]),
            ],
        );
    }
}
