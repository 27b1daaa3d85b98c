//! Promise: after clean stops alone every segment has its checksums beside it, and they are those of what it holds: what a
//! batch's own checksum leaves out is found to have rotted by them alone.

use crate::facts::{Facts, whole_disks};
use crate::observed::has_room;
use crate::scan::{ScannedSegment, logs, range_sums, segment_check};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-check",
    words: "the checksums beside a segment are those of what it holds",
    kind: Kind::WhiteBox,
    applies: has_room,
    check,
};

/// Judges every segment of a broker that never ended otherwise.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for image in whole_disks(evidence) {
        for log in logs(image) {
            for segment in log.living(image).filter(|segment| !segment.batches.is_empty()) {
                let wrong = wrong(segment);
                court.judge(wrong.is_some(), Some(image.after_step), None, || {
                    let reason = wrong.unwrap_or_default();
                    format!("{}-{}, segment {}: {reason}", log.topic, log.partition.partition, segment.base)
                });
            }
        }
    }
    court.verdict()
}

/// What is wrong with the checksums of a segment.
fn wrong(segment: &ScannedSegment<'_>) -> Option<String> {
    let Some(file) = segment.check else { return Some("there are no checksums".to_owned()) };
    let Some(check) = segment_check(file) else { return Some("its checksums do not read".to_owned()) };
    if check.base != segment.base {
        return Some(format!("its checksums are those of {}", check.base));
    }
    let end = segment.batches.last().map_or(0, |(position, batch)| position + batch.size_bytes);
    if segment.torn_bytes == 0 && usize::try_from(check.covered) != Ok(end) {
        return Some(format!("{} bytes of {end} are covered", check.covered));
    }
    let sums =
        range_sums(&segment.bytes[..end], usize::try_from(check.range_bytes).unwrap_or(0), segment.batches.iter());
    if segment.torn_bytes == 0 && sums != check.ranges {
        return Some("it is not what its checksums say".to_owned());
    }
    let is_fit = |index: Option<&[u8]>, check: crate::scan::IndexCheck| check.fits(index.unwrap_or_default());
    let fits = is_fit(segment.offset_index, check.offset_index) && is_fit(segment.time_index, check.time_index);
    (!fits).then(|| "its indexes are not what their checksums say".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};
    use crate::scan::fixture::{Draft, draft, file, image, segment_check as check_file};

    const INDEX: &[u8] = &[0, 0, 0, 3, 0, 0, 0, 62];

    fn segment() -> Vec<u8> {
        [0, 2].into_iter().flat_map(|base| Draft::bytes(&draft(base, 2))).collect()
    }

    fn disk(segment: Vec<u8>, check: Option<Vec<u8>>) -> Piece {
        let (log, index, beside) = (file(0, "log"), file(0, "index"), file(0, "barnabas-check"));
        let mut files = vec![(log.as_str(), segment), (index.as_str(), INDEX.to_vec())];
        files.extend(check.map(|check| (beside.as_str(), check)));
        durable().disk(image(0, "t0-0", &files))
    }

    /// Of two segments without checksums, the second of which is empty.
    fn disk_that_begins_at(start: i64) -> Piece {
        let (first, second) = (file(0, "log"), file(4, "log"));
        let mut image = image(0, "t0-0", &[(&first, segment()), (&second, Vec::new())]);
        image.files.insert("log-start-offset-checkpoint".to_owned(), format!("0\n1\nt0 0 {start}\n").into_bytes());
        durable().disk(image)
    }

    /// Of two batches, with a say in each part of it.
    fn sound(change: impl FnOnce(&mut Vec<(i64, i32)>, &mut Vec<u8>)) -> Vec<u8> {
        let (mut places, mut bytes) = (vec![(0, 0), (2, 0)], segment());
        change(&mut places, &mut bytes);
        check_file(0, &bytes, &places, INDEX)
    }

    #[test]
    fn accepts_checksums_of_what_is_there() {
        accepts(&PROMISE, [disk(segment(), Some(sound(|_, _| {})))]);
        passes_over(&PROMISE, [disk(Vec::new(), None), disk_that_begins_at(4)]);
    }

    #[test]
    fn rejects_anything_else() {
        let torn = |mut file: Vec<u8>| {
            file.pop();
            file
        };
        let last = |bytes: &mut Vec<u8>| *bytes.last_mut().expect("there are bytes") ^= 1;
        let of_another_index = check_file(0, &segment(), &[(0, 0), (2, 0)], b"another");
        rejects(
            &PROMISE,
            [
                disk(segment(), None),
                disk_that_begins_at(3),
                disk(segment(), Some(torn(sound(|_, _| {})))),
                disk(segment(), Some(sound(|_, bytes| last(bytes)))),
                disk(segment(), Some(sound(|_, bytes| bytes.truncate(bytes.len() - 1)))),
                disk(segment(), Some(sound(|places, _| places[1].0 = 3))),
                disk(segment(), Some(sound(|places, _| places[0].1 = 1))),
                disk(segment(), Some(check_file(7, &segment(), &[(0, 0), (2, 0)], INDEX))),
                disk(segment(), Some(of_another_index)),
            ],
        );
    }
}
