//! What is held against arbitrary files in a log directory: a start never panics, never takes the directory for a broken
//! one, serves nothing that does not check out, and leaves a log that takes batches and opens the same again. Shared by
//! the fuzz targets of `ci/fuzz`, which search for new bytes, and by the replay of the kept corpus.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    BrokerId, Budget, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_commitlog::checkpoint::{MetaProperties, format_meta_properties, format_partition_metadata};
use barnabas_commitlog::{
    AppendOptions, AppendOrigin, CommitLimits, DirectoryOptions, DirectoryOwner, Log, LogConfig, LogDirectory,
    ReadBound, ReadError, ShardOptions,
};
use barnabas_runtime::{Env, Local, OpenMode};
use barnabas_runtime_madsim::{Config, Node, World, simulate};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, Tail, batches, crc32c, crc32c_append};
use bytes::{BufMut, Bytes, BytesMut};

const ROOT: &str = "/logs";
const SEGMENT: &str = "/logs/t-0/00000000000000000000.log";
const PARTITION: TopicPartition = TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(0) };
const DIRECTORY: DirectoryId = DirectoryId(Uuid([3; 16]));
/// Where the checksummed part of a batch begins, where its checksum stands, and its header ends.
const BATCH_CRC_AT: usize = 17;
const BATCH_COVERED_FROM: usize = 21;
const BATCH_HEADER_BYTES: usize = 61;
/// Bytes in front of what a batch's length counts.
const LOG_OVERHEAD: usize = 12;
/// The journal's blocks, and fields of its entries.
const BLOCK_BYTES: usize = 512;
const ENTRY_HEADER_BYTES: usize = 40;
const SALT: u64 = 7;
const GENERATION: u64 = 5;
const LIFE_MAX: Duration = Duration::from_secs(3_600);

/// What a start found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    start: Offset,
    end: Offset,
    damaged: usize,
    /// Base offsets of the batches that were served.
    served: Vec<Offset>,
}

/// A byte that says how far the log was durable, one that says what else lies there, then a segment whose batches have
/// their checksums put right where their lengths allow it.
pub(crate) fn segment_recovery(data: &[u8]) {
    let Some((&[durable, options], segment)) = data.split_first_chunk() else { return };
    let mut files = vec![(SEGMENT.to_owned(), sealed_batches(segment, options & 1 != 0))];
    if options & 2 != 0 {
        files.push(("/logs/t-0/00000000000000000000.index".to_owned(), segment.to_vec()));
        files.push(("/logs/t-0/00000000000000000000.timeindex".to_owned(), segment.to_vec()));
    }
    if options & 4 != 0 {
        files.push((format!("/logs/t-0/{durable:020}.snapshot"), segment.to_vec()));
        files.push(("/logs/t-0/leader-epoch-checkpoint".to_owned(), segment.to_vec()));
    }
    if options & 8 != 0 {
        files.push((format!("/logs/t-0/{:020}.log", u64::from(durable) + 1), segment.to_vec()));
    }
    let points = format!("0\n1\nt 0 {durable}\n");
    files.push(("/logs/recovery-point-offset-checkpoint".to_owned(), points.into_bytes()));
    start_twice(files);
}

/// Entries of a journal with their checksums put right, over a segment of three batches of which the first byte says how
/// much a crash left.
pub(crate) fn journal_recovery(data: &[u8]) {
    let Some((&kept, entries)) = data.split_first() else { return };
    let segment: Vec<u8> = (0..3).flat_map(|base| batch_at(base).to_vec()).collect();
    let kept = segment.len() * usize::from(kept) / 255;
    let files = vec![
        (SEGMENT.to_owned(), segment[..kept].to_vec()),
        ("/logs/.barnabas-journal-0.a".to_owned(), sealed_journal(entries)),
    ];
    start_twice(files);
}

