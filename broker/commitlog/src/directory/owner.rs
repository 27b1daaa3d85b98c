//! One log directory as a whole: lock, identity, clean-shutdown marker, replay of its journals, Kafka's checkpoint
//! files. Exactly one shard of a broker owns a directory; what the others need to know travels to them as a
//! [`DirectorySeed`], and what they have to tell comes back as [`DirectoryReport`]s. Not a log and not the sync path.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barnabas_base::{BrokerId, ClusterId, DirectoryId, PartitionIndex, RestartKind, TopicId, TopicPartition};
use barnabas_runtime::{DirEntry, Env, FileKind, LockGuard, OpenMode};
use bytes::Bytes;

use crate::checkpoint::{
    MetaProperties, OffsetsByPartition, format_clean_shutdown, format_meta_properties, format_offsets,
    parse_clean_shutdown, parse_meta_properties, parse_offsets, parse_partition_metadata,
};
use crate::journal::format::{EntryBuilder, FileHeader, Part, Point};
use crate::journal::replay::{ReplayError, Replayed, replay};
use crate::name::{
    CLEAN_SHUTDOWN, CLEANER_POINTS, Folder, FolderState, HIGH_WATERMARKS, JOURNAL_POINTS, JOURNAL_PREFIX,
    JOURNALS_OVER, LOCK, LOG_STARTS, META_PROPERTIES, PARTITION_METADATA, RECOVERY_POINTS, folder_name,
    stray_folder_name,
};
use crate::{OpenDirectoryError, ReplayReport, StorageError, small_file};

/// Parts of the points file that one entry holds.
const POINTS_PER_ENTRY: usize = 16_384;

/// Who opens a directory.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// The node.
    pub node_id: BrokerId,
    /// The cluster, where it is known; a fresh directory gets a new one otherwise.
    pub cluster_id: Option<ClusterId>,
    /// Whether an empty directory may be formatted.
    pub format: bool,
}

/// What the owner found, for every shard that uses the directory. Plain data, cheap to clone.
#[derive(Clone, Debug)]
pub struct DirectorySeed {
    /// Where the directory is.
    pub path: PathBuf,
    /// Position among those that the node has open.
    pub index: u16,
    /// Its identity.
    pub directory_id: DirectoryId,
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// How it had been left.
    pub kind: RestartKind,
    /// Broker epoch of the last clean stop; −1 otherwise.
    pub clean_broker_epoch: i64,
    /// What the journals held.
    pub replay: ReplayReport,
    pub(crate) found: Arc<Found>,
}

/// State that logs are opened from.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) folders: BTreeSet<String>,
    pub(crate) points: BTreeMap<TopicPartition, Point>,
    pub(crate) recovery_points: OffsetsByPartition,
    pub(crate) log_starts: OffsetsByPartition,
    pub(crate) cleaner_points: OffsetsByPartition,
    pub(crate) next_generation: u64,
}

impl DirectorySeed {
    /// The partition folders that were found, deleted and stray ones included, with their names.
    pub fn folders(&self) -> impl Iterator<Item = (&str, Folder)> {
        self.found.folders.iter().filter_map(|name| Folder::parse(name).map(|folder| (name.as_str(), folder)))
    }
}

/// Positions of one shard's logs in one directory, for the owner's checkpoint files.
#[derive(Clone, Debug, Default)]
pub struct DirectoryReport {
    /// Recovery points.
    pub recovery_points: OffsetsByPartition,
    /// Log start offsets.
    pub log_starts: OffsetsByPartition,
    /// High watermarks.
    pub high_watermarks: OffsetsByPartition,
    /// First dirty offsets of compacted logs.
    pub cleaner_points: OffsetsByPartition,
}

impl DirectoryReport {
    fn merge(&mut self, other: Self) {
        self.recovery_points.extend(other.recovery_points);
        self.log_starts.extend(other.log_starts);
        self.high_watermarks.extend(other.high_watermarks);
        self.cleaner_points.extend(other.cleaner_points);
    }
}

/// Whose the folder of a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderOwner {
    /// That topic's, as `partition.metadata` has it.
    Topic(TopicId),
    /// Nobody's: its creation came to no record.
    Nobody,
    /// It holds records and does not say whose, or does not read.
    Unknown,
}

