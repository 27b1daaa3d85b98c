//! Promise: after a clean stop Kafka's text files say where each log begins, ends, and changes its leader epoch. The broker
//! itself knows better from its journals and segments; Kafka, its tools, and the next start rely on these.

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_history::DiskImage;

use crate::facts::Facts;
use crate::observed::has_room;
use crate::scan::{LOG_STARTS, ScannedLog, counted_lines, logs};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-points",
    words: "after a clean stop checkpoints say where each log begins, ends and changes its epoch",
    kind: Kind::WhiteBox,
    applies: has_room,
    check,
};

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// It has a directory, and a way to recover, of its own.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Judges every log of a broker that stopped cleanly.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in evidence.disks.iter().filter(|image| image.stopped_cleanly) {
        for log in logs(image).iter().filter(|log| log.topic != METADATA_TOPIC) {
            let wrong = wrong_point(image, log).or_else(|| wrong_epoch(image, log));
            court.judge(wrong.is_some(), Some(image.after_step), None, || {
                let reason = wrong.unwrap_or_default();
                format!("{}-{}: {reason}", log.topic, log.partition.partition)
            });
        }
    }
    court.verdict()
}

/// What is wrong with the offsets that are said of a log.
fn wrong_point(image: &DiskImage, log: &ScannedLog<'_>) -> Option<String> {
    let end = log.end();
    for file in [RECOVERY_POINTS, HIGH_WATERMARKS] {
        let point = log.checkpointed(image, file);
        if point != Some(end) {
            return Some(format!("{file} has {point:?} where the log ends at {end}"));
        }
    }
    let first = log.segments.first().map_or(end, |segment| segment.base);
    let start = log.checkpointed(image, LOG_STARTS).unwrap_or(first);
    (start < first || start > end).then(|| format!("it is said to begin at {start}, and is of {first} to {end}"))
}

/// The first batch whose epoch is not the one that is said to have begun last. Nothing is said of what was deleted.
fn wrong_epoch(image: &DiskImage, log: &ScannedLog<'_>) -> Option<String> {
    let start = log.checkpointed(image, LOG_STARTS).unwrap_or(Offset(0));
    let Some(begun) = log.epochs.and_then(epochs) else {
        let is_empty = log.batches().next().is_none();
        return (!is_empty).then(|| "there are no epochs".to_owned());
    };
    let epoch_at = |offset: Offset| begun.iter().rfind(|(_, start)| *start <= offset).map(|(epoch, _)| *epoch);
    let wrong = log.batches().filter(|batch| batch.base_offset >= start).find(|batch| {
        [batch.base_offset, batch.last_offset].into_iter().any(|offset| epoch_at(offset) != Some(batch.leader_epoch))
    })?;
    Some(format!("the batch at {} is of epoch {}, and epochs are {begun:?}", wrong.base_offset, wrong.leader_epoch))
}

/// Epochs and where they begin, both in order.
fn epochs(file: &[u8]) -> Option<Vec<(LeaderEpoch, Offset)>> {
    let read = |line: &str| {
        let (epoch, start) = line.split_once(' ')?;
        Some((LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?)))
    };
    let epochs = counted_lines(file)?.into_iter().map(read).collect::<Option<Vec<_>>>()?;
    epochs.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1).then_some(epochs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, rejects};
    use crate::scan::fixture::{Draft, draft, file, image};

    /// A log of two batches, the second of epoch 3, with what is said of it.
    fn disk(points: [&str; 3], epochs: &str) -> Piece {
        let later = Draft { epoch: 3, ..draft(2, 2) };
        let bytes: Vec<u8> = [draft(0, 2), later].iter().flat_map(Draft::bytes).collect();
        let log = file(0, "log");
        let files = [(log.as_str(), bytes), ("leader-epoch-checkpoint", epochs.as_bytes().to_vec())];
        let mut image = image(0, "data/t0-0", &files);
        for (name, text) in [RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS].into_iter().zip(points) {
            image.files.insert(format!("data/{name}"), text.as_bytes().to_vec());
        }
        durable().disk(image)
    }

    const END: &str = "0\n1\nt0 0 4\n";
    const EPOCHS: &str = "0\n2\n0 0\n3 2\n";

    #[test]
    fn accepts_what_is_there() {
        accepts(
            &PROMISE,
            [
                disk([END, END, "0\n0\n"], EPOCHS),
                disk([END, END, "0\n2\nt0 0 1\nt1 0 9\n"], EPOCHS),
                disk([END, END, END], "0\n3\n0 0\n3 2\n4 4\n"),
                disk([END, END, "0\n1\nt0 0 2\n"], "0\n1\n3 2\n"),
            ],
        );
    }

    #[test]
    fn rejects_anything_else() {
        let past = "0\n1\nt0 0 5\n";
        rejects(
            &PROMISE,
            [
                disk(["0\n1\nt0 0 2\n", END, "0\n0\n"], EPOCHS),
                disk([END, past, "0\n0\n"], EPOCHS),
                disk([END, "0\n0\n", "0\n0\n"], EPOCHS),
                disk([END, END, past], EPOCHS),
                disk(["0\n2\nt0 0 4\n", END, "0\n0\n"], EPOCHS),
                disk([END, END, "0\n0\n"], "0\n1\n0 0\n"),
                disk([END, END, "0\n0\n"], "0\n2\n0 0\n3 1\n"),
                disk([END, END, "0\n0\n"], "0\n2\n3 2\n0 0\n"),
                disk([END, END, "0\n0\n"], "0\n3\n0 0\n3 2\n"),
            ],
        );
    }
}
