//! Opening a log: the folder is listed once, interrupted cleanings are finished or undone, and what the files hold
//! becomes the state of the log. A folder that is not there is created.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::{Observation, Offset, RestartKind, TopicPartition};
use barnabas_logstate::{EpochCache, LogFold};
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{DirEntry, File, OpenMode};
use bytes::Bytes;

use super::commit::HighWatermark;
use super::past_ends::PastEnds;
use super::state::{Settling, Uncommitted, Waiters, rules};
use super::{Log, State};
use crate::checkpoint::{format_partition_metadata, is_topic, parse_partition_metadata};
use crate::committer::Note;
use crate::damage::Damage;
use crate::directory::{LogDirectory, checkpoint_key, is_passing, unless_without};
use crate::name::{
    DAMAGE_LIST, FileKind, LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA, SegmentFile, Suffix, folder_name,
};
use crate::segment::{RollTest, Segment};
use crate::{DamagedRange, LogConfig, OpenLogError, small_file};

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// How the log had been left.
    pub kind: RestartKind,
    /// First readable offset.
    pub start_offset: Offset,
    /// Log end offset.
    pub end_offset: Offset,
    /// Bytes that were walked through.
    pub scanned_bytes: u64,
    /// Bytes of torn tail that were cut.
    pub cut_bytes: u64,
    /// Ranges that answer CORRUPT_MESSAGE, those of earlier starts included.
    pub damaged: Vec<DamagedRange>,
}

/// What the folder of a log holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeMap<SegmentFile, DirEntry>,
    pub(crate) others: Vec<String>,
}

impl Listing {
    pub(crate) fn new(entries: Vec<DirEntry>) -> Self {
        let mut listing = Self::default();
        for entry in entries {
            match SegmentFile::parse(&entry.name) {
                Some(file) => drop(listing.files.insert(file, entry)),
                None => listing.others.push(entry.name),
            }
        }
        listing
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.others.iter().any(|other| other == name)
    }

    /// Offsets of the producer snapshots.
    pub(crate) fn snapshots(&self) -> Vec<Offset> {
        let is_snapshot = |file: &&SegmentFile| file.kind == FileKind::Snapshot && file.suffix == Suffix::None;
        self.files.keys().filter(is_snapshot).map(|file| file.offset).collect()
    }

    pub(crate) fn size_of(&self, offset: Offset, kind: FileKind) -> Option<u64> {
        self.files.get(&SegmentFile::new(offset, kind)).map(|entry| entry.size_bytes)
    }
}

impl Log {
    /// Opens the log of `partition`, recovering or creating it.
    ///
    /// # Errors
    /// [`OpenLogError`].
    pub async fn open(
        directory: &Rc<LogDirectory>,
        partition: TopicPartition,
        topic: &str,
        config: LogConfig,
    ) -> Result<(Rc<Self>, LoadReport), OpenLogError> {
        directory.check()?;
        if directory.is_open(partition) {
            return Err(OpenLogError::AlreadyOpen);
        }
        let folder = directory.path.join(folder_name(topic, partition.partition));
        let env = directory.env.clone();
        let fault = |error: io::Error| OpenLogError::Storage(directory.fault(&folder, &error));
        let listed = match env.disk.list(&folder).await {
            Ok(entries) => Some(Listing::new(entries)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fault(error)),
        };
        let log = Self::bare(directory, partition, topic, config, folder.clone());
        let report = match listed {
            None => {
                directory.register(&log);
                // Before anything has the name of the log: the checkpoint files may still speak of an earlier one.
                let noted = directory.committer.note_durably(directory, &log, Note::Point).await;
                if let Err(error) = noted {
                    directory.forget(partition);
                    return Err(OpenLogError::Storage(error));
                }
                match log.create().await {
                    Ok(report) => report,
                    Err(error) => {
                        log.uncreate(&error).await;
                        return Err(fault(error));
                    }
                }
            }
            Some(listing) => {
                log.check_topic(&listing).await?;
                let report = log.load_state(listing).await.map_err(fault)?;
                directory.register(&log);
                report
            }
        };
        directory.env.observe(&Observation::LogLoaded {
            partition,
            kind: report.kind,
            start_offset: report.start_offset,
            end_offset: report.end_offset,
            cut_bytes: report.cut_bytes,
        });
        match log.reserve().await {
            // Room that is not kept, for want of a descriptor, costs time and nothing else.
            Err(error) if !is_passing(&error) => return Err(fault(error)),
            Ok(()) | Err(_) => {}
        }
        log.after_open();
        Ok((log, report))
    }

