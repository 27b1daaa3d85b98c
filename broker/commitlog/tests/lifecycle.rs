//! What happens to a log over time: segments roll, old ones go, records are deleted, keys are compacted, the end is cut.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the files behind the seam's back"
)]

mod support;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barnabas_base::{Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_commitlog::{CleanupPolicy, DeleteRecordsError, Log, LogConfig, ReadBound, ReadError};
use support::*;

const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };

fn small(config: LogConfig) -> LogConfig {
    LogConfig { segment_bytes: 20_000, file_delete_delay_ms: 0, ..config }
}

/// Waits for detached removals, which have no delay in these tests: until no name in `path` ends so any more.
async fn removed(env: &barnabas_runtime::Env, path: &Path, suffix: &str) {
    while names(path).iter().any(|name| name.ends_with(suffix)) {
        env.tasks.yield_now().await;
    }
}

#[test]
fn retention_by_size_keeps_at_least_the_bound() {
    let path = folder("by_size");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = small(LogConfig { retention_bytes: 45_000, retention_ms: -1, ..LogConfig::default() });
        let (log, _) = start.open(config).await;
        for _ in 0..60 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        assert!(log.retain().await.expect("works") > 0);
        assert!(log.size_bytes() >= 45_000);
        assert!(log.size_bytes() < 45_000 + 20_000);
        let first = log.log_start_offset();
        assert!(first > Offset(0));
        assert_eq!(offsets(&log).await, (first.0..120).collect::<Vec<_>>());
        let gone = log.read_bytes(Offset(0), 100, ReadBound::End).await.expect_err("gone");
        assert_eq!(gone, ReadError::OutOfRange);
        assert_eq!(log.retain().await.expect("works"), 0);
        removed(&env, &log_folder(&path), ".deleted").await;
        start.close().await;
    });
}

#[test]
fn retention_by_time_empties_a_log_that_is_too_old() {
    let path = folder("by_time");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig { retention_ms: 1_000, ..LogConfig::default() })).await;
        for _ in 0..30 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        log.retain().await.expect("works");
        assert_eq!((log.log_start_offset(), log.end_offset()), (Offset(60), Offset(60)));
        assert_eq!(acked(&log, batch(1, 10, env.wall().0)).await.base_offset, Offset(60));
        assert_eq!(log.retain().await.expect("works"), 0, "what is young stays");
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(small(LogConfig::default())).await;
        assert_eq!((report.start_offset, report.end_offset), (Offset(60), Offset(61)));
        assert_eq!(offsets(&log).await, [60]);
        start.close().await;
    });
}

/// As Kafka does: a copy of the folder, or a look at it, is not to find room that nobody uses.
#[test]
fn a_clean_stop_gives_back_what_was_reserved() {
    let path = folder("reserved");
    let again = path.clone();
    let config = LogConfig { preallocate: true, segment_bytes: 1 << 20, ..LogConfig::default() };
    let same = config.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config).await;
        let acked = acked(&log, batch(2, 1_000, 1_000)).await;
        assert_eq!(acked.base_offset, Offset(0));
        let file = log_folder(&path).join("00000000000000000000.log");
        let blocks_bytes = || std::fs::metadata(&file).expect("there").blocks() * 512;
        assert!(blocks_bytes() >= 1 << 20, "{}", blocks_bytes());
        start.close().await;
        assert!(blocks_bytes() < 1 << 16, "{}", blocks_bytes());
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(same).await;
        assert_eq!((report.end_offset, report.cut_bytes), (Offset(2), 0));
        assert_eq!(offsets(&log).await, [0, 1]);
        start.close().await;
    });
}

/// A way to purge a topic.
#[test]
fn retention_of_no_bytes_empties_the_log() {
    let path = folder("no_bytes");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = small(LogConfig { retention_ms: -1, ..LogConfig::default() });
        let (log, _) = start.open(config.clone()).await;
        for _ in 0..30 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        log.update_config(LogConfig { retention_bytes: 0, ..config });
        log.retain().await.expect("works");
        assert_eq!((log.log_start_offset(), log.end_offset(), log.size_bytes()), (Offset(60), Offset(60), 0));
        assert_eq!(acked(&log, batch(1, 10, 1_000)).await.base_offset, Offset(60));
        start.close().await;
    });
}

