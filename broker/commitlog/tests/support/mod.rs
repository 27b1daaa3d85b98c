//! What the tests of this crate share: a node of one shard on a folder of the real file system, batches, and crashes.
//! A crash here is a stop without a clean close: what was written stays in the page cache.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests look at the files behind the seam's back")]

pub(crate) mod disk;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::{
    BrokerId, Budget, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
    TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendError, AppendOptions, AppendOrigin, Appended, CommitLimits, DirectoryOptions, DirectoryOwner, DirectorySeed,
    LoadReport, Log, LogConfig, LogDirectory, ReadBound, ReadError, ShardOptions,
};
use barnabas_runtime::Env;
use barnabas_runtime_tokio::{NodeConfig, block_on_single};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, Decompressor, ProducerFields, Tail, batches};
use bytes::Bytes;

pub(crate) const EPOCH: LeaderEpoch = LeaderEpoch(1);
pub(crate) const TOPIC: &str = "orders";

/// A fresh folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// Runs `main` as the only shard of a node.
pub(crate) fn run<T: 'static>(main: impl AsyncFnOnce(Env) -> T + 'static) -> T {
    block_on_single(&NodeConfig::new("test", 1), main).expect("the system gives us an event loop")
}

/// One start of a node on a folder.
pub(crate) struct Start {
    pub(crate) env: Env,
    pub(crate) owner: DirectoryOwner,
    pub(crate) seed: DirectorySeed,
    pub(crate) directory: Rc<LogDirectory>,
}

pub(crate) fn options() -> DirectoryOptions {
    DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true }
}

/// A journal that is not written ahead, so that tests see what commits do and nothing else.
fn options_of_shard(bytes: u64) -> ShardOptions {
    let commit = CommitLimits { warms_journal: false, ..CommitLimits::default() };
    ShardOptions { commit, ..ShardOptions::new(Budget::new(move |_| bytes)) }
}

impl Start {
    pub(crate) async fn new(env: &Env, path: &Path) -> Self {
        Self::with_budget(env, path, 1 << 20).await
    }

    pub(crate) async fn with_budget(env: &Env, path: &Path, bytes: u64) -> Self {
        Self::with_options(env, path, &options_of_shard(bytes)).await
    }

    /// A start that settles a log when more than so many bytes are past such points.
    pub(crate) async fn settling(env: &Env, path: &Path, unsettled_bytes_max: u64) -> Self {
        let options = ShardOptions { unsettled_bytes_max, ..options_of_shard(1 << 20) };
        Self::with_options(env, path, &options).await
    }

    async fn with_options(env: &Env, path: &Path, shard: &ShardOptions) -> Self {
        let (owner, seed) = DirectoryOwner::open(env, path, 0, &options()).await.expect("the directory opens");
        let directory = LogDirectory::join(env, &seed, shard);
        Self { env: env.clone(), owner, seed, directory }
    }

    pub(crate) async fn open(&self, config: LogConfig) -> (Rc<Log>, LoadReport) {
        self.open_partition(0, config).await
    }

    pub(crate) async fn open_partition(&self, index: i32, config: LogConfig) -> (Rc<Log>, LoadReport) {
        Log::open(&self.directory, partition(index), TOPIC, config).await.expect("the log opens")
    }

    pub(crate) async fn close(self) {
        let report = self.directory.close().await.expect("the logs close");
        self.owner.close(vec![report], 7).await.expect("the directory closes");
    }
}

pub(crate) fn partition(index: i32) -> TopicPartition {
    TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(index) }
}

pub(crate) fn log_folder(path: &Path) -> PathBuf {
    path.join(format!("{TOPIC}-0"))
}

/// A batch of `count` records of `size` bytes, dated `timestamp` and the milliseconds after it.
pub(crate) fn batch(count: usize, size: usize, timestamp: i64) -> Bytes {
    build(BatchOptions::default(), count, size, timestamp)
}

