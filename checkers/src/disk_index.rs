//! Promise: after a clean stop the indexes say what a scan of the segment says (I15).

use barnabas_base::Offset;

use crate::facts::{Facts, exact_disks};
use crate::observed::keeps_caches;
use crate::scan::{ScannedSegment, logs, offset_entries, time_entries};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-index",
    words: "indexes on disk say what a scan of their segment says",
    kind: Kind::WhiteBox,
    applies: keeps_caches,
    check,
};

/// Judges every index of every segment of a broker that stopped cleanly.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in exact_disks(evidence) {
        for log in logs(image) {
            for segment in &log.segments {
                for wrong in [wrong_offset(segment), wrong_time(segment)].into_iter().flatten() {
                    court.judge(wrong.is_some(), Some(image.after_step), None, || {
                        let reason = wrong.unwrap_or_default();
                        format!("{}-{}, segment {}: {reason}", log.topic, log.partition.partition, segment.base)
                    });
                }
            }
        }
    }
    court.verdict()
}

/// What is wrong with the offset index, if there is one.
fn wrong_offset(segment: &ScannedSegment<'_>) -> Option<Option<String>> {
    let Some(entries) = offset_entries(segment.base, segment.offset_index?) else {
        return Some(Some("the offset index is torn".to_owned()));
    };
    let mut last = Offset::UNKNOWN;
    for (offset, position) in entries {
        let found = segment.batches.binary_search_by_key(&position, |(position, _)| *position);
        let batch = found.ok().map(|index| segment.batches[index].1.last_offset);
        if batch != Some(offset) || offset <= last {
            return Some(Some(format!("offset {offset} is said to end the batch at byte {position}")));
        }
        last = offset;
    }
    Some(None)
}

/// What is wrong with the time index, if there is one: an entry names the largest timestamp up to its offset.
fn wrong_time(segment: &ScannedSegment<'_>) -> Option<Option<String>> {
    let Some(entries) = time_entries(segment.base, segment.time_index?) else {
        return Some(Some("the time index is torn".to_owned()));
    };
    let mut batches = segment.batches.iter().map(|(_, batch)| batch).peekable();
    let mut largest = -1;
    let mut last = -1;
    for (timestamp, offset) in entries {
        while let Some(batch) = batches.next_if(|batch| batch.last_offset <= offset) {
            largest = largest.max(batch.max_timestamp);
        }
        if timestamp != largest || timestamp <= last {
            return Some(Some(format!("{timestamp} is said to be the largest up to {offset}, and {largest} is")));
        }
        last = timestamp;
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use crate::scan::fixture::{Draft, draft, file, image};

    /// Three batches of two records, at known positions, with indexes of such entries.
    fn disk(offsets: &[(i32, u32)], times: &[(i64, i32)]) -> crate::piece::Piece {
        let bytes: Vec<u8> = [0, 2, 4].into_iter().flat_map(|base| draft(base, 2).bytes()).collect();
        let offsets =
            offsets.iter().flat_map(|(offset, at)| [offset.to_be_bytes(), at.to_be_bytes()].concat()).collect();
        let entry = |(time, offset): &(i64, i32)| [&time.to_be_bytes()[..], &offset.to_be_bytes()].concat();
        let times = times.iter().flat_map(entry).collect();
        let names = [file(0, "log"), file(0, "index"), file(0, "timeindex")];
        durable().disk(image(0, "t0-0", &[(&names[0], bytes), (&names[1], offsets), (&names[2], times)]))
    }

    fn second() -> u32 {
        u32::try_from(Draft::bytes(&draft(0, 2)).len()).expect("small")
    }

    #[test]
    fn accepts_what_a_scan_says() {
        let second = second();
        accepts(
            &PROMISE,
            [
                disk(&[], &[]),
                disk(&[(3, second), (5, 2 * second)], &[(12, 3), (14, 5)]),
                disk(&[(3, second), (0, 0), (0, 0)], &[(14, 5), (0, 0)]),
            ],
        );
    }

    #[test]
    fn rejects_anything_else() {
        let second = second();
        rejects(
            &PROMISE,
            [
                disk(&[(2, second)], &[]),
                disk(&[(3, second + 1)], &[]),
                disk(&[(5, 2 * second), (3, second)], &[]),
                disk(&[], &[(13, 3)]),
                disk(&[], &[(12, 5)]),
            ],
        );
    }
}
