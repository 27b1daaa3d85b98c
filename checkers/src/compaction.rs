//! Promise: a compacted topic keeps the last value of every key, and does not bring a deleted key back (R15, I27).

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;
use barnabas_plan::Lane;

use crate::facts::Send;
use crate::{Facts, Verdict};

/// What is known of a key.
#[derive(Default)]
struct Known<'a> {
    /// The acknowledged send with the highest offset.
    last: Option<(Offset, &'a Send<'a>)>,
    /// Whether a tombstone may have come later.
    may_be_deleted: bool,
}

/// Judges every key for which something was acknowledged.
#[must_use]
pub fn compaction(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(final_read) = facts.final_read else { return verdict };
    if !facts.acked_survives() {
        return verdict;
    }
    let mut last_found: BTreeMap<(LogName, u32), Offset> = BTreeMap::new();
    for (log, records) in &facts.found {
        for seen in records {
            if let Some(key) = seen.key {
                last_found.insert((*log, key), seen.offset);
            }
        }
    }
    for ((log, key), known) in known(facts) {
        let Some((offset, send)) = known.last else { continue };
        let found = last_found.get(&(log, key)).copied();
        let is_broken = match found {
            Some(found) => found < offset,
            None if known.may_be_deleted => false,
            None => !send.tombstone || is_too_early(facts, &log, send, final_read),
        };
        verdict.judge(is_broken, final_read, Some(log), || {
            let (topic, partition) = (log.topic, log.partition);
            let kind = if send.tombstone { "tombstone" } else { "value" };
            match found {
                Some(found) => format!(
                    "key {key} of {topic}-{partition} reads {found}, older than the {kind} acknowledged at {offset}"
                ),
                None => format!("key {key} of {topic}-{partition} is gone with its {kind} acknowledged at {offset}"),
            }
        });
    }
    verdict
}

fn known<'a>(facts: &'a Facts<'a>) -> BTreeMap<(LogName, u32), Known<'a>> {
    let mut known: BTreeMap<(LogName, u32), Known<'a>> = BTreeMap::new();
    let compacted = |send: &&Send<'_>| facts.compacted.contains(&send.topic) && !facts.dropped.contains(&send.topic);
    for send in facts.sends.values().filter(compacted) {
        let (Some(key), Some((log, offset))) = (send.key, send.acked) else { continue };
        let entry = known.entry((log, key)).or_default();
        if entry.last.is_none_or(|(last, _)| offset > last) {
            entry.last = Some((offset, send));
        }
    }
    for send in facts.sends.values().filter(compacted) {
        let is_open = send.acked.is_none() && !send.failed();
        if !(send.tombstone && is_open) {
            continue;
        }
        for ((log, key), entry) in &mut known {
            if log.topic == send.topic && log.partition == send.partition && Some(*key) == send.key {
                entry.may_be_deleted = true;
            }
        }
    }
    known
}

/// Whether a tombstone went before its time: it stays for `delete.retention.ms` after it was first cleaned.
fn is_too_early(facts: &Facts<'_>, log: &LogName, send: &Send<'_>, final_read: usize) -> bool {
    // Where clocks are moved, nobody can say how long that is.
    if facts.plan().lane == Lane::Clock || facts.plan().quiet.is_some() {
        return false;
    }
    let topic = facts.plan().topics.iter().find(|topic| topic.name == log.topic);
    let retention_ms =
        topic.and_then(|topic| topic.configs.get("delete.retention.ms")).and_then(|text| text.parse().ok());
    let retention_ms: u64 = retention_ms.unwrap_or(86_400_000);
    let Some(ended) = send.ended else { return false };
    let age = facts.evidence.steps[final_read].at.since(facts.evidence.steps[ended].at);
    u128::from(retention_ms) > age.as_millis()
}
