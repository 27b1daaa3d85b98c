//! The metadata log of a quorum of one: read at the start, led in a new epoch, snapshotted as it grows.
//!
//! A later raft core takes over the log; what stands above it, the controller's decisions and the image, stays as it is.
//! Everything here is synced before it counts, whatever `flush.policy` says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use barnabas_base::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition, Uuid};
use barnabas_commitlog::{AppendOptions, AppendOrigin, FlushPolicy, Log, LogConfig, LogDirectory, ReadBound};
use barnabas_metadata::controller::ControllerCore;
use barnabas_metadata::image::{ClusterImage, ImageLoader, MetadataPosition};
use barnabas_metadata::log::{
    DecodedBatch, METADATA_TOPIC, Quorum, QuorumState, SnapshotId, decode_batch, decode_snapshot, encode_batch,
    encode_bootstrap, encode_snapshot, format_quorum_state, leader_change_batch, parse_quorum_state,
    parse_snapshot_name, snapshot_name,
};
use barnabas_runtime::{Env, OpenMode};
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::NoOpRecord;
use barnabas_wire::record::{Decompressor, Tail, batches};
use bytes::Bytes;

use crate::controller::Controller;
use crate::shard::Shard;

/// Ending of a file that is to replace another one.
const STAGED: &str = ".tmp";
const QUORUM_STATE: &str = "quorum-state";
const BOOTSTRAP: &str = "bootstrap.checkpoint";
/// Room the log keeps allocated past its end: deletions are decided, and so written, also on a full device.
const HEADROOM_BYTES: u64 = 1024 * 1024;
/// Bytes of log read at once.
const READ_CHUNK_BYTES: usize = 1024 * 1024;
/// Largest snapshot that is read. A snapshot holds about 100 bytes a partition.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Furthest that a log may end before its snapshot. What a torn tail takes is far less, and an empty log beside the
/// snapshot of a small cluster is filled within a second.
const FILL_RECORDS_MAX: i64 = 100_000;
/// Records of one batch that fills a log, which fits the smallest segment.
const FILL_BATCH_RECORDS: i64 = 256;

/// The metadata log with what it says, before anybody leads it.
pub(crate) struct MetadataLog {
    log: Rc<Log>,
    files: MetadataFiles,
    loader: ImageLoader,
    deleted_topics: BTreeSet<TopicId>,
    quorum: Quorum,
    epoch: LeaderEpoch,
}

/// The files beside the segments.
#[derive(Clone)]
pub(crate) struct MetadataFiles {
    env: Env,
    root: PathBuf,
    folder: PathBuf,
}

type StartResult<T> = Result<T, String>;

impl MetadataLog {
    /// Opens the log and reads the latest snapshot and everything behind it.
    pub(crate) async fn open(shard: &Rc<Shard>, directory: &Rc<LogDirectory>) -> StartResult<Self> {
        let id = TopicPartition { topic_id: TopicId(Uuid::METADATA_TOPIC), partition: PartitionIndex(0) };
        let opened = Log::open(directory, id, METADATA_TOPIC, log_config(shard)).await;
        let (log, report) = opened.map_err(|error| format!("cannot open the metadata log: {error}"))?;
        crate::apply::report_load(METADATA_TOPIC, id.partition, &report);
        let root = directory.path().to_owned();
        let files = MetadataFiles { env: shard.env.clone(), folder: root.join(format!("{METADATA_TOPIC}-0")), root };
        files.remove_staged().await.map_err(|error| format!("{}: {error}", files.folder.display()))?;
        let (loader, deleted_topics) = files.load(&log).await?;
        let known = files.quorum_state().await?.map_or(LeaderEpoch(0), |state| state.leader_epoch);
        let written = log.latest_epoch().unwrap_or(LeaderEpoch(0));
        let epoch = LeaderEpoch(known.max(written).0 + 1);
        let quorum = Quorum {
            voter: shard.options.broker_id(),
            directory: directory.directory_id(),
            endpoint: controller_endpoint(shard),
        };
        Ok(Self { log, files, loader, deleted_topics, quorum, epoch })
    }

