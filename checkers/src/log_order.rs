//! Promises on the order of a log: one value per offset, one offset per idempotent value, and later sends behind earlier
//! acknowledgements. Black box: acknowledgements and reads.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;

use crate::{Facts, Verdict};

/// An offset of a log holds one value, whoever is told and whenever.
#[must_use]
pub fn inconsistent_offsets(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let mut values = BTreeMap::new();
    let mut see = |log: LogName, offset: Offset, value, step| {
        let first = *values.entry((log, offset)).or_insert(value);
        verdict.judge(first != value, step, Some(log), || {
            format!("{}-{}:{offset} held {first} and then {value}", log.topic, log.partition)
        });
    };
    for send in facts.sends.values() {
        if let (Some((log, offset)), Some(ended)) = (send.acked, send.ended)
            && !facts.dropped.contains(&log.topic)
        {
            see(log, offset, send.value, ended);
        }
    }
    for read in facts.reads.iter().filter(|read| !facts.dropped.contains(&read.log.topic)) {
        for seen in read.records {
            if let Some(value) = seen.content.value() {
                see(read.log, seen.offset, value, read.ended);
            }
        }
    }
    verdict
}

/// A value of an idempotent producer has one offset.
#[must_use]
pub fn duplicate(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let mut places: BTreeMap<_, (LogName, Offset)> = BTreeMap::new();
    for read in facts.reads.iter().filter(|read| !facts.dropped.contains(&read.log.topic)) {
        for seen in read.records {
            let Some(value) = seen.content.value() else { continue };
            if !facts.sends.get(&value).is_some_and(|send| send.idempotent) {
                continue;
            }
            let first = *places.entry(value).or_insert((read.log, seen.offset));
            let (log, offset) = (read.log, seen.offset);
            verdict.judge(first != (log, offset), read.ended, Some(log), || {
                let (before, at) = first;
                format!(
                    "{value} is at {}-{}:{at} and at {}-{}:{offset}",
                    before.topic, before.partition, log.topic, log.partition
                )
            });
        }
    }
    verdict
}

/// What is sent after an acknowledgement, by anybody, lands behind it.
#[must_use]
pub fn realtime_send(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    // Beginnings and ends in the order in which they happened.
    let mut events = Vec::new();
    for send in facts.sends.values().filter(|send| !facts.dropped.contains(&send.topic)) {
        if let (Some((log, offset)), Some(ended)) = (send.acked, send.ended) {
            events.push((send.invoked, false, log, offset, send.value));
            events.push((ended, true, log, offset, send.value));
        }
    }
    events.sort_unstable();
    let mut highest: BTreeMap<LogName, Offset> = BTreeMap::new();
    let mut floors = BTreeMap::new();
    for (step, is_end, log, offset, value) in events {
        if !is_end {
            floors.insert(value, highest.get(&log).copied());
            continue;
        }
        if let Some(floor) = floors.get(&value).copied().flatten() {
            verdict.judge(offset <= floor, step, Some(log), || {
                let (topic, partition) = (log.topic, log.partition);
                format!("{value} was sent after {topic}-{partition}:{floor} was acknowledged and landed at {offset}")
            });
        }
        let top = highest.entry(log).or_insert(offset);
        *top = (*top).max(offset);
    }
    verdict
}

/// Values of one life of a client, sent one after the other to one log by an idempotent producer, keep their order.
#[must_use]
pub fn process_order(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let mut sends: Vec<_> =
        facts.sends.values().filter(|send| send.acks != 0 && !facts.dropped.contains(&send.topic)).collect();
    sends.sort_unstable_by_key(|send| send.invoked);
    let mut last = BTreeMap::new();
    for send in sends {
        let Some((log, offset)) = send.acked else { continue };
        let before = last.insert((send.by, log), (offset, send.value));
        if let Some((earlier, value)) = before {
            verdict.judge(offset <= earlier, send.ended.unwrap_or(send.invoked), Some(log), || {
                format!(
                    "{} was sent after {value} by {} and landed at {offset}, before {earlier}",
                    send.value, send.by.client
                )
            });
        }
    }
    verdict
}
