//! Promise: within one answer offsets of a log rise.

use crate::facts::{Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "int-nonmonotonic-poll",
    words: "offsets rise within a poll",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every pair of neighbours in every poll during which its reader kept its partitions.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    for poll in facts.polls().iter().filter(|poll| !poll.disturbed) {
        // A loss may have sent the reader back to the start between two records.
        let (Some(log), Some(_)) = (poll.log, poll.stretch) else { continue };
        for pair in poll.records.windows(2) {
            let [before, after] = [pair[0].offset, pair[1].offset];
            court.judge(after <= before, Some(poll.ended), Some(log), || {
                format!("one poll returned {after} of {} after {before}", shown(log))
            });
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_history::{Call, Outcome, Reply};
    use barnabas_plan::Lane;

    #[test]
    fn accepts_rising_offsets() {
        accepts(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1), (5, 2)]).polled(1, &[(0, 1), (1, 3)]),
                durable().polled(1, &[(3, 1), (4, 2)]),
            ],
        );
        let logs = || vec![(crate::piece::log(1), vec![crate::piece::seen(5, 1), crate::piece::seen(0, 2)])];
        let answered = || Outcome::Ok(Reply::Polled { logs: logs() });
        passes_over(
            &PROMISE,
            [
                durable().invoke(1, Call::Poll { group: None }).assigned(1, 1, None).ends(0, answered()),
                Piece::of(Lane::PageCache).started(0).power_lost().polled(1, &[(5, 1), (0, 2)]),
            ],
        );
    }

    #[test]
    fn rejects_steps_back() {
        rejects(
            &PROMISE,
            [
                durable().polled(1, &[(5, 1), (0, 2)]),
                durable().polled(1, &[(5, 1), (5, 2)]),
                Piece::of(Lane::PageCache).power_lost().assign(1, true).polled(1, &[(5, 1), (0, 2)]),
            ],
        );
    }
}
