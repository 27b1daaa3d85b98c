//! Starts on folders that a crash, a power loss, rot or a person has left in some state.
#![allow(clippy::disallowed_methods, reason = "tests look at the files behind the seam's back")]

mod support;

use std::path::{Path, PathBuf};

use barnabas_base::{LeaderEpoch, Offset, RestartKind, TimestampMs};
use barnabas_commitlog::{CleanupPolicy, FlushPolicy, LogConfig, OpenDirectoryError, ReadBound, ReadError};
use support::*;

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 20_000, ..LogConfig::default() }
}

/// Writes `count` batches of two records and stops as `how` says.
fn written(path: &Path, count: i64, config: LogConfig, clean: bool) {
    let path = path.to_owned();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config).await;
        for time in 0..count {
            acked(&log, batch(2, 1_000, 1_000 + time * 10)).await;
        }
        if clean {
            start.close().await;
        }
    });
}

fn log_file(path: &Path, base: i64) -> PathBuf {
    log_folder(path).join(format!("{base:020}.log"))
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

/// Forgets what the journals know: only Kafka's own files are left.
fn without_journal(path: &Path) {
    for name in names(path).into_iter().filter(|name| name.starts_with(".barnabas-journal")) {
        std::fs::remove_file(path.join(name)).expect("removable");
    }
}

#[test]
fn a_torn_tail_is_cut() {
    for (name, tail) in [("torn_garbage", vec![0xee; 777]), ("torn_zeroes", vec![0; 9_000])] {
        let path = folder(name);
        written(&path, 5, LogConfig::default(), false);
        let file = log_file(&path, 0);
        let sound = size(&file);
        let mut bytes = std::fs::read(&file).expect("a file");
        bytes.extend_from_slice(&tail);
        std::fs::write(&file, bytes).expect("writable");
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(LogConfig::default()).await;
            assert_eq!(report.kind, RestartKind::Unclean);
            assert_eq!(report.cut_bytes, tail.len() as u64);
            assert_eq!(report.damaged, []);
            assert_eq!(size(&file), sound);
            assert_eq!(offsets(&log).await, (0..10).collect::<Vec<_>>());
            assert_eq!(acked(&log, batch(1, 10, 5_000)).await.base_offset, Offset(10));
            start.close().await;
        });
    }
}

#[test]
fn what_follows_the_last_batch_of_a_sealed_segment_belongs_to_nobody() {
    for (name, clean, knows) in
        [("surplus", false, true), ("surplus_clean", true, true), ("surplus_kafka", false, false)]
    {
        let path = folder(name);
        written(&path, 30, small_segments(), clean);
        if !knows {
            without_journal(&path);
        }
        let is_log = |name: &String| name.ends_with(".log");
        let second = names(&log_folder(&path)).into_iter().filter(is_log).nth(1).expect("several segments");
        let next = std::fs::read(log_folder(&path).join(second)).expect("a file");
        let file = log_file(&path, 0);
        let sound = size(&file);
        // The power has taken a cut back: half of a batch that was never acknowledged stands there again.
        let mut bytes = std::fs::read(&file).expect("a file");
        bytes.extend_from_slice(&next[..900]);
        std::fs::write(&file, bytes).expect("writable");
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(small_segments()).await;
            assert_eq!(report.damaged, [], "{name}");
            log.wait_high_watermark(Offset(60)).await.expect("committed like an append");
            // A read that finds it comes back empty once.
            for _ in 0..2 {
                drop(log.read_bytes(Offset(0), 1 << 20, ReadBound::HighWatermark).await.expect("readable"));
            }
            assert_eq!(offsets(&log).await, (0..60).collect::<Vec<_>>(), "{name}");
            log.scrub(u64::MAX).await.expect("works");
            assert_eq!(log.damaged_ranges(), [], "{name}");
            if !knows {
                assert_eq!(size(&file), sound, "a walk cuts it");
            }
            start.close().await;
        });
    }
}

