//! A device that fails, is full, or has a process without descriptors before it: what is refused, what goes on, and what is
//! found afterwards.

mod shortage;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, Node, Opens, PowerFate, World, simulate};
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

/// A shard whose logs are settled every few records.
fn settling_often() -> ShardOptions {
    ShardOptions { unsettled_bytes_max: 1_000, ..ShardOptions::new(Budget::new(|_| 1 << 20)) }
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
    dated(TimestampMs(1_750_000_000_000), key, size)
}

fn dated(time: TimestampMs, key: &str, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![7; size];
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

/// A clean stop.
async fn stop(owner: DirectoryOwner, directory: &Rc<LogDirectory>) {
    let report = directory.close().await.expect("the logs close");
    owner.close(vec![report], 1).await.expect("the directory closes");
}

/// A further life of the node finds the log of `count` records as it was, and goes on with it.
fn find_whole(world: &World, node: &Node, config: &LogConfig, count: i64) {
    let config = config.clone();
    live(world, node, move |env| {
        let config = config.clone();
        Box::pin(async move {
            let (owner, directory) = start(&env, "/one").await;
            let (log, report) = load(&directory, 0, config).await;
            log.wait_high_watermark(Offset(count)).await.expect("works");
            assert_eq!((report.cut_bytes, log.damaged_ranges()), (0, Vec::new()));
            assert_eq!(i64::try_from(readable(&log).await), Ok(count));
            stop(owner, &directory).await;
        })
    });
}

/// Fails every call of one kind on paths that hold `part`.
fn failing(node: &Node, kind: DiskCallKind, part: &'static str, verdict: DiskVerdict) {
    node.on_disk_call(move |call| {
        let is_it = call.kind == kind && call.path.to_string_lossy().contains(part);
        if is_it { verdict } else { DiskVerdict::Pass }
    });
}

/// Delays the `nth` open of a file by a second. What it gives says how many there were.
fn opens_late(node: &Node, file: &'static str, nth: u32) -> Rc<Cell<u32>> {
    let opened = Rc::new(Cell::new(0));
    let count = Rc::clone(&opened);
    node.on_disk_call(move |call| {
        let is_it = call.kind == DiskCallKind::Open && call.path.ends_with(file);
        count.set(count.get() + u32::from(is_it));
        let is_late = is_it && count.get() == nth;
        if is_late { DiskVerdict::Delay(Duration::from_secs(1)) } else { DiskVerdict::Pass }
    });
    opened
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
                opens_late(&slow, "partition.metadata", 1);
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
                stop(owner, &directory).await;
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

/// Writes three records to a segment, of which the middle one stays: the next cleaning has room for two segments in one.
async fn fill_for_a_merge(log: &Rc<Log>) {
    for index in 0..18 {
        let key = if index % 3 == 1 { format!("{index}") } else { "key".to_owned() };
        append(log, keyed(&key, 1_500)).await.expect("works");
        if index == 11 {
            log.clean(None).await.expect("cleans");
        }
    }
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
                    fill_for_a_merge(&log).await;
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

/// A reader writes down the indexes that it made anew while cleaning puts a segment of the same name in place: what lies beside
/// that one is about all of it.
#[test]
fn late_caches_of_a_segment_do_not_become_those_of_its_successor() {
    simulate(17, Config { cold_read_one_in: 1, ..Config::default() }, |world| {
        let node = world.node("broker");
        let config = LogConfig { segment_bytes: 5_000, cleanup: COMPACT, ..LogConfig::default() };
        let written = config.clone();
        live(world, &node, move |env| {
            let config = written.clone();
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                fill_for_a_merge(&open(&directory, 0, config).await).await;
                stop(owner, &directory).await;
            })
        });
        let first = |kind: &str| PathBuf::from(format!("/one/t-0/00000000000000000000.{kind}"));
        node.move_file(&first("index"), Path::new("/lost"));
        let slow = node.clone();
        live(world, &node, move |env| {
            let (slow, config) = (slow.clone(), config.clone());
            Box::pin(async move {
                let (owner, directory) = start(&env, "/one").await;
                let log = open(&directory, 0, config).await;
                // After the file was looked at in vain.
                let opened = opens_late(&slow, "00000000000000000000.timeindex", 2);
                let reader = Rc::clone(&log);
                let mut reading = env.spawn("reader", async move {
                    reader.read(Offset(0), 2_000, ReadBound::HighWatermark, true).await.expect("is read");
                });
                while opened.get() < 2 {
                    env.sleep(Duration::from_millis(1)).await;
                }
                let segments = log.segment_count();
                log.clean(None).await.expect("cleans");
                assert!(log.segment_count() < segments, "the first took the second in");
                reading.join().await;
                stop(owner, &directory).await;
            })
        });
        assert_covers(&node, "/one/t-0/00000000000000000000");
    });
}

/// That the checksums beside a segment are about every byte of it and of no other.
fn assert_covers(node: &Node, segment: &str) {
    let files: BTreeMap<PathBuf, Bytes> = node.files().into_iter().collect();
    let file = |kind: &str| &files[Path::new(&format!("{segment}.{kind}"))];
    let covered: [u8; 8] = file("barnabas-check")[24..32].try_into().expect("eight bytes");
    assert_eq!(u64::from_be_bytes(covered), file("log").len() as u64);
}

/// A settled point is written while its segment is filled and sealed: what the end of the segment added to its files stays.
#[test]
fn a_late_settled_point_leaves_the_caches_of_a_sealed_segment_whole() {
    simulate(15, Config::default(), |world| {
        let node = world.node("broker");
        let slow = node.clone();
        live(world, &node, move |env| {
            let slow = slow.clone();
            Box::pin(async move {
                let (owner, directory) = start_with(&env, "/one", &settling_often()).await;
                let config = LogConfig { segment_bytes: 10_000, index_interval_bytes: 100, ..LogConfig::default() };
                let log = open(&directory, 0, config).await;
                let opened = opens_late(&slow, "00000000000000000000.timeindex", 1);
                for index in 0..20 {
                    append(&log, dated(TimestampMs(index), "key", 1_000)).await.expect("works");
                }
                assert!(opened.get() > 0 && log.segment_count() == 3, "its segment was sealed meanwhile");
                stop(owner, &directory).await;
            })
        });
        assert_covers(&node, "/one/t-0/00000000000000000000");
        let files: BTreeMap<PathBuf, Bytes> = node.files().into_iter().collect();
        let file = |segment: u64, kind: &str| &files[Path::new(&format!("/one/t-0/{segment:020}.{kind}"))];
        // The next segment holds as much.
        for kind in ["index", "timeindex"] {
            assert_eq!(file(0, kind).len(), file(9, kind).len());
        }
    });
}

/// A shard has more logs than files it may keep open, and appends to one after the other: what was written and is not synced
/// yet keeps its file open, and is not opened once more.
#[test]
fn a_file_that_waits_for_its_sync_is_not_opened_again() {
    simulate(19, Config::default(), |world| {
        let node = world.node("broker");
        let seen = node.clone();
        live(world, &node, move |env| {
            let seen = seen.clone();
            Box::pin(async move {
                let shard = ShardOptions { handles_max: 1, ..ShardOptions::new(Budget::new(|_| 1 << 20)) };
                let (owner, directory) = start_with(&env, "/one", &shard).await;
                let mut logs = Vec::new();
                for index in 0..3 {
                    logs.push(open(&directory, index, LogConfig::default()).await);
                }
                for _ in 0..10 {
                    for log in &logs {
                        append(log, batch(100)).await.expect("works");
                    }
                }
                let Opens { named, files, .. } = seen.opens();
                assert!(named <= files, "{files} files are open {named} times");
                stop(owner, &directory).await;
            })
        });
    });
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