    /// Leaves nothing of a log that found no room or no descriptor to be created: a later attempt creates it from nothing
    /// again, or takes the folder for what a crash left when that could not be removed either.
    async fn uncreate(&self, error: &io::Error) {
        if !is_passing(error) {
            return;
        }
        barnabas_base::reachable!(self.env, LOG_FOUND_NO_ROOM);
        self.state.borrow_mut().is_closed = true;
        self.directory.forget(self.partition);
        match self.env.disk.remove_dir_all(&self.folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => drop(self.directory.fault(&self.folder, &error)),
            Ok(()) | Err(_) => {}
        }
    }

    /// A log without segments yet.
    fn bare(
        directory: &Rc<LogDirectory>,
        partition: TopicPartition,
        topic: &str,
        config: LogConfig,
        folder: PathBuf,
    ) -> Rc<Self> {
        let env = directory.env.clone();
        let first_dirty = Self::first_dirty_found(directory, topic, partition);
        let empty = Segment::new(Offset::ZERO, env.wall(), 0, directory.scan.range_bytes);
        let state = State {
            rules: rules(&config),
            config,
            is_closed: false,
            staged: RollTest::of(&empty),
            segments: vec![empty],
            fold: LogFold::new(Offset::ZERO),
            producers_charge: directory.resources.charge_producers(),
            producers_swept: None,
            past_ends: PastEnds::default(),
            opened: (env.wall(), env.now()),
            queue: VecDeque::new(),
            is_writing: false,
            is_paused: false,
            is_exclusive: false,
            log_start: Offset::ZERO,
            log_start_due: Offset::ZERO,
            synced: Offset::ZERO,
            not_in_file: BTreeMap::new(),
            high_watermark: Offset::ZERO,
            last_stable: Offset::ZERO,
            high_watermark_source: HighWatermark::Own,
            uncommitted: Uncommitted::default(),
            safe_waiters: Waiters::default(),
            high_watermark_waiters: Waiters::default(),
            tail: VecDeque::new(),
            hints: VecDeque::new(),
            damage: Damage::default(),
            settling: Settling::default(),
            sealing: VecDeque::new(),
            unindexed: BTreeSet::new(),
            unsure: BTreeSet::new(),
            first_dirty,
            is_cleaning: false,
            epochs_on_disk: None,
            epochs_written_to: Offset::ZERO,
            is_replacing: false,
            cache_writes: 0,
            changes: 0,
            layout: 0,
        };
        Rc::new(Self {
            env,
            directory: Rc::clone(directory),
            partition,
            topic: topic.into(),
            folder_name: folder_name(topic, partition.partition),
            folder,
            number: directory.next_number(),
            state: RefCell::new(state),
            changed: Notify::new(),
        })
    }

    /// Where cleaning goes on, as Kafka's checkpoint has it. That knows a log by its name, and may speak of an earlier one,
    /// from further than what the journal knows of this one.
    fn first_dirty_found(directory: &LogDirectory, topic: &str, partition: TopicPartition) -> Option<Offset> {
        let point = directory.found.points.get(&partition);
        let noted = directory.found.cleaner_points.get(&checkpoint_key(topic, partition)).copied();
        noted.filter(|offset| point.is_none_or(|point| *offset <= point.durable))
    }

    /// Makes the folder and an empty first segment. Durable with the first commit, which syncs the names; what is empty
    /// until then may as well be created again.
    async fn create(self: &Rc<Self>) -> io::Result<LoadReport> {
        self.env.disk.create_dir_all(&self.folder).await?;
        self.write_topic_id().await?;
        let (_, segment) = self.create_segment(Offset::ZERO).await?;
        {
            let mut state = self.state.borrow_mut();
            state.segments = vec![segment];
            state.first_dirty = None;
            state.restage(self.env.wall());
            let folders = [self.folder.clone(), self.directory.path.clone()];
            state.uncommitted.folders.extend(folders);
        }
        self.directory.resources.opened(self, Offset::ZERO);
        Ok(self.report_of(RestartKind::Fresh, 0, 0))
    }

    /// `partition.metadata` is synced before anything else is in the folder: a journal is replayed into a folder only
    /// when its topic id says that it is the same topic.
    async fn write_topic_id(&self) -> io::Result<()> {
        self.put_topic_id(OpenMode::CreateTruncated).await?.sync().await
    }