/// Cleaning leaves empty segments where all keys were written again; only an empty last one is as young as can be.
#[test]
fn an_empty_segment_does_not_keep_what_is_behind_it() {
    const BOTH: CleanupPolicy = CleanupPolicy { delete: true, compact: true };
    let path = folder("behind_empty");
    let again = path.clone();
    let config = small(LogConfig { cleanup: BOTH, retention_ms: 60_000, ..LogConfig::default() });
    let first = config.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(first).await;
        overwritten(&log, 20).await;
        log.clean(None).await.expect("works");
        start.close().await;
        let folder = log_folder(&path);
        let first = std::fs::metadata(folder.join("00000000000000000000.log")).expect("the first segment is there");
        assert_eq!(first.len(), 0);
        for segment in names(&folder).iter().filter(|name| name.ends_with(".log")) {
            let file = std::fs::File::options().append(true).open(folder.join(segment)).expect("opens");
            file.set_modified(std::time::UNIX_EPOCH).expect("settable");
        }
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, _) = start.open(config).await;
        log.retain().await.expect("works");
        assert_eq!((log.log_start_offset(), log.size_bytes()), (Offset(400), 0));
        start.close().await;
    });
}

#[test]
fn deleted_records_never_come_back() {
    let path = folder("delete_records");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig::default())).await;
        for _ in 0..30 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        let refused = log.delete_records_before(Offset(61)).await.expect_err("past the high watermark");
        assert_eq!(refused, DeleteRecordsError::OutOfRange);
        assert_eq!(log.delete_records_before(Offset(31)).await, Ok(Offset(31)));
        assert_eq!(log.delete_records_before(Offset(5)).await, Ok(Offset(31)));
        assert_eq!(offsets(&log).await, (31..60).collect::<Vec<_>>());
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(small(LogConfig::default())).await;
        assert_eq!(report.start_offset, Offset(31), "after a crash");
        assert_eq!(offsets(&log).await, (31..60).collect::<Vec<_>>());
        log.update_config(LogConfig { cleanup: COMPACT, ..log.config() });
        let refused = log.delete_records_before(Offset(40)).await.expect_err("compacted");
        assert_eq!(refused, DeleteRecordsError::PolicyViolation);
        start.close().await;
    });
}

#[test]
fn a_deleted_log_leaves_its_folder_and_can_be_created_again() {
    let path = folder("delete_log");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig::default())).await;
        acked(&log, batch(2, 1_000, 1_000)).await;
        log.delete().await.expect("works");
        assert!(append(&log, batch(1, 10, 1_000)).await.is_err());
        drop(log);
        assert!(!names(&path).contains(&"orders-0".to_owned()));
        removed(&env, &path, "-delete").await;
        let (log, report) = start.open(small(LogConfig::default())).await;
        assert_eq!(report.end_offset, Offset(0));
        acked(&log, batch(2, 1_000, 1_000)).await;
        start.close().await;
    });
}

#[test]
fn a_log_is_not_taken_for_an_earlier_one_of_its_name() {
    let path = folder("created_again");
    let [second, third] = [path.clone(), path.clone()];
    let newer = TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(0) };
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig::default())).await;
        acked(&log, batch(10, 10, 1_000)).await;
        log.delete_records_before(Offset(10)).await.expect("works");
        start.close().await;
    });
    run(async move |env| {
        let start = Start::new(&env, &second).await;
        let (log, report) = start.open(small(LogConfig::default())).await;
        assert_eq!((report.start_offset, report.end_offset), (Offset(10), Offset(10)));
        log.delete().await.expect("works");
        drop(log);
        let opened = Log::open(&start.directory, newer, TOPIC, small(LogConfig::default())).await;
        let (log, _) = opened.expect("the name is free");
        acked(&log, batch(2, 10, 1_000)).await;
    });
    run(async move |env| {
        let start = Start::new(&env, &third).await;
        let opened = Log::open(&start.directory, newer, TOPIC, small(LogConfig::default())).await;
        let (log, report) = opened.expect("opens");
        assert_eq!((report.start_offset, report.end_offset, report.damaged.len()), (Offset(0), Offset(2), 0));
        assert_eq!(offsets(&log).await, [0, 1]);
    });
}

