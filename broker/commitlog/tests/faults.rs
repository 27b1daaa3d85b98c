//! A device that is full or fails: what is refused, what goes on, and what is found afterwards.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    BrokerId, Budget, LeaderEpoch, Observation, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendError, AppendOptions, AppendOrigin, CleanupPolicy, CommitLimits, DirectoryOptions, DirectoryOwner,
    LoadReport, Log, LogConfig, LogDirectory, OpenLogError, ReadBound, ReadError, ShardOptions,
};
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, Node, PowerFate, World, simulate};
use barnabas_wire::ErrorCode;
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor};
use bytes::Bytes;

/// `ENOSPC`.
const NO_SPACE: i32 = 28;
/// `EOPNOTSUPP`.
const NOT_SUPPORTED: i32 = 95;
const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };
const MINUTE: Duration = Duration::from_secs(60);

/// Runs one life of a node to its end and gives what it returned.
fn live<T: 'static>(world: &World, node: &Node, body: impl Fn(Env) -> Local<'static, T> + Clone + 'static) -> T {
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    node.start(1, move |env| -> Local<'static, ()> {
        let (body, slot) = (body.clone(), Rc::clone(&slot));
        Box::pin(async move {
            let value = body(env).await;
            *slot.borrow_mut() = Some(value);
        })
    });
    let ended = world.run_until(MINUTE, || result.borrow().is_some());
    assert!(ended, "the life ends");
    result.take().expect("it has ended")
}

async fn start(env: &Env, path: &str) -> (DirectoryOwner, Rc<LogDirectory>) {
    start_with(env, path, &ShardOptions::new(Budget::new(|_| 1 << 20))).await
}

async fn start_with(env: &Env, path: &str, shard: &ShardOptions) -> (DirectoryOwner, Rc<LogDirectory>) {
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
    let (owner, seed) = DirectoryOwner::open(env, Path::new(path), 0, &options).await.expect("the directory opens");
    let directory = LogDirectory::join(env, &seed, shard);
    (owner, directory)
}

async fn open(directory: &Rc<LogDirectory>, index: i32, config: LogConfig) -> Rc<Log> {
    load(directory, index, config).await.0
}

async fn load(directory: &Rc<LogDirectory>, index: i32, config: LogConfig) -> (Rc<Log>, LoadReport) {
    try_load(directory, index, config).await.expect("the log opens")
}

async fn try_load(
    directory: &Rc<LogDirectory>,
    index: i32,
    config: LogConfig,
) -> Result<(Rc<Log>, LoadReport), OpenLogError> {
    let partition = TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(index) };
    Log::open(directory, partition, "t", config).await
}

fn batch(size: usize) -> Bytes {
    keyed("key", size)
}

fn keyed(key: &str, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![7; size];
    let time = TimestampMs(1_750_000_000_000);
    builder.append(time, Some(key.as_bytes()), Some(&value), std::iter::empty()).expect("fits");
    builder.build(&mut Compressor::new()).expect("builds")
}

async fn append(log: &Rc<Log>, records: Bytes) -> Result<Offset, AppendError> {
    let origin = AppendOrigin::Client { produce_version: 11 };
    let appended = log.append(records, AppendOptions { origin, leader_epoch: LeaderEpoch(1) }).await?;
    log.wait_high_watermark(appended.end_offset).await.map_err(AppendError::Storage)?;
    Ok(appended.end_offset)
}

async fn readable(log: &Rc<Log>) -> usize {
    let mut count = 0;
    let mut at = log.log_start_offset();
    while at < log.high_watermark() {
        let read = log.read_bytes(at, 1 << 20, ReadBound::HighWatermark).await.expect("readable");
        assert!(read.next_offset > at, "reads advance");
        count += usize::try_from(read.next_offset.0 - at.0).expect("small");
        at = read.next_offset;
    }
    count
}