/// Starts on `files`, appends, starts again after the process is gone, and compares.
fn start_twice(files: Vec<(String, Vec<u8>)>) {
    simulate(1, Config::default(), move |world| {
        let node = world.node("broker");
        let files = Rc::new(files);
        live(world, &node, move |env| {
            let files = Rc::clone(&files);
            Box::pin(async move { write_all(&env, &files).await })
        });
        let found = live(world, &node, |env| Box::pin(async move { open_and_read(&env, false).await.0 }));
        assert!(found.start <= found.end, "{found:?}");
        node.crash();
        let (again, appended) = live(world, &node, |env| Box::pin(open_and_append(env)));
        assert_eq!(again, found, "a second start finds what the first one found");
        let Some(base) = appended else { return };
        assert_eq!(base, found.end, "a log goes on where it ends");
        node.power_loss();
        let last = live(world, &node, |env| Box::pin(async move { open_and_read(&env, false).await.0 }));
        assert_eq!((last.start, last.end), (found.start, base.plus(1)), "an acknowledged record stays");
        assert_eq!(last.served.last(), Some(&base), "and is served");
    });
}

async fn open_and_append(env: Env) -> (Found, Option<Offset>) {
    let (found, log) = open_and_read(&env, true).await;
    let log = log.expect("it was asked for");
    if found.end.0 >= i64::from(i32::MAX) {
        // An offset that nobody reaches; the arithmetic of what follows is not this target's.
        return (found, None);
    }
    let options = AppendOptions { origin: AppendOrigin::Coordinator, leader_epoch: LeaderEpoch(i32::MAX) };
    let appended = log.append(batch_at(0), options).await.expect("a log that was opened takes batches");
    log.wait_high_watermark(appended.end_offset).await.expect("the directory works");
    (found, Some(appended.base_offset))
}

async fn open_and_read(env: &Env, keeps: bool) -> (Found, Option<Rc<Log>>) {
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: false };
    let opened = DirectoryOwner::open(env, Path::new(ROOT), 0, &options).await;
    let (owner, seed) = opened.expect("whatever lies in a directory, it can be opened");
    let commit = CommitLimits { warms_journal: false, ..CommitLimits::default() };
    let options = ShardOptions { commit, ..ShardOptions::new(Budget::new(|_| 1 << 20)) };
    let directory = LogDirectory::join(env, &seed, &options);
    let (log, report) = Log::open(&directory, PARTITION, "t", LogConfig::default()).await.expect("the log opens");
    let (start, end) = (log.log_start_offset(), log.end_offset());
    assert_eq!((report.start_offset, report.end_offset), (start, end), "the report says what is there");
    log.wait_high_watermark(end).await.expect("what was found becomes safe");
    let served = read_all(&log, start, end).await;
    assert!(!directory.is_offline(), "bytes are no fault of the device");
    let found = Found { start, end, damaged: log.damaged_ranges().len(), served };
    if keeps {
        // The lock goes with the owner, and the process ends before anybody else wants it.
        std::mem::forget(owner);
        return (found, Some(log));
    }
    (found, None)
}

/// Reads everything; what is damaged answers so and is gone around.
async fn read_all(log: &Rc<Log>, start: Offset, end: Offset) -> Vec<Offset> {
    let mut served: Vec<Offset> = Vec::new();
    let mut at = start;
    while at < end {
        match log.read_bytes(at, 1 << 20, ReadBound::HighWatermark).await {
            Ok(read) => {
                for batch in batches(&read.bytes, Tail::MustBeWhole) {
                    let batch = batch.expect("whole batches are served");
                    batch.check_crc().expect("sound batches are served");
                    assert!(batch.header().end_offset() <= end, "nothing is served past the end");
                    assert!(served.last().is_none_or(|last| *last < batch.header().base_offset), "offsets rise");
                    served.push(batch.header().base_offset);
                }
                if read.next_offset <= at {
                    break;
                }
                at = read.next_offset;
            }
            Err(ReadError::Damaged) => {
                let ranges = log.damaged_ranges();
                let range = ranges.iter().find(|range| range.from <= at && at < range.to);
                at = range.expect("what answers as damaged is listed").to;
            }
            Err(error) => panic!("offset {at} of {start}..{end}: {error}"),
        }
    }
    served
}

