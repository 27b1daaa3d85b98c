//! Promise: a producer snapshot is the fold of the log below its offset (I19). Producers whose batches retention has deleted
//! may be in it, those whose batches are there must be, and no batch past its offset is.

use std::collections::BTreeMap;

use barnabas_base::Offset;

use crate::facts::{Facts, lost_power};
use crate::lawful::longest_age_ms;
use crate::observed::keeps_caches;
use crate::scan::{ScannedLog, SnapshotEntry, logs, snapshot};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-snapshot",
    words: "a producer snapshot is the fold of its log",
    kind: Kind::WhiteBox,
    applies: keeps_caches,
    check,
};

/// Below this age no producer expires: a little less than Kafka's default.
const EXPIRATION_MS: u64 = 23 * 60 * 60 * 1000;

/// Judges every producer of every snapshot of a broker that stopped cleanly.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let shorter = evidence.plan.knobs.iter().any(|(name, _)| name.starts_with("broker.producer.id.expiration"));
    let expires = shorter || longest_age_ms(evidence) >= EXPIRATION_MS;
    for image in evidence.disks.iter().filter(|image| image.stopped_cleanly) {
        for log in logs(image) {
            for (offset, bytes) in &log.snapshots {
                judge_past(&mut court, image.after_step, &log, (*offset, bytes));
            }
            // Older ones speak of batches that cleaning and retention may have taken away since.
            let Some((offset, bytes)) = log.snapshots.last() else { continue };
            let name = || format!("{}-{}, snapshot {offset}", log.topic, log.partition.partition);
            let Some(entries) = snapshot(bytes) else {
                // A cache that a power loss tore is made anew when somebody needs it.
                court.judge(!lost_power(evidence, image.after_step), Some(image.after_step), None, || {
                    format!("{} is damaged", name())
                });
                continue;
            };
            let found: BTreeMap<_, _> = entries.iter().map(|entry| (entry.producer_id, *entry)).collect();
            for (id, folded) in fold(&log, *offset) {
                let entry = found.get(&id);
                let broken = entry.map_or(!expires, |entry| !is_right(entry, &folded, *offset));
                court.judge(broken, Some(image.after_step), None, || {
                    format!("{}: it has {entry:?} where the log has {folded:?}", name())
                });
            }
        }
    }
    court.verdict()
}

/// Judges whether a snapshot of any age knows nothing of what follows it: a start that begins there would take for
/// appended what never was.
fn judge_past(court: &mut Court<'_>, step: usize, log: &ScannedLog<'_>, (offset, bytes): (Offset, &[u8])) {
    for entry in snapshot(bytes).into_iter().flatten() {
        court.judge(entry.last_offset >= offset, Some(step), None, || {
            let log = format!("{}-{}", log.topic, log.partition.partition);
            format!("{log}, snapshot {offset}: it has {entry:?}, which lies past it")
        });
    }
}

/// Whether an entry of a snapshot at `offset` fits what the log has of its producer: what retention deleted may have held a
/// later batch, but none lies past the snapshot.
fn is_right(entry: &SnapshotEntry, folded: &SnapshotEntry, offset: Offset) -> bool {
    entry.last_offset < offset && (entry.last_offset > folded.last_offset || entry == folded)
}

/// The last batch of each producer below `end`.
fn fold(log: &ScannedLog<'_>, end: Offset) -> BTreeMap<i64, SnapshotEntry> {
    let mut producers = BTreeMap::new();
    let below = log.batches().take_while(|batch| batch.base_offset < end);
    for batch in below.filter(|batch| batch.producer_id >= 0 && batch.base_sequence >= 0) {
        producers.insert(
            batch.producer_id,
            SnapshotEntry {
                producer_id: batch.producer_id,
                epoch: batch.producer_epoch,
                last_sequence: batch.last_sequence(),
                last_offset: batch.last_offset,
                offset_delta: batch.last_offset_delta,
            },
        );
    }
    producers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, rejects};

    use crate::scan::fixture::{Draft, draft, file, image, snapshot};

    type Entry = (i64, i16, i32, i64, i32);

    /// Two batches of producer 7 and a snapshot at `at`.
    fn disk(at: i64, entries: &[Entry]) -> Piece {
        let batch = |base, sequence| Draft { producer: (7, 1, sequence), ..draft(base, 2) }.bytes();
        let bytes = [batch(0, 0), batch(2, 2)].concat();
        durable().disk(image(0, "t0-0", &[(&file(0, "log"), bytes), (&file(at, "snapshot"), snapshot(entries))]))
    }

    #[test]
    fn accepts_the_fold() {
        accepts(
            &PROMISE,
            [disk(4, &[(7, 1, 3, 3, 1)]), disk(2, &[(7, 1, 1, 1, 1)]), disk(4, &[(5, 0, 9, -1, 0), (7, 1, 3, 3, 1)])],
        );
    }

    #[test]
    fn rejects_anything_else() {
        let mut damaged = disk(4, &[(7, 1, 3, 3, 1)]);
        let bytes = damaged.evidence.disks[0].files.get_mut(&format!("t0-0/{}", file(4, "snapshot")));
        bytes.expect("the snapshot")[20] ^= 1;
        rejects(
            &PROMISE,
            [
                disk(4, &[(7, 1, 1, 1, 1)]),
                disk(2, &[(7, 1, 3, 3, 1)]),
                disk(4, &[]),
                disk(4, &[(7, 0, 3, 3, 1)]),
                damaged,
            ],
        );
    }
}
