//! Promise: an acknowledged record is in the last read at the offset that was acknowledged, unless it left the log
//! lawfully; so is every record that anybody has read. Jepsen's lost-write, sharpened: the offset is known, and the last
//! read is complete, so that a lost suffix is seen as well.
//!
//! Where a power loss may take what was acknowledged, what is left of it is a prefix: what was acknowledged between two
//! losses at a lower offset than a survivor has survived as well.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{LogName, Value};
use barnabas_plan::TopicName;

use crate::facts::{End, Facts, LastRead, Sent, whole};
use crate::lawful::{Lawful, age_ms};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "lost-write",
    words: "what was acknowledged or read is in the last read at its offset, unless it was lawfully deleted",
    kind: Kind::BlackBox,
    applies: whole,
    check,
};

/// A record of which it is known that it stood in a log.
struct Known {
    log: LogName,
    offset: Offset,
    value: Value,
    key: Option<u32>,
    /// Stretch between losses in which it was known.
    stretch: usize,
    /// Position at which it was sent; 0 when that is not known.
    sent: usize,
    step: usize,
    how: &'static str,
}

/// Judges every acknowledged send and every record read before the last read.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let mut known = acknowledged(facts);
    known.extend(read_before(facts, read));
    let ways = Ways::new(facts, read);
    let holds = |known: &Known| read.value(known.log, known.offset) == Some(known.value);
    let mut survivors = BTreeMap::<(LogName, usize), Offset>::new();
    for record in known.iter().filter(|record| holds(record)) {
        let top = survivors.entry((record.log, record.stretch)).or_insert(record.offset);
        *top = (*top).max(record.offset);
    }
    for record in &known {
        let must_survive = record.stretch == facts.losses.len()
            || survivors.get(&(record.log, record.stretch)).is_some_and(|top| record.offset <= *top);
        // A topic that is not there any more is one that somebody dropped, or lost as a whole.
        let is_dropped = !read.topics.contains(&record.log.topic) && facts.may_be_dropped(record.log.topic);
        if !must_survive || is_dropped || ways.out(record) {
            continue;
        }
        court.judge(!holds(record), Some(record.step), Some(record.log), || {
            let found = read.value(record.log, record.offset);
            let found = found.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            let Known { log, offset, value, how, .. } = record;
            format!("{value} was {how} at {offset} of {} and the last read found {found}", shown(*log))
        });
    }
    court.verdict()
}

fn acknowledged(facts: &Facts<'_>) -> Vec<Known> {
    let known = |send: &Sent| {
        let End::Ok(Some((log, offset))) = send.end else { return None };
        let stretch = facts.stretch(send.invoked, send.ended)?;
        let Sent { value, key, invoked: sent, ended: step, .. } = *send;
        (send.acks != 0).then_some(Known { log, offset, value, key, stretch, sent, step, how: "acknowledged" })
    };
    facts.sends().iter().filter_map(known).collect()
}

fn read_before(facts: &Facts<'_>, last: &LastRead) -> Vec<Known> {
    let sent_at: BTreeMap<Value, usize> = facts.sends().iter().map(|send| (send.value, send.invoked)).collect();
    let mut known = Vec::new();
    for poll in facts.polls() {
        // A consumer may hold records from before a loss: only where none is lawful is a read a fact about the log.
        let (Some(log), true) = (poll.log, facts.losses.is_empty() && poll.invoked < last.start) else { continue };
        for seen in poll.records {
            let Some(value) = seen.content.value() else { continue };
            let (offset, key, step) = (seen.offset, seen.key, poll.ended);
            let sent = sent_at.get(&value).copied().unwrap_or(0);
            known.push(Known { log, offset, value, key, stretch: 0, sent, step, how: "read" });
        }
    }
    known
}

/// Ways by which a record may have left.
struct Ways<'a> {
    facts: &'a Facts<'a>,
    read: &'a LastRead,
    lawful: Lawful,
    /// Highest offset of each key in the last read.
    last_of_key: BTreeMap<(LogName, u32), Offset>,
    /// Tombstones that may stand in a log: by key, the highest offset; unknown ones count as highest.
    tombstones: BTreeMap<(TopicName, u32, u32), Offset>,
}

impl<'a> Ways<'a> {
    fn new(facts: &'a Facts<'a>, read: &'a LastRead) -> Self {
        let mut last_of_key = BTreeMap::new();
        for (log, records) in &read.logs {
            for (offset, seen) in records {
                if let Some(key) = seen.key {
                    last_of_key.insert((*log, key), *offset);
                }
            }
        }
        let mut tombstones = BTreeMap::new();
        for send in facts.sends().iter().filter(|send| send.tombstone && send.end != End::Failed) {
            let Some(key) = send.key else { continue };
            let at = if let End::Ok(Some((_, offset))) = send.end { offset } else { Offset(i64::MAX) };
            let top = tombstones.entry((send.topic, send.partition, key)).or_insert(at);
            *top = (*top).max(at);
        }
        Self { facts, read, lawful: Lawful::new(facts), last_of_key, tombstones }
    }