/// Fails every call of one kind on paths that hold `part`.
fn failing(node: &Node, kind: DiskCallKind, part: &'static str, verdict: DiskVerdict) {
    node.on_disk_call(move |call| {
        let is_it = call.kind == kind && call.path.to_string_lossy().contains(part);
        if is_it { verdict } else { DiskVerdict::Pass }
    });
}

#[test]
fn a_failed_sync_takes_its_directory_offline_and_no_other() {
    simulate(1, Config::default(), |world| {
        let node = world.node("broker");
        let failed = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&failed);
        world.on_observation(move |observed| {
            if let Observation::DirectoryFailed { index } = observed.observation {
                seen.borrow_mut().push(*index);
            }
        });
        let broken = node.clone();
        live(world, &node, move |env| {
            let broken = broken.clone();
            Box::pin(async move {
                let (_first_owner, first) = start(&env, "/one").await;
                let (_second_owner, second) = start(&env, "/two").await;
                let (log, other) =
                    (open(&first, 0, LogConfig::default()).await, open(&second, 0, LogConfig::default()).await);
                append(&log, batch(100)).await.expect("works");
                failing(&broken, DiskCallKind::Sync, "/one", DiskVerdict::INPUT_OUTPUT_ERROR);
                let refused = append(&log, batch(100)).await.expect_err("never acknowledged");
                assert_eq!(refused.code(), ErrorCode::KafkaStorageError);
                assert!(first.is_offline());
                first.offline().await;
                failing(&broken, DiskCallKind::Sync, "nowhere", DiskVerdict::INPUT_OUTPUT_ERROR);
                let again = append(&log, batch(100)).await.expect_err("a failed sync is never tried again");
                assert_eq!(again.code(), ErrorCode::KafkaStorageError);
                let read = log.read(Offset(0), 100, ReadBound::HighWatermark, true).await;
                assert_eq!(read.expect_err("nothing is served"), ReadError::Storage);
                assert!(log.wait_high_watermark(Offset(9)).await.is_err());
                assert!(first.close().await.is_err(), "no clean stop");
                append(&other, batch(100)).await.expect("the other directory serves on");
                assert!(!second.is_offline());
            })
        });
        assert_eq!(*failed.borrow(), [0]);
    });
}

#[test]
fn a_failed_write_takes_the_directory_offline() {
    simulate(2, Config::default(), |world| {
        let node = world.node("broker");
        let broken = node.clone();
        live(world, &node, move |env| {
            let broken = broken.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig::default()).await;
                append(&log, batch(100)).await.expect("works");
                failing(&broken, DiskCallKind::Write, ".log", DiskVerdict::INPUT_OUTPUT_ERROR);
                let refused = append(&log, batch(100)).await.expect_err("not written");
                assert!(matches!(refused, AppendError::Storage(_)));
                assert!(directory.is_offline());
                assert_eq!(log.end_offset(), Offset(1));
            })
        });
    });
}

#[test]
fn a_full_device_refuses_writes_and_heals() {
    for seed in 0..20 {
        simulate(seed, Config { disk_bytes: 3_000_000, ..Config::default() }, move |world| {
            let node = world.node("broker");
            let (disk, small) =
                (node.clone(), LogConfig { segment_bytes: 100_000, file_delete_delay_ms: 0, ..LogConfig::default() });
            let config = small.clone();
            let kept = live(world, &node, move |env| {
                let (disk, config) = (disk.clone(), config.clone());
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    let full = loop {
                        match append(&log, batch(20_000)).await {
                            Ok(_) => {}
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(full, AppendError::Full), "{full}");
                    assert!(!directory.is_offline(), "a full device is not a broken one");
                    let end = log.end_offset();
                    assert_eq!(readable(&log).await, usize::try_from(end.0).expect("small"), "reading goes on");
                    // Deleting works on a full device, and makes room.
                    let start = log.delete_records_before(Offset(end.0 / 2)).await.expect("deletes");
                    env.sleep(Duration::from_millis(50)).await;
                    append(&log, batch(20_000)).await.expect("there is room again");
                    disk.set_disk_bytes(100_000_000);
                    for _ in 0..20 {
                        append(&log, batch(20_000)).await.expect("there is room");
                    }
                    (start, log.end_offset())
                })
            });
            node.power_loss();
            live(world, &node, move |env| {
                let config = small.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    log.wait_high_watermark(kept.1).await.expect("works");
                    assert_eq!((log.log_start_offset(), log.end_offset()), kept);
                    assert_eq!(log.damaged_ranges(), []);
                    assert_eq!(readable(&log).await, usize::try_from(kept.1.0 - kept.0.0).expect("small"));
                })
            });
        });
    }
}

