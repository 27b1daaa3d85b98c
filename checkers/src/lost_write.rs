//! Promise: a record that was acknowledged is in the last read of everything, at the offset that was acknowledged, unless it
//! was deleted lawfully (guarantee matrix R2, R9, R10; Jepsen's lost-write with every acknowledgement definite).

use std::collections::BTreeMap;

use crate::{Facts, Verdict};

/// Judges every acknowledged send to a log whose records do not go away.
#[must_use]
pub fn lost_write(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(final_read) = facts.final_read else { return verdict };
    if !facts.acked_survives() {
        return verdict;
    }
    let mut found = BTreeMap::new();
    for (log, records) in &facts.found {
        found.extend(records.iter().filter_map(|seen| Some(((*log, seen.offset), seen.content.value()?))));
    }
    for send in facts.sends.values().filter(|send| send.acks != 0) {
        let Some((log, offset)) = send.acked else { continue };
        if facts.dropped.contains(&log.topic) || facts.compacted.contains(&log.topic) {
            continue;
        }
        let start = facts.ends.get(&log).and_then(|(earliest, _)| *earliest);
        let is_gone_lawfully = facts.trims.get(&log).is_some_and(|before| offset < *before)
            || facts.retained.contains(&log.topic) && start.is_some_and(|start| offset < start);
        if is_gone_lawfully || facts.retained.contains(&log.topic) && start.is_none() {
            continue;
        }
        let there = found.get(&(log, offset));
        verdict.judge(there != Some(&send.value), final_read, Some(log), || {
            let value = send.value;
            let (topic, partition) = (log.topic, log.partition);
            match there {
                None => format!("{value} was acknowledged at {topic}-{partition}:{offset} and is not there"),
                Some(other) => format!("{value} was acknowledged at {topic}-{partition}:{offset}, where {other} is"),
            }
        });
    }
    verdict
}
