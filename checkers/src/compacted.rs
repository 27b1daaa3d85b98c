//! Promise: compaction keeps the last value of every key and brings no earlier one back, and a tombstone stays as long as
//! a reader that lags may count on it (KIP-534).

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Content, LogName};

use crate::facts::{End, Facts, Sent, survives};
use crate::lawful::{Lawful, age_ms};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "compacted",
    words: "the last value of every key survives compaction",
    kind: Kind::BlackBox,
    applies: survives,
    check,
};

/// The last that is known of a key.
#[derive(Clone, Copy)]
struct Last {
    offset: Offset,
    tombstone: bool,
    /// Position at which it was sent; 0 when that is not known.
    sent: usize,
    step: usize,
}

/// Judges every key of every compacted log.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let Some(read) = facts.last_read() else { return court.verdict() };
    let lawful = Lawful::new(facts);
    let is_standard = evidence.plan.knobs.get("broker.log.cleaner.delete.retention.ms").is_none();
    let mut found = BTreeMap::new();
    for (log, records) in &read.logs {
        for (offset, seen) in records {
            if let Some(key) = seen.key {
                found.insert((*log, key), *offset);
            }
        }
    }
    for ((log, key), last) in last_known(facts) {
        let gone = facts.may_be_dropped(log.topic) && !read.logs.contains_key(&log);
        let kept = lawful.compacts(log.topic) && !lawful.retains(log.topic) && read.topics.contains(&log.topic);
        if gone || !kept || last.offset < lawful.trimmed(log.topic, log.partition) {
            continue;
        }
        let (Last { offset, tombstone, sent, step }, left) = (last, found.get(&(log, key)));
        // What was sent later without an answer may be a tombstone too, and is younger.
        let is_due = tombstone && is_standard && lawful.spares_tombstone(log.topic, age_ms(evidence, sent));
        let may_be_gone = || if tombstone { !is_due } else { deleted_later(facts, log, key, offset) };
        // A reader who is slower than `delete.retention.ms` has an earlier record from before the tombstone was cleaned. Whether
        // one is left behind it is for `disk-keys` to say.
        let is_earlier = |left: &Offset| *left < offset && (is_due || !tombstone);
        let broken = left.map_or_else(|| !may_be_gone(), is_earlier);
        court.judge(broken, Some(step), Some(log), || {
            let left = left.map_or_else(|| "nothing".to_owned(), |left| format!("the record at {left}"));
            format!("key {key} of {} was last set at {offset}, and {left} is left", shown(log))
        });
    }
    court.verdict()
}

/// Whether a tombstone followed, or one that nobody answered may have.
pub(crate) fn deleted_later(facts: &Facts<'_>, log: LogName, key: u32, offset: Offset) -> bool {
    facts.sends().iter().any(|send| {
        let here = (send.topic, send.partition, send.key) == (log.topic, log.partition, Some(key));
        let later = match send.end {
            End::Ok(Some((_, at))) => at > offset,
            End::Ok(None) | End::Unknown => true,
            End::Failed => false,
        };
        here && send.tombstone && later
    })
}

fn last_known(facts: &Facts<'_>) -> BTreeMap<(LogName, u32), Last> {
    let mut known = BTreeMap::<(LogName, u32), Last>::new();
    let mut see = |log: LogName, key: u32, last: Last| {
        let top = known.entry((log, key)).or_insert(last);
        if last.offset > top.offset {
            *top = last;
        } else if last.offset == top.offset {
            top.sent = top.sent.max(last.sent);
        }
    };
    for send in facts.sends().iter().filter(|send| send.acks != 0) {
        if let (End::Ok(Some((log, offset))), Some(key)) = (send.end, send.key) {
            let Sent { tombstone, invoked: sent, ended: step, .. } = *send;
            see(log, key, Last { offset, tombstone, sent, step });
        }
    }
    for poll in facts.polls() {
        for seen in poll.records {
            if let (Some(log), Some(key)) = (poll.log, seen.key) {
                let tombstone = matches!(seen.content, Content::Tombstone(_));
                // Whoever sent it tells when.
                see(log, key, Last { offset: seen.offset, tombstone, sent: 0, step: poll.ended });
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_history::Seen;

    const CLEANER_KNOB: &str = "broker.log.cleaner.delete.retention.ms";

    fn keyed() -> Piece {
        durable().key(7).configured("cleanup.policy", "compact")
    }

    /// Tombstones are kept for a second.
    fn old_tombstones() -> Piece {
        keyed().configured("delete.retention.ms", "1000")
    }

    #[test]
    fn accepts_the_last_value() {
        accepts(
            &PROMISE,
            [
                keyed().sent(0, 1, 0).sent(0, 2, 1).last(&[(1, 2)]),
                keyed().sent(0, 1, 0).unknown(0, 2).last(&[(4, 2)]),
                old_tombstones().sent(0, 1, 0).deleted(0, 2, 1).waits(1_000).last(&[]),
                keyed().plan(|plan| plan.knobs.set(CLEANER_KNOB, 0)).deleted(0, 2, 1).last(&[]),
                keyed().sent(0, 1, 0).deleted(0, 2, 1).waits(86_400_000).last(&[]),
                keyed().sent(0, 1, 0).deleted(0, 2, 1).sent(0, 3, 2).last(&[(2, 3)]),
                old_tombstones().sent(0, 1, 0).deleted(0, 2, 1).waits(1_000).last(&[(0, 1)]),
            ],
        );
        passes_over(&PROMISE, [durable().key(7).sent(0, 1, 0).last(&[]), keyed().acks(0).sent(0, 1, 0).last(&[])]);
    }

    #[test]
    fn rejects_an_earlier_one() {
        let other = |offset, value| vec![Seen { key: Some(8), ..crate::piece::seen(offset, value) }];
        rejects(
            &PROMISE,
            [
                keyed().sent(0, 1, 0).sent(0, 2, 1).last(&[(0, 1)]),
                keyed().sent(0, 1, 0).last_saw(other(5, 9)),
                keyed().sent(0, 1, 0).deleted(0, 2, 1).last(&[(0, 1)]),
                keyed().sent(0, 1, 0).deleted(0, 2, 1).waits(60_000).last(&[]),
                old_tombstones().sent(0, 1, 0).waits(60_000).deleted(0, 2, 1).last(&[]),
                old_tombstones().sent(0, 1, 0).waits(60_000).deleted(0, 2, 1).last(&[(0, 1)]),
                keyed().sent(0, 1, 0).polled(1, &[(3, 4)]).last(&[(0, 1)]),
            ],
        );
    }
}