/// The same from an idempotent producer.
pub(crate) fn idempotent(id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let producer =
        ProducerFields { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence) };
    build(BatchOptions { producer: Some(producer), ..BatchOptions::default() }, count, 20, 1_000)
}

/// The same as it is sent at `timestamp`.
pub(crate) fn idempotent_at(id: i64, timestamp: i64) -> Bytes {
    let producer = ProducerFields { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: Sequence(0) };
    build(BatchOptions { producer: Some(producer), ..BatchOptions::default() }, 1, 20, timestamp)
}

fn build(options: BatchOptions, count: usize, size: usize, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (time, index) in (timestamp..).zip(0..count) {
        let value = vec![u8::try_from(index % 251).expect("below 251"); size];
        builder.append(TimestampMs(time), Some(b"key"), Some(&value), std::iter::empty()).expect("fits a batch");
    }
    builder.build(&mut Compressor::new()).expect("builds")
}

/// A batch of keyed records; `None` is a tombstone.
pub(crate) fn keyed(records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        builder.append(TimestampMs(1_000), Some(key.as_bytes()), value, std::iter::empty()).expect("fits a batch");
    }
    builder.build(&mut Compressor::new()).expect("builds")
}

pub(crate) async fn append(log: &Rc<Log>, records: Bytes) -> Result<Appended, AppendError> {
    append_in(log, records, EPOCH).await
}

/// Appends in a leader epoch.
pub(crate) async fn append_in(
    log: &Rc<Log>,
    records: Bytes,
    leader_epoch: LeaderEpoch,
) -> Result<Appended, AppendError> {
    let origin = AppendOrigin::Client { produce_version: 11 };
    log.append(records, AppendOptions { origin, leader_epoch }).await
}

/// Appends and waits until it would be acknowledged.
pub(crate) async fn acked(log: &Rc<Log>, records: Bytes) -> Appended {
    acked_in(log, records, EPOCH).await
}

/// The same in a leader epoch.
pub(crate) async fn acked_in(log: &Rc<Log>, records: Bytes, leader_epoch: LeaderEpoch) -> Appended {
    let appended = append_in(log, records, leader_epoch).await.expect("accepted");
    log.wait_high_watermark(appended.end_offset).await.expect("the directory works");
    appended
}

/// All records from `from` on, up to damage if there is some: offset and value.
pub(crate) async fn records(log: &Rc<Log>, from: Offset) -> Vec<(Offset, Bytes)> {
    let mut found = Vec::new();
    let mut at = from;
    let mut decompressor = Decompressor::new();
    while at < log.high_watermark() {
        let read = match log.read_bytes(at, 64 * 1024, ReadBound::HighWatermark).await {
            Err(ReadError::Damaged) => break,
            read => read.expect("readable"),
        };
        if read.bytes.is_empty() {
            break;
        }
        for batch in batches(&read.bytes, Tail::MustBeWhole) {
            let batch = batch.expect("whole batches");
            batch.check_crc().expect("sound batches");
            let payload = batch.payload(&mut decompressor, 1 << 24).expect("decompresses");
            for record in payload.records() {
                let record = record.expect("sound records");
                if record.offset >= from {
                    found.push((record.offset, Bytes::copy_from_slice(record.value.unwrap_or_default())));
                }
            }
        }
        assert!(read.next_offset > at, "reads advance");
        at = read.next_offset;
    }
    found
}

/// The offsets of all records.
pub(crate) async fn offsets(log: &Rc<Log>) -> Vec<i64> {
    records(log, log.log_start_offset()).await.into_iter().map(|(offset, _)| offset.0).collect()
}

/// Names in a folder, sorted.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// Changes one byte of a file.
pub(crate) fn flip(path: &Path, position: u64) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[usize::try_from(position).expect("fits")] ^= 0x10;
    std::fs::write(path, bytes).expect("writable");
}

/// Cuts a file.
pub(crate) fn cut(path: &Path, len: u64) {
    let bytes = std::fs::read(path).expect("a file");
    std::fs::write(path, &bytes[..usize::try_from(len).expect("fits")]).expect("writable");
}