#[test]
fn truncation_is_durable_and_the_log_goes_on_from_there() {
    let path = folder("truncate");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig::default())).await;
        for sequence in 0..40 {
            acked(&log, idempotent(3, 0, sequence * 2, 2)).await;
            acked(&log, batch(1, 1_000, 1_000)).await;
        }
        log.truncate_to(Offset(60)).await.expect("works");
        assert_eq!((log.end_offset(), log.high_watermark()), (Offset(60), Offset(60)));
        assert_eq!(offsets(&log).await, (0..60).collect::<Vec<_>>());
        // The producer is where it was at offset 60: its next batch is the one that was cut.
        let appended = acked(&log, idempotent(3, 0, 40, 2)).await;
        assert_eq!((appended.base_offset, appended.duplicate), (Offset(60), false));
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(small(LogConfig::default())).await;
        assert_eq!((report.end_offset, report.damaged.len()), (Offset(62), 0));
        assert_eq!(offsets(&log).await, (0..62).collect::<Vec<_>>());
        assert!(append(&log, idempotent(3, 0, 40, 2)).await.expect("known").duplicate);
        start.close().await;
    });
}

#[test]
fn segments_roll_by_time_and_by_index() {
    let path = folder("roll");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = LogConfig { segment_ms: 5_000, after_max_ms: i64::MAX, ..LogConfig::default() };
        let (log, _) = start.open(config.clone()).await;
        for time in [0, 4_000, 5_001, 9_000, 10_002] {
            acked(&log, batch(1, 10, 1_000_000 + time)).await;
        }
        assert_eq!(log.segment_count(), 3, "by the records' own clock");
        log.update_config(LogConfig { index_bytes_max: 40, index_interval_bytes: 1, segment_ms: i64::MAX, ..config });
        for _ in 0..20 {
            acked(&log, batch(1, 10, 1_010_002)).await;
        }
        assert!(log.segment_count() > 5, "a full index");
        assert_eq!(offsets(&log).await, (0..25).collect::<Vec<_>>());
        start.close().await;
    });
}

#[test]
fn jitter_takes_no_more_off_than_there_is() {
    let path = folder("jitter");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) =
            start.open(LogConfig { segment_ms: 2, segment_jitter_ms: i64::MAX, ..LogConfig::default() }).await;
        for _ in 0..20 {
            acked(&log, batch(1, 10, 1_000_000)).await;
        }
        assert_eq!(log.segment_count(), 1, "nothing in it is older than another");
        start.close().await;
    });
}

#[test]
fn what_must_be_compacted_in_time_does_not_stay_in_the_active_segment() {
    let path = folder("lag");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = LogConfig { cleanup: COMPACT, max_compaction_lag_ms: 1_000, ..LogConfig::default() };
        let (log, _) = start.open(config).await;
        for time in [0, 1_000, 1_001] {
            acked(&log, batch(1, 10, 1_000_000 + time)).await;
        }
        assert_eq!(log.segment_count(), 2);
        start.close().await;
    });
}

/// Ten keys written over and over in small segments.
async fn overwritten(log: &std::rc::Rc<Log>, rounds: usize) {
    for round in 0..rounds {
        for key in 0..10 {
            let value = format!("{round}-{}", "x".repeat(300));
            acked(log, keyed(&[(&format!("key-{key}"), Some(&value)), ("common", Some(&value))])).await;
        }
    }
}

async fn live(log: &std::rc::Rc<Log>) -> std::collections::BTreeMap<String, String> {
    let mut found = std::collections::BTreeMap::new();
    let read = log.read_bytes(log.log_start_offset(), 1 << 24, ReadBound::HighWatermark);
    let mut at = read.await.expect("readable");
    loop {
        for batch in barnabas_wire::record::batches(&at.bytes, barnabas_wire::record::Tail::MustBeWhole) {
            let batch = batch.expect("whole");
            let mut decompressor = barnabas_wire::record::Decompressor::new();
            let payload = batch.payload(&mut decompressor, 1 << 20).expect("plain");
            for record in payload.records() {
                let record = record.expect("sound");
                let key = String::from_utf8(record.key.expect("keyed").to_vec()).expect("text");
                match record.value {
                    Some(value) => drop(found.insert(key, String::from_utf8(value.to_vec()).expect("text"))),
                    None => drop(found.remove(&key)),
                }
            }
        }
        if at.bytes.is_empty() {
            return found;
        }
        at = log.read_bytes(at.next_offset, 1 << 24, ReadBound::HighWatermark).await.expect("readable");
    }
}