async fn write_all(env: &Env, files: &[(String, Vec<u8>)]) {
    let disk = &*env.disk;
    disk.create_dir_all(Path::new("/logs/t-0")).await.expect("room");
    let properties =
        MetaProperties { cluster_id: Uuid([4; 16]).into(), node_id: BrokerId(1), directory_id: Some(DIRECTORY) };
    let known = [
        ("/logs/meta.properties".to_owned(), format_meta_properties(&properties).into_bytes()),
        ("/logs/t-0/partition.metadata".to_owned(), format_partition_metadata(PARTITION.topic_id).into_bytes()),
    ];
    for (path, bytes) in known.iter().chain(files) {
        let file = disk.open(Path::new(path), OpenMode::CreateTruncated).await.expect("room");
        if !bytes.is_empty() {
            file.write_at(0, &[Bytes::copy_from_slice(bytes)]).await.expect("room");
        }
        file.sync().await.expect("a healthy disk");
    }
    for folder in ["/logs/t-0", ROOT, "/"] {
        disk.sync_dir(Path::new(folder)).await.expect("a healthy disk");
    }
}

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
    assert!(world.run_until(LIFE_MAX, || result.borrow().is_some()), "a start ends");
    result.take().expect("it has ended")
}

/// One record at `base_offset`, in the epoch of that number.
fn batch_at(base_offset: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let time = TimestampMs(1_750_000_000_000);
    builder.append(time, Some(b"key"), Some(b"value"), std::iter::empty()).expect("fits a batch");
    let mut batch = BytesMut::from(&builder.build(&mut Compressor::new()).expect("builds")[..]);
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
    batch.freeze()
}

/// `bytes` with the checksum of each batch made to cover it, as far as the lengths lead: a fuzzer cannot guess it.
fn sealed_batches(bytes: &[u8], all: bool) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    let mut at = 0;
    while let Some(head) = sealed.get(at..at + BATCH_HEADER_BYTES) {
        let len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let Some(end) = at.checked_add(LOG_OVERHEAD + len).filter(|end| *end <= sealed.len()) else { break };
        if end < at + BATCH_HEADER_BYTES {
            break;
        }
        // Otherwise the last one stays as it came: a torn tail.
        if all || end < sealed.len() {
            let crc = crc32c(&sealed[at + BATCH_COVERED_FROM..end]);
            sealed[at + BATCH_CRC_AT..at + BATCH_CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        }
        at = end;
    }
    sealed
}

/// A journal file of these entries: a first block of its own, and generation, sequence and checksum of each put right.
fn sealed_journal(entries: &[u8]) -> Vec<u8> {
    let mut file = BytesMut::new();
    file.put_slice(b"BARNJRNL");
    file.put_u32(1);
    file.put_u32(0);
    file.put_u64(GENERATION);
    file.put_u32(0);
    file.put_slice(DIRECTORY.0.as_bytes());
    file.put_slice(b"barnabas\0\0\0\0\0\0\0\0");
    file.put_u64(SALT);
    let crc = crc32c(&file[16..]);
    file[12..16].copy_from_slice(&crc.to_be_bytes());
    file.resize(BLOCK_BYTES, 0);
    file.put_slice(entries);
    let (mut at, mut sequence) = (BLOCK_BYTES, 0_u64);
    while let Some(head) = file.get(at..at + ENTRY_HEADER_BYTES) {
        let len = u32::from_be_bytes([head[24], head[25], head[26], head[27]]) as usize;
        let Some(end) = at.checked_add(len).filter(|end| *end <= file.len() && len >= ENTRY_HEADER_BYTES) else {
            break;
        };
        file[at..at + 4].copy_from_slice(b"BJN1");
        file[at + 8..at + 16].copy_from_slice(&GENERATION.to_be_bytes());
        file[at + 16..at + 24].copy_from_slice(&sequence.to_be_bytes());
        let crc = crc32c_append(crc32c(&SALT.to_be_bytes()), &file[at + 8..end]);
        file[at + 4..at + 8].copy_from_slice(&crc.to_be_bytes());
        sequence += 1;
        at = end.next_multiple_of(BLOCK_BYTES);
    }
    file.to_vec()
}