/// A folder may need another block for a longer name, and there is none: deleting must make room all the same.
#[test]
fn segments_go_without_room_for_another_name() {
    simulate(4, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig { segment_bytes: 5_000, ..LogConfig::default() }).await;
                for _ in 0..20 {
                    append(&log, batch(2_000)).await.expect("works");
                }
                failing(&full, DiskCallKind::Rename, ".log", DiskVerdict::Fail(NO_SPACE));
                assert_eq!(log.delete_records_before(Offset(15)).await, Ok(Offset(15)));
                assert!(!directory.is_offline());
                assert_eq!(readable(&log).await, 5);
            })
        });
        let is_deleted = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deleted");
        let of_log = |path: &PathBuf| path.to_string_lossy().ends_with(".log");
        let paths = node.paths();
        assert!(!paths.iter().any(|path| of_log(path) && is_deleted(path)));
        assert!(paths.iter().filter(|path| of_log(path)).count() <= 4, "{paths:?}");
    });
}

#[test]
fn a_point_that_finds_no_room_leaves_no_snapshot() {
    simulate(3, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let often = ShardOptions { unsettled_bytes_max: 1_000, ..ShardOptions::new(Budget::new(|_| 1 << 20)) };
                let (_owner, directory) = start_with(&env, "/one", &often).await;
                let log = open(&directory, 0, LogConfig::default()).await;
                failing(&full, DiskCallKind::Write, "barnabas-check", DiskVerdict::Short(0));
                for _ in 0..20 {
                    append(&log, batch(2_000)).await.expect("records have room");
                    env.sleep(Duration::from_millis(50)).await;
                }
                assert!(!directory.is_offline());
            })
        });
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "snapshot");
        assert_eq!(node.paths().iter().filter(|path| is_snapshot(path)).count(), 0);
    });
}

#[test]
fn what_a_failed_flush_left_in_the_page_cache_is_written_again() {
    // By way of the journal, whose replay is what fails to flush, and straight to the segment.
    for size in [200, 600_000] {
        simulate(12, Config::default(), move |world| {
            let node = world.node("n");
            let acked = Rc::new(Cell::new(false));
            let done = Rc::clone(&acked);
            node.start(1, move |env| {
                let done = Rc::clone(&done);
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/data").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    append(&log, batch(size)).await.expect("a healthy disk");
                    log.wait_high_watermark(Offset(1)).await.expect("a healthy disk");
                    done.set(true);
                    // Written and, with the next flush failing, never durable.
                    let _ = append(&log, batch(size)).await;
                    std::future::pending::<()>().await;
                })
            });
            assert!(world.run_until(MINUTE, || acked.get()), "the first batch is acknowledged");
            fail_one_sync(&node);
            world.run_for(Duration::from_secs(1));
            node.crash();
            fail_one_sync(&node);
            node.start(1, |env| {
                Box::pin(async move {
                    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
                    // It fails or not, as the flush belongs to the start or to the first commit.
                    let _ = DirectoryOwner::open(&env, Path::new("/data"), 0, &options).await;
                })
            });
            world.run_for(Duration::from_secs(1));
            node.crash();
            node.on_disk_call(|_| DiskVerdict::Pass);
            let end = live(world, &node, |env| {
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/data").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    log.wait_high_watermark(log.end_offset()).await.expect("a healthy disk");
                    log.end_offset()
                })
            });
            node.power_loss();
            let (again, damaged) = live(world, &node, |env| {
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/data").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    (log.end_offset(), log.damaged_ranges())
                })
            });
            assert_eq!((again, damaged), (end, Vec::new()), "{size}: what was said to be durable is there");
        });
    }
}

