//! Promise: what is read is byte for byte what was sent: payloads carry a hash of themselves, and key and timestamp are
//! those of the send.

use std::collections::BTreeMap;

use barnabas_history::{Content, Seen};

use crate::facts::{Facts, Sent, always};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "mutated",
    words: "what is read is what was sent, byte for byte",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every record that was read.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let sent: BTreeMap<_, _> = facts.sends().iter().map(|send| (send.value, send)).collect();
    for poll in facts.polls() {
        for seen in poll.records {
            let send = seen.content.value().and_then(|value| sent.get(&value).copied());
            let wrong = difference(seen, send);
            court.judge(wrong.is_some(), Some(poll.ended), poll.log, || {
                let reason = wrong.unwrap_or_default();
                format!("the record at {} is not as it was sent: {reason}", seen.offset)
            });
        }
    }
    court.verdict()
}

/// What differs between a record and its send. A broker may set timestamps itself, so that they are not compared.
fn difference(seen: &Seen, send: Option<&Sent>) -> Option<String> {
    let tombstone = match seen.content {
        Content::Mutated => return Some("its payload is damaged".to_owned()),
        Content::Value(_) => false,
        Content::Tombstone(_) => true,
        // What it is stands in no doubt, where it belongs does.
        Content::Stray(_) => return None,
    };
    let send = send?;
    if send.key != seen.key {
        return Some(format!("{} was sent with key {:?} and has {:?}", send.value, send.key, seen.key));
    }
    (send.tombstone != tombstone).then(|| format!("{} changed between value and tombstone", send.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use barnabas_base::{Offset, TimestampMs};
    use barnabas_history::Value;

    fn record(key: Option<u32>, content: Content) -> Vec<Seen> {
        vec![Seen { offset: Offset(0), timestamp: TimestampMs(0), key, content }]
    }

    #[test]
    fn accepts_what_is_whole() {
        let value = Value(1);
        accepts(
            &PROMISE,
            [
                durable().sent(0, 1, 0).saw(1, record(None, Content::Value(value))),
                durable().key(7).deleted(0, 1, 0).saw(1, record(Some(7), Content::Tombstone(value))),
                durable().sent(0, 1, 0).saw(1, record(None, Content::Stray(value))),
            ],
        );
    }

    #[test]
    fn rejects_what_is_not() {
        let value = Value(1);
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).saw(1, record(None, Content::Mutated)),
                durable().key(7).sent(0, 1, 0).saw(1, record(Some(8), Content::Value(value))),
                durable().key(7).sent(0, 1, 0).saw(1, record(None, Content::Value(value))),
                durable().key(7).sent(0, 1, 0).saw(1, record(Some(7), Content::Tombstone(value))),
            ],
        );
    }
}