#[test]
fn half_a_batch_at_the_end_is_cut_when_nobody_was_told() {
    let path = folder("half_batch");
    written(&path, 5, LogConfig::default(), false);
    without_journal(&path);
    let file = log_file(&path, 0);
    cut(&file, size(&file) - 100);
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!((report.end_offset, report.damaged.len()), (Offset(8), 0));
        assert!(report.cut_bytes > 0);
        log.wait_high_watermark(Offset(8)).await.expect("committed like an append");
        assert_eq!(offsets(&log).await, (0..8).collect::<Vec<_>>());
        start.close().await;
    });
}

#[test]
fn the_journal_gives_back_what_a_power_loss_took() {
    let path = folder("journal_replay");
    written(&path, 8, LogConfig::default(), false);
    let file = log_file(&path, 0);
    let before = std::fs::read(&file).expect("a file");
    // Nothing of the segment reached the device, all of it was acknowledged by way of the journal.
    std::fs::write(&file, []).expect("writable");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        assert_eq!(start.seed.replay.restored_bytes, before.len() as u64);
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!((report.cut_bytes, report.damaged.len()), (0, 0));
        assert_eq!(std::fs::read(&file).expect("a file"), before);
        assert_eq!(offsets(&log).await, (0..16).collect::<Vec<_>>());
    });
    // A second crash right after the replay finds everything in the segment.
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        assert_eq!(start.seed.replay.restored_bytes, 0);
        let (log, _) = start.open(LogConfig::default()).await;
        assert_eq!(log.end_offset(), Offset(16));
    });
}

#[test]
fn a_journal_with_zeroes_where_the_segment_was_is_replayed() {
    let path = folder("journal_zeroes");
    written(&path, 8, LogConfig::default(), false);
    let file = log_file(&path, 0);
    let before = std::fs::read(&file).expect("a file");
    let mut holes = before.clone();
    holes[3_000..9_000].fill(0);
    std::fs::write(&file, holes).expect("writable");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.damaged, []);
        assert_eq!(std::fs::read(&file).expect("a file"), before);
        assert_eq!(log.end_offset(), Offset(16));
    });
}

#[test]
fn a_journal_fills_no_gap_with_zeroes() {
    let path = folder("journal_gap");
    written(&path, 10, LogConfig::default(), true);
    written(&path, 5, LogConfig::default(), false);
    let file = log_file(&path, 0);
    // What was safe before the journal began is gone, and all behind it.
    let kept = size(&file) * 4 / 15;
    cut(&file, kept);
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let replay = &start.seed.replay;
        assert_eq!((replay.restored_bytes, replay.skipped_pieces > 0), (0, true));
        assert_eq!(size(&file), kept);
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.end_offset, Offset(30), "offsets are never given twice");
        let damaged: Vec<_> = report.damaged.iter().map(|range| (range.from.0, range.to.0)).collect();
        assert_eq!(damaged, [(8, 30)]);
        assert_eq!(offsets(&log).await, (0..8).collect::<Vec<_>>());
        start.close().await;
    });
}

#[test]
fn a_log_that_begins_past_its_end_begins_anew_there() {
    let path = folder("start_past_end");
    written(&path, 5, LogConfig::default(), true);
    std::fs::remove_file(path.join(".kafka_cleanshutdown")).expect("removable");
    let checkpoint = format!("0\n1\n{TOPIC} 0 40\n");
    std::fs::write(path.join("log-start-offset-checkpoint"), checkpoint).expect("writable");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!((report.start_offset, report.end_offset), (Offset(40), Offset(40)));
        assert_eq!(acked(&log, batch(1, 10, 5_000)).await.base_offset, Offset(40));
        assert_eq!(offsets(&log).await, [40]);
        start.close().await;
    });
}

