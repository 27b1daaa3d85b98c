//! Promise: the ends that a log says it has are its ends. ListOffsets answers never fall, the latest covers what was
//! acknowledged or read before, the earliest moves only where something may be deleted.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;
use barnabas_plan::OffsetSpec;

use crate::facts::{End, Facts, whole};
use crate::lawful::Lawful;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "end-offset",
    words: "start and end of a log never fall, and the end covers what is known to stand in it",
    kind: Kind::BlackBox,
    applies: whole,
    check,
};

/// Something after which an end of a log is known to be at or above an offset.
struct Floor {
    ended: usize,
    bound: Bound,
    offset: Offset,
}

type Bound = (LogName, usize, OffsetSpec);

/// Judges every answer for the earliest and the latest offset.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let lawful = Lawful::new(facts);
    let read = facts.last_read();
    let mut floors = floors(facts).into_iter().peekable();
    let mut highest = BTreeMap::<Bound, Offset>::new();
    for query in facts.queries() {
        while let Some(floor) = floors.next_if(|floor| floor.ended < query.invoked) {
            let top = highest.entry(floor.bound).or_insert(floor.offset);
            *top = (*top).max(floor.offset);
        }
        let Some(stretch) = facts.stretch(query.invoked, query.ended) else { continue };
        let step = query.ended;
        let (log, spec, offset) = (query.log, query.spec, query.offset);
        if !matches!(spec, OffsetSpec::Earliest | OffsetSpec::Latest) {
            continue;
        }
        let floor = highest.get(&(log, stretch, spec)).copied().unwrap_or(Offset::ZERO);
        court.judge(offset < floor, Some(step), Some(log), || {
            format!("the {spec} offset of {} was {offset} after {floor} was known", shown(log))
        });
        if spec == OffsetSpec::Earliest && !lawful.retains(log.topic) {
            let trimmed = lawful.trimmed(log.topic, log.partition);
            court.judge(offset > trimmed, Some(step), Some(log), || {
                format!("{} begins at {offset} and nobody deleted beyond {trimmed}", shown(log))
            });
        }
        let Some(read) = read.as_ref().filter(|_| stretch == facts.losses.len()) else { continue };
        let last = read.last(log).filter(|_| spec == OffsetSpec::Latest && !lawful.compacts(log.topic));
        if let Some(last) = last {
            // What grows old while it is read goes from before the reader, who then finds the log to begin further on.
            let begins = read.begins.get(&log).filter(|_| lawful.retains(log.topic));
            let reached = begins.copied().unwrap_or(Offset::ZERO).max(last.plus(1));
            court.judge(offset > reached, Some(step), Some(log), || {
                format!("the end of {} was {offset} and the last read ended at {reached}", shown(log))
            });
        }
    }
    court.verdict()
}

fn floors(facts: &Facts<'_>) -> Vec<Floor> {
    let mut floors = Vec::new();
    let mut add = |log, stretch: Option<usize>, spec, offset, ended| {
        if let Some(stretch) = stretch {
            floors.push(Floor { ended, bound: (log, stretch, spec), offset });
        }
    };
    for send in facts.sends().iter().filter(|send| send.acks < 0) {
        if let End::Ok(Some((log, offset))) = send.end {
            add(log, facts.stretch(send.invoked, send.ended), OffsetSpec::Latest, offset.plus(1), send.ended);
        }
    }
    for poll in facts.polls() {
        if let (Some(log), Some(last)) = (poll.log, poll.records.iter().map(|seen| seen.offset).max()) {
            add(log, poll.stretch, OffsetSpec::Latest, last.plus(1), poll.ended);
        }
    }
    for query in facts.queries() {
        add(query.log, facts.stretch(query.invoked, query.ended), query.spec, query.offset, query.ended);
        if query.spec == OffsetSpec::Earliest {
            add(query.log, facts.stretch(query.invoked, query.ended), OffsetSpec::Latest, query.offset, query.ended);
        }
    }
    for (log, low_watermark, ended) in facts.trims() {
        add(log, facts.stretch(ended, ended), OffsetSpec::Earliest, low_watermark, ended);
    }
    floors.sort_by_key(|floor| floor.ended);
    floors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_plan::Lane;
    use barnabas_plan::OffsetSpec::{Earliest, Latest};

    fn grows_old() -> Piece {
        durable().configured("retention.ms", "1")
    }

    #[test]
    fn accepts_ends_that_rise() {
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).asked(Latest, -1, 1).asked(Latest, -1, 3).asked(Earliest, -1, 0),
                durable().trimmed(2).asked(Earliest, -1, 2).asked(Latest, -1, 2).last(&[]),
                durable().configured("retention.ms", "1").asked(Earliest, -1, 4).asked(Earliest, -1, 6),
                durable().sent(0, 1, 0).last(&[(0, 1)]).asked(Latest, -1, 1),
                grows_old().asked(Latest, -1, 3).last(&[(0, 1)]).asked(Earliest, -1, 3),
                durable().send(0, 1).asked(Latest, -1, 0).ends(0, durable().at_offset(0)),
                Piece::of(Lane::PageCache).sent(0, 1, 5).power_lost().asked(Latest, -1, 3),
            ],
        );
        passes_over(&PROMISE, [durable().acks(1).sent(0, 1, 0).asked(Latest, -1, 0)]);
    }

    #[test]
    fn rejects_ends_that_do_not() {
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).asked(Latest, -1, 0),
                durable().asked(Latest, -1, 3).asked(Latest, -1, 2),
                durable().polled(0, &[(4, 1)]).asked(Latest, -1, 4),
                durable().trimmed(2).asked(Earliest, -1, 1),
                durable().asked(Earliest, -1, 1),
                durable().asked(Latest, -1, 3).last(&[(0, 1)]),
                grows_old().asked(Latest, -1, 3).last(&[(0, 1)]).asked(Earliest, -1, 2),
                durable().asked(Latest, -1, 3).last(&[(0, 1)]).asked(Earliest, -1, 3),
            ],
        );
    }
}
