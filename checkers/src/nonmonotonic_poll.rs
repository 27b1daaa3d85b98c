//! Promise: a reader that keeps its partitions never goes back: the first record of a poll lies behind the last of the
//! poll before, or at or behind the committed position where a member began.

use crate::facts::{Facts, always};
use crate::reading::readings;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "nonmonotonic-poll",
    words: "a reader never goes back between polls",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every poll against the position at which its reader stood.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    for reading in readings(facts) {
        let (position, first) = (reading.position, reading.first);
        court.judge(first < position, Some(reading.ended), Some(reading.log), || {
            let by = reading.by;
            let log = shown(reading.log);
            format!("{}.{} stood at {position} of {log} and read {first}", by.client, by.life)
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_history::{Call, Outcome};
    use barnabas_plan::Lane;

    #[test]
    fn accepts_readers_that_go_on() {
        accepts(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1)]).polled(1, &[(1, 2)]).polled(1, &[(7, 3)]),
                durable().assigned(1, 1, Some(4)).polled(1, &[(4, 2)]),
            ],
        );
        let lost = || Outcome::Unknown("timed out".to_owned());
        passes_over(
            &PROMISE,
            [
                durable().polled(1, &[(3, 1)]).assign(1, true).polled(1, &[(0, 2)]),
                durable().polled(1, &[(3, 1)]).polled(2, &[(0, 2)]),
                durable().polled(1, &[(3, 1)]).assigned(1, 2, None).polled(1, &[(0, 2)]),
                durable().polled(1, &[(3, 1)]).call(1, Call::Poll { group: None }, lost()).polled(1, &[(3, 1)]),
                Piece::of(Lane::PageCache).polled(1, &[(3, 1)]).power_lost().polled(1, &[(0, 2)]),
            ],
        );
    }

    #[test]
    fn rejects_readers_that_go_back() {
        rejects(
            &PROMISE,
            [
                durable().polled(1, &[(3, 1)]).polled(1, &[(3, 1)]),
                durable().assign(1, true).polled(1, &[(3, 1), (4, 2)]).polled(1, &[(2, 2)]),
                durable().assigned(1, 1, Some(4)).polled(1, &[(3, 2)]),
                Piece::of(Lane::PageCache).power_lost().assign(1, true).polled(1, &[(3, 1)]).polled(1, &[(0, 2)]),
            ],
        );
    }
}
