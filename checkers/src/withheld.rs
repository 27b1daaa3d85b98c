//! Promise: damage costs what it hit. Records of a segment whose file nothing has happened to are served when everything is
//! read last, whatever became of other segments, of indexes and of checksums.

use std::collections::BTreeSet;

use barnabas_base::Offset;
use barnabas_history::{DiskImage, LogName};
use barnabas_plan::{Lane, Plan, TopicName};

use crate::facts::{Facts, LastRead};
use crate::lawful::Lawful;
use crate::scan::{Batch, ScannedLog, logs};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "withheld",
    words: "what damage has not hit is served",
    kind: Kind::WhiteBox,
    applies: is_damaged,
    check,
};

/// Files of a log that can be made anew, or that cost their own records alone.
const OF_SEGMENTS: [&str; 5] = [".log", ".index", ".timeindex", ".barnabas-check", ".snapshot"];

/// Elsewhere nothing that was acknowledged may be missing at all.
fn is_damaged(plan: &Plan) -> bool {
    plan.lane == Lane::Rot
}

/// Judges every batch of an undamaged segment on the disk that the last clean stop left.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let (Some(image), Some(read)) = (facts.last_disk(), facts.last_read()) else { return court.verdict() };
    let lawful = Lawful::new(facts);
    for log in logs(image) {
        let Ok(topic) = log.topic.parse::<TopicName>() else { continue };
        if !read.topics.contains(&topic) || lawful.compacts(topic) || is_hit(&evidence.damaged, &log) {
            continue;
        }
        for batch in undamaged(&evidence.damaged, image, &log) {
            let missing = missing(read, topic, &log, batch);
            court.judge(missing > 0, Some(image.after_step), None, || {
                let (partition, at) = (log.partition.partition, batch.base_offset);
                format!("{missing} records of the batch at {at} of {topic}-{partition} were not served")
            });
        }
    }
    court.verdict()
}

/// Whether the device lied about a file that a log needs as a whole.
fn is_hit(damaged: &BTreeSet<String>, log: &ScannedLog<'_>) -> bool {
    let folder = format!("/{}-{}/", log.topic, log.partition.partition);
    let mut of_log = damaged.iter().filter(|path| path.contains(&folder));
    of_log.any(|path| !OF_SEGMENTS.iter().any(|kind| path.ends_with(kind)))
}

fn undamaged<'a>(
    damaged: &BTreeSet<String>,
    image: &DiskImage,
    log: &'a ScannedLog<'_>,
) -> impl Iterator<Item = &'a Batch<'a>> {
    let folder = format!("/{}-{}/", log.topic, log.partition.partition);
    let is_sound = move |base: Offset| {
        let file = format!("{folder}{:020}.log", base.0);
        !damaged.iter().any(|path| path.ends_with(&file))
    };
    let segments = log.living(image).filter(|segment| is_sound(segment.base)).collect::<Vec<_>>();
    segments.into_iter().flat_map(|segment| segment.batches.iter().map(|(_, batch)| batch))
}

/// Records of a batch that the last read did not find where the log says that it goes on.
fn missing(read: &LastRead, topic: TopicName, log: &ScannedLog<'_>, batch: &Batch<'_>) -> usize {
    let name = LogName { topic, id: log.partition.topic_id.0, partition: log.partition.partition.0.unsigned_abs() };
    let begins = read.begins.get(&name).map_or(0, |begins| begins.0);
    let offsets = batch.base_offset.0.max(begins)..=batch.last_offset.0;
    let seen = read.logs.get(&name);
    offsets.filter(|offset| seen.is_none_or(|seen| !seen.contains_key(&Offset(*offset)))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, passes_over, rejects};
    use crate::scan::fixture::{draft, file, image};

    /// Two segments of a batch with two records each are there after these were read last.
    fn left(read: &[(i64, u64)]) -> Piece {
        let piece = Piece::of(Lane::Rot).last(read);
        let after_step = piece.evidence.steps.len();
        let segments: Vec<_> = [0, 2].map(|base| (file(base, "log"), draft(base, 2).bytes())).into();
        let files: Vec<_> = segments.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        piece.disk(image(after_step, "/t0-0", &files))
    }

    const ALL: &[(i64, u64)] = &[(0, 1), (1, 2), (2, 3), (3, 4)];

    #[test]
    fn accepts_all_but_what_was_hit() {
        accepts(
            &PROMISE,
            [
                left(ALL),
                left(&ALL[2..]).damaged("/data/t0-0/00000000000000000000.log"),
                left(ALL).damaged("/data/t0-0/00000000000000000000.index"),
                left(&ALL[2..]).asked(barnabas_plan::OffsetSpec::Earliest, -1, 2),
            ],
        );
    }

    #[test]
    fn rejects_what_was_not_hit_and_is_not_served() {
        rejects(
            &PROMISE,
            [
                left(&ALL[1..]),
                left(&ALL[..2]).damaged("/data/t0-0/00000000000000000000.log"),
                left(&ALL[2..]).damaged("/data/t0-0/00000000000000000000.index"),
                left(&ALL[2..]).damaged("/data/t1-0/00000000000000000000.log"),
            ],
        );
    }

    #[test]
    fn passes_over_what_nobody_can_serve() {
        let mut killed = left(&ALL[1..]);
        killed.evidence.disks[0].stopped_cleanly = false;
        let nameless = left(&ALL[1..]).damaged("/data/t0-0/partition.metadata");
        let compacted = left(&ALL[1..]).configured("cleanup.policy", "compact");
        passes_over(&PROMISE, [killed, nameless, compacted]);
    }
}
