//! Promise: no value of a key outlives the tombstone that deleted it: once cleaning has taken a tombstone, every earlier
//! record of its key is gone as well, or the key would come back (KIP-534).

use std::collections::BTreeMap;

use barnabas_base::{Offset, PartitionIndex};
use barnabas_history::{DiskImage, LogName};

use crate::facts::{End, Facts};
use crate::observed::honest;
use crate::scan::{ScannedLog, logs};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-keys",
    words: "no value of a key outlives the tombstone that deleted it",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

/// Judges the last acknowledged tombstone of each key, on every disk that a clean stop has left.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in evidence.disks.iter().filter(|image| image.stopped_cleanly) {
        let tombstones = tombstones(facts, image);
        for scanned in logs(image) {
            for ((log, key), at) in &tombstones {
                let (id, partition) = (scanned.partition.topic_id.0, scanned.partition.partition);
                let is_here =
                    log.id == id && i32::try_from(log.partition).is_ok_and(|index| PartitionIndex(index) == partition);
                let Some(last) = is_here.then(|| last_of(&scanned, *key, *at)).flatten() else { continue };
                court.judge(last < *at, Some(image.after_step), Some(*log), || {
                    let name = shown(*log);
                    format!(
                        "key {key} of {name} was deleted at {at}, of which nothing is left, and its record at {last} is"
                    )
                });
            }
        }
    }
    court.verdict()
}

/// Where each key was last deleted before the image was taken.
fn tombstones(facts: &Facts<'_>, image: &DiskImage) -> BTreeMap<(LogName, u32), Offset> {
    let mut found = BTreeMap::new();
    for send in facts.sends().iter().filter(|send| send.tombstone && send.acks != 0 && send.ended <= image.after_step) {
        if let (End::Ok(Some((log, offset))), Some(key)) = (send.end, send.key) {
            let last = found.entry((log, key)).or_insert(offset);
            *last = offset.max(*last);
        }
    }
    found
}

/// The last record of a key that is left; `None` when there is none, or when a batch that may hold one is compressed.
fn last_of(log: &ScannedLog<'_>, key: u32, from: Offset) -> Option<Offset> {
    let key = format!("key-{key}");
    let mut last = None;
    for batch in log.batches() {
        let records = batch.records();
        if records.is_none() && batch.last_offset >= from {
            return None;
        }
        let of_key = records.into_iter().flatten().filter(|record| record.key == Some(key.as_bytes()));
        last = of_key.map(|record| record.offset).max().max(last);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use crate::scan::fixture::{Draft, draft, file, image};

    /// A disk with records of key 7 at these offsets.
    fn left(piece: Piece, offsets: &[i64]) -> Piece {
        let pair = (Some(b"key-7".to_vec()), Some(b"value".to_vec()));
        let one = |base: &i64| Draft { records: vec![pair.clone()], ..draft(*base, 1) }.bytes();
        let bytes = offsets.iter().flat_map(one).collect();
        let step = piece.evidence.steps.len();
        piece.disk(image(step, "logs/t0-0", &[(&file(0, "log"), bytes)]))
    }

    fn deleted() -> Piece {
        durable().key(7).sent(0, 1, 3).deleted(0, 2, 5)
    }

    #[test]
    fn accepts_a_key_that_is_gone_or_there_again() {
        accepts(&PROMISE, [left(deleted(), &[3, 5]), left(deleted().sent(0, 3, 6), &[6]), left(deleted(), &[5])]);
        passes_over(&PROMISE, [left(deleted(), &[]), left(durable().key(7).sent(0, 1, 3), &[3])]);
    }

    #[test]
    fn rejects_a_value_that_comes_back() {
        rejects(&PROMISE, [left(deleted(), &[3]), left(deleted(), &[0, 3])]);
    }
}
