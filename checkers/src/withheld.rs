//! Promise: damage costs what it hit. Records of a segment whose file nothing has happened to are served when everything is
//! read last, whatever became of other segments, of indexes and of checksums.

use std::collections::BTreeSet;

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
    let (Some(image), Some(read)) = (evidence.disks.last(), facts.last_read()) else { return court.verdict() };
    if !image.stopped_cleanly || image.after_step <= read.start {
        return court.verdict();
    }
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
    let is_sound = move |base: barnabas_base::Offset| {
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
    offsets.filter(|offset| seen.is_none_or(|seen| !seen.contains_key(&barnabas_base::Offset(*offset)))).count()
}