    /// Whether nothing was ever written, or nothing of it is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.loader.position().end_offset == Offset::ZERO && self.log.end_offset() == Offset::ZERO
    }

    /// What it says.
    pub(crate) const fn image(&self) -> &ClusterImage {
        self.loader.image()
    }

    /// Topics of whose deletion the log tells behind its snapshot.
    pub(crate) const fn deleted_topics(&self) -> &BTreeSet<TopicId> {
        &self.deleted_topics
    }

    /// Takes the lead in a new epoch. An empty log gets its first records.
    pub(crate) async fn lead(self, shard: &Rc<Shard>) -> StartResult<Rc<Controller>> {
        let own = self.quorum.voter;
        self.files.elect(own, self.epoch).await.map_err(|error| format!("cannot write {QUORUM_STATE}: {error}"))?;
        let began = self.log.begin_epoch(self.epoch);
        began.map_err(|error| format!("cannot begin epoch {}: {error}", self.epoch))?;
        self.fill(shard).await?;
        let is_first = self.log.end_offset() == Offset::ZERO;
        let batch = leader_change_batch(&self.quorum, is_first, shard.env.wall());
        append_durably(&self.log, batch, self.epoch).await?;
        let config = Arc::new(shard.options.config.clone());
        let mut core = ControllerCore::new(config, self.loader.image().clone());
        core.check_metadata_version()?;
        if core.pending().metadata_version().is_none() {
            let written = self.files.write_bootstrap(core.bootstrap().records).await;
            written.map_err(|error| format!("cannot write {BOOTSTRAP}: {error}"))?;
            core.drop_pending();
        }
        let controller = Controller::start(shard, self.log, self.epoch, core, self.files, self.quorum);
        let bootstrapped = controller.decide(|core, _| core.bootstrap()).await;
        bootstrapped.map_err(|code| format!("cannot begin the metadata log: {}", code.name()))?;
        Ok(controller)
    }

    /// Lets the log end where its snapshot does: a torn tail may have taken records that the snapshot has, and a folder
    /// may have been brought back with its snapshot alone. A decision that got one of their offsets would be passed over
    /// by the next start. Apache Kafka cuts the log and begins it anew at the snapshot.
    async fn fill(&self, shard: &Rc<Shard>) -> StartResult<()> {
        let end = self.loader.position().end_offset;
        while self.log.end_offset() < end {
            let missing = end.0 - self.log.end_offset().0;
            let records = (0..missing.min(FILL_BATCH_RECORDS)).map(|_| MetadataRecord::from(NoOpRecord {}));
            let batch = encode_batch(&records.collect::<Vec<_>>(), shard.env.wall());
            append_durably(&self.log, batch, self.epoch).await?;
        }
        Ok(())
    }
}

fn log_config(shard: &Shard) -> LogConfig {
    let metadata = &shard.options.config.metadata_log;
    LogConfig {
        segment_bytes: u32::try_from(metadata.segment_bytes).unwrap_or(u32::MAX),
        segment_ms: metadata.segment_ms,
        // Segments below a snapshot go; nothing else deletes from this log.
        retention_ms: -1,
        retention_bytes: -1,
        max_message_bytes: u32::try_from(metadata.segment_bytes).unwrap_or(u32::MAX),
        flush_policy: FlushPolicy::Ack,
        headroom_bytes: HEADROOM_BYTES,
        ..LogConfig::default()
    }
}

fn controller_endpoint(shard: &Shard) -> (String, String, u16) {
    let listeners = &shard.options.config.listeners;
    let listener = listeners.iter().find(|listener| listener.is_controller).or(listeners.first());
    let listener = listener.expect("a checked configuration has a listener");
    let host = if listener.host.is_empty() { "localhost" } else { &listener.host };
    (listener.name.clone(), host.to_owned(), listener.port)
}

/// Appends and waits for the device.
pub(crate) async fn append_durably(log: &Rc<Log>, batch: Bytes, epoch: LeaderEpoch) -> StartResult<Offset> {
    let options = AppendOptions { origin: AppendOrigin::Coordinator, leader_epoch: epoch };
    let appended = log.append(batch, options).await.map_err(|error| format!("metadata log: {error}"))?;
    log.wait_high_watermark(appended.end_offset).await.map_err(|error| format!("metadata log: {error}"))?;
    Ok(appended.end_offset)
}