/// Logs that a start found and no shard has reported since: one that lacked descriptors or room, say, is not open yet.
/// What the checkpoint files had of them stays there, or the next start would know less of them than this one.
#[derive(Debug)]
struct Unopened {
    logs: BTreeSet<(String, PartitionIndex)>,
    found: Arc<Found>,
}

impl Unopened {
    fn new(seed: &DirectorySeed) -> Self {
        let live = seed.folders().filter(|(_, folder)| folder.state == FolderState::Live);
        let logs = live.map(|(_, folder)| (folder.topic, folder.partition)).collect();
        Self { logs, found: Arc::clone(&seed.found) }
    }

    /// Adds what was found of logs that `reported` does not know.
    fn complete(&mut self, reported: &mut DirectoryReport) {
        self.logs.retain(|log| !reported.recovery_points.contains_key(log));
        for log in &self.logs {
            for (found, all) in [
                (&self.found.recovery_points, &mut reported.recovery_points),
                (&self.found.log_starts, &mut reported.log_starts),
                (&self.found.cleaner_points, &mut reported.cleaner_points),
            ] {
                all.extend(found.get_key_value(log).map(|(log, offset)| (log.clone(), *offset)));
            }
        }
    }

    /// Names of their folders.
    fn folders(&self) -> impl Iterator<Item = String> {
        self.logs.iter().map(|(topic, partition)| folder_name(topic, *partition))
    }
}

/// Owns one directory for one broker.
#[derive(Debug)]
pub struct DirectoryOwner {
    env: Env,
    path: PathBuf,
    written: BTreeMap<&'static str, String>,
    unopened: Unopened,
    _lock: Box<dyn LockGuard>,
}

