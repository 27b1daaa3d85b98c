//! Promise: a reader that keeps its partitions passes over no record. What the last read still finds was there all the
//! time, so that nothing lawful can excuse its absence: that what was deleted came back is for `trimmed` to say. Jepsen's
//! poll-skip and int-poll-skip.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;

use crate::facts::{Facts, LastRead, always};
use crate::reading::readings;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "poll-skip",
    words: "a reader passes over no record",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges the way from each record to the next one, within polls and between them.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let latest = facts.losses.len();
    let mut deleted = BTreeMap::<LogName, Offset>::new();
    let last_loss = facts.losses.last().copied();
    for (log, low_watermark, _) in facts.trims().into_iter().filter(|(.., ended)| Some(*ended) > last_loss) {
        let before = deleted.entry(log).or_insert(low_watermark);
        *before = low_watermark.max(*before);
    }
    let mut pass = |log: LogName, from: Offset, to: Offset, step| {
        let from = deleted.get(&log).map_or(from, |before| from.max(*before));
        let skipped = skipped(read, log, from, to);
        court.judge(skipped.is_some(), Some(step), Some(log), || {
            let at = skipped.unwrap_or(Offset::UNKNOWN);
            format!("a reader went from {from} to {to} of {} past the record at {at}", shown(log))
        });
    };
    for reading in readings(facts).iter().filter(|reading| reading.stretch == latest) {
        pass(reading.log, reading.position, reading.first, reading.ended);
    }
    for poll in facts.polls().iter().filter(|poll| !poll.disturbed && poll.stretch == Some(latest)) {
        let Some(log) = poll.log else { continue };
        for pair in poll.records.windows(2) {
            pass(log, pair[0].offset.plus(1), pair[1].offset, poll.ended);
        }
    }
    court.verdict()
}

/// A record of the last read in `from..to`.
fn skipped(read: &LastRead, log: LogName, from: Offset, to: Offset) -> Option<Offset> {
    if from >= to {
        return None;
    }
    read.logs.get(&log)?.range(from..to).next().map(|(offset, _)| *offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_plan::Lane;

    #[test]
    fn accepts_readers_that_miss_nothing() {
        accepts(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1)]).polled(1, &[(1, 2)]).last(&[(0, 1), (1, 2)]),
                durable().polled(1, &[(0, 1)]).polled(1, &[(9, 2)]).last(&[(0, 1), (9, 2)]),
                durable().polled(1, &[(0, 1), (9, 2)]).last(&[(9, 2)]),
                durable().assigned(1, 1, Some(4)).polled(1, &[(6, 2)]).last(&[(3, 1), (6, 2)]),
                durable().polled(1, &[(0, 1)]).trimmed(2).polled(1, &[(2, 3)]).last(&[(0, 1), (1, 2), (2, 3)]),
            ],
        );
        passes_over(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1)]).assigned(1, 2, None).polled(1, &[(2, 3)]).last(&[
                    (0, 1),
                    (1, 2),
                    (2, 3),
                ]),
                Piece::of(Lane::PageCache).polled(1, &[(0, 1), (2, 3)]).power_lost().last(&[(0, 1), (1, 2)]),
                durable().polled(1, &[(0, 1), (2, 3)]),
            ],
        );
    }

    #[test]
    fn rejects_readers_that_skip() {
        let last = [(0, 1), (1, 2), (2, 3)];
        rejects(
            &PROMISE,
            [
                durable().polled(1, &[(0, 1)]).polled(1, &[(2, 3)]).last(&last),
                durable().polled(1, &[(0, 1), (2, 3)]).last(&last),
                durable().assigned(1, 1, Some(1)).polled(1, &[(2, 3)]).last(&last),
                durable().polled(1, &[(0, 1)]).trimmed(1).polled(1, &[(2, 3)]).last(&last),
                Piece::of(Lane::PageCache).power_lost().assign(1, true).polled(1, &[(0, 1), (2, 3)]).last(&last),
                Piece::of(Lane::PageCache)
                    .trimmed(2)
                    .power_lost()
                    .assign(1, true)
                    .polled(1, &[(0, 1), (2, 3)])
                    .last(&last),
            ],
        );
    }
}