impl MetadataFiles {
    /// The image that snapshot and log make, and the topics that the log behind the snapshot deletes.
    async fn load(&self, log: &Rc<Log>) -> StartResult<(ImageLoader, BTreeSet<TopicId>)> {
        let mut loader = self.load_snapshot(log).await?;
        let mut deleted = BTreeSet::new();
        let mut decompressor = Decompressor::new();
        let mut offset = loader.position().end_offset.max(log.log_start_offset());
        while offset < log.end_offset() {
            let read = log.read_bytes(offset, READ_CHUNK_BYTES, ReadBound::End).await;
            let read =
                read.map_err(|error| format!("cannot read {} at {offset}: {error}", self.segment_of(log, offset)))?;
            if read.bytes.is_empty() {
                break;
            }
            for batch in batches(&read.bytes, Tail::MayBeCut) {
                let batch = batch.map_err(|error| format!("metadata log at {offset}: {error}"))?;
                let header = *batch.header();
                let decoded = decode_batch(&batch, &mut decompressor)
                    .map_err(|error| format!("metadata log at {}: {error}", header.base_offset))?;
                let records = match decoded {
                    DecodedBatch::Records(records) => records,
                    DecodedBatch::Control => Vec::new(),
                };
                let position = MetadataPosition {
                    end_offset: header.end_offset(),
                    epoch: header.partition_leader_epoch,
                    timestamp: header.max_timestamp,
                };
                let replayed = loader.replay(&records, position);
                let delta = replayed.map_err(|error| format!("metadata log at {}: {error}", header.base_offset))?;
                deleted.extend(delta.deleted_topics.into_keys());
            }
            assert!(read.next_offset > offset, "a read that returns batches advances");
            offset = read.next_offset;
        }
        Ok((loader, deleted))
    }

    /// The file that holds `offset`, for people: what is damaged there is named.
    fn segment_of(&self, log: &Log, offset: Offset) -> String {
        let damaged = log.damaged_ranges().into_iter().find(|range| range.from <= offset && offset < range.to);
        let name = damaged.map(|range| format!("{:020}.log", range.segment.0));
        name.map_or_else(|| self.folder.clone(), |name| self.folder.join(name)).display().to_string()
    }

    /// The newest snapshot that reads, if the log goes on from it.
    async fn load_snapshot(&self, log: &Rc<Log>) -> StartResult<ImageLoader> {
        let mut refused = None;
        for id in self.snapshots().await?.into_iter().rev() {
            let path = self.folder.join(snapshot_name(id));
            match self
                .read(&path)
                .await
                .and_then(|bytes| decode_snapshot(&bytes).map_err(|error| format!("{}: {error}", path.display())))
            {
                Ok(snapshot) => {
                    check_meeting(log, id, &path, refused)?;
                    let (image, _) = ClusterImage::default()
                        .apply(&snapshot.records)
                        .map_err(|error| format!("{}: {error}", path.display()))?;
                    let position = MetadataPosition {
                        end_offset: id.end_offset,
                        epoch: id.epoch,
                        timestamp: snapshot.last_timestamp,
                    };
                    barnabas_base::reachable!(self.env, METADATA_SNAPSHOT_READ);
                    return Ok(ImageLoader::new(image, position));
                }
                Err(why) => {
                    barnabas_base::reachable!(self.env, METADATA_SNAPSHOT_PASSED_OVER);
                    tracing::warn!(target: "MetadataLoader", "passing over a snapshot: {why}");
                    refused = Some(why);
                }
            }
        }
        let start = log.log_start_offset();
        if start == Offset::ZERO {
            return Ok(ImageLoader::default());
        }
        Err(refused.unwrap_or_else(|| {
            let folder = self.folder.display();
            format!(
                "the metadata log in {folder} begins at offset {start}, and there is no snapshot of what was before"
            )
        }))
    }

    /// Removes what a crash left of replacements.
    async fn remove_staged(&self) -> std::io::Result<()> {
        for entry in self.env.disk.list(&self.folder).await? {
            if entry.name.ends_with(STAGED) {
                barnabas_base::reachable!(self.env, METADATA_STAGED_REMOVED);
                self.env.disk.remove(&self.folder.join(&entry.name)).await?;
            }
        }
        Ok(())
    }