#[test]
fn a_bit_of_the_topic_id_that_flips_makes_no_other_topic() {
    let path = folder("flipped_id");
    written(&path, 5, LogConfig::default(), true);
    let file = log_folder(&path).join("partition.metadata");
    let sound = std::fs::read(&file).expect("a file");
    let mut flipped = sound.clone();
    // A digit of the id's text that stays one.
    let digit = sound.len() - 10;
    flipped[digit] = if sound[digit] == b'A' { b'B' } else { b'A' };
    std::fs::write(&file, flipped).expect("writable");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        assert_eq!(offsets(&log).await, (0..10).collect::<Vec<_>>());
        assert_eq!(std::fs::read(&file).expect("a file"), sound, "it is written again");
        start.close().await;
    });
}

/// A power loss may take the name of the first segment and leave that of the next. Under `flush.policy=os` neither was
/// promised, and the log is what stands before the gap: nothing. Where it was promised, it is damage.
#[test]
fn a_first_segment_that_nobody_was_promised_is_no_damage() {
    for (name, flush_policy) in [("os_without_start", FlushPolicy::Os), ("ack_without_start", FlushPolicy::Ack)] {
        let is_promised = flush_policy == FlushPolicy::Ack;
        let path = folder(name);
        let config = LogConfig { flush_policy, ..small_segments() };
        written(&path, 12, config.clone(), false);
        std::fs::remove_file(log_file(&path, 0)).expect("removable");
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(config).await;
            let left: Vec<i64> = if is_promised { (18..24).collect() } else { Vec::new() };
            let first = offsets_from(&log, left.first().copied().unwrap_or(0)).await;
            assert_eq!(report.damaged.is_empty(), !is_promised, "{name}: {:?}", report.damaged);
            assert_eq!((first, report.start_offset), (left, Offset(0)), "{name}");
            start.close().await;
        });
    }
}

/// Apache Kafka's cleaner leaves a segment of which it kept nothing empty, with empty indexes; the checksums of what it held
/// stay beside it. Emptied by accident, a segment has its indexes still.
#[test]
fn a_segment_that_kafka_cleaned_away_is_no_damage() {
    for (name, is_cleaned) in [("cleaned_by_kafka", true), ("emptied_by_accident", false)] {
        let path = folder(name);
        let compacted = LogConfig { cleanup: CleanupPolicy { delete: false, compact: true }, ..small_segments() };
        written(&path, 30, compacted.clone(), true);
        let kinds: &[&str] = if is_cleaned { &["log", "index", "timeindex"] } else { &["log"] };
        for kind in kinds {
            std::fs::write(log_file(&path, 0).with_extension(kind), []).expect("writable");
        }
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(compacted).await;
            let first = offsets_from(&log, if is_cleaned { 0 } else { 18 }).await;
            assert_eq!(first, (18..60).collect::<Vec<_>>());
            assert_eq!(report.damaged.is_empty(), is_cleaned, "{name}: {:?}", report.damaged);
            start.close().await;
        });
    }
}

#[test]
fn another_programs_batches_are_never_overwritten() {
    let path = folder("journal_foreign");
    written(&path, 4, LogConfig::default(), false);
    let file = log_file(&path, 0);
    // Apache Kafka started on the folder, cut the log and appended a batch of its own.
    let mut foreign = batch(3, 10, 9_000).to_vec();
    barnabas_wire::record::stamp(&mut foreign, Offset(0), EPOCH);
    std::fs::write(&file, &foreign).expect("writable");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        assert_eq!(start.seed.replay.foreign_logs, 1);
        assert_eq!(start.seed.replay.restored_bytes, 0);
        assert_eq!(std::fs::read(&file).expect("a file"), foreign);
    });
}

#[test]
fn a_journal_of_a_later_release_is_refused() {
    let path = folder("journal_later");
    written(&path, 2, LogConfig::default(), false);
    let journal = path.join(".barnabas-journal-0.a");
    let mut bytes = std::fs::read(&journal).expect("a journal");
    bytes[11] = 9;
    std::fs::write(&journal, bytes).expect("writable");
    run(async move |env| {
        let refused = barnabas_commitlog::DirectoryOwner::open(&env, &path, 0, &options()).await;
        assert!(matches!(refused, Err(OpenDirectoryError::JournalVersion { version: 9, .. })));
    });
}

