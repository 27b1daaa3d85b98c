//! Promise: a log that nobody compacts has no holes: there are no transactions, so that every offset between its first and
//! its last record holds a record.

use barnabas_base::Offset;

use crate::facts::{Facts, whole};
use crate::lawful::Lawful;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "gap-justified",
    words: "every offset between the start and the end of an uncompacted log holds a record",
    kind: Kind::BlackBox,
    applies: whole,
    check,
};

/// Judges every pair of neighbours in the last read.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let lawful = Lawful::new(facts);
    for (log, records) in read.logs.iter().filter(|(log, _)| !lawful.compacts(log.topic)) {
        let mut last = None;
        for offset in records.keys() {
            if let Some(before) = last.replace(*offset) {
                let from = if lawful.retains(log.topic) { read.begins.get(log).copied() } else { None };
                let missing = offset.minus(from.unwrap_or(Offset::ZERO).max(before.plus(1))).max(0);
                court.judge(missing > 0, Some(read.start), Some(*log), || {
                    format!("{missing} offsets between {before} and {offset} of {} hold nothing", shown(*log))
                });
            }
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_plan::Lane;
    use barnabas_plan::OffsetSpec::Earliest;

    #[test]
    fn accepts_a_log_without_holes() {
        accepts(
            &PROMISE,
            [
                durable().last(&[(0, 1), (1, 2), (2, 3)]),
                durable().trimmed(5).last(&[(5, 1), (6, 2)]),
                durable().configured("retention.ms", "1").last(&[(0, 1), (5, 2)]).asked(Earliest, -1, 5),
                Piece::of(Lane::PageCache).power_lost().last(&[(0, 1), (1, 2)]),
            ],
        );
        passes_over(
            &PROMISE,
            [
                durable().configured("cleanup.policy", "compact").last(&[(0, 1), (5, 2)]),
                durable().polled(1, &[(0, 1), (5, 2)]),
            ],
        );
    }

    #[test]
    fn rejects_holes() {
        rejects(
            &PROMISE,
            [
                durable().last(&[(0, 1), (2, 3)]),
                durable().trimmed(5).last(&[(5, 1), (6, 2), (9, 3)]),
                durable().configured("retention.ms", "1").last(&[(7, 1), (9, 2)]),
                durable().configured("retention.ms", "1").last(&[(0, 1), (5, 2)]).asked(Earliest, -1, 3),
                durable().last(&[(0, 1), (5, 2)]).asked(Earliest, -1, 5),
            ],
        );
    }
}
