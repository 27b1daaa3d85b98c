//! A log directory as one shard uses it: its logs, their committer and journal, the open files and cached bytes they
//! share, and whether the directory still works. [`DirectoryOwner`] has what concerns the directory as a whole.

mod owner;
mod reserve;
mod resources;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use barnabas_base::{Budget, DirectoryId, Observation, PartitionIndex, TopicPartition};
use barnabas_logstate::Codecs;
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{Env, Local};

use crate::committer::{Committer, Note};
use crate::journal::{Journal, JournalIdentity};
use crate::limits::{
    CHECK_RANGE_BYTES, HANDLES_DEFAULT, INDEX_CACHE_BYTES_MAX, JOURNAL_COMMIT_BYTES_MAX, JOURNAL_FILE_BYTES,
    JOURNAL_LOG_BYTES_MAX, SCAN_CHUNK_BYTES, SYNC_FILES_MAX, UNSETTLED_BYTES_MAX,
};
use crate::log::Log;
use crate::name::folder_name;
use crate::{StorageError, small_file};
pub use owner::{DirectoryOptions, DirectoryOwner, DirectoryReport, DirectorySeed, FolderOwner};
pub(crate) use owner::{Found, checkpoint_key};
pub(crate) use resources::Resources;

/// How a shard uses its directories.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Memory of the shard; the tail cache is charged to it.
    pub budget: Budget,
    /// Open segment files.
    pub handles_max: usize,
    /// Bounds of the commit.
    pub commit: CommitLimits,
    /// Bytes past their settled points that all logs together may have.
    pub unsettled_bytes_max: u64,
    /// Bytes of loaded indexes of sealed segments.
    pub index_bytes_max: u64,
    /// Bounds of a walk through a segment.
    pub scan: ScanLimits,
}

/// How much of a segment is taken at once. The defaults are what was measured; the simulator makes them small, so that
/// segments of some kilobytes have several of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Bytes that recovery, scrubbing and cleaning read at once.
    pub chunk_bytes: usize,
    /// Bytes that one range of a check file covers.
    pub range_bytes: u64,
}

impl ScanLimits {
    /// Bytes from which a checksum is made away from the shard's thread: below it, handing them over costs more.
    pub(crate) const fn offload_bytes_min(self) -> usize {
        self.chunk_bytes / 8
    }
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { chunk_bytes: SCAN_CHUNK_BYTES, range_bytes: CHECK_RANGE_BYTES }
    }
}

/// Bounds of the commit of one shard and directory. The defaults are what was measured; the simulator makes them small,
/// so that a short run meets full journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLimits {
    /// Bytes of one log in one commit up to which the journal takes them.
    pub journal_log_bytes_max: u64,
    /// Bytes of all logs in one commit up to which the journal takes them.
    pub journal_commit_bytes_max: u64,
    /// Size at which a journal file is left for the other one.
    pub journal_file_bytes: u64,
    /// Files that are synced side by side; more go by one call for the file system.
    pub sync_files_max: usize,
    /// Whether a journal file is written once from end to end before it is used, where there is room.
    pub warms_journal: bool,
}

impl CommitLimits {
    /// The usual bounds with journal files of `bytes`, of which no commit takes more than a quarter.
    #[must_use]
    pub fn of_journal_file(bytes: u64) -> Self {
        let usual = Self::default();
        Self {
            journal_file_bytes: bytes,
            journal_commit_bytes_max: usual.journal_commit_bytes_max.min(bytes / 4),
            journal_log_bytes_max: usual.journal_log_bytes_max.min(bytes / 8),
            ..usual
        }
    }
}

impl Default for CommitLimits {
    fn default() -> Self {
        Self {
            journal_log_bytes_max: JOURNAL_LOG_BYTES_MAX,
            journal_commit_bytes_max: JOURNAL_COMMIT_BYTES_MAX,
            journal_file_bytes: JOURNAL_FILE_BYTES,
            sync_files_max: SYNC_FILES_MAX,
            warms_journal: true,
        }
    }
}

impl ShardOptions {
    /// The usual bounds under `budget`.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            handles_max: HANDLES_DEFAULT,
            commit: CommitLimits::default(),
            unsettled_bytes_max: UNSETTLED_BYTES_MAX,
            index_bytes_max: INDEX_CACHE_BYTES_MAX,
            scan: ScanLimits::default(),
        }
    }
}

/// Told about a log whose high watermark moved.
pub type Advanced = Rc<dyn Fn(TopicPartition)>;

/// One shard's handle on a log directory.
pub struct LogDirectory {
    pub(crate) env: Env,
    pub(crate) path: PathBuf,
    index: u16,
    directory_id: DirectoryId,
    pub(crate) found: Arc<Found>,
    pub(crate) is_clean: bool,
    pub(crate) committer: Committer,
    pub(crate) resources: Resources,
    pub(crate) scan: ScanLimits,
    pub(crate) codecs: RefCell<Codecs>,
    failure: RefCell<Option<StorageError>>,
    failed: Notify,
    logs: RefCell<BTreeMap<TopicPartition, Weak<Log>>>,
    expected: Cell<usize>,
    next_number: Cell<u32>,
    writers: RefCell<Vec<Rc<Log>>>,
    is_writing: Cell<bool>,
    advanced: RefCell<Option<Advanced>>,
}

