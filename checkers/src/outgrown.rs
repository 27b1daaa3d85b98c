//! Promise: retention bounds the size of a log. Once nobody writes any more, what is left without its first segment is smaller
//! than `retention.bytes` (`UnifiedLog.deleteRetentionSizeBreachedSegments`).

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_history::{Call, Outcome};
use barnabas_plan::{Lane, Plan, TopicName};

use crate::facts::Facts;
use crate::lawful::Lawful;
use crate::outlived::INTERVAL_MS;
use crate::scan::logs;
use crate::verdict::Court;
use crate::watch::{GRACE_MS, Watch};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "outgrown",
    words: "no log stays larger than its retention allows",
    kind: Kind::WhiteBox,
    applies: is_bounded,
    check,
};

/// Where disks have room for what retention has to write.
fn is_bounded(plan: &Plan) -> bool {
    plan.lane == Lane::Retention
}

/// Judges every log of a topic that was bounded from the beginning, on the disk that the last clean stop left.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let (Some(image), Some(watch)) = (facts.last_disk(), Watch::of(facts)) else { return court.verdict() };
    let interval_ms = evidence.plan.knobs.number("broker.log.retention.check.interval.ms", INTERVAL_MS);
    let due_at = watch.quiet_from.max(watch.served_from).after(Duration::from_millis(interval_ms + GRACE_MS));
    if due_at > watch.read {
        return court.verdict();
    }
    let (lawful, bounds) = (Lawful::new(facts), bounds(facts));
    for log in logs(image) {
        let Ok(topic) = log.topic.parse::<TopicName>() else { continue };
        let Some(bound) = bounds.get(&topic).filter(|_| !lawful.compacts(topic)) else { continue };
        let sizes =
            log.living(image).map(|segment| segment.batches.iter().map(|(_, batch)| batch.size_bytes as u64).sum());
        let sizes: Vec<u64> = sizes.collect();
        let rest: u64 = sizes.iter().skip(1).sum();
        court.judge(sizes.len() > 1 && rest >= *bound, Some(image.after_step), None, || {
            format!("{}-{} has {rest} bytes behind its first segment, of {bound}", log.topic, log.partition.partition)
        });
    }
    court.verdict()
}

/// What `retention.bytes` of each topic is in the end, where it was bounded from its creation on and stayed so: the largest
/// that it may be.
fn bounds(facts: &Facts<'_>) -> BTreeMap<TopicName, u64> {
    const KEY: &str = "retention.bytes";
    let topics = facts.evidence.plan.topics.iter();
    let mut bounds: BTreeMap<TopicName, Option<u64>> =
        topics.filter_map(|topic| Some((topic.name, topic.configs.get(KEY)?.parse::<u64>().ok()))).collect();
    // Until when another answer may come to what was asked before.
    let mut settled_at = BTreeMap::new();
    for view in &facts.calls {
        let Call::Configure { topic, key, value } = view.call else { continue };
        let Some(known) = bounds.get_mut(topic).filter(|_| key == KEY) else { continue };
        let said = value.parse().ok();
        let before = settled_at.entry(*topic).or_insert(0);
        let (is_certain, ended) = match view.outcome {
            Some(Outcome::Failed(_)) => continue,
            Some(Outcome::Ok(_)) => (*before < view.invoked, view.ended.unwrap_or(usize::MAX)),
            Some(Outcome::Unknown(_)) | None => (false, usize::MAX),
        };
        *known = if is_certain { said } else { known.zip(said).map(|(one, other)| one.max(other)) };
        *before = (*before).max(ended);
    }
    bounds.into_iter().filter_map(|(topic, bound)| Some((topic, bound?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, passes_over, rejects};
    use crate::scan::fixture::{draft, file, image};

    use barnabas_history::Happening;
    use barnabas_plan::{NodeName, PlannedTopic};

    /// A topic of so many bytes at most, whose clients fell silent `ms` before everything was read.
    fn bounded(bytes: &str, ms: u64) -> Piece {
        let configs = [("retention.bytes".to_owned(), bytes.to_owned())].into();
        Piece::of(Lane::Retention)
            .plan(|plan| {
                plan.topics.push(PlannedTopic { name: TopicName(0), partitions: 1, configs });
                plan.knobs.set("broker.log.retention.check.interval.ms", 1_000_u64);
            })
            .happened(Happening::Serving { node: NodeName(0) })
            .sent(0, 1, 0)
            .happened(Happening::Healed)
            .waits(ms)
            .happened(Happening::FirstRead)
            .last(&[(0, 1)])
    }

    /// A log of three segments with a batch each, and the size of one.
    fn left(piece: Piece) -> Piece {
        let segments: Vec<_> = [0, 1, 2].map(|base| (file(base, "log"), draft(base, 1).bytes())).into();
        let files: Vec<_> = segments.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let after_step = piece.evidence.steps.len();
        piece.disk(image(after_step, "t0-0", &files))
    }

    fn two_segments(more: i64) -> String {
        let size = i64::try_from(draft(0, 1).bytes().len()).expect("small");
        (2 * size + more).to_string()
    }

    #[test]
    fn accepts_what_is_bounded_but_for_its_first_segment() {
        accepts(&PROMISE, [left(bounded(&two_segments(1), 4_100))]);
    }

    #[test]
    fn rejects_a_segment_too_many() {
        rejects(&PROMISE, [left(bounded(&two_segments(0), 4_100))]);
    }

    #[test]
    fn passes_over_what_may_still_be_there() {
        let unbounded = left(bounded("-1", 4_100));
        let too_soon = left(bounded("1", 3_000));
        let compacted = left(bounded("1", 4_100).configured("cleanup.policy", "compact"));
        let larger = left(bounded("1", 4_100).configured("retention.bytes", "-1"));
        let mut killed = left(bounded("1", 4_100));
        killed.evidence.disks[0].stopped_cleanly = false;
        for piece in [unbounded, too_soon, compacted, larger, killed] {
            assert_eq!(piece.judged_by(&PROMISE).judged, 0);
            passes_over(&PROMISE, [piece]);
        }
    }
}