/// The next flush of the node fails and loses the pages.
fn fail_one_sync(node: &Node) {
    let mut has_failed = false;
    node.on_disk_call(move |call| match call.kind {
        DiskCallKind::Sync if !std::mem::replace(&mut has_failed, true) => DiskVerdict::INPUT_OUTPUT_ERROR,
        _ => DiskVerdict::Pass,
    });
}

/// Opens the log of the topic that was made again in the place of the first one.
async fn open_again(directory: &Rc<LogDirectory>) -> (Rc<Log>, LoadReport) {
    let partition = TopicPartition { topic_id: TopicId(Uuid([8; 16])), partition: PartitionIndex(0) };
    Log::open(directory, partition, "t", LogConfig::default()).await.expect("the name is free, or the topic's")
}

/// What the first commit after a start writes again is opened late, when the log has been deleted and its topic made again
/// in the same place.
#[test]
fn a_late_open_meets_no_folder_of_another_topic() {
    simulate(12, Config::default(), move |world| {
        let node = world.node("broker");
        live(world, &node, |env| {
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig::default()).await;
                append(&log, batch(100)).await.expect("works");
            })
        });
        node.crash();
        let slow = node.clone();
        live(world, &node, move |env| {
            let slow = slow.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig::default()).await;
                let is_late = Cell::new(true);
                slow.on_disk_call(move |call| {
                    let is_it = call.kind == DiskCallKind::Open && call.path.ends_with("partition.metadata");
                    let late = DiskVerdict::Delay(Duration::from_secs(1));
                    if is_it && is_late.replace(false) { late } else { DiskVerdict::Pass }
                });
                let appended = Rc::clone(&log);
                env.spawn("append", async move { drop(append(&appended, batch(100)).await) }).detach();
                env.sleep(Duration::from_millis(10)).await;
                log.delete().await.expect("works");
                let (log, _) = open_again(&directory).await;
                append(&log, batch(100)).await.expect("works");
                env.sleep(Duration::from_secs(2)).await;
            })
        });
        node.crash();
        live(world, &node, move |env| {
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let (log, _) = open_again(&directory).await;
                assert_eq!(log.end_offset(), Offset(1));
            })
        });
    });
}

/// Kafka's checkpoint knows logs by the names of their topics. A topic is dropped and made again, and the process dies while
/// the new log is being made.
#[test]
fn a_log_in_the_making_is_not_taken_for_the_one_before() {
    simulate(13, Config::default(), move |world| {
        let node = world.node("broker");
        live(world, &node, |env| {
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig::default()).await;
                for _ in 0..3 {
                    append(&log, batch(100)).await.expect("works");
                }
                let report = directory.close().await.expect("a healthy disk");
                owner.close(vec![report], 1).await.expect("a healthy disk");
            })
        });
        node.crash();
        let slow = node.clone();
        live(world, &node, move |env| {
            let slow = slow.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig::default()).await;
                assert_eq!(log.end_offset(), Offset(3));
                log.delete().await.expect("works");
                slow.on_disk_call(|call| {
                    let is_it = call.kind == DiskCallKind::Open && call.path.ends_with("t-0/00000000000000000000.log");
                    if is_it { DiskVerdict::Delay(MINUTE * 60) } else { DiskVerdict::Pass }
                });
                let making = Rc::clone(&directory);
                env.spawn("make", async move { drop(open_again(&making).await) }).detach();
                env.sleep(Duration::from_secs(1)).await;
            })
        });
        node.crash();
        node.on_disk_call(|_| DiskVerdict::Pass);
        live(world, &node, move |env| {
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let (log, report) = open_again(&directory).await;
                assert_eq!((log.end_offset(), report.damaged), (Offset(0), Vec::new()));
            })
        });
    });
}