#[test]
fn cleaning_keeps_the_last_value_of_every_key() {
    let path = folder("clean");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(small(LogConfig { cleanup: COMPACT, ..LogConfig::default() })).await;
        overwritten(&log, 20).await;
        let (before, size) = (live(&log).await, log.size_bytes());
        let found = log.cleanable(env.wall()).await.expect("works").expect("compacted");
        assert!(found.is_due(&log.config()));
        let outcome = log.clean(None).await.expect("works");
        assert!(outcome.records_kept < outcome.records_read / 4);
        assert!(log.size_bytes() < size / 2, "{} of {size}", log.size_bytes());
        assert_eq!(live(&log).await, before);
        assert_eq!(log.end_offset(), Offset(400));
        let found = log.cleanable(env.wall()).await.expect("works").expect("compacted");
        assert!(!found.is_due(&log.config()));
        overwritten(&log, 5).await;
        log.clean(None).await.expect("works");
        removed(&env, &log_folder(&path), ".deleted").await;
        let left = names(&log_folder(&path));
        assert!(!left.iter().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap")), "{left:?}");
        log.scrub(u64::MAX).await.expect("works");
        assert_eq!(log.damaged_ranges(), []);
    });
    run(async move |env| {
        let start = Start::new(&env, &again).await;
        let (log, report) = start.open(small(LogConfig { cleanup: COMPACT, ..LogConfig::default() })).await;
        assert_eq!((report.end_offset, report.cut_bytes, report.damaged.len()), (Offset(500), 0, 0));
        assert_eq!(live(&log).await.len(), 11);
        assert!(live(&log).await.values().all(|value| value.starts_with("4-")));
        start.close().await;
    });
}

