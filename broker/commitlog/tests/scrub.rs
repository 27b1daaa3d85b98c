//! Rot while a log is open, and while it is closed: what is found, what is still served, and that cleaning takes none of it.
#![allow(clippy::disallowed_methods, reason = "tests look at the files behind the seam's back")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_commitlog::{CleanupPolicy, Log, LogConfig, ReadBound, ReadError};
use barnabas_runtime::Segment;
use barnabas_wire::record::{BatchHeader, Tail, batches};
use bytes::Bytes;
use support::*;

/// Batches of two records; seven fit a segment.
const BATCHES: i64 = 17;

/// Bytes of a header that its checksum leaves out: of the base offset, the length, the epoch, the magic, the checksum.
const PLACES: [u64; 11] = [0, 3, 6, 7, 8, 10, 11, 12, 15, 16, 20];

/// Bits of a byte that are flipped: a small step and a large one.
const BITS: [u8; 2] = [0, 6];

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 2_000, ..LogConfig::default() }
}

/// With an index entry for each batch, so that a start has little to walk through.
fn dense() -> LogConfig {
    LogConfig { index_interval_bytes: 1, ..small_segments() }
}

fn compacted() -> LogConfig {
    let cleanup = CleanupPolicy { compact: true, delete: false };
    LogConfig { cleanup, min_cleanable_ratio: 0.0, ..small_segments() }
}

/// The batches of a log by file and position, with what their headers say.
fn batches_of(path: &Path) -> Vec<(PathBuf, u64, BatchHeader)> {
    let folder = log_folder(path);
    let mut found = Vec::new();
    for name in names(&folder).into_iter().filter(|name| name.ends_with(".log")) {
        let file = folder.join(name);
        let bytes = std::fs::read(&file).expect("a file");
        let mut at = 0;
        while at < bytes.len() {
            let header = BatchHeader::parse(&bytes[at..]).expect("a sound batch");
            found.push((file.clone(), at as u64, header));
            at += usize::try_from(header.size_bytes).expect("fits");
        }
    }
    found
}

fn flip_bit(file: &Path, position: u64, bit: u8) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[usize::try_from(position).expect("fits")] ^= 1 << bit;
    std::fs::write(file, bytes).expect("writable");
}

/// Every record that is served, stepping over what is not.
async fn served(log: &Rc<Log>) -> BTreeMap<Offset, Bytes> {
    let mut found = BTreeMap::new();
    let mut at = log.log_start_offset();
    while at < log.high_watermark() {
        found.extend(records(log, at).await);
        match log.read_bytes(at, 64 * 1024, ReadBound::HighWatermark).await {
            Err(ReadError::Damaged) => {
                let range = log.damaged_ranges().into_iter().find(|range| range.from <= at && at < range.to);
                // Nothing but damage follows offsets that cleaning took.
                at = range.map_or(at.plus(1), |range| range.to);
            }
            read => {
                let next = read.expect("readable").next_offset;
                assert!(next > at, "whoever reads at {at} comes no further");
                at = next;
            }
        }
    }
    found
}

async fn filled(log: &Rc<Log>) {
    for time in 0..BATCHES {
        append(log, batch(2, 100, 1_000 + time * 10)).await.expect("accepted");
    }
    log.wait_high_watermark(Offset(2 * BATCHES)).await.expect("the directory works");
}