    /// Whether the record's absence would be lawful.
    fn out(&self, record: &Known) -> bool {
        let log = record.log;
        if record.offset < self.lawful.trimmed(log.topic, log.partition) {
            return true;
        }
        let begins = self.read.begins.get(&log).copied().max(self.read.first(log));
        let is_old = || !self.lawful.spares(log.topic, age_ms(self.facts.evidence, record.sent));
        if self.lawful.retains(log.topic) && begins.is_none_or(|begins| record.offset < begins) && is_old() {
            return true;
        }
        if self.facts.may_be_dropped(log.topic) && !self.read.logs.contains_key(&log) {
            return true;
        }
        self.lawful.compacts(log.topic) && self.superseded(record)
    }

    fn superseded(&self, record: &Known) -> bool {
        let Some(key) = record.key else { return false };
        let log = record.log;
        let later = self.last_of_key.get(&(log, key)).is_some_and(|last| *last > record.offset);
        let deleted = self.tombstones.get(&(log.topic, log.partition, key)).is_some_and(|at| *at >= record.offset);
        later || deleted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, log, passes_over, rejects};

    use barnabas_history::Outcome;
    use barnabas_plan::Lane;
    use barnabas_plan::OffsetSpec::Earliest;

    #[test]
    fn accepts_what_is_there_or_left_lawfully() {
        let known = || durable().sent(0, 1, 0).sent(0, 2, 1);
        accepts(
            &PROMISE,
            [
                known().last(&[(0, 1), (1, 2)]),
                known().unknown(0, 3).last(&[(0, 1), (1, 2)]),
                known().trimmed(1).last(&[(1, 2)]),
                known().configured("retention.ms", "1000").waits(1_000).last(&[(1, 2)]),
                known().configured("retention.ms", "1000").configured("retention.bytes", "9").last(&[(1, 2)]),
                known().sent(0, 3, 2).configured("retention.ms", "1").last(&[(0, 1), (2, 3)]).asked(Earliest, -1, 2),
                durable().key(7).configured("cleanup.policy", "compact").sent(0, 1, 0).sent(0, 2, 1).last(&[(1, 2)]),
                Piece::of(Lane::PageCache).sent(0, 1, 0).sent(0, 2, 1).power_lost().last(&[(0, 1)]),
            ],
        );
        let gone = || known().dropped(Outcome::Unknown("timed out".to_owned())).on(log(2));
        passes_over(&PROMISE, [known(), gone().last(&[]), gone().last(&[(0, 9)])]);
        passes_over(&PROMISE, [durable().acks(0).sent(0, 1, 0).last(&[])]);
    }

    #[test]
    fn rejects_what_is_lost() {
        let known = || durable().sent(0, 1, 0).sent(0, 2, 1);
        rejects(
            &PROMISE,
            [
                known().last(&[(0, 1)]),
                known().last(&[]),
                known().last(&[(0, 1), (2, 2)]),
                known().last(&[(0, 1), (1, 9)]),
                durable().unknown(0, 1).polled(1, &[(0, 1)]).last(&[]),
                durable().acks(1).sent(0, 1, 0).last(&[]),
                known().trimmed(1).last(&[]),
                known().configured("retention.ms", "1000").last(&[(0, 1)]),
                known().configured("retention.ms", "1000").last(&[(1, 2)]),
                durable().sent(0, 1, 0).waits(1_000).sent(0, 2, 1).configured("retention.ms", "900").last(&[]),
                known().sent(0, 3, 2).configured("retention.ms", "1").last(&[(0, 1), (2, 3)]).asked(Earliest, -1, 1),
                known().sent(0, 3, 2).last(&[(0, 1), (2, 3)]).asked(Earliest, -1, 2),
                known().dropped(Outcome::Failed("refused".to_owned())).last(&[(0, 1)]).on(log(1)),
                known().dropped(Outcome::Unknown("timed out".to_owned())).last(&[(0, 1)]),
                known().on(log(2)).last(&[]),
            ],
        );
    }

    #[test]
    fn rejects_a_lost_last_value_of_a_key() {
        let keyed = || durable().key(7).configured("cleanup.policy", "compact").sent(0, 1, 0).sent(0, 2, 1);
        rejects(&PROMISE, [keyed().last(&[(0, 1)]), keyed().last(&[])]);
        accepts(&PROMISE, [keyed().sent(0, 3, 2).deleted(0, 4, 3).key(8).sent(0, 5, 4).last(&[(4, 5)])]);
    }

    #[test]
    fn what_a_power_loss_leaves_is_a_prefix() {
        let lossy = || Piece::of(Lane::PageCache).sent(0, 1, 0).sent(0, 2, 1);
        rejects(
            &PROMISE,
            [
                lossy().power_lost().last(&[(1, 2)]),
                lossy().power_lost().sent(0, 3, 1).last(&[(0, 1)]),
                lossy().last(&[(0, 1)]),
            ],
        );
    }
}