#[test]
fn damage_below_the_durable_point_is_kept_and_told() {
    let path = folder("damage");
    written(&path, 10, LogConfig::default(), false);
    without_journal(&path);
    // Kafka's recovery point says that all was durable.
    let checkpoint = path.join("recovery-point-offset-checkpoint");
    std::fs::write(&checkpoint, "0\n1\norders 0 0\n").expect("writable");
    let file = log_file(&path, 0);
    let each = size(&file) / 10;
    std::fs::write(&checkpoint, "0\n1\norders 0 20\n").expect("writable");
    flip(&file, 4 * each + 500);
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.cut_bytes, 0);
        assert_eq!(report.end_offset, Offset(20));
        let damaged: Vec<_> = report.damaged.iter().map(|range| (range.from.0, range.to.0)).collect();
        assert_eq!(damaged, [(8, 10)]);
        assert_eq!(log.read_bytes(Offset(8), 1 << 20, ReadBound::End).await.expect_err("damaged"), ReadError::Damaged);
        let before = log.read_bytes(Offset(0), 1 << 20, ReadBound::End).await.expect("readable");
        assert_eq!(before.next_offset, Offset(8));
        let after = log.read_bytes(Offset(10), 1 << 20, ReadBound::End).await.expect("readable");
        assert_eq!(after.next_offset, Offset(20));
        assert_eq!(acked(&log, batch(1, 10, 5_000)).await.base_offset, Offset(20));
        start.close().await;
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.damaged.len(), 1, "the list survives a restart");
        assert_eq!(log.read_bytes(Offset(9), 1 << 20, ReadBound::End).await.expect_err("damaged"), ReadError::Damaged);
        assert_eq!(offsets_from(&log, 10).await, (10..21).collect::<Vec<_>>());
        start.close().await;
    });
}

async fn offsets_from(log: &std::rc::Rc<barnabas_commitlog::Log>, from: i64) -> Vec<i64> {
    records(log, Offset(from)).await.into_iter().map(|(offset, _)| offset.0).collect()
}

#[test]
fn an_acknowledged_tail_that_is_gone_is_damage() {
    let path = folder("lost_tail");
    written(&path, 10, LogConfig::default(), true);
    std::fs::remove_file(path.join(".kafka_cleanshutdown")).expect("removable");
    let file = log_file(&path, 0);
    cut(&file, size(&file) * 7 / 10);
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.end_offset, Offset(20), "offsets are never given twice");
        let damaged: Vec<_> = report.damaged.iter().map(|range| (range.from.0, range.to.0)).collect();
        assert_eq!(damaged, [(14, 20)]);
        assert_eq!(offsets(&log).await, (0..14).collect::<Vec<_>>());
        assert_eq!(acked(&log, batch(1, 10, 5_000)).await.base_offset, Offset(20));
        assert_eq!(offsets_from(&log, 20).await, [20]);
        start.close().await;
    });
}

#[test]
fn rot_in_a_sealed_segment_is_found_at_the_first_read() {
    let path = folder("rot");
    written(&path, 40, small_segments(), true);
    // Byte 3 of a base offset: no batch checksum covers it.
    let file = log_file(&path, 0);
    let bytes = std::fs::read(&file).expect("a file");
    let first = u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) + 12;
    flip(&file, u64::from(first) + 3);
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(small_segments()).await;
        assert_eq!(report.damaged, [], "nothing was read yet");
        let first = log.read_bytes(Offset(0), 1 << 20, ReadBound::End).await.expect("readable");
        assert_eq!(first.next_offset, Offset(2));
        assert_eq!(log.read_bytes(Offset(2), 1 << 20, ReadBound::End).await.expect_err("damaged"), ReadError::Damaged);
        assert_eq!(offsets_from(&log, 4).await, (4..80).collect::<Vec<_>>());
        assert_eq!(log.damaged_ranges().len(), 1);
        start.close().await;
    });
}

