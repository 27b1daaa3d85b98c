//! Promise: a query by timestamp names the first record at or after it, a query for the largest timestamp a record that
//! has it.

use std::collections::BTreeMap;

use barnabas_base::{Offset, TimestampMs};
use barnabas_history::{LogName, Seen};
use barnabas_plan::{Action, OffsetSpec, Plan};

use crate::facts::{Facts, LastRead, Query, whole};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "offset-query",
    words: "offsets by timestamp are those of the records",
    kind: Kind::BlackBox,
    applies: asks,
    check,
};

/// Where nobody asks by timestamp there is no answer.
fn asks(plan: &Plan) -> bool {
    let by_timestamp = |spec: &OffsetSpec| matches!(spec, OffsetSpec::Timestamp | OffsetSpec::MaxTimestamp);
    let asks = |action: &Action| matches!(action, Action::Offsets { spec, .. } if by_timestamp(spec));
    whole(plan) && plan.operations.iter().any(|operation| asks(&operation.action))
}

/// Judges every answer by timestamp against what the last read found.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let stood = Stood::new(facts, read);
    for query in facts.queries() {
        if facts.stretch(query.invoked, query.ended) != Some(facts.losses.len()) {
            continue;
        }
        let wrong = match query.spec {
            OffsetSpec::Earliest | OffsetSpec::Latest => continue,
            OffsetSpec::Timestamp => stood.by_timestamp(query),
            OffsetSpec::MaxTimestamp => stood.by_max_timestamp(query),
        };
        court.judge(wrong.is_some(), Some(query.ended), Some(query.log), || {
            let reason = wrong.unwrap_or_default();
            format!("{} {} of {} was answered {}: {reason}", query.spec, query.asked, shown(query.log), query.offset)
        });
    }
    court.verdict()
}

/// What stood in the logs and since when at the latest.
struct Stood<'a> {
    read: &'a LastRead,
    /// By log and offset, the position at which it was known.
    known: BTreeMap<(LogName, Offset), usize>,
}

impl<'a> Stood<'a> {
    fn new(facts: &Facts<'_>, read: &'a LastRead) -> Self {
        let known = facts.known_since();
        Self { read, known }
    }

    /// Records of the last read that stood in the log before the query began.
    fn before(&self, query: &Query) -> impl Iterator<Item = (&Offset, &Seen)> {
        let invoked = query.invoked;
        let log = query.log;
        let since = move |offset: Offset| self.known.get(&(log, offset)).is_some_and(|since| *since < invoked);
        let records = self.read.logs.get(&log).into_iter().flatten();
        records.filter(move |(offset, _)| since(**offset))
    }

    fn answered(&self, query: &Query) -> Option<&Seen> {
        self.read.logs.get(&query.log)?.get(&query.offset)
    }

    fn by_timestamp(&self, query: &Query) -> Option<String> {
        if let Some(seen) = self.answered(query)
            && seen.timestamp < query.asked
        {
            return Some(format!("that record is of {}", seen.timestamp));
        }
        let none = query.offset < Offset::ZERO;
        let mut earlier = self.before(query).take_while(|(offset, _)| none || **offset < query.offset);
        let missed = earlier.find(|(_, seen)| seen.timestamp >= query.asked);
        if let Some((offset, seen)) = missed {
            return Some(format!("{offset} is of {}", seen.timestamp));
        }
        self.timestamp_of_answer(query)
    }

    fn by_max_timestamp(&self, query: &Query) -> Option<String> {
        let largest = self.before(query).map(|(_, seen)| seen.timestamp).max();
        let answered = self.answered(query).map(|seen| seen.timestamp);
        match (largest, answered) {
            (Some(largest), Some(answered)) if answered < largest => Some(format!("a record is of {largest}")),
            (Some(_) | None, Some(_) | None) => self.timestamp_of_answer(query),
        }
    }

    fn timestamp_of_answer(&self, query: &Query) -> Option<String> {
        let seen = self.answered(query)?;
        let named = query.timestamp != TimestampMs::NONE && query.timestamp != seen.timestamp;
        named.then(|| format!("the answer says {} and the record {}", query.timestamp, seen.timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use barnabas_plan::OffsetSpec::{MaxTimestamp, Timestamp};

    fn at(offset: i64, value: u64, timestamp: i64) -> Seen {
        Seen { timestamp: TimestampMs(timestamp), ..crate::piece::seen(offset, value) }
    }

    fn records() -> Vec<Seen> {
        vec![at(0, 1, 10), at(1, 2, 30), at(2, 3, 20)]
    }

    fn sent() -> crate::piece::Piece {
        durable().sent(0, 1, 0).sent(0, 2, 1).sent(0, 3, 2)
    }

    #[test]
    fn accepts_the_first_record_at_or_after() {
        accepts(
            &PROMISE,
            [
                sent().last_saw(records()).asked(Timestamp, 20, 1).asked(Timestamp, 10, 0).asked(Timestamp, 31, -1),
                sent().last_saw(records()).asked(MaxTimestamp, -1, 1),
                durable().sent(0, 1, 0).asked(Timestamp, 20, -1).sent(0, 2, 1).sent(0, 3, 2).last_saw(records()),
                durable().sent(0, 1, 0).asked(MaxTimestamp, -1, 0).sent(0, 2, 1).last_saw(records()),
            ],
        );
    }

    #[test]
    fn rejects_others() {
        rejects(
            &PROMISE,
            [
                sent().last_saw(records()).asked(Timestamp, 20, 2),
                sent().last_saw(records()).asked(Timestamp, 20, 0),
                sent().last_saw(records()).asked(Timestamp, 30, -1),
                sent().asked(Timestamp, 20, -1).last_saw(records()),
                sent().last_saw(records()).asked(MaxTimestamp, -1, 2),
                sent().last_saw(records()).asked(MaxTimestamp, -1, 0),
            ],
        );
    }
}