/// A segment that cleaning puts into another one while it is read is not out of range: a reader who is told so starts over,
/// or goes to the end.
#[test]
fn a_read_finds_its_offset_in_the_segment_that_took_its_own_in() {
    let mut repeated = 0;
    for delayed in 1..12 {
        repeated += simulate(5, Config { cold_read_one_in: 1, ..Config::default() }, move |world| {
            let node = world.node("broker");
            let again = Rc::new(Cell::new(0));
            let seen = Rc::clone(&again);
            world.on_observation(move |observed| {
                seen.set(
                    seen.get() + u32::from(matches!(observed.observation, Observation::Mark { name: "read-repeated" })),
                );
            });
            let config = LogConfig { segment_bytes: 5_000, cleanup: COMPACT, ..LogConfig::default() };
            let written = config.clone();
            live(world, &node, move |env| {
                let config = written.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    // Three to a segment, of which the middle one stays: the next cleaning has room for two segments in one.
                    for index in 0..18 {
                        let key = if index % 3 == 1 { format!("{index}") } else { "key".to_owned() };
                        append(&log, keyed(&key, 1_500)).await.expect("works");
                        if index == 11 {
                            log.clean(None).await.expect("cleans");
                        }
                    }
                })
            });
            node.power_loss();
            let slow = node.clone();
            live(world, &node, move |env| {
                let (slow, config) = (slow.clone(), config.clone());
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    let reads = Cell::new(0);
                    slow.on_disk_call(move |call| {
                        let is_it =
                            call.kind == DiskCallKind::Read && call.path.ends_with("t-0/00000000000000000003.log");
                        reads.set(reads.get() + u32::from(is_it));
                        let is_late = is_it && reads.get() == delayed;
                        if is_late { DiskVerdict::Delay(Duration::from_secs(5)) } else { DiskVerdict::Pass }
                    });
                    let (sleeper, cleaned) = (env.clone(), Rc::clone(&log));
                    let mut cleaning = env.spawn("cleaning", async move {
                        sleeper.sleep(Duration::from_secs(1)).await;
                        cleaned.clean(None).await.expect("cleans");
                    });
                    let read = log.read(Offset(4), 2_000, ReadBound::HighWatermark, true).await;
                    cleaning.join().await;
                    let read = read.unwrap_or_else(|error| panic!("read {delayed} late: {error:?}"));
                    assert_eq!((read.first_offset, read.next_offset), (Offset(4), Offset(5)));
                })
            });
            again.get()
        });
    }
    assert!(repeated > 0, "no read met the cleaning");
}

/// What lacked a descriptor on the way to its sync must not be passed over by the next commit.
#[test]
fn a_commit_that_lacks_descriptors_is_made_again() {
    for kind in [DiskCallKind::SyncDir, DiskCallKind::Open] {
        simulate(6, Config::default(), move |world| {
            let node = world.node("broker");
            let short = node.clone();
            live(world, &node, move |env| {
                let short = short.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    let path = if kind == DiskCallKind::SyncDir { "/one" } else { "journal" };
                    failing(&short, kind, path, DiskVerdict::NO_DESCRIPTORS);
                    let is_written = Rc::new(Cell::new(false));
                    let (first, flag) = (Rc::clone(&log), Rc::clone(&is_written));
                    let mut appending = env.spawn("append", async move {
                        append(&first, batch(100)).await.expect("there are descriptors again");
                        flag.set(true);
                    });
                    env.sleep(Duration::from_secs(1)).await;
                    let is_early = kind == DiskCallKind::SyncDir && is_written.get();
                    assert!(!is_early, "nothing is durable while its folder is not");
                    short.on_disk_call(|_| DiskVerdict::Pass);
                    append(&log, batch(100)).await.expect("works");
                    assert!(is_written.get(), "what came first is durable before what came after");
                    appending.join().await;
                    assert!(!directory.is_offline());
                })
            });
            node.power_loss_with(PowerFate::Nothing);
            live(world, &node, move |env| {
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, LogConfig::default()).await;
                    log.wait_high_watermark(Offset(2)).await.expect("works");
                    assert_eq!((readable(&log).await, log.damaged_ranges()), (2, Vec::new()));
                })
            });
        });
    }
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}

