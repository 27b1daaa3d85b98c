//! Promise: a record stands in the partition it was sent to, and in no other.

use std::collections::BTreeMap;

use barnabas_history::Content;

use crate::facts::{Facts, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "wrong-partition",
    words: "a record stands in the partition it was sent to",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every record that was read and whose sender is known.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let sent: BTreeMap<_, _> =
        facts.sends().iter().map(|send| (send.value, (send.topic, send.partition, send.end))).collect();
    for poll in facts.polls() {
        let Some(log) = poll.log else { continue };
        for seen in poll.records {
            let Some(value) = seen.content.value() else { continue };
            let Some((topic, partition, end)) = sent.get(&value) else { continue };
            let elsewhere = (*topic, *partition) != (log.topic, log.partition);
            let stray = matches!(seen.content, Content::Stray(_));
            court.judge(elsewhere || stray, Some(poll.ended), Some(log), || {
                format!("{value} was sent to {topic}-{partition} ({end:?}) and read from {}", shown(log))
            });
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, log, rejects};

    use barnabas_base::{Offset, TimestampMs};
    use barnabas_history::{LogName, Seen, Value};

    #[test]
    fn accepts_what_is_at_home() {
        accepts(
            &PROMISE,
            [durable().sent(0, 1, 0).polled(1, &[(0, 1)]), durable().unknown(0, 1).on(log(2)).polled(1, &[(0, 1)])],
        );
    }

    #[test]
    fn rejects_strays() {
        let elsewhere = || LogName { partition: 1, ..log(1) };
        let content = Content::Stray(Value(1));
        let stray = vec![Seen { offset: Offset(0), timestamp: TimestampMs(0), key: None, content }];
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).on(elsewhere()).polled(1, &[(0, 1)]),
                durable().unknown(0, 1).on(elsewhere()).last(&[(0, 1)]),
                durable().sent(0, 1, 0).saw(1, stray),
            ],
        );
    }
}
