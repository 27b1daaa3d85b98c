//! Promise: a log on disk is what was written to it: whole batches whose offsets rise, each in the segment that is named for
//! it, epochs that never fall, everything that was durable, nothing that was invented (I13, I15, I16).

use std::collections::BTreeMap;

use barnabas_base::{LeaderEpoch, Observation, Offset, TopicPartition};
use barnabas_history::{DiskImage, Evidence};

use crate::facts::Facts;
use crate::observed::{honest, log_of, sights};
use crate::scan::{Batch, ScannedLog, logs};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-log",
    words: "a log on disk holds whole batches in order: all that was durable, and nothing that was not written",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

/// What was observed of one log before an image was taken.
#[derive(Default)]
struct Written {
    synced: Offset,
    /// The last batch appended at each offset: its end, size and checksum.
    batches: BTreeMap<Offset, (Offset, u32, u32)>,
}

/// Judges every batch of every image, and how far each log reaches.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in &evidence.disks {
        let written = written(evidence, image);
        for log in logs(image) {
            let nothing = Written::default();
            let known = written.get(&log.partition).unwrap_or(&nothing);
            judge_log(&mut court, image, &log, known);
        }
    }
    court.verdict()
}

fn judge_log(court: &mut Court<'_>, image: &DiskImage, log: &ScannedLog<'_>, written: &Written) {
    let step = Some(image.after_step);
    let name = |at: Offset| format!("{}-{} on n{} at {at}", log.topic, log.partition.partition, image.node);
    let (mut end, mut epoch) = (Offset::UNKNOWN, LeaderEpoch::UNKNOWN);
    for segment in &log.segments {
        if image.stopped_cleanly {
            let torn = segment.torn_bytes;
            court.judge(torn > 0, step, None, || format!("{}: {torn} bytes are no batch", name(segment.base)));
        }
        for (_, batch) in &segment.batches {
            let wrong = wrong(batch, segment.base, end, epoch, written);
            court.judge(wrong.is_some(), step, None, || {
                format!("{}: {}", name(batch.base_offset), wrong.unwrap_or_default())
            });
            end = batch.last_offset.plus(1);
            epoch = epoch.max(batch.leader_epoch);
        }
    }
    // What a crash left may stand in the journal only; a clean stop has brought it into the segments.
    if let Some(active) = log.segments.last().filter(|_| image.stopped_cleanly) {
        let end = end.max(active.base);
        court.judge(end < written.synced, step, None, || {
            format!("{}: the log ends there, and {} was durable", name(end), written.synced)
        });
    }
}

fn wrong(batch: &Batch<'_>, segment: Offset, end: Offset, epoch: LeaderEpoch, written: &Written) -> Option<String> {
    if batch.base_offset < segment && batch.last_offset < segment {
        return Some(format!("it stands in the segment {segment}"));
    }
    if batch.base_offset < end {
        return Some(format!("it follows the end {end}"));
    }
    if batch.leader_epoch < epoch {
        return Some(format!("it is of epoch {} behind one of {epoch}", batch.leader_epoch));
    }
    let (last, size_bytes, crc) = *written.batches.get(&batch.base_offset)?;
    let same = last == batch.last_offset.plus(1) && u32::try_from(batch.size_bytes) == Ok(size_bytes);
    // The cleaner notes in a batch until when its tombstones live.
    (same && crc != batch.crc && !batch.has_delete_horizon())
        .then(|| format!("its checksum is {:08x} and was written as {crc:08x}", batch.crc))
}

fn written(evidence: &Evidence, image: &DiskImage) -> BTreeMap<TopicPartition, Written> {
    let mut logs = BTreeMap::<TopicPartition, Written>::new();
    let before = sights(evidence).take_while(|sight| sight.step <= image.after_step);
    for sight in before.filter(|sight| sight.node.0 == image.node) {
        let Some(partition) = log_of(sight.what) else { continue };
        let log = logs.entry(partition).or_default();
        match sight.what {
            Observation::Appended { base_offset, end_offset, size_bytes, crc, .. } => {
                log.batches.insert(*base_offset, (*end_offset, *size_bytes, *crc));
            }
            Observation::Synced { offset, .. } => log.synced = log.synced.max(*offset),
            Observation::Truncated { offset, .. } => {
                log.batches.split_off(offset);
                log.synced = log.synced.min(*offset);
            }
            Observation::LogLoaded { end_offset, .. } => {
                log.batches.split_off(end_offset);
            }
            _ => {}
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, rejects};

    use crate::scan::fixture::{Draft, draft, file, image};

    /// A log of one segment, after what was observed of it.
    fn log(piece: Piece, drafts: &[Draft]) -> Piece {
        let bytes: Vec<u8> = drafts.iter().flat_map(Draft::bytes).collect();
        let step = piece.evidence.steps.len();
        piece.disk(image(step, "logs/t0-0", &[(&file(0, "log"), bytes)]))
    }

    /// Observes what a draft writes.
    fn wrote(piece: Piece, draft: &Draft) -> Piece {
        let end = draft.base + i64::try_from(draft.records.len()).expect("a few");
        piece.observed(Observation::Appended {
            partition: crate::piece::LOG,
            base_offset: Offset(draft.base),
            end_offset: Offset(end),
            leader_epoch: LeaderEpoch(draft.epoch),
            crc: draft.crc(),
            size_bytes: u32::try_from(draft.bytes().len()).expect("small"),
            producer: None,
        })
    }

    #[test]
    fn accepts_what_was_written() {
        let (first, second) = (draft(0, 2), draft(2, 1));
        let both = [first.clone(), second.clone()];
        accepts(
            &PROMISE,
            [
                log(durable(), &both),
                log(wrote(wrote(durable(), &first), &second).synced(3), &both),
                log(wrote(durable(), &first).synced(2), &both),
                durable().synced(7).disk(image(9, "t0-0", &[(&file(7, "log"), Vec::new())])),
            ],
        );
    }

    #[test]
    fn rejects_what_was_not() {
        let (first, second) = (draft(0, 2), draft(2, 1));
        let other = Draft { timestamp: 99, ..first.clone() };
        let later = Draft { epoch: 3, ..first.clone() };
        let mut torn = first.bytes();
        torn.pop();
        rejects(
            &PROMISE,
            [
                log(durable().synced(3), std::slice::from_ref(&first)),
                log(durable(), &[second.clone(), first.clone()]),
                log(durable(), &[later, second]),
                log(wrote(durable(), &first), &[other]),
                durable().disk(image(0, "t0-0", &[(&file(0, "log"), torn)])),
                durable().disk(image(0, "t0-0", &[(&file(5, "log"), first.bytes())])),
            ],
        );
    }
}
