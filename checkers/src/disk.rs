//! White-box promises on the files that a clean stop leaves: whole batches in order, indexes that find what a scan finds,
//! and the records that were read.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{DiskImage, Payload};
use barnabas_plan::TopicName;

use crate::scan::{batches, offset_index, time_index, values};
use crate::{Facts, Verdict};

/// A segment of an image: its folder, its base offset and its bytes.
struct Segment<'a> {
    folder: &'a str,
    stem: &'a str,
    base_offset: i64,
    bytes: &'a [u8],
}

/// The disks that a clean stop left, in lanes whose devices tell the truth.
fn clean<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a DiskImage> {
    let honest = !facts.promises.detection_only;
    facts.evidence.disks.iter().filter(move |image| image.stopped_cleanly && honest)
}

fn segments_of(image: &DiskImage) -> impl Iterator<Item = Segment<'_>> {
    image.files.iter().filter_map(|(path, bytes)| {
        let (folder, name) = path.rsplit_once('/')?;
        let digits = name.strip_suffix(".log")?;
        let is_live = !folder.ends_with("-delete");
        let segment = Segment { folder, stem: path.strip_suffix(".log")?, base_offset: digits.parse().ok()?, bytes };
        is_live.then_some(segment)
    })
}

/// Every segment is whole batches whose offsets rise and whose epochs never fall.
pub(crate) fn segments(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for image in clean(facts) {
        let mut ends: BTreeMap<&str, (i64, i32)> = BTreeMap::new();
        for segment in segments_of(image) {
            let (found, broken) = batches(segment.bytes);
            let folder = segment.folder;
            verdict.judge(broken.is_some(), image.after_step, None, || {
                format!("{folder}: segment {}: {}", segment.base_offset, broken.clone().unwrap_or_default())
            });
            for batch in found {
                let before = ends.insert(folder, (batch.last_offset, batch.leader_epoch));
                let (last, epoch) = before.unwrap_or((segment.base_offset - 1, 0));
                let is_wrong =
                    batch.base_offset <= last || batch.leader_epoch < epoch || batch.base_offset < segment.base_offset;
                verdict.judge(is_wrong, image.after_step, None, || {
                    format!(
                        "{folder}: a batch at {} in epoch {} follows {last} in {epoch}",
                        batch.base_offset, batch.leader_epoch
                    )
                });
            }
        }
    }
    verdict
}

/// Every entry of an index names a batch where it says one is.
pub(crate) fn indexes(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for image in clean(facts) {
        for segment in segments_of(image) {
            let (found, _) = batches(segment.bytes);
            let (folder, base) = (segment.folder, segment.base_offset);
            let file =
                |suffix: &str| image.files.get(&format!("{}{suffix}", segment.stem)).map_or(&[][..], Vec::as_slice);
            for (relative, position) in offset_index(file(".index")) {
                let batch = found.iter().find(|batch| batch.position == position);
                let names =
                    batch.is_some_and(|batch| (batch.base_offset..=batch.last_offset).contains(&(base + relative)));
                verdict.judge(!names, image.after_step, None, || {
                    format!("{folder}: the index of {base} has {relative} at {position}, where there is no such batch")
                });
            }
            let mut before = i64::MIN;
            for (timestamp, relative) in time_index(file(".timeindex")) {
                let offset = base + relative;
                let largest =
                    found.iter().filter(|batch| batch.base_offset <= offset).map(|batch| batch.max_timestamp).max();
                let is_wrong = timestamp < before || largest.is_some_and(|largest| timestamp > largest);
                verdict.judge(is_wrong, image.after_step, None, || {
                    format!("{folder}: the time index of {base} has {timestamp} at {relative}, the log {largest:?}")
                });
                before = timestamp;
            }
        }
    }
    verdict
}

/// The values in the files are those of the last read, as far as they are not compressed.
pub(crate) fn stored(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if facts.final_read.is_none() {
        return verdict;
    }
    let mut read = BTreeMap::new();
    for (log, records) in &facts.found {
        for seen in records {
            read.insert((log.topic, log.partition, seen.offset), seen.content.value());
        }
    }
    let start = |topic: TopicName, partition: u32| {
        let ends = facts.ends.iter().find(|(log, _)| log.topic == topic && log.partition == partition);
        ends.and_then(|(_, (earliest, _))| *earliest)
    };
    for image in clean(facts) {
        for segment in segments_of(image) {
            let Some((name, partition)) = segment.folder.rsplit_once('-') else { continue };
            let (Ok(topic), Ok(partition)) = (name.parse::<TopicName>(), partition.parse::<u32>()) else { continue };
            let Some(start) = start(topic, partition) else { continue };
            for batch in batches(segment.bytes).0 {
                for (offset, bytes) in values(segment.bytes, &batch).unwrap_or_default() {
                    let (Some(bytes), true) = (bytes, offset >= start.0) else { continue };
                    // Retention and cleaning may come between the read and the stop.
                    let Some(seen) = read.get(&(topic, partition, Offset(offset))) else { continue };
                    let stored = Payload::decode(bytes).map(|payload| payload.value);
                    verdict.judge(stored != *seen, image.after_step, None, || {
                        format!("{topic}-{partition}:{offset} has {stored:?} on disk and was read as {seen:?}")
                    });
                }
            }
        }
    }
    verdict
}