/// Names of the files of a segment with a suffix.
fn rename(folder: &Path, base: &str, from: &str, to: &str) {
    for extension in [".log", ".index", ".timeindex", ".barnabas-check"] {
        let source = folder.join(format!("{base}{extension}{from}"));
        if source.exists() {
            std::fs::rename(&source, folder.join(format!("{base}{extension}{to}"))).expect("renamable");
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("a folder");
    for name in names(from) {
        let source = from.join(&name);
        if source.is_dir() {
            copy_all(&source, &to.join(&name));
        } else {
            std::fs::copy(&source, to.join(&name)).expect("copied");
        }
    }
}

/// Every state that a crash can leave between the renames of a swap leads to the same values.
#[test]
fn a_swap_may_be_interrupted_anywhere() {
    let path = folder("swap");
    let config = || small(LogConfig { cleanup: COMPACT, ..LogConfig::default() });
    let origin = path.join("origin");
    let first = origin.clone();
    let expected = run(async move |env| {
        let start = Start::new(&env, &first).await;
        let (log, _) = start.open(config()).await;
        overwritten(&log, 8).await;
        let live = live(&log).await;
        start.close().await;
        live
    });
    let cleaned = path.join("cleaned");
    copy_all(&origin, &cleaned);
    let second = cleaned.clone();
    run(async move |env| {
        let start = Start::new(&env, &second).await;
        let (log, _) = start.open(LogConfig { segment_bytes: 1 << 20, ..config() }).await;
        log.clean(None).await.expect("works");
        start.close().await;
    });
    let base = "00000000000000000000";
    for state in ["cleaned", "half swap", "swap", "old gone", "half done"] {
        let broken = path.join("broken");
        copy_all(&origin, &broken);
        std::fs::remove_file(broken.join(".kafka_cleanshutdown")).expect("removable");
        let folder = log_folder(&broken);
        for extension in [".log", ".index", ".timeindex", ".barnabas-check"] {
            let from = log_folder(&cleaned).join(format!("{base}{extension}"));
            let suffix = if state == "cleaned" || state == "half swap" { ".cleaned" } else { ".swap" };
            std::fs::copy(from, folder.join(format!("{base}{extension}{suffix}"))).expect("copied");
        }
        match state {
            "half swap" => {
                let from = folder.join(format!("{base}.index.cleaned"));
                std::fs::rename(from, folder.join(format!("{base}.index.swap"))).expect("renamable");
            }
            "old gone" => rename(&folder, base, "", ".deleted"),
            "half done" => {
                rename(&folder, base, "", ".deleted");
                let from = folder.join(format!("{base}.index.swap"));
                std::fs::rename(from, folder.join(format!("{base}.index"))).expect("renamable");
            }
            _ => {}
        }
        let expected = expected.clone();
        run(async move |env| {
            let start = Start::new(&env, &broken).await;
            let (log, report) = start.open(config()).await;
            assert_eq!((report.cut_bytes, report.damaged.len()), (0, 0), "{state}");
            assert_eq!(live(&log).await, expected, "{state}");
            assert_eq!(log.end_offset(), Offset(160), "{state}");
            let left = names(&folder);
            let strays = [".cleaned", ".swap", ".deleted"];
            assert!(!left.iter().any(|name| strays.iter().any(|stray| name.ends_with(stray))), "{state}: {left:?}");
            start.close().await;
        });
    }
}

#[test]
fn a_removed_segment_whose_name_comes_back_goes_again() {
    let forever = || small(LogConfig { retention_ms: -1, ..LogConfig::default() });
    let path = folder("comes_back");
    let saved = path.with_extension("saved");
    let _ = std::fs::remove_dir_all(&saved);
    let (first, second, copy) = (path.clone(), path.clone(), saved.clone());
    let start_offset = run(async move |env| {
        let start = Start::new(&env, &first).await;
        let (log, _) = start.open(forever()).await;
        overwritten(&log, 20).await;
        copy_all(&log_folder(&first), &copy);
        log.delete_records_before(Offset(200)).await.expect("moves the start");
        log.log_start_offset()
    });
    // The power takes the removal of one of them back; those around it stay away.
    let is_log = |name: &String| name.ends_with(".log");
    let removed: Vec<String> =
        names(&saved).into_iter().filter(is_log).filter(|name| !names(&log_folder(&path)).contains(name)).collect();
    assert!(removed.len() > 2, "{removed:?}");
    std::fs::copy(saved.join(&removed[1]), log_folder(&path).join(&removed[1])).expect("copied");
    run(async move |env| {
        let start = Start::new(&env, &second).await;
        let (log, report) = start.open(forever()).await;
        assert_eq!((log.log_start_offset(), report.damaged.len()), (start_offset, 0));
        assert_eq!(offsets(&log).await.first(), Some(&start_offset.0));
        assert_eq!(log.retain().await, Ok(1));
        let left = names(&log_folder(&second));
        assert!(!left.contains(&removed[1]), "{left:?}");
        start.close().await;
    });
}

#[test]
fn tombstones_stay_until_their_horizon() {
    let path = folder("tombstones");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = small(LogConfig { cleanup: COMPACT, delete_retention_ms: 0, ..LogConfig::default() });
        let (log, _) = start.open(config).await;
        acked(&log, keyed(&[("gone", Some("1")), ("stays", Some("1"))])).await;
        acked(&log, keyed(&[("gone", None)])).await;
        overwritten(&log, 4).await;
        log.clean(None).await.expect("works");
        assert!(log.epoch_of(Offset(2)).is_some());
        let first = log.read_bytes(Offset(2), 1, ReadBound::End).await.expect("readable");
        let header = barnabas_wire::record::BatchHeader::parse(&first.bytes).expect("a batch");
        assert!(header.delete_horizon().is_some_and(|horizon| horizon <= env.wall()), "{header:?}");
        overwritten(&log, 4).await;
        env.sleep(std::time::Duration::from_millis(2)).await;
        log.clean(None).await.expect("works");
        let gone = log.read_bytes(Offset(2), 1, ReadBound::End).await.expect("readable");
        let header = barnabas_wire::record::BatchHeader::parse(&gone.bytes).expect("a batch");
        assert!(header.base_offset > Offset(2), "the tombstone went: {header:?}");
        assert_eq!(live(&log).await.get("stays").map(String::as_str), Some("1"));
        assert_eq!(
            log.max_timestamp(log.high_watermark()).await.expect("works").map(|found| found.timestamp),
            Some(TimestampMs(1_000))
        );
        start.close().await;
    });
}