/// A log that is about to be opened in a directory.
pub struct ExpectedLog(Rc<LogDirectory>);

impl Drop for ExpectedLog {
    fn drop(&mut self) {
        self.0.expected.set(self.0.expected.get() - 1);
    }
}

impl LogDirectory {
    /// A shard's handle on the directory that `seed` describes.
    #[must_use]
    pub fn join(env: &Env, seed: &DirectorySeed, options: &ShardOptions) -> Rc<Self> {
        let shard = env.shards.this();
        let journal = Journal::new(
            env.clone(),
            seed.path.clone(),
            JournalIdentity { directory_id: seed.directory_id, shard, generation: seed.found.next_generation },
            options.commit.journal_file_bytes,
        );
        let committer = Committer::new(env.clone(), seed.path.clone(), journal, options.commit);
        Rc::new(Self {
            env: env.clone(),
            path: seed.path.clone(),
            index: seed.index,
            directory_id: seed.directory_id,
            found: Arc::clone(&seed.found),
            is_clean: seed.kind == barnabas_base::RestartKind::Clean,
            committer,
            resources: Resources::new(options),
            scan: options.scan,
            codecs: RefCell::default(),
            failure: RefCell::default(),
            failed: Notify::new(),
            logs: RefCell::default(),
            expected: Cell::new(0),
            next_number: Cell::new(0),
            writers: RefCell::default(),
            is_writing: Cell::new(false),
            advanced: RefCell::default(),
        })
    }

    /// Position in `log.dirs`.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity.
    #[must_use]
    pub const fn directory_id(&self) -> DirectoryId {
        self.directory_id
    }

    /// Whether the directory takes no part any more.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Why the directory takes no part any more.
    #[must_use]
    pub fn failure(&self) -> Option<StorageError> {
        self.failure.borrow().clone()
    }

    /// Resolves when the directory goes offline.
    pub async fn offline(&self) {
        loop {
            let seen = self.failed.version();
            if self.is_offline() {
                return;
            }
            self.failed.changed_since(seen).await;
        }
    }

    /// Takes the directory offline: all that waits on its logs is answered with `error`, nothing is read or written
    /// any more. A failed sync ends here and is never tried again, because the kernel may have dropped the pages and
    /// marked them clean. The node calls it for what other shards report.
    pub fn fail(&self, error: StorageError) {
        if self.failure.borrow().is_some() {
            return;
        }
        *self.failure.borrow_mut() = Some(error.clone());
        self.env.observe(&Observation::DirectoryFailed { index: self.index });
        for log in self.logs() {
            log.on_directory_failed(&error);
        }
        self.committer.on_directory_failed(&error);
        self.failed.notify();
    }

    /// An error of a call that changes files: the directory goes offline, unless that passes.
    pub(crate) fn fault(&self, path: &Path, error: &io::Error) -> StorageError {
        let error = StorageError::new(&path.display().to_string(), error);
        if !error.passes {
            self.fail(error.clone());
        }
        error
    }

    /// Has `advanced` called whenever the high watermark of a log of this handle moves, after those who wait for it were
    /// answered. It must not call back into the log's appends.
    pub fn on_advanced(&self, advanced: Advanced) {
        *self.advanced.borrow_mut() = Some(advanced);
    }

    pub(crate) fn advanced(&self, partition: TopicPartition) {
        let advanced = self.advanced.borrow().clone();
        if let Some(advanced) = advanced {
            advanced(partition);
        }
    }

    /// Refuses when the directory is offline.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    /// Whether the folder of a partition was here when the directory was opened.
    #[must_use]
    pub fn holds(&self, topic: &str, partition: PartitionIndex) -> bool {
        self.found.folders.contains(&folder_name(topic, partition))
    }

