//! Promise: a fetch that begins anywhere finds the first record at or behind its offset. Readers that go from record to
//! record hardly need an index; this one has to be told where to begin.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::Offset;
use barnabas_history::{Call, Content, LogName, Outcome, Reply};

use crate::compacted::deleted_later;
use crate::facts::{Facts, LastRead, whole};
use crate::lawful::Lawful;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "look",
    words: "a fetch begins with the first record at or behind its offset",
    kind: Kind::BlackBox,
    applies: whole,
    check,
};

/// The error of a fetch outside of a log.
const OUT_OF_RANGE: &str = "OFFSET_OUT_OF_RANGE";

/// Judges every look against what the last read found. Between it and the looks nothing is written, but cleaning and
/// retention go on.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let lawful = Lawful::new(facts);
    let mut stayings = BTreeMap::new();
    for view in facts.calls.iter().filter(|view| view.invoked > read.start) {
        let Call::Look { topic, partition, from } = view.call else { continue };
        let logs = read.logs.keys().filter(|log| (log.topic, log.partition) == (*topic, *partition));
        // A name that had several incarnations is nobody's.
        let [log] = logs.collect::<Vec<_>>()[..] else { continue };
        let found = match view.outcome {
            Some(Outcome::Ok(Reply::Offset { offset, .. })) => Some(*offset),
            Some(Outcome::Failed(name)) if name == OUT_OF_RANGE => None,
            Some(_) | None => continue,
        };
        let staying = stayings.entry(*log).or_insert_with(|| staying(facts, read, *log, lawful.compacts(log.topic)));
        let wrong = wrong(staying, *from, found);
        court.judge(wrong.is_some(), Some(facts.end_of(view)), Some(*log), || {
            format!("a fetch at {from} of {} {}", shown(*log), wrong.unwrap_or_default())
        });
    }
    court.verdict()
}

/// Offsets of the records that are still there whatever cleaning and retention have taken since.
fn staying(facts: &Facts<'_>, read: &LastRead, log: LogName, is_compacted: bool) -> Staying {
    let begins = read.begins.get(&log).copied().unwrap_or(Offset::ZERO);
    let mut newer = BTreeSet::new();
    let mut offsets = BTreeSet::new();
    for (offset, seen) in read.logs.get(&log).into_iter().flatten().rev() {
        let is_newest = newer.insert(seen.key);
        // A tombstone that was cleaned away before the read came to it has left nothing to see.
        let is_deleted = || seen.key.is_some_and(|key| deleted_later(facts, log, key, *offset));
        let may_go = is_compacted && (!is_newest || matches!(seen.content, Content::Tombstone(_)) || is_deleted());
        if *offset >= begins && !may_go {
            offsets.insert(*offset);
        }
    }
    Staying { begins, offsets }
}

struct Staying {
    /// Where the log began afterwards.
    begins: Offset,
    offsets: BTreeSet<Offset>,
}

/// What is wrong with the first record that a look at `from` found; `None` for an offset that was out of range.
fn wrong(staying: &Staying, from: Offset, found: Option<Offset>) -> Option<String> {
    let first = staying.offsets.range(from..).next().copied();
    let Some(found) = found else {
        return first.filter(|_| from >= staying.begins).map(|first| format!("was out of range, and {first} is there"));
    };
    let missed = first.filter(|first| found < Offset::ZERO || *first < found);
    if let Some(missed) = missed {
        return Some(format!("began with {found}, and {missed} comes before"));
    }
    (found >= Offset::ZERO && found < from).then(|| format!("began with {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, rejects};

    use barnabas_history::Seen;
    use barnabas_plan::Lane;
    use barnabas_plan::OffsetSpec::Earliest;

    fn read() -> Piece {
        durable().last(&[(3, 1), (4, 2), (9, 3)])
    }

    #[test]
    fn accepts_the_first_record_at_or_behind_the_offset() {
        accepts(
            &PROMISE,
            [
                read().looked(3, 3),
                read().looked(0, 3),
                read().looked(5, 9),
                read().looked(9, 9),
                read().looked(10, -1),
                read().looked_out_of_range(10),
                read().looked(1, 9).asked(Earliest, -2, 9),
                read().looked_out_of_range(4).asked(Earliest, -2, 9),
            ],
        );
    }

    #[test]
    fn rejects_another_one() {
        rejects(
            &PROMISE,
            [
                read().looked(3, 4),
                read().looked(4, 9),
                read().looked(5, -1),
                read().looked(5, 4),
                read().looked_out_of_range(4),
                read().looked(4, 9).asked(Earliest, -2, 4),
            ],
        );
    }

    #[test]
    fn of_a_compacted_log_only_the_newest_of_each_key_is_missed() {
        let keyed = |offset, key| Seen { key: Some(key), ..crate::piece::seen(offset, u64::from(key)) };
        let read = || {
            let piece = durable().configured("cleanup.policy", "compact");
            piece.last_saw(vec![keyed(3, 1), keyed(4, 2), keyed(9, 1)])
        };
        accepts(&PROMISE, [read().looked(0, 4), read().looked(3, 4), read().looked(5, 9)]);
        rejects(&PROMISE, [read().looked(0, 9), read().looked(3, -1)]);
        // Of key 2 a tombstone had come, and was cleaned away before the read came to it.
        let deleted = durable().configured("cleanup.policy", "compact").key(2).deleted(0, 7, 6);
        accepts(&PROMISE, [deleted.last_saw(vec![keyed(4, 2), keyed(9, 1)]).looked(0, 9)]);
    }

    #[test]
    fn where_the_device_lies_nothing_is_judged() {
        assert!(!(PROMISE.applies)(&Piece::of(Lane::Rot).evidence.plan));
    }
}