impl DirectoryOwner {
    /// Whether a directory belongs to a cluster, as `meta.properties` in it tells. Changes nothing.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn is_formatted(env: &Env, path: &Path) -> io::Result<bool> {
        small_file::read(&*env.disk, &path.join(META_PROPERTIES)).await.map(|found| found.is_some())
    }

    /// Locks the directory, checks whose it is, replays its journals and reads its checkpoints. The clean-shutdown
    /// marker is durably gone before anything else changes, so that it never outlives a start (H12).
    ///
    /// # Errors
    /// [`OpenDirectoryError`]; the directory is then as it was, but for a format that was begun.
    pub async fn open(
        env: &Env,
        path: &Path,
        index: u16,
        options: &DirectoryOptions,
    ) -> Result<(Self, DirectorySeed), OpenDirectoryError> {
        let fault = |error: io::Error| OpenDirectoryError::Io(StorageError::new(&path.display().to_string(), &error));
        create_durably(env, path).await.map_err(fault)?;
        let lock = match env.disk.lock(&path.join(LOCK)).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenDirectoryError::Locked),
            Err(error) => return Err(fault(error)),
        };
        super::reserve::release_if_short(env, path).await.map_err(fault)?;
        let entries = env.disk.list(path).await.map_err(fault)?;
        let folders: BTreeSet<String> = entries
            .iter()
            .filter(|entry| entry.kind == FileKind::Directory && Folder::parse(&entry.name).is_some())
            .map(|entry| entry.name.clone())
            .collect();
        let (properties, is_fresh) = identify(env, path, options, !folders.is_empty()).await?;
        let directory_id = properties.directory_id.expect("identify gives every directory an id");
        let clean_broker_epoch = take_clean_marker(env, path).await.map_err(fault)?;
        let mut files = names_of_files(entries);
        if files.iter().any(|name| name == JOURNALS_OVER) {
            barnabas_base::reachable!(env, JOURNALS_WERE_OVER);
            remove_journals(env, path, &files).await.map_err(fault)?;
            files.clear();
        }
        let replayed = replay(env, path, directory_id, &files).await.map_err(|error| match error {
            ReplayError::Version { file, version } => OpenDirectoryError::JournalVersion { file, version },
            ReplayError::Io(error) => fault(error),
        })?;
        keep_points(env, path, directory_id, &replayed).await.map_err(fault)?;
        let kind = match (is_fresh, clean_broker_epoch) {
            (true, _) => RestartKind::Fresh,
            (false, Some(_)) => RestartKind::Clean,
            (false, None) => RestartKind::Unclean,
        };
        let found = Found {
            folders,
            points: replayed.points.into_iter().map(|(partition, (_, point))| (partition, point)).collect(),
            recovery_points: read_offsets(env, path, RECOVERY_POINTS).await.map_err(fault)?,
            log_starts: read_offsets(env, path, LOG_STARTS).await.map_err(fault)?,
            cleaner_points: read_offsets(env, path, CLEANER_POINTS).await.map_err(fault)?,
            next_generation: replayed.next_generation + 2,
        };
        let seed = DirectorySeed {
            path: path.to_owned(),
            index,
            directory_id,
            cluster_id: properties.cluster_id,
            kind,
            clean_broker_epoch: clean_broker_epoch.unwrap_or(-1),
            replay: replayed.report,
            found: Arc::new(found),
        };
        let unopened = Unopened::new(&seed);
        let owner = Self { env: env.clone(), path: path.to_owned(), written: BTreeMap::new(), unopened, _lock: lock };
        Ok((owner, seed))
    }

    /// Writes Kafka's checkpoint files from what all shards reported; files that would not change are left alone.
    ///
    /// # Errors
    /// [`StorageError`]: the directory is to be taken offline.
    pub async fn checkpoint(&mut self, reports: Vec<DirectoryReport>) -> Result<(), StorageError> {
        // Without room the old ones are still true enough: a start walks a little further.
        self.write_checkpoints(reports).await.map(drop)
    }

    /// Writes the checkpoint files; false when there was no room for one.
    async fn write_checkpoints(&mut self, reports: Vec<DirectoryReport>) -> Result<bool, StorageError> {
        let mut is_whole = true;
        let mut all = DirectoryReport::default();
        reports.into_iter().for_each(|report| all.merge(report));
        self.unopened.complete(&mut all);
        let files = [
            (RECOVERY_POINTS, &all.recovery_points),
            (LOG_STARTS, &all.log_starts),
            (HIGH_WATERMARKS, &all.high_watermarks),
            (CLEANER_POINTS, &all.cleaner_points),
        ];
        for (name, offsets) in files {
            let text = format_offsets(offsets);
            if self.written.get(name) == Some(&text) {
                continue;
            }
            let path = self.path.join(name);
            match small_file::replace(&*self.env.disk, &path, Bytes::from(text.clone())).await {
                Ok(()) => drop(self.written.insert(name, text)),
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    barnabas_base::reachable!(self.env, CHECKPOINT_WAITS_FOR_ROOM);
                    is_whole = false;
                }
                Err(error) => return Err(StorageError::new(&path.display().to_string(), &error)),
            }
        }
        Ok(is_whole)
    }

    /// The last act of a clean stop, after every shard has closed its handle: checkpoints, then the journals go, then the
    /// marker comes. In this order: a log's start stands in the journals alone until the checkpoints are written, and a
    /// stop that is cut short in between is a crash. The journals are declared to be over first: some of them without the
    /// others would tell less than the checkpoints do, and be believed. Gives the lock back.
    ///
    /// With a log that was never opened it is no clean stop: what a crash left of that log is still to be looked through,
    /// and how far it was durable stands in the journals alone.
    ///
    /// # Errors
    /// [`StorageError`]: the next start will take this stop for a crash.
    pub async fn close(mut self, reports: Vec<DirectoryReport>, broker_epoch: i64) -> Result<(), StorageError> {
        if !self.write_checkpoints(reports).await? {
            return Err(self.fault(&io::ErrorKind::StorageFull.into()));
        }
        let fault = |error: io::Error| StorageError::new(&self.path.display().to_string(), &error);
        // What journals and points say is in Kafka's checkpoints and in complete files by now.
        let entries = self.env.disk.list(&self.path).await.map_err(fault)?;
        if let Some(folder) = self.unopened.folders().find(|name| entries.iter().any(|entry| entry.name == *name)) {
            barnabas_base::reachable!(self.env, STOPPED_BEFORE_OPEN);
            return Err(fault(io::Error::other(format!("the log in {folder} was never opened"))));
        }
        let over = self.path.join(JOURNALS_OVER);
        small_file::replace(&*self.env.disk, &over, Bytes::new()).await.map_err(fault)?;
        let files = names_of_files(entries);
        remove_journals(&self.env, &self.path, &files).await.map_err(fault)?;
        let marker = self.path.join(CLEAN_SHUTDOWN);
        let text = Bytes::from(format_clean_shutdown(broker_epoch));
        small_file::replace(&*self.env.disk, &marker, text).await.map_err(fault)
    }

    /// Takes room that the next start may need, as far as there is any. To be called once the start has written what it
    /// has to write, and from time to time: what others gave back on a full device goes here first.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails; a full one does not.
    pub async fn take_reserve(&self) -> Result<(), StorageError> {
        super::reserve::take(&self.env, &self.path).await.map_err(|error| self.fault(&error))
    }

    /// Gives that room back where there is too little beside it, for what a clean stop has to write.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails.
    pub async fn release_reserve(&self) -> Result<(), StorageError> {
        super::reserve::release_if_short(&self.env, &self.path).await.map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &io::Error) -> StorageError {
        StorageError::new(&self.path.display().to_string(), error)
    }

    /// Whose a partition folder is that nobody has opened.
    pub async fn owner_of(&self, name: &str) -> FolderOwner {
        let folder = self.path.join(name);
        let metadata = small_file::read(&*self.env.disk, &folder.join(PARTITION_METADATA)).await;
        if let Ok(Some(Ok(id))) = metadata.map(|bytes| bytes.map(|bytes| parse_partition_metadata(&bytes))) {
            return FolderOwner::Topic(id);
        }
        let holds_records = |entry: &DirEntry| entry.size_bytes > 0 && entry.name.ends_with(".log");
        match self.env.disk.list(&folder).await {
            Ok(entries) if !entries.iter().any(holds_records) => FolderOwner::Nobody,
            Ok(_) | Err(_) => FolderOwner::Unknown,
        }
    }

    /// Gives a folder the name of one that the metadata does not know, and says which.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails, or when no partition could have such a folder.
    pub async fn set_apart(&self, name: &str) -> Result<String, StorageError> {
        barnabas_base::reachable!(self.env, STRAY_FOLDER_KEPT);
        let fault = |error: io::Error| StorageError::new(&self.path.join(name).display().to_string(), &error);
        let folder = Folder::parse(name).ok_or_else(|| fault(io::ErrorKind::InvalidInput.into()))?;
        let kept = stray_folder_name(&folder.topic, folder.partition, self.env.random_uuid());
        self.env.disk.rename(&self.path.join(name), &self.path.join(&kept)).await.map_err(fault)?;
        self.env.disk.sync_dir(&self.path).await.map_err(fault)?;
        Ok(kept)
    }

    /// Removes folders left over by deletions that a stop interrupted.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails.
    pub async fn remove_folder(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path.join(name);
        barnabas_base::reachable!(self.env, DELETED_FOLDER_REMOVED);
        self.env
            .disk
            .remove_dir_all(&path)
            .await
            .map_err(|error| StorageError::new(&path.display().to_string(), &error))
    }
}