fn is_of_cleaning(path: &Path) -> bool {
    has_suffix(path, ".cleaned") || has_suffix(path, ".swap")
}

/// Three to a segment, of which the middle one stays.
async fn fill_segments(log: &Rc<Log>) {
    for index in 0..18 {
        let key = if index % 3 == 1 { format!("{index}") } else { "key".to_owned() };
        append(log, keyed(&key, 1_500)).await.expect("works");
    }
}

fn compacted() -> LogConfig {
    LogConfig { segment_bytes: 5_000, cleanup: COMPACT, ..LogConfig::default() }
}

/// A start takes what follows a `.cleaned` file for unfinished: one that is left over would cost a segment.
#[test]
fn a_cleaning_without_room_leaves_nothing_behind() {
    for (kind, path) in [
        (DiskCallKind::Open, ".index.cleaned"),
        (DiskCallKind::Sync, ".log.cleaned"),
        (DiskCallKind::Rename, ".cleaned"),
    ] {
        simulate(7, Config::default(), move |world| {
            let node = world.node("broker");
            let full = node.clone();
            live(world, &node, move |env| {
                let full = full.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, compacted()).await;
                    fill_segments(&log).await;
                    failing(
                        &full,
                        kind,
                        path,
                        if kind == DiskCallKind::Open { DiskVerdict::NO_DESCRIPTORS } else { DiskVerdict::NO_SPACE },
                    );
                    let outcome = log.clean(None).await;
                    outcome.expect_err("there is no room");
                    assert!(!directory.is_offline());
                    let left = full.paths();
                    assert_eq!(left.iter().find(|path| is_of_cleaning(path)), None);
                    full.on_disk_call(|_| DiskVerdict::Pass);
                    log.clean(None).await.expect("there is room");
                    assert_eq!(readable(&log).await, 18, "offsets stay");
                })
            });
        });
    }
}

/// A log that lacks descriptors to be created or loaded says that this passes, and opens whole once there are some.
#[test]
fn a_log_that_lacks_descriptors_opens_later() {
    for part in ["partition.metadata", ".log"] {
        simulate(10, Config::default(), move |world| {
            let node = world.node("broker");
            for life in 0..2 {
                let short = node.clone();
                live(world, &node, move |env| {
                    let short = short.clone();
                    Box::pin(async move {
                        let (_owner, directory) = start(&env, "/one").await;
                        // Going through a folder to remove it takes a descriptor as well.
                        short.on_disk_call(move |call| {
                            let is_it = call.kind == DiskCallKind::Open && call.path.to_string_lossy().contains(part);
                            let lacks = is_it || call.kind == DiskCallKind::Remove;
                            if lacks { DiskVerdict::NO_DESCRIPTORS } else { DiskVerdict::Pass }
                        });
                        for _ in 0..2 {
                            let refused = try_load(&directory, 0, LogConfig::default()).await;
                            let passes = matches!(&refused, Err(OpenLogError::Storage(error)) if error.passes);
                            assert!(passes, "{part}, life {life}: {:?}", refused.err());
                        }
                        short.on_disk_call(|_| DiskVerdict::Pass);
                        let log = open(&directory, 0, LogConfig::default()).await;
                        append(&log, batch(100)).await.expect("works");
                        assert_eq!((readable(&log).await, log.damaged_ranges()), (life + 1, Vec::new()));
                        assert!(!directory.is_offline());
                    })
                });
                node.power_loss_with(PowerFate::Nothing);
            }
        });
    }
}