#[test]
fn missing_and_wrong_caches_are_made_again() {
    let path = folder("caches");
    written(&path, 60, LogConfig { index_interval_bytes: 100, ..small_segments() }, true);
    let log_path = log_folder(&path);
    let mut index_before = None;
    for name in names(&log_path) {
        let file = log_path.join(&name);
        if name == "00000000000000000000.index" {
            index_before = Some(std::fs::read(&file).expect("a file"));
        }
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("index") => std::fs::write(&file, [7; 40]).expect("writable"),
            Some("timeindex" | "snapshot" | "barnabas-check") => std::fs::remove_file(&file).expect("removable"),
            Some(_) | None => {}
        }
    }
    std::fs::write(log_path.join("leader-epoch-checkpoint"), "nonsense").expect("writable");
    let log_path_later = log_path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig { index_interval_bytes: 100, ..small_segments() }).await;
        assert_eq!((report.end_offset, report.cut_bytes, report.damaged.len()), (Offset(120), 0, 0));
        assert_eq!(offsets(&log).await, (0..120).collect::<Vec<_>>());
        let found = log.offset_for_timestamp(TimestampMs(1_100), Offset(120)).await.expect("works").expect("a record");
        assert_eq!(found.offset, Offset(20));
        assert_eq!(log.epoch_of(Offset(50)), Some(EPOCH));
        log.scrub(u64::MAX).await.expect("works");
        assert_eq!(log.damaged_ranges(), []);
        start.close().await;
    });
    let after = std::fs::read(log_path_later.join("00000000000000000000.index")).expect("a file");
    assert_eq!(Some(after), index_before, "the same index, entry by entry");
}

#[test]
fn an_index_that_reads_well_and_is_not_what_was_written_is_made_again() {
    let path = folder("false_index");
    let config = LogConfig { index_interval_bytes: 100, ..small_segments() };
    written(&path, 60, config.clone(), true);
    let file = log_folder(&path).join("00000000000000000000.timeindex");
    let sound = std::fs::read(&file).expect("a file");
    let first_ms = i64::from_be_bytes(sound[..8].try_into().expect("eight bytes"));
    // The first entry names the offset of the third: timestamps and offsets still rise, and what lies between is hidden.
    let mut wrong = sound.clone();
    wrong.copy_within(32..36, 8);
    std::fs::write(&file, &wrong).expect("writable");
    let path_later = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config).await;
        let asked_ms = first_ms + 5;
        let found = log.offset_for_timestamp(TimestampMs(asked_ms), Offset(120)).await.expect("works");
        let batches_before = (asked_ms - 1_000 + 9) / 10;
        assert_eq!(found.expect("a record").offset, Offset(2 * batches_before));
        start.close().await;
    });
    let file = log_folder(&path_later).join("00000000000000000000.timeindex");
    assert_eq!(std::fs::read(&file).expect("a file"), sound, "the same index, entry by entry");
}

#[test]
fn a_second_owner_is_refused() {
    let path = folder("locked");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let second = barnabas_commitlog::DirectoryOwner::open(&env, &path, 0, &options()).await;
        assert!(matches!(second, Err(OpenDirectoryError::Locked)));
        start.close().await;
    });
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused() {
    use barnabas_base::{BrokerId, Uuid};
    let path = folder("foreign");
    written(&path, 1, LogConfig::default(), true);
    run(async move |env| {
        let other = barnabas_commitlog::DirectoryOptions { node_id: BrokerId(2), ..options() };
        let refused = barnabas_commitlog::DirectoryOwner::open(&env, &path, 0, &other).await;
        assert!(matches!(refused, Err(OpenDirectoryError::WrongNode { found: BrokerId(1), .. })));
        let other = barnabas_commitlog::DirectoryOptions { cluster_id: Some(Uuid([1; 16]).into()), ..options() };
        let refused = barnabas_commitlog::DirectoryOwner::open(&env, &path, 0, &other).await;
        assert!(matches!(refused, Err(OpenDirectoryError::WrongCluster { .. })));
        std::fs::remove_file(path.join("meta.properties")).expect("removable");
        let refused = barnabas_commitlog::DirectoryOwner::open(&env, &path, 0, &options()).await;
        assert!(matches!(refused, Err(OpenDirectoryError::NotFormatted)));
    });
}