    /// The open logs.
    #[must_use]
    pub fn logs(&self) -> Vec<Rc<Log>> {
        self.logs.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Counts a log that is about to be opened here, until the answer is dropped.
    #[must_use]
    pub fn expect_log(self: &Rc<Self>) -> ExpectedLog {
        self.expected.set(self.expected.get() + 1);
        ExpectedLog(Rc::clone(self))
    }

    /// The open logs and those that are about to be.
    #[must_use]
    pub fn logs_expected(&self) -> usize {
        self.logs().len() + self.expected.get()
    }

    pub(crate) fn is_open(&self, partition: TopicPartition) -> bool {
        self.logs.borrow().get(&partition).is_some_and(|log| log.strong_count() > 0)
    }

    pub(crate) fn register(&self, log: &Rc<Log>) {
        let before = self.logs.borrow_mut().insert(log.partition(), Rc::downgrade(log));
        assert!(before.is_none_or(|log| log.strong_count() == 0), "a log is open once");
    }

    pub(crate) fn forget(&self, partition: TopicPartition) {
        self.logs.borrow_mut().remove(&partition);
    }

    /// A number that stands for a log in the journal.
    pub(crate) fn next_number(&self) -> u32 {
        let number = self.next_number.get();
        self.next_number.set(number.checked_add(1).expect("a run opens fewer than 2^32 logs"));
        number
    }

    /// Has a log's queue written after what is runnable has run, so that batches of several connections go in one
    /// call.
    pub(crate) fn write_soon(self: &Rc<Self>, log: &Rc<Log>) {
        self.writers.borrow_mut().push(Rc::clone(log));
        if self.is_writing.replace(true) {
            return;
        }
        let worker = Worker::new(self, |directory| drop(directory.writers.take()));
        self.env.spawn("log writer", async move { worker.directory().write_all().await }).detach();
    }

    async fn write_all(&self) {
        loop {
            let logs = std::mem::take(&mut *self.writers.borrow_mut());
            if logs.is_empty() {
                self.is_writing.set(false);
                return;
            }
            for log in logs {
                let mut writing: Local<'static, ()> = Box::pin(log.write_queue());
                // Most writes go to the page cache and end at once; one that has to leave the thread must not hold up
                // the other logs.
                let is_done =
                    std::future::poll_fn(|context| Poll::Ready(Pin::as_mut(&mut writing).poll(context).is_ready()))
                        .await;
                if !is_done {
                    self.env.spawn("slow log write", writing).detach();
                }
            }
        }
    }

    /// Has the journal take its room now, where there may be none later: without it no deletion could be recorded.
    pub async fn secure_journal(self: &Rc<Self>) {
        if self.committer.has_spare_room().await {
            return;
        }
        let Some(log) = self.logs().into_iter().next() else { return };
        // Whoever has something to record finds out that there is no room.
        drop(self.committer.note_durably(self, &log, Note::Point).await);
    }

    /// What this shard's logs have to say to the owner's checkpoint files.
    #[must_use]
    pub fn report(&self) -> DirectoryReport {
        let mut report = DirectoryReport::default();
        for log in self.logs() {
            log.report(&mut report);
        }
        report
    }

    /// Closes every log and leaves complete files and no journal behind. The owner's [`DirectoryOwner::close`] comes
    /// after this, on every shard.
    ///
    /// # Errors
    /// [`StorageError`]: the stop is not a clean one.
    pub async fn close(self: &Rc<Self>) -> Result<DirectoryReport, StorageError> {
        self.check()?;
        let logs = self.logs();
        for chunk in logs.chunks(CLOSES_AT_ONCE) {
            let closes = chunk.iter().map(|log| {
                let close: Local<'_, Result<(), StorageError>> = Box::pin(log.close());
                close
            });
            for closed in barnabas_runtime::join_all(closes.collect()).await {
                closed?;
            }
        }
        self.committer.close(self).await?;
        self.check()?;
        let mut report = DirectoryReport::default();
        for log in &logs {
            log.begin_where_due();
            log.report(&mut report);
        }
        Ok(report)
    }

    /// Renames the folder of a log that was taken out of use; it is removed after the delay of its configuration.
    pub(crate) async fn rename_folder(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.env.disk.rename(from, to).await?;
        self.env.disk.sync_dir(small_file::parent(to)).await
    }
}

/// The directory in the hands of a task that works off a queue of logs. A task that is dropped where it stands, with its
/// process, leaves a queue that nobody comes for: its logs hold their directory, and through it themselves, for ever.
pub(crate) struct Worker {
    directory: Rc<LogDirectory>,
    let_go: fn(&LogDirectory),
}

impl Worker {
    /// Calls `let_go` to empty the queue when the task ends; one that ends by itself has emptied it.
    pub(crate) fn new(directory: &Rc<LogDirectory>, let_go: fn(&LogDirectory)) -> Self {
        Self { directory: Rc::clone(directory), let_go }
    }

    pub(crate) const fn directory(&self) -> &Rc<LogDirectory> {
        &self.directory
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        (self.let_go)(&self.directory);
    }
}

/// Logs that are closed at the same time.
const CLOSES_AT_ONCE: usize = 64;

/// Too many open files in the system; Linux's numbers, the standard library has no kind for them.
const ENFILE: i32 = 23;
/// Too many open files in the process.
const EMFILE: i32 = 24;

/// A sync that finds no room has lost what was written, which the kernel tells once; only a write may be refused and tried
/// again.
pub(crate) fn lost_if_full(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull => io::Error::other("no room for what had been written"),
        _ => error,
    }
}

/// Reserving room ahead is a help: a device that has too little, or a file system that cannot, does without.
pub(crate) fn unless_without(allocated: io::Result<()>) -> io::Result<()> {
    match allocated {
        Err(error) if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::Unsupported) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether an error says nothing of the device: descriptors run out by load, and so does room.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl fmt::Debug for LogDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDirectory").field("path", &self.path).field("is_offline", &self.is_offline()).finish()
    }
}