/// From the moment at which a cleaned segment begins to take its place there is no way back.
#[test]
fn half_a_swap_waits_for_room_and_descriptors() {
    for (kind, suffix, verdict) in [
        (DiskCallKind::SyncDir, "t-0", DiskVerdict::NO_DESCRIPTORS),
        (DiskCallKind::Rename, "0.log", DiskVerdict::NO_SPACE),
        (DiskCallKind::Rename, ".swap", DiskVerdict::NO_SPACE),
    ] {
        simulate(8, Config::default(), move |world| {
            let node = world.node("broker");
            let short = node.clone();
            live(world, &node, move |env| {
                let short = short.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, compacted()).await;
                    fill_segments(&log).await;
                    short.on_disk_call(move |call| {
                        let is_it = call.kind == kind && has_suffix(call.path, suffix);
                        if is_it { verdict } else { DiskVerdict::Pass }
                    });
                    let cleaned = Rc::clone(&log);
                    let mut cleaning =
                        env.spawn("cleaning", async move { cleaned.clean(None).await.map(drop).expect("cleans") });
                    env.sleep(Duration::from_secs(2)).await;
                    assert_eq!(readable(&log).await, 18, "what is cleaned is read on the way");
                    short.on_disk_call(|_| DiskVerdict::Pass);
                    cleaning.join().await;
                    assert!(!directory.is_offline());
                    assert!(!short.paths().iter().any(|path| is_of_cleaning(path)));
                })
            });
            node.power_loss_with(PowerFate::Nothing);
            live(world, &node, move |env| {
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, compacted()).await;
                    log.wait_high_watermark(Offset(18)).await.expect("works");
                    assert_eq!((readable(&log).await, log.damaged_ranges()), (18, Vec::new()));
                })
            });
        });
    }
}

/// A journal file whose table found no room has left the other one all the same, which a checkpoint must free.
#[test]
fn a_journal_whose_table_finds_no_room_goes_on() {
    simulate(9, Config::default(), |world| {
        let node = world.node("broker");
        let full = node.clone();
        live(world, &node, move |env| {
            let full = full.clone();
            Box::pin(async move {
                let small = ShardOptions {
                    commit: CommitLimits { warms_journal: false, ..CommitLimits::of_journal_file(16_384) },
                    ..ShardOptions::new(Budget::new(|_| 1 << 20))
                };
                let (_owner, directory) = start_with(&env, "/one", &small).await;
                let log = open(&directory, 0, LogConfig::default()).await;
                // Entries stand behind the first block, which names the file.
                full.on_disk_call(|call| {
                    let is_table =
                        call.kind == DiskCallKind::Write && has_suffix(call.path, "journal-0.b") && call.offset > 0;
                    if is_table { DiskVerdict::NO_SPACE } else { DiskVerdict::Pass }
                });
                for _ in 0..200 {
                    append(&log, batch(200)).await.expect("the log has room");
                }
                full.on_disk_call(|_| DiskVerdict::Pass);
                assert_eq!(log.delete_records_before(Offset(100)).await, Ok(Offset(100)));
                assert!(!directory.is_offline());
            })
        });
    });
}

/// Room that was to be reserved for another segment is not there: the log must neither go on below an empty file of a
/// higher name, which a start takes for its end, nor need what only helps.
#[test]
fn a_segment_that_cannot_be_reserved_is_begun_all_the_same() {
    for verdict in [DiskVerdict::NO_SPACE, DiskVerdict::Fail(NOT_SUPPORTED)] {
        simulate(10, Config::default(), move |world| {
            let node = world.node("broker");
            let config = LogConfig { preallocate: true, segment_bytes: 4_000, ..LogConfig::default() };
            failing(&node, DiskCallKind::Allocate, "/one", verdict);
            let first = config.clone();
            live(world, &node, move |env| {
                let first = first.clone();
                Box::pin(async move {
                    let (owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, first).await;
                    for size in [1_500, 1_500, 1_500, 100] {
                        append(&log, batch(size)).await.expect("the device has room for records");
                    }
                    assert_eq!(log.segment_count(), 2);
                    let report = directory.close().await.expect("closes");
                    owner.close(vec![report], 1).await.expect("closes");
                })
            });
            live(world, &node, move |env| {
                let config = config.clone();
                Box::pin(async move {
                    let (_owner, directory) = start(&env, "/one").await;
                    let log = open(&directory, 0, config).await;
                    log.wait_high_watermark(Offset(4)).await.expect("works");
                    assert_eq!((readable(&log).await, log.damaged_ranges()), (4, Vec::new()));
                })
            });
        });
    }
}