/// A log that stopped cleanly in epoch 2 and died in epoch 3, several segments later; the power took back all that was
/// written to the checkpoint of epochs since that stop.
fn died_in_a_later_epoch(path: &Path) -> PathBuf {
    let path = path.to_owned();
    let checkpoint = log_folder(&path).join("leader-epoch-checkpoint");
    let life = |epoch: i32, time: i64, clean: bool| {
        let path = path.clone();
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, _) = start.open(small_segments()).await;
            log.begin_epoch(LeaderEpoch(epoch)).expect("a later one");
            for batch_index in 0..25 {
                acked_in(&log, batch(2, 1_000, time + batch_index), LeaderEpoch(epoch)).await;
            }
            if clean {
                start.close().await;
            }
        });
    };
    life(2, 1_000, true);
    let kept = std::fs::read(&checkpoint).expect("a file");
    life(3, 2_000, false);
    std::fs::write(&checkpoint, kept).expect("writable");
    checkpoint
}

/// Starts on it, and dies right after the next checkpoint.
fn checkpointed(path: &Path) {
    let path = path.to_owned();
    run(async move |env| {
        let mut start = Start::new(&env, &path).await;
        let _log = start.open(small_segments()).await;
        let reports = vec![start.directory.report()];
        start.owner.checkpoint(reports).await.expect("there is room");
    });
}

#[test]
fn no_recovery_point_passes_an_epoch_that_is_in_memory_alone() {
    let path = folder("epochs_in_memory");
    died_in_a_later_epoch(&path);
    checkpointed(&path);
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(small_segments()).await;
        assert_eq!((report.kind, report.end_offset), (RestartKind::Unclean, Offset(100)));
        assert_eq!(log.epoch_end_offset(LeaderEpoch(2)), Some((LeaderEpoch(2), Offset(50))));
        assert_eq!(log.epoch_of(Offset(50)), Some(LeaderEpoch(3)));
        start.close().await;
    });
}

#[test]
fn epochs_whose_checkpoint_cannot_be_read_are_found_in_the_batches() {
    for (name, clean) in [("epochs_unreadable", false), ("epochs_unreadable_clean", true)] {
        let path = folder(name);
        let checkpoint = died_in_a_later_epoch(&path);
        if clean {
            let path = path.clone();
            run(async move |env| {
                let start = Start::new(&env, &path).await;
                let _opened = start.open(small_segments()).await;
                start.close().await;
            });
        }
        std::fs::write(&checkpoint, "0\n3\n2 0\n").expect("writable");
        run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(small_segments()).await;
            assert_eq!((report.end_offset, report.damaged, report.cut_bytes), (Offset(100), vec![], 0), "{name}");
            assert_eq!(log.epoch_end_offset(LeaderEpoch(2)), Some((LeaderEpoch(2), Offset(50))), "{name}");
            start.close().await;
        });
        assert_eq!(std::fs::read_to_string(&checkpoint).expect("a file"), "0\n2\n2 0\n3 50\n", "{name}");
    }
}

/// Each start walks past the settled point of its log. Lives that end before they settle one must not make the walk of the
/// next longer and longer.
#[test]
fn crashes_do_not_add_up() {
    const UNSETTLED_BYTES: u64 = 40_000;
    let path = folder("crashes_add_up");
    let mut walks = Vec::new();
    for _ in 0..40 {
        let path = path.clone();
        walks.push(run(async move |env| {
            let start = Start::settling(&env, &path, UNSETTLED_BYTES).await;
            let mut walked = 0;
            for index in 0..3 {
                let (log, report) = start.open_partition(index, small_segments()).await;
                walked += report.scanned_bytes;
                // Less than what makes a living log settle one.
                for _ in 0..5 {
                    acked(&log, batch(1, 2_000, 1_000)).await;
                }
            }
            walked
        }));
    }
    assert!(walks.iter().all(|walked| *walked <= 4 * UNSETTLED_BYTES), "{walks:?}");
}