    /// Snapshots, oldest first.
    async fn snapshots(&self) -> StartResult<Vec<SnapshotId>> {
        let entries = self.env.disk.list(&self.folder).await;
        let entries = entries.map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let mut ids: Vec<_> = entries.iter().filter_map(|entry| parse_snapshot_name(&entry.name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn read(&self, path: &Path) -> StartResult<Bytes> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = self.env.disk.open(path, OpenMode::Read).await.map_err(failed)?;
        let size = file.size().await.map_err(failed)?;
        if size > SNAPSHOT_BYTES_MAX {
            return Err(format!("{} is larger than any snapshot", path.display()));
        }
        let len = usize::try_from(size).map_err(|_| format!("{} does not fit memory", path.display()))?;
        file.read_at(0, len).await.map_err(failed)
    }

    async fn quorum_state(&self) -> StartResult<Option<QuorumState>> {
        let path = self.folder.join(QUORUM_STATE);
        match self.env.disk.metadata(&path).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
        let bytes = self.read(&path).await?;
        let text = std::str::from_utf8(&bytes).ok().and_then(parse_quorum_state);
        text.map(Some).ok_or_else(|| format!("{} does not read as a quorum state", path.display()))
    }

    /// Makes it durable that this node leads `epoch`, before anything is written in it (I35, I38).
    async fn elect(&self, own: BrokerId, epoch: LeaderEpoch) -> std::io::Result<()> {
        let state = QuorumState {
            leader_id: own,
            leader_epoch: epoch,
            voted_id: BrokerId::NONE,
            voted_directory_id: Uuid::ZERO,
        };
        self.replace(&self.folder.join(QUORUM_STATE), Bytes::from(format_quorum_state(&state))).await
    }

    /// Replaces a file so that after a crash either the old or the new one is there. What a full device takes of the new
    /// one is given back.
    async fn replace(&self, path: &Path, contents: Bytes) -> std::io::Result<()> {
        let mut staged = path.as_os_str().to_owned();
        staged.push(STAGED);
        let staged = PathBuf::from(staged);
        let replaced = self.replace_by(&staged, path, contents).await;
        if replaced.is_err() {
            // It may not even have been made; a start removes what stays.
            let _ = self.env.disk.remove(&staged).await;
        }
        replaced
    }

    async fn replace_by(&self, staged: &Path, path: &Path, contents: Bytes) -> std::io::Result<()> {
        let file = self.env.disk.open(staged, OpenMode::CreateTruncated).await?;
        file.write_at(0, &[contents]).await?;
        file.sync().await?;
        drop(file);
        self.env.disk.rename(staged, path).await?;
        let folder = path.parent().expect("files of the metadata log lie in a folder");
        self.env.disk.sync_dir(folder).await
    }

    /// Keeps the records a fresh cluster begins with where Kafka looks for them.
    pub(crate) async fn write_bootstrap(&self, records: Vec<MetadataRecord>) -> std::io::Result<()> {
        let bytes = encode_bootstrap(records.into_iter(), self.env.wall());
        self.replace(&self.root.join(BOOTSTRAP), bytes).await
    }

    /// Writes a snapshot of `image`, then drops older ones and lets the log begin behind it.
    pub(crate) async fn snapshot(
        &self,
        log: &Rc<Log>,
        quorum: &Quorum,
        image: &ClusterImage,
        position: MetadataPosition,
    ) -> StartResult<()> {
        let id = SnapshotId { end_offset: position.end_offset, epoch: position.epoch };
        let records = image.records();
        let bytes = encode_snapshot(id, position.timestamp, quorum, records, self.env.wall());
        // The log is all there is of what a snapshot holds that no start would read.
        if bytes.len() as u64 > SNAPSHOT_BYTES_MAX {
            return Err(format!("it has {} bytes, and at most {SNAPSHOT_BYTES_MAX} are read", bytes.len()));
        }
        let path = self.folder.join(snapshot_name(id));
        self.replace(&path, bytes).await.map_err(|error| format!("{}: {error}", path.display()))?;
        let deleted = log.delete_records_before(id.end_offset).await;
        deleted.map_err(|error| format!("cannot move the start of the metadata log: {error:?}"))?;
        for old in self.snapshots().await?.into_iter().filter(|old| *old < id) {
            let path = self.folder.join(snapshot_name(old));
            self.env.disk.remove(&path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        barnabas_base::reachable!(self.env, METADATA_SNAPSHOT_WRITTEN);
        Ok(())
    }
}

/// A log that begins behind its snapshot lacks the records between, among them deletions, and nothing would tell. One
/// that ends before it is filled, as far as that is what a torn tail took. `passed_over` is why a newer snapshot does
/// not count: that file is the one to bring back.
fn check_meeting(log: &Log, id: SnapshotId, path: &Path, passed_over: Option<String>) -> StartResult<()> {
    let (start, end) = (log.log_start_offset(), log.end_offset());
    if start <= id.end_offset && id.end_offset.0 - end.0 <= FILL_RECORDS_MAX {
        return Ok(());
    }
    Err(passed_over.unwrap_or_else(|| {
        let (path, snapshot) = (path.display(), id.end_offset);
        format!("{path} ends at offset {snapshot}, and the metadata log beside it has offsets {start} to {end}")
    }))
}