/// Creates the directory and what lacks above it. The entry of each new directory is synced in the one that holds it:
/// otherwise everything that is synced below could be gone with the name after a power loss.
async fn create_durably(env: &Env, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for level in path.ancestors().filter(|level| !level.as_os_str().is_empty()) {
        match env.disk.metadata(level).await {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(level),
            Err(error) => return Err(error),
        }
    }
    env.disk.create_dir_all(path).await?;
    for level in missing.into_iter().rev() {
        let holder = level.parent().filter(|parent| !parent.as_os_str().is_empty());
        env.disk.sync_dir(holder.unwrap_or(Path::new("."))).await?;
    }
    Ok(())
}

/// Reads or writes `meta.properties`; true when the directory was formatted by this call.
async fn identify(
    env: &Env,
    path: &Path,
    options: &DirectoryOptions,
    has_folders: bool,
) -> Result<(MetaProperties, bool), OpenDirectoryError> {
    let file = path.join(META_PROPERTIES);
    let fault = |error: io::Error| OpenDirectoryError::Io(StorageError::new(&file.display().to_string(), &error));
    let found = small_file::read(&*env.disk, &file).await.map_err(fault)?;
    let (mut properties, is_fresh) = match found {
        Some(bytes) => match parse_meta_properties(&bytes) {
            Ok(properties) => (properties, false),
            Err(error) => return Err(OpenDirectoryError::BadMetaProperties { file, error }),
        },
        None if options.format && !has_folders => {
            let cluster_id = options.cluster_id.clone().unwrap_or_else(|| env.random_uuid().into());
            (MetaProperties { cluster_id, node_id: options.node_id, directory_id: None }, true)
        }
        None => return Err(OpenDirectoryError::NotFormatted),
    };
    if options.cluster_id.as_ref().is_some_and(|expected| *expected != properties.cluster_id) {
        return Err(OpenDirectoryError::WrongCluster { file, found: properties.cluster_id });
    }
    if options.node_id != properties.node_id {
        return Err(OpenDirectoryError::WrongNode { file, found: properties.node_id });
    }
    if properties.directory_id.is_none() {
        properties.directory_id = Some(DirectoryId(env.random_uuid()));
        let text = Bytes::from(format_meta_properties(&properties));
        small_file::replace(&*env.disk, &file, text).await.map_err(fault)?;
    }
    Ok((properties, is_fresh))
}