#[test]
fn any_bit_of_a_header_is_found_while_the_log_is_open() {
    let path = folder("scrub_open");
    let mut cases = 0;
    // In the middle of a sealed segment, at its end, at the start of the next, in the active one and at its end.
    for index in [3, 6, 7, 15, 16] {
        for byte in PLACES {
            for bit in BITS {
                let _ = std::fs::remove_dir_all(&path);
                let at = path.clone();
                run(async move |env| {
                    let start = Start::new(&env, &at).await;
                    let (log, _) = start.open(small_segments()).await;
                    filled(&log).await;
                    let before = served(&log).await;
                    let (file, position, header) = batches_of(&at).swap_remove(index);
                    flip_bit(&file, position + byte, bit);
                    assert_eq!(log.scrub(u64::MAX).await, Ok(true));
                    let ranges: Vec<_> = log.damaged_ranges().iter().map(|range| (range.from, range.to)).collect();
                    let rotten = (header.base_offset, header.end_offset());
                    assert_eq!(ranges, [rotten], "batch {index}, byte {byte}, bit {bit}");
                    let is_sound = |offset: Offset| offset < rotten.0 || offset >= rotten.1;
                    let sound: BTreeMap<_, _> = before.into_iter().filter(|(offset, _)| is_sound(*offset)).collect();
                    assert_eq!(served(&log).await, sound, "batch {index}, byte {byte}, bit {bit}");
                    // It is told once, and what is appended afterwards is sound.
                    acked(&log, batch(2, 100, 9_000)).await;
                    assert_eq!(log.scrub(u64::MAX).await, Ok(true));
                    assert_eq!(log.damaged_ranges().len(), 1);
                    start.close().await;
                });
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 110);
}

/// What is served is what was written, and nothing but what rotted is missing.
fn assert_only_rot_is_missing(
    before: &BTreeMap<Offset, Bytes>,
    found: &BTreeMap<Offset, Bytes>,
    rotten: &BatchHeader,
    case: &str,
) {
    let false_ones = found.iter().filter(|(offset, value)| before.get(*offset) != Some(*value));
    let false_ones: Vec<_> = false_ones.map(|(offset, _)| offset).collect();
    assert!(false_ones.is_empty(), "{false_ones:?}: {case}");
    let is_rotten = |offset: Offset| rotten.base_offset <= offset && offset < rotten.end_offset();
    let missing = before.keys().copied().filter(|offset| !found.contains_key(offset));
    let missing: Vec<_> = missing.filter(|offset| !is_rotten(*offset)).collect();
    assert!(missing.is_empty(), "{missing:?}: {case}");
}

#[test]
fn what_rots_on_the_device_is_not_served_when_it_is_read_again() {
    let path = folder("scrub_cold");
    for index in [3, 6, 7, 15, 16] {
        for byte in PLACES {
            let _ = std::fs::remove_dir_all(&path);
            let at = path.clone();
            run(async move |env| {
                let start = Start::new(&disk::uncached(&env), &at).await;
                let (log, _) = start.open(small_segments()).await;
                filled(&log).await;
                let before = served(&log).await;
                let (file, position, header) = batches_of(&at).swap_remove(index);
                flip_bit(&file, position + byte, 3);
                let case = format!("batch {index}, byte {byte}");
                assert_only_rot_is_missing(&before, &served(&log).await, &header, &case);
                start.close().await;
            });
        }
    }
}

#[test]
fn what_rots_on_the_device_is_not_sent_from_a_file() {
    let path = folder("scrub_cold_range");
    for byte in PLACES {
        let _ = std::fs::remove_dir_all(&path);
        let at = path.clone();
        run(async move |env| {
            let start = Start::new(&disk::uncached(&env), &at).await;
            let (log, _) = start.open(LogConfig::default()).await;
            for time in 0..BATCHES {
                append(&log, batch(2, 4_000, 1_000 + time * 10)).await.expect("accepted");
            }
            log.wait_high_watermark(Offset(2 * BATCHES)).await.expect("the directory works");
            let read = async || log.read(Offset(0), 1 << 20, ReadBound::HighWatermark, false).await.expect("readable");
            let before = read().await;
            assert!(matches!(before.segments[..], [Segment::File { .. }]), "large enough to be sent from the file");
            assert_eq!(before.next_offset, Offset(2 * BATCHES));
            let (file, position, header) = batches_of(&at).swap_remove(4);
            flip_bit(&file, position + byte, 3);
            let after = read().await;
            assert_eq!((after.next_offset, after.size_bytes), (header.base_offset, position), "byte {byte}");
            start.close().await;
        });
    }
}

#[test]
fn what_was_cut_off_a_file_is_damaged() {
    let path = folder("scrub_cut");
    for cut_bytes in [1, 100] {
        let _ = std::fs::remove_dir_all(&path);
        let (first, at) = (path.clone(), path.clone());
        run(async move |env| {
            let start = Start::new(&env, &first).await;
            let (log, _) = start.open(dense()).await;
            filled(&log).await;
            start.close().await;
        });
        run(async move |env| {
            let start = Start::new(&env, &at).await;
            let (log, _) = start.open(dense()).await;
            let before = served(&log).await;
            let (file, position, header) = batches_of(&at).swap_remove(3);
            cut(&file, position + u64::from(header.size_bytes) - cut_bytes);
            for _ in 0..2 {
                let read = log.read(header.base_offset, 4_000, ReadBound::HighWatermark, true).await;
                assert_eq!(read.expect_err("it is not there"), ReadError::Damaged);
                let read = log.read_bytes(header.base_offset, 4_000, ReadBound::HighWatermark).await;
                assert_eq!(read.expect_err("it is not there"), ReadError::Damaged);
            }
            let whole = log.read(Offset(0), 4_000, ReadBound::HighWatermark, true).await.expect("what is before it");
            assert_eq!((whole.next_offset, whole.size_bytes), (header.base_offset, position));
            // The rest of the segment is gone with it, and nothing else.
            let left = served(&log).await;
            assert!(left.iter().all(|(offset, value)| before.get(offset) == Some(value)));
            let next = before.keys().copied().find(|offset| *offset > header.base_offset && left.contains_key(offset));
            let gone = before.keys().filter(|offset| !left.contains_key(*offset)).count();
            assert_eq!((next, gone), (Some(Offset(14)), 8), "seven batches of two records fit a segment");
            start.close().await;
        });
    }
}

#[test]
fn what_rots_while_the_log_is_closed_is_not_served() {
    let path = folder("scrub_closed");
    // A clean stop, a crash, and a clean stop of the life that followed a crash.
    for (clean, lives) in [(true, 1), (false, 1), (true, 2)] {
        for index in [3, 6, 7, 15, 16] {
            for byte in PLACES {
                let _ = std::fs::remove_dir_all(&path);
                let (first, between, second) = (path.clone(), path.clone(), path.clone());
                let before = run(async move |env| {
                    let start = Start::new(&env, &first).await;
                    let (log, _) = start.open(dense()).await;
                    filled(&log).await;
                    let before = served(&log).await;
                    if clean && lives == 1 {
                        start.close().await;
                    }
                    before
                });
                if lives == 2 {
                    run(async move |env| {
                        let start = Start::new(&env, &between).await;
                        let (log, _) = start.open(dense()).await;
                        log.wait_high_watermark(Offset(2 * BATCHES)).await.expect("committed like an append");
                        start.close().await;
                    });
                }
                let (file, position, header) = batches_of(&path).swap_remove(index);
                flip_bit(&file, position + byte, 3);
                run(async move |env| {
                    let start = Start::new(&env, &second).await;
                    let (log, report) = start.open(dense()).await;
                    // Without a clean stop the journal has it all once more, and puts it back.
                    log.wait_high_watermark(Offset(2 * BATCHES)).await.expect("committed like an append");
                    assert_eq!(report.end_offset, Offset(2 * BATCHES), "clean {clean}, batch {index}, byte {byte}");
                    let case = format!("clean {clean}, batch {index}, byte {byte}");
                    assert_only_rot_is_missing(&before, &served(&log).await, &header, &case);
                    start.close().await;
                });
            }
        }
    }
}

/// A compacted log whose first segments were cleaned: their batches have gaps between them.
async fn cleaned(log: &Rc<Log>) {
    for round in 0..12 {
        for key in ["a", "b", "c"] {
            let once = format!("{key}{round}");
            let value = "v".repeat(60);
            append(log, keyed(&[(key, Some(&value))])).await.expect("accepted");
            append(log, keyed(&[(&once, Some(&value))])).await.expect("accepted");
        }
    }
    log.wait_high_watermark(log.end_offset()).await.expect("the directory works");
    log.roll().await.expect("rolls");
    log.clean(None).await.expect("cleans");
}

/// An index names boundaries within what is damaged: the read that finds the damage ends before it all the same.
#[test]
fn the_read_that_finds_damage_ends_before_it_however_much_it_asks_for() {
    for count in 1..=7 {
        let path = folder("scrub_ends_before");
        let [first, second] = [path.clone(), path.clone()];
        run(async move |env| {
            let start = Start::new(&env, &first).await;
            let (log, _) = start.open(dense()).await;
            filled(&log).await;
            start.close().await;
        });
        let (file, position, header) = batches_of(&path).swap_remove(2);
        flip_bit(&file, position + 6, 1);
        flip_bit(&file, position + u64::from(header.size_bytes) + 70, 3);
        let asked = u64::from(header.size_bytes) * count;
        run(async move |env| {
            let start = Start::new(&env, &second).await;
            let (log, _) = start.open(dense()).await;
            let max_bytes = usize::try_from(asked).expect("small");
            let read = log.read_bytes(Offset(0), max_bytes, ReadBound::HighWatermark).await.expect("sound at first");
            let expected = i64::try_from(count.min(2)).expect("small") * 2;
            assert_eq!(read.next_offset, Offset(expected), "{count} batches were asked for");
            let ends: Vec<_> = batches(&read.bytes, Tail::MustBeWhole)
                .map(|batch| batch.expect("whole").header().end_offset())
                .collect();
            assert_eq!(ends.last(), Some(&Offset(expected)), "{count} batches were asked for");
            assert_eq!(
                log.damaged_ranges().iter().map(|range| (range.from.0, range.to.0)).collect::<Vec<_>>(),
                [(4, 8)]
            );
            start.close().await;
        });
    }
}

#[test]
fn behind_gaps_nothing_false_is_served_and_no_more_is_refused_than_must_be() {
    let path = folder("scrub_gaps");
    let cases = PLACES.into_iter().chain([70]).flat_map(|byte| [(byte, false), (byte, true)]);
    for (byte, begins_segment) in cases {
        let _ = std::fs::remove_dir_all(&path);
        let at = path.clone();
        run(async move |env| {
            let start = Start::new(&env, &at).await;
            let (log, _) = start.open(compacted()).await;
            cleaned(&log).await;
            let before = served(&log).await;
            let all = batches_of(&at);
            let has_gap = |index: &usize| all[index - 1].2.end_offset() < all[*index].2.base_offset;
            let is_first = |index: &usize| all[*index].1 == 0;
            let within = (1..all.len()).find(|index| has_gap(index) && !is_first(index));
            let first = (1..all.len()).find(|index| has_gap(index) && is_first(index));
            let index = if begins_segment { first } else { within }.expect("cleaning leaves gaps");
            let (file, position, header) = &all[index];
            flip_bit(file, position + byte, 1);
            assert_eq!(log.scrub(u64::MAX).await, Ok(true));
            let found = served(&log).await;
            assert!(found.iter().all(|(offset, value)| before.get(offset) == Some(value)), "byte {byte}");
            assert!(!found.contains_key(&header.base_offset), "byte {byte}");
            // Only a false place makes its neighbours doubtful: bytes 0-7 are the base offset, 12-15 the epoch. A false
            // length hides where the next batch begins.
            if !(0..16).contains(&byte) {
                assert_eq!(found.len() + 1, before.len(), "byte {byte}: sound batches are served");
            }
            start.close().await;
        });
    }
}

#[test]
fn cleaning_takes_no_rotten_batch_along() {
    let path = folder("scrub_clean");
    for byte in [3, 6, 7, 15, 70] {
        let _ = std::fs::remove_dir_all(&path);
        let at = path.clone();
        run(async move |env| {
            let start = Start::new(&env, &at).await;
            let (log, _) = start.open(compacted()).await;
            cleaned(&log).await;
            for _ in 0..12 {
                acked(&log, keyed(&[("a", Some("newer"))])).await;
                acked(&log, keyed(&[("b", Some("newer"))])).await;
            }
            log.roll().await.expect("rolls");
            let before = served(&log).await;
            let (file, position, header) =
                batches_of(&at).into_iter().find(|(.., header)| header.base_offset >= Offset(76)).expect("dirty ones");
            flip_bit(&file, position + byte, 4);
            let refused = log.clean(None).await.expect_err("a damaged log is left alone");
            assert!(refused.message.contains("cannot clean"), "{refused}");
            let found = served(&log).await;
            let false_ones: Vec<_> =
                found.iter().filter(|(offset, value)| before.get(*offset) != Some(*value)).collect();
            assert!(false_ones.is_empty(), "{false_ones:?}, {:?}, byte {byte}", log.damaged_ranges());
            assert!(found.len() + 2 >= before.len() - usize::from(header.record_count > 1), "byte {byte}: {found:?}");
            assert!(names(&log_folder(&at)).iter().all(|name| !name.ends_with(".cleaned")));
            // What lies before the damage is cleaned all the same, from here on.
            log.clean(None).await.expect("the rest is sound");
            start.close().await;
        });
    }
}
