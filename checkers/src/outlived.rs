//! Promise: retention does its work. A log whose newest record grew older than `retention.ms` while its broker was there to
//! look is empty when it is read last: the segment that was written last goes too (`UnifiedLog.deleteOldSegments`).

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_history::{Call, LogName};
use barnabas_plan::{Lane, Plan, TopicName};

use crate::facts::{End, Facts};
use crate::lawful::Lawful;
use crate::verdict::Court;
use crate::watch::{GRACE_MS, Watch};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "outlived",
    words: "no record outlives its retention for long",
    kind: Kind::BlackBox,
    applies: is_retained,
    check,
};

/// Kafka's default of `log.retention.check.interval.ms`.
pub(crate) const INTERVAL_MS: u64 = 300_000;

/// Where clocks are true and disks have room; elsewhere a record may be younger than it looks, or stay for want of space.
fn is_retained(plan: &Plan) -> bool {
    plan.lane == Lane::Retention
}

/// Judges every partition that was sent to, and to which nothing came for long enough before the first read began.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let (Some(read), Some(watch)) = (facts.last_read(), Watch::of(facts)) else { return court.verdict() };
    let lawful = Lawful::new(facts);
    let limits = limits(facts);
    let interval_ms = evidence.plan.knobs.number("broker.log.retention.check.interval.ms", INTERVAL_MS);
    for ((topic, partition), sent_at) in last_sent(facts, watch.healed) {
        let Some(retention_ms) = limits.get(&topic).filter(|_| !lawful.compacts(topic)) else { continue };
        let expired_at = sent_at.after(Duration::from_millis(*retention_ms));
        let due_at = expired_at.max(watch.served_from).after(Duration::from_millis(interval_ms + GRACE_MS));
        if due_at > watch.read {
            continue;
        }
        let is_meant = |log: &LogName| (log.topic, log.partition) == (topic, partition);
        let left = read.logs.iter().find(|(log, records)| is_meant(log) && !records.is_empty());
        court.judge(left.is_some(), Some(read.start), left.map(|(log, _)| *log), || {
            let count = left.map_or(0, |(_, records)| records.len());
            format!("{count} records of {topic}-{partition} are there that {retention_ms} ms were to keep")
        });
    }
    court.verdict()
}

/// The longest that `retention.ms` of each topic may have been, where it was set from its creation on and stayed so.
fn limits(facts: &Facts<'_>) -> BTreeMap<TopicName, u64> {
    const KEY: &str = "retention.ms";
    let topics = facts.evidence.plan.topics.iter();
    let mut longest: BTreeMap<TopicName, Option<u64>> =
        topics.filter_map(|topic| Some((topic.name, topic.configs.get(KEY)?.parse::<u64>().ok()))).collect();
    for view in &facts.calls {
        let Call::Configure { topic, key, value } = view.call else { continue };
        if let Some(known) = longest.get_mut(topic).filter(|_| key == KEY) {
            *known = known.zip(value.parse().ok()).map(|(one, other)| one.max(other));
        }
    }
    longest.into_iter().filter_map(|(topic, limit)| Some((topic, limit?))).collect()
}

/// When the last record of each partition may have come.
fn last_sent(facts: &Facts<'_>, healed: Monotonic) -> BTreeMap<(TopicName, u32), Monotonic> {
    let steps = &facts.evidence.steps;
    let mut last = BTreeMap::new();
    for sent in facts.sends() {
        let ended = steps.get(sent.ended).map(|step| step.at);
        let came = match (sent.end, ended) {
            (End::Ok(_) | End::Failed, Some(ended)) => ended,
            (End::Unknown, Some(ended)) => ended.max(healed),
            // Its client died; what was on its way came until then.
            (_, None) => healed,
        };
        let known = last.entry((sent.topic, sent.partition)).or_insert(came);
        *known = (*known).max(came);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, passes_over, rejects};

    use barnabas_history::Happening;
    use barnabas_plan::{NodeName, PlannedTopic};

    /// A broker serves, a record comes and is to be kept for five seconds.
    fn sent() -> Piece {
        let serving = Happening::Serving { node: NodeName(0) };
        Piece::of(Lane::Retention)
            .plan(|plan| {
                let configs = [("retention.ms".to_owned(), "5000".to_owned())].into();
                plan.topics.push(PlannedTopic { name: TopicName(0), partitions: 1, configs });
                plan.knobs.set("broker.log.retention.check.interval.ms", 1_000_u64);
            })
            .happened(serving)
            .sent(0, 1, 0)
            .happened(Happening::Healed)
    }

    fn read(piece: Piece, records: &[(i64, u64)]) -> Piece {
        piece.happened(Happening::FirstRead).last(records)
    }

    #[test]
    fn accepts_an_empty_log() {
        accepts(&PROMISE, [read(sent().waits(9_100), &[])]);
    }

    #[test]
    fn rejects_what_nobody_was_to_keep() {
        rejects(&PROMISE, [read(sent().waits(9_100), &[(0, 1)])]);
    }

    #[test]
    fn passes_over_what_may_still_be_there() {
        let serves_late = sent().waits(9_100).happened(Happening::Serving { node: NodeName(0) });
        let unlimited = sent().configured("retention.ms", "-1").waits(9_100);
        let longer = sent().configured("retention.ms", "60000").waits(9_100);
        let compacted = sent().configured("cleanup.policy", "compact").waits(9_100);
        let again = sent().waits(9_000).sent(0, 2, 1).waits(100);
        let died = sent().send(1, 2).waits(4_000).happened(Happening::Healed).waits(5_100);
        let unsure = sent().waits(4_000).unknown(0, 2).waits(5_100);
        for piece in [sent().waits(8_000), serves_late, unlimited, longer, compacted, again, died, unsure] {
            let piece = read(piece, &[(0, 1)]);
            assert_eq!(piece.judged_by(&PROMISE).judged, 0);
            passes_over(&PROMISE, [piece]);
        }
    }
}