    /// Writes the topic id over itself. A crash may have left it in the page cache alone, where a flush that failed makes
    /// it look clean. `NotFound` when the log was deleted: by then another topic may have its folder in the same place.
    pub(crate) async fn write_topic_id_again(self: &Rc<Self>) -> io::Result<Rc<dyn File>> {
        let _change = self.begin_change()?;
        self.put_topic_id(OpenMode::Write).await
    }

    async fn put_topic_id(&self, mode: OpenMode) -> io::Result<Rc<dyn File>> {
        let file = self.env.disk.open(&self.folder.join(PARTITION_METADATA), mode).await?;
        let text = format_partition_metadata(self.partition.topic_id);
        file.write_at(0, &[Bytes::from(text)]).await?;
        Ok(file)
    }

    async fn check_topic(&self, listing: &Listing) -> Result<(), OpenLogError> {
        let fault = |error: io::Error| OpenLogError::Storage(self.directory.fault(&self.folder, &error));
        if listing.has(PARTITION_METADATA) {
            let path = self.folder.join(PARTITION_METADATA);
            let bytes = small_file::read(&*self.env.disk, &path).await.map_err(fault)?.unwrap_or_default();
            match parse_partition_metadata(&bytes) {
                Ok(topic_id) if topic_id == self.partition.topic_id => return Ok(()),
                Ok(found) if is_topic(found, self.partition.topic_id) => {}
                Ok(found) => {
                    barnabas_base::reachable!(self.env, FOLDER_OF_OTHER_TOPIC);
                    return Err(OpenLogError::WrongTopic { file: path, found });
                }
                // Empty after a power loss in the middle of a creation; a folder from before KIP-516 has none.
                Err(_) => {}
            }
        }
        barnabas_base::reachable!(self.env, TOPIC_ID_WRITTEN_AGAIN);
        self.write_topic_id().await.map_err(fault)
    }

    async fn load_state(self: &Rc<Self>, listing: Listing) -> io::Result<LoadReport> {
        let listing = self.finish_swaps(listing).await?;
        let disk = &*self.env.disk;
        let epochs = if listing.has(LEADER_EPOCH_CHECKPOINT) {
            let bytes = small_file::read(disk, &self.folder.join(LEADER_EPOCH_CHECKPOINT)).await?.unwrap_or_default();
            std::str::from_utf8(&bytes).ok().and_then(|text| EpochCache::from_text(text).ok())
        } else {
            None
        };
        if listing.has(DAMAGE_LIST) {
            let bytes = small_file::read(disk, &self.folder.join(DAMAGE_LIST)).await?.unwrap_or_default();
            self.state.borrow_mut().damage = Damage::parse(&bytes).unwrap_or_default();
        }
        self.recover(&listing, epochs).await
    }

    /// Reserves again what a start gave back, where that is asked for and there is room.
    async fn reserve(self: &Rc<Self>) -> io::Result<()> {
        let (is_wanted, size, bytes, headroom_bytes) = {
            let state = self.state.borrow();
            let segment_bytes = u64::from(state.config.segment_bytes);
            (state.config.preallocate, state.active().size, segment_bytes, state.config.headroom_bytes)
        };
        if headroom_bytes > 0 {
            let file = self.active_file().await?;
            self.keep_headroom(&*file, size).await?;
        }
        if !is_wanted || size >= bytes {
            return Ok(());
        }
        unless_without(self.active_file().await?.allocate(size, bytes - size).await)
    }

    /// What was found counts as safe once it is: what a crash of the process left in the page cache is committed like
    /// an append.
    fn after_open(self: &Rc<Self>) {
        let must_commit = {
            let mut state = self.state.borrow_mut();
            state.restage(self.env.wall());
            let safe = state.safe();
            if safe > Offset::ZERO {
                let offset = safe.min(state.fold.committed_end());
                state.move_high_watermark(offset);
            }
            state.uncommitted.size_bytes > 0
        };
        if must_commit {
            self.dirty();
        }
    }

    pub(crate) fn report_of(&self, kind: RestartKind, scanned_bytes: u64, cut_bytes: u64) -> LoadReport {
        let state = self.state.borrow();
        LoadReport {
            kind,
            start_offset: state.log_start,
            end_offset: state.fold.committed_end(),
            scanned_bytes,
            cut_bytes,
            damaged: state.damage.ranges().to_vec(),
        }
    }
}
