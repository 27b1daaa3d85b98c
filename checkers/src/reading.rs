//! Promises on what readers see: only what was sent there, whole, in order, without holes.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Call, ClientLife, Content, LogName, Membership, What};

use crate::{Facts, Verdict};

/// What is read was sent, and was not refused for certain.
#[must_use]
pub fn phantom(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for read in &facts.reads {
        for seen in read.records {
            let Some(value) = seen.content.value() else { continue };
            let send = facts.sends.get(&value);
            let sent_before = send.is_some_and(|send| send.invoked < read.ended && !send.failed());
            verdict.judge(!sent_before, read.ended, Some(read.log), || {
                let (topic, partition, offset) = (read.log.topic, read.log.partition, seen.offset);
                match send {
                    None => format!("{value} at {topic}-{partition}:{offset} was never sent"),
                    Some(_) => format!("{value} at {topic}-{partition}:{offset} was refused for certain"),
                }
            });
        }
    }
    verdict
}

/// Every byte of a payload is as it was written.
#[must_use]
pub fn mutated(facts: &Facts<'_>) -> Verdict {
    judge_contents(facts, |content| content == Content::Mutated, "holds bytes that nobody wrote")
}

/// A record is in the log it was sent to.
#[must_use]
pub fn wrong_partition(facts: &Facts<'_>) -> Verdict {
    judge_contents(facts, |content| matches!(content, Content::Stray(_)), "holds a record that was sent elsewhere")
}

fn judge_contents(facts: &Facts<'_>, is_wrong: impl Fn(Content) -> bool, what: &str) -> Verdict {
    let mut verdict = Verdict::default();
    for read in &facts.reads {
        for seen in read.records {
            verdict.judge(is_wrong(seen.content), read.ended, Some(read.log), || {
                format!("{}-{}:{} {what}", read.log.topic, read.log.partition, seen.offset)
            });
        }
    }
    verdict
}

/// Within one poll, offsets rise.
#[must_use]
pub fn nonmonotonic_poll(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for read in &facts.reads {
        for pair in read.records.windows(2) {
            let [before, after] = pair else { continue };
            verdict.judge(after.offset <= before.offset, read.ended, Some(read.log), || {
                let (topic, partition) = (read.log.topic, read.log.partition);
                format!("{} read {topic}-{partition}:{} after {}", read.by.client, after.offset, before.offset)
            });
        }
    }
    verdict
}

/// A reader passes over nothing: between two polls of one assignment, and within one, offsets follow each other.
#[must_use]
pub fn poll_skip(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.offsets_are_stable() {
        return verdict;
    }
    let fresh = fresh_starts(facts);
    let mut reads: Vec<_> = facts.reads.iter().filter(|read| facts.is_whole(&read.log)).collect();
    reads.sort_unstable_by_key(|read| read.ended);
    let mut last: BTreeMap<(ClientLife, LogName), (Offset, usize)> = BTreeMap::new();
    for read in reads {
        let key = (read.by, read.log);
        let since =
            |at: usize| fresh.get(&read.by).is_some_and(|starts| starts.iter().any(|s| *s > at && *s < read.ended));
        let mut before = last.get(&key).filter(|(_, at)| !since(*at)).map(|(offset, _)| *offset);
        for seen in read.records {
            if let Some(before) = before {
                verdict.judge(seen.offset.0 != before.0 + 1, read.ended, Some(read.log), || {
                    let (topic, partition) = (read.log.topic, read.log.partition);
                    format!("{} read {topic}-{partition}:{} right after {before}", read.by.client, seen.offset)
                });
            }
            before = Some(seen.offset);
        }
        if let Some(offset) = before {
            last.insert(key, (offset, read.ended));
        }
    }
    verdict
}

/// Steps at which a client's positions began anew.
fn fresh_starts(facts: &Facts<'_>) -> BTreeMap<ClientLife, Vec<usize>> {
    let mut starts: BTreeMap<ClientLife, Vec<usize>> = BTreeMap::new();
    for view in &facts.calls {
        if matches!(view.call, Call::Assign { .. } | Call::Join { .. } | Call::Leave { .. }) {
            let ended = view.ended.unwrap_or(view.invoked);
            starts.entry(view.by).or_default().extend([view.invoked, ended]);
        }
    }
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        if let What::Member { by, change: Membership::Assigned { .. } | Membership::Revoked { .. } } = &happened.what {
            starts.entry(*by).or_default().push(step);
        }
    }
    starts
}

/// The last read of a log whose records do not go away has no hole from its start to its end.
#[must_use]
pub fn gap(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(final_read) = facts.final_read else { return verdict };
    if facts.promises.detection_only {
        return verdict;
    }
    for (log, ends) in facts.ends.iter().filter(|(log, _)| !facts.compacted.contains(&log.topic)) {
        let (Some(earliest), Some(latest)) = *ends else { continue };
        let found = facts.found.get(log).map_or(&[][..], Vec::as_slice);
        let mut expected = earliest;
        for seen in found.iter().filter(|seen| seen.offset >= earliest) {
            verdict.judge(seen.offset != expected, final_read, Some(*log), || {
                format!("{}-{}: {} follows where {expected} is due", log.topic, log.partition, seen.offset)
            });
            expected = Offset(seen.offset.0 + 1);
        }
        verdict.judge(expected < latest, final_read, Some(*log), || {
            format!("{}-{}: the last read ends at {expected}, the log at {latest}", log.topic, log.partition)
        });
    }
    verdict
}