/// The pass of retention is a task of the node, and a stop takes it away wherever it is.
#[test]
fn a_roll_that_nobody_waits_for_does_not_hold_up_a_stop() {
    simulate(11, Config::default(), |world| {
        let node = world.node("broker");
        let slow = node.clone();
        live(world, &node, move |env| {
            let slow = slow.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig { retention_ms: 0, ..LogConfig::default() }).await;
                append(&log, batch(100)).await.expect("works");
                failing(&slow, DiskCallKind::Open, "0001.log", DiskVerdict::Delay(Duration::from_secs(1)));
                let retained = Rc::clone(&log);
                let retention = env.spawn("retention", async move { drop(retained.retain().await) });
                env.sleep(Duration::from_millis(100)).await;
                drop(retention);
                directory.close().await.expect("closes");
                assert_eq!(log.segment_count(), 2, "the roll had begun");
            })
        });
    });
}

/// A start that lacks descriptors opens some logs and not others, and is stopped before it gets to them.
#[test]
fn a_log_that_was_never_opened_is_known_to_the_next_start() {
    simulate(12, Config::default(), |world| {
        let node = world.node("broker");
        live(world, &node, |env| {
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, compacted()).await;
                fill_segments(&log).await;
                log.clean(None).await.expect("cleans");
                let report = directory.close().await.expect("closes");
                owner.close(vec![report], 1).await.expect("closes");
            })
        });
        for _ in 0..2 {
            live(world, &node, |env| {
                Box::pin(async move {
                    let (mut owner, directory) = start(&env, "/one").await;
                    owner.checkpoint(vec![directory.report()]).await.expect("works");
                    let report = directory.close().await.expect("closes");
                    let stopped = owner.close(vec![report], 2).await.expect_err("it was no clean stop");
                    assert!(stopped.to_string().contains("the log in t-0 was never opened"), "{stopped}");
                })
            });
        }
        live(world, &node, |env| {
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                let (log, report) = load(&directory, 0, compacted()).await;
                assert_eq!((report.cut_bytes, log.damaged_ranges()), (0, Vec::new()));
                log.wait_high_watermark(Offset(18)).await.expect("works");
                assert_eq!(readable(&log).await, 18);
                let report = directory.close().await.expect("closes");
                owner.close(vec![report], 3).await.expect("closes");
            })
        });
    });
}

/// A device that promised more room than it has: the kernel says once that it could not write, to whoever syncs first.
#[test]
fn a_segment_that_is_sealed_without_room_takes_its_directory_offline() {
    simulate(13, Config::default(), |world| {
        let node = world.node("broker");
        let thin = node.clone();
        live(world, &node, move |env| {
            let thin = thin.clone();
            Box::pin(async move {
                let (_owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, LogConfig { segment_bytes: 4_000, ..LogConfig::default() }).await;
                for _ in 0..2 {
                    append(&log, batch(1_500)).await.expect("works");
                }
                failing(&thin, DiskCallKind::Sync, "00000000000000000000.log", DiskVerdict::NO_SPACE);
                // It goes into the next segment, and is durable or not; the one before is sealed.
                drop(append(&log, batch(1_500)).await);
                directory.offline().await;
            })
        });
    });
}
