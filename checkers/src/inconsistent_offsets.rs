//! Promise: an offset of a log holds one value, whoever learns it and however: by an acknowledgement or by a read.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{LogName, Value};

use crate::facts::{End, Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "inconsistent-offsets",
    words: "an offset holds one value",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every value whose offset became known.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let mut values = BTreeMap::new();
    let mut see = |stretch: Option<usize>, log: LogName, offset: Offset, value: Value, step| {
        let Some(stretch) = stretch else { return };
        let first = *values.entry((stretch, log, offset)).or_insert(value);
        court.judge(first != value, Some(step), Some(log), || {
            format!("offset {offset} of {} held {first} and {value}", shown(log))
        });
    };
    for send in facts.sends() {
        if let End::Ok(Some((log, offset))) = send.end {
            see(facts.stretch(send.invoked, send.ended), log, offset, send.value, send.ended);
        }
    }
    for poll in facts.polls() {
        for seen in poll.records {
            if let (Some(log), Some(value)) = (poll.log, seen.content.value()) {
                see(poll.stretch, log, seen.offset, value, poll.ended);
            }
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
    fn accepts_agreement() {
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).polled(1, &[(0, 1)]).last(&[(0, 1)]),
                durable().sent(0, 1, 0).on(log(2)).sent(0, 2, 0),
                Piece::of(Lane::PageCache).sent(0, 1, 0).power_lost().sent(0, 2, 0).last(&[(0, 2)]),
            ],
        );
        passes_over(
            &PROMISE,
            [Piece::of(Lane::PageCache).sent(0, 1, 0).assign(1, true).power_lost().polled(1, &[(0, 1)])],
        );
    }

    #[test]
    fn rejects_another_value_at_an_offset() {
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).polled(1, &[(0, 2)]),
                durable().polled(0, &[(0, 1)]).polled(1, &[(0, 2)]),
                durable().sent(0, 1, 4).power_lost().sent(1, 2, 4),
                Piece::of(Lane::PageCache).power_lost().sent(0, 1, 0).last(&[(0, 2)]),
            ],
        );
    }
}