/// A topic may have a name that begins like those of journals: folders are left out.
fn names_of_files(entries: Vec<DirEntry>) -> Vec<String> {
    entries.into_iter().filter(|entry| entry.kind == FileKind::File).map(|entry| entry.name).collect()
}

/// Removes journals that are over, and only then the word of it.
async fn remove_journals(env: &Env, path: &Path, files: &[String]) -> io::Result<()> {
    for name in files.iter().filter(|name| name.starts_with(JOURNAL_PREFIX)) {
        small_file::remove(&*env.disk, &path.join(name)).await?;
    }
    env.disk.sync_dir(path).await?;
    small_file::remove(&*env.disk, &path.join(JOURNALS_OVER)).await
}

async fn take_clean_marker(env: &Env, path: &Path) -> io::Result<Option<i64>> {
    let marker = path.join(CLEAN_SHUTDOWN);
    let Some(bytes) = small_file::read(&*env.disk, &marker).await? else { return Ok(None) };
    small_file::remove(&*env.disk, &marker).await?;
    env.disk.sync_dir(path).await?;
    Ok(Some(parse_clean_shutdown(&bytes)))
}

/// A checkpoint that does not read counts as empty: logs are then recovered from their start.
async fn read_offsets(env: &Env, path: &Path, name: &str) -> io::Result<OffsetsByPartition> {
    let bytes = small_file::read(&*env.disk, &path.join(name)).await?;
    Ok(bytes.and_then(|bytes| parse_offsets(&bytes).ok()).unwrap_or_default())
}

/// Puts the points where the next start finds them, should this one crash before its own journals say more, and then
/// removes the journals they came from.
async fn keep_points(env: &Env, path: &Path, directory_id: DirectoryId, replayed: &Replayed) -> io::Result<()> {
    if replayed.files.is_empty() {
        return Ok(());
    }
    barnabas_base::reachable!(env, POINTS_KEPT);
    let points = path.join(JOURNAL_POINTS);
    let staged = path.join(format!("{JOURNAL_POINTS}.tmp"));
    let header = FileHeader {
        generation: replayed.next_generation,
        shard: u32::MAX,
        directory_id,
        salt: env.entropy.next_u64(),
    };
    let file = env.disk.open(&staged, OpenMode::CreateTruncated).await?;
    file.write_at(0, &[header.to_block()]).await?;
    let mut position = crate::journal::format::FIRST_BLOCK_BYTES;
    let all: Vec<_> = replayed.points.iter().collect();
    for (sequence, chunk) in (0_u64..).zip(all.chunks(POINTS_PER_ENTRY)) {
        let mut entry = EntryBuilder::new();
        for (number, (partition, (folder, point))) in (0_u32..).zip(chunk) {
            entry.push(&Part::Log { number, partition: **partition, folder: folder.clone() });
            entry.push(&Part::Point { number, point: *point });
        }
        let length = entry.padded_bytes();
        file.write_at(position, &entry.finish(&header, sequence, 0)).await?;
        position += length;
    }
    file.sync().await?;
    drop(file);
    env.disk.rename(&staged, &points).await?;
    env.disk.sync_dir(path).await?;
    for file in replayed.files.iter().filter(|file| **file != points && **file != staged) {
        small_file::remove(&*env.disk, file).await?;
    }
    env.disk.sync_dir(path).await
}

/// Key of a log in Kafka's checkpoint files.
pub(crate) fn checkpoint_key(topic: &str, partition: TopicPartition) -> (String, PartitionIndex) {
    (topic.to_owned(), partition.partition)
}
