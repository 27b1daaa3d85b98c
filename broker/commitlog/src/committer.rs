//! Group commit of one (log directory, shard): makes what its logs have written durable, many appends by one sync. When
//! a commit ends and something is dirty, the next begins at once. Few or large writes sync their own files in parallel;
//! many small ones go through the [`Journal`]. Which of the two is decided for each log and commit; the figures behind
//! the bounds are in the README, "Commit". Logs drive it; it knows nothing of offsets beyond handing them back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_runtime::sync::{Notify, oneshot};
use barnabas_runtime::{Env, File, Local, join_all};
use bytes::Bytes;

use crate::StorageError;
use crate::directory::{CommitLimits, LogDirectory, Worker, is_passing, lost_if_full};
use crate::journal::Journal;
use crate::journal::format::{EntryBuilder, Part, Place};
use crate::limits::{AGAIN_MS, JOURNAL_PARTS_MAX, JOURNAL_WARM_PAUSE_MS, JOURNAL_WARM_ROOM_FILES};
use crate::log::Log;

/// Bytes that stand for the parts of one log beside its batches, when room is asked for.
const PARTS_OF_A_LOG_BYTES: u64 = 512;

/// Files of segments with their base offsets.
pub(crate) type SegmentFiles = Vec<(Offset, Rc<dyn File>)>;

/// Batches of one log that lie behind one another in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) end_offset: Offset,
    pub(crate) bytes: Vec<Bytes>,
}

/// What one log has to commit.
pub(crate) struct LogCommit {
    pub(crate) log: Rc<Log>,
    /// Everything below was written when this was taken.
    pub(crate) end_offset: Offset,
    /// Bytes written since the last commit.
    pub(crate) size_bytes: u64,
    /// The same bytes, while they are few.
    pub(crate) pieces: Option<Vec<Piece>>,
    /// Files that were written since the last commit, with the base offsets of their segments.
    pub(crate) files: SegmentFiles,
    /// Folders with names that are not durable yet.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) is_topic_id_unsure: bool,
}

/// A statement for the journal beside data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Where the log stands now.
    Point,
    /// The log was cut.
    Truncated(Offset),
    /// The log is gone.
    Removed,
}

type Answer = oneshot::Sender<Result<(), StorageError>>;

#[derive(Default)]
struct Waiting {
    dirty: Vec<Rc<Log>>,
    notes: Vec<(Rc<Log>, Note)>,
    answers: Vec<Answer>,
}

impl Waiting {
    /// Takes everything, but no more notes than one entry has room for; answers come with the last of them.
    fn take(&mut self, notes_max: usize) -> Self {
        let later = self.notes.split_off(self.notes.len().min(notes_max));
        let notes = std::mem::replace(&mut self.notes, later);
        let answers = if self.notes.is_empty() { std::mem::take(&mut self.answers) } else { Vec::new() };
        Self { dirty: std::mem::take(&mut self.dirty), notes, answers }
    }

    fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.notes.is_empty() && self.answers.is_empty()
    }
}

/// The group commit.
pub(crate) struct Committer {
    env: Env,
    path: PathBuf,
    pub(crate) limits: CommitLimits,
    waiting: RefCell<Waiting>,
    journal: RefCell<Option<Journal>>,
    bound: RefCell<BTreeSet<u32>>,
    is_running: Cell<bool>,
    checkpoints: Cell<usize>,
    /// Why logs were given back what they have to commit, until they are asked for it again.
    given_back: Cell<Option<io::Error>>,
    is_closing: Cell<bool>,
    idle: Notify,
}

impl Committer {
    pub(crate) fn new(env: Env, path: PathBuf, journal: Journal, limits: CommitLimits) -> Self {
        Self {
            env,
            path,
            limits,
            waiting: RefCell::default(),
            journal: RefCell::new(Some(journal)),
            bound: RefCell::default(),
            is_running: Cell::new(false),
            checkpoints: Cell::new(0),
            given_back: Cell::new(None),
            is_closing: Cell::new(false),
            idle: Notify::new(),
        }
    }

    /// `log` has written something. The log calls it once until its commit is taken.
    pub(crate) fn dirty(&self, directory: &Rc<LogDirectory>, log: Rc<Log>) {
        self.waiting.borrow_mut().dirty.push(log);
        self.run_soon(directory);
    }

    /// Has the journal say `note`; durable with the next sync of the journal.
    pub(crate) fn note(&self, directory: &Rc<LogDirectory>, log: &Rc<Log>, note: Note) {
        self.waiting.borrow_mut().notes.push((Rc::clone(log), note));
        self.run_soon(directory);
    }

    /// Has the journal say `note` and waits until that is durable.
    pub(crate) fn note_durably(
        &self,
        directory: &Rc<LogDirectory>,
        log: &Rc<Log>,
        note: Note,
    ) -> impl Future<Output = Result<(), StorageError>> + use<> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.borrow_mut();
            waiting.notes.push((Rc::clone(log), note));
            waiting.answers.push(sender);
        }
        self.run_soon(directory);
        async move { receiver.await.unwrap_or_else(|_| Err(StorageError::closed())) }
    }

    fn run_soon(&self, directory: &Rc<LogDirectory>) {
        if self.is_running.replace(true) {
            return;
        }
        let worker = Worker::new(directory, |directory| drop(directory.committer.waiting.take()));
        self.env.spawn("commit", async move { worker.directory().committer.run(worker.directory()).await }).detach();
    }

    /// Notes that one entry takes: a quarter of a file, so that there is always room for it in a fresh one.
    fn notes_max(&self) -> usize {
        let notes = self.limits.journal_file_bytes / 4 / PARTS_OF_A_LOG_BYTES;
        usize::try_from(notes).unwrap_or(usize::MAX).clamp(1, JOURNAL_PARTS_MAX / 4)
    }

    async fn run(&self, directory: &Rc<LogDirectory>) {
        loop {
            let waiting = self.waiting.borrow_mut().take(self.notes_max());
            if waiting.is_empty() {
                self.is_running.set(false);
                self.idle.notify();
                return;
            }
            if let Err(error) = directory.check() {
                refuse(waiting.answers, &error);
                continue;
            }
            let answers = match self.commit(directory, waiting).await {
                Ok(answers) => answers,
                // Only what the journal alone can say is refused, for lack of room or of descriptors; nothing was promised
                // about it.
                Err((answers, error)) if is_passing(&error) => {
                    barnabas_base::reachable!(self.env, NOTES_REFUSED);
                    refuse(answers, &StorageError::new(&self.path.display().to_string(), &error));
                    Vec::new()
                }
                Err((answers, error)) => {
                    let error = StorageError::new(&self.path.display().to_string(), &error);
                    // What was taken from the logs is known to nobody any more.
                    directory.fail(error.clone());
                    refuse(answers, &error);
                    continue;
                }
            };
            for answer in answers {
                answer.send(Ok(()));
            }
            if let Some(error) = self.given_back.take() {
                self.before_again(directory, &error).await;
            }
        }
    }

    /// Descriptors and room come back while the broker runs; a stop does not wait for them, and is no clean one.
    async fn before_again(&self, directory: &Rc<LogDirectory>, error: &io::Error) {
        if self.is_closing.get() {
            directory.fail(StorageError::new(&self.path.display().to_string(), error));
            return;
        }
        self.env.sleep_until(self.env.now().after_ms(AGAIN_MS)).await;
    }

    async fn commit(
        &self,
        directory: &Rc<LogDirectory>,
        waiting: Waiting,
    ) -> Result<Vec<Answer>, (Vec<Answer>, io::Error)> {
        let commits: Vec<LogCommit> = waiting.dirty.iter().filter_map(Log::begin_commit).collect();
        let mut journal = self.journal.borrow_mut().take().expect("commits run one at a time");
        let must_sync = !waiting.answers.is_empty();
        let outcome = self.commit_with(directory, &mut journal, commits, &waiting.notes, must_sync).await;
        *self.journal.borrow_mut() = Some(journal);
        match outcome {
            Ok(()) => Ok(waiting.answers),
            Err(error) => Err((waiting.answers, error)),
        }
    }

    async fn commit_with(
        &self,
        directory: &Rc<LogDirectory>,
        journal: &mut Journal,
        commits: Vec<LogCommit>,
        notes: &[(Rc<Log>, Note)],
        must_sync: bool,
    ) -> io::Result<()> {
        let (mut journaled, mut direct) = choose(commits, &self.limits);
        let notes_bytes = notes.len() as u64 * PARTS_OF_A_LOG_BYTES;
        let wanted = notes_bytes + journaled.iter().map(journal_bytes).sum::<u64>();
        // Nothing is forced into a journal that has no room; the logs' own files do as well.
        match self.make_room(directory, journal, wanted).await {
            Ok(true) => {}
            Err(error) if !is_passing(&error) => return Err(error),
            Ok(false) | Err(_) => direct.append(&mut journaled),
        }
        match self.sync_folders(&journaled, &direct).await {
            Err(error) if is_passing(&error) => self.give_back(journaled.drain(..).chain(direct.drain(..)), error),
            outcome => outcome?,
        }
        let mut is_written = self.write_entry(journal, notes, &journaled).await;
        if is_full(&is_written) {
            barnabas_base::reachable!(self.env, JOURNAL_CANNOT_GROW);
            // No room for the journal to grow. The logs' own bytes are in their files; what only the journal can say
            // goes to the other file, which keeps what it was given when there was room.
            direct.append(&mut journaled);
            is_written = match self.wait_for_room(directory, journal, notes_bytes).await {
                Ok(()) => self.write_entry(journal, notes, &[]).await,
                Err(error) => Err(error),
            };
        }
        let (is_written, refused) = match is_written {
            Ok(is_written) => (is_written, None),
            // The logs are committed all the same; only the notes are refused.
            Err(error) if is_passing(&error) => (false, Some(error)),
            Err(error) => return Err(error),
        };
        barnabas_base::sometimes!(self.env, COMMIT_OF_BOTH_KINDS, !direct.is_empty() && !journaled.is_empty());
        let mut files: Vec<Rc<dyn File>> = files_of(direct.iter().map(|commit| &commit.files));
        let syncs_journal =
            !journaled.is_empty() || must_sync && is_written || !direct.is_empty() && journal.has_unsynced();
        if syncs_journal {
            files.push(journal.file());
        }
        self.sync(&files).await?;
        if syncs_journal {
            journal.on_synced();
        }
        for commit in &direct {
            commit.log.on_commit(commit.end_offset, &commit.files);
        }
        for commit in &journaled {
            commit.log.on_commit(commit.end_offset, &[]);
        }
        match self.write_points(directory, journal, &direct).await {
            // The next commit says it again.
            Err(error) if !is_passing(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // It failed elsewhere meanwhile: whoever waited has been refused, and nothing is said to be durable any more.
        if directory.is_offline() {
            barnabas_base::reachable!(self.env, WENT_OFFLINE_IN_COMMIT);
            return Err(went_offline());
        }
        for commit in direct.iter().chain(&journaled) {
            commit.log.after_commit();
        }
        refused.map_or(Ok(()), Err)
    }

    /// Nothing of a commit is durable, for a reason that passes: the logs have it to commit once more.
    fn give_back(&self, commits: impl Iterator<Item = LogCommit>, error: io::Error) {
        barnabas_base::reachable!(self.env, COMMIT_GIVEN_BACK);
        for commit in commits {
            Log::take_back(commit);
        }
        self.given_back.set(Some(error));
    }

    /// Writes one entry with all there is to say; false when that is nothing.
    async fn write_entry(
        &self,
        journal: &mut Journal,
        notes: &[(Rc<Log>, Note)],
        journaled: &[LogCommit],
    ) -> io::Result<bool> {
        let mut entry = EntryBuilder::new();
        for (log, note) in notes {
            self.push_note(&mut entry, log, *note);
        }
        for commit in journaled {
            self.push_data(&mut entry, commit);
        }
        if entry.is_empty() {
            return Ok(false);
        }
        if !journal.has_room(entry.padded_bytes()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        journal.append(entry).await?;
        Ok(true)
    }

    /// Says how far the logs of a direct commit are durable. Rides on the next sync, so that it lags behind the files by
    /// one commit at most; a crash of the process alone keeps it.
    async fn write_points(
        &self,
        directory: &Rc<LogDirectory>,
        journal: &mut Journal,
        direct: &[LogCommit],
    ) -> io::Result<()> {
        let wanted = direct.len() as u64 * PARTS_OF_A_LOG_BYTES;
        if direct.is_empty() || !self.make_room(directory, journal, wanted).await? {
            return Ok(());
        }
        let mut entry = EntryBuilder::new();
        for commit in direct {
            self.push_note(&mut entry, &commit.log, Note::Point);
        }
        journal.append(entry).await
    }

    fn push_note(&self, entry: &mut EntryBuilder, log: &Rc<Log>, note: Note) {
        self.bind(entry, log);
        let number = log.number();
        match note {
            Note::Point => entry.push(&Part::Point { number, point: log.point() }),
            Note::Truncated(end_offset) => entry.push(&Part::Truncated { number, end_offset }),
            Note::Removed => entry.push(&Part::Removed { number }),
        }
    }

    fn push_data(&self, entry: &mut EntryBuilder, commit: &LogCommit) {
        self.bind(entry, &commit.log);
        for piece in commit.pieces.iter().flatten() {
            let place = Place {
                number: commit.log.number(),
                segment: piece.segment,
                position: piece.position,
                end_offset: piece.end_offset,
            };
            entry.push_data(place, &piece.bytes);
        }
    }

    /// Says which log a number stands for, once in each file.
    fn bind(&self, entry: &mut EntryBuilder, log: &Rc<Log>) {
        let number = log.number();
        if self.bound.borrow_mut().insert(number) {
            let folder = log.folder_name().to_owned();
            entry.push(&Part::Log { number, partition: log.partition(), folder });
        }
    }

    /// Sees to it that the active file takes `bytes`; false when it cannot for now.
    async fn make_room(&self, directory: &Rc<LogDirectory>, journal: &mut Journal, bytes: u64) -> io::Result<bool> {
        if bytes == 0 || journal.has_room(bytes) && !journal.prefers_other() {
            return Ok(true);
        }
        if !journal.can_switch() || bytes > self.limits.journal_file_bytes / 2 {
            barnabas_base::reachable!(self.env, JOURNAL_HAS_NO_ROOM);
            return Ok(false);
        }
        self.bound.borrow_mut().clear();
        let mut table = EntryBuilder::new();
        // What the file that is left said about logs that stand still would be lost with it.
        for log in &directory.logs() {
            if table.padded_bytes() + PARTS_OF_A_LOG_BYTES > self.limits.journal_file_bytes / 4 || !table.has_room() {
                break;
            }
            self.push_note(&mut table, log, Note::Point);
        }
        let switched = journal.switch(table).await;
        match journal.take_left() {
            Some(left) => {
                barnabas_base::reachable!(self.env, JOURNAL_SWITCHED);
                self.begin_checkpoint(directory, journal, left);
            }
            None => self.begin_warming(directory, journal),
        }
        if switched.is_err() {
            barnabas_base::reachable!(self.env, JOURNAL_SWITCH_FAILED);
            // The table may not stand where its numbers are looked for.
            self.bound.borrow_mut().clear();
        }
        switched.map(|()| journal.has_room(bytes))
    }

    /// Waits until a checkpoint has freed a file, for what only the journal can say.
    async fn wait_for_room(&self, directory: &Rc<LogDirectory>, journal: &mut Journal, bytes: u64) -> io::Result<()> {
        loop {
            let seen = self.idle.version();
            if self.make_room(directory, journal, bytes).await? {
                return Ok(());
            }
            if directory.is_offline() {
                return Err(went_offline());
            }
            assert!(self.checkpoints.get() > 0, "a file that is needed has a checkpoint under way");
            barnabas_base::reachable!(self.env, JOURNAL_ROOM_AWAITED);
            self.idle.changed_since(seen).await;
        }
    }

    /// Syncs in the background what the file that was left holds, so that it can be written over.
    fn begin_checkpoint(&self, directory: &Rc<LogDirectory>, journal: &Journal, left: usize) {
        let needed = journal.needed();
        let directory = Rc::clone(directory);
        self.checkpoints.set(self.checkpoints.get() + 1);
        self.env
            .spawn("journal checkpoint", async move {
                let committer = &directory.committer;
                match committer.sync_segments(&directory).await {
                    Ok(()) => {
                        needed.release(left);
                        // While a commit has the journal, the next time the file is left will do.
                        if let Some(journal) = &*committer.journal.borrow() {
                            committer.begin_warming(&directory, journal);
                        }
                    }
                    Err(error) => drop(directory.fault(&committer.path, &error)),
                }
                committer.checkpoints.set(committer.checkpoints.get() - 1);
                committer.idle.notify();
            })
            .detach();
    }

    /// Writes the free file once from end to end in the background, if that has not been done: an entry that goes where
    /// the file was written before changes no metadata, and its sync does not wait for the file system's own journal.
    fn begin_warming(&self, directory: &Rc<LogDirectory>, journal: &Journal) {
        let cold = if self.limits.warms_journal { journal.take_cold() } else { None };
        let Some(mut cold) = cold else { return };
        let directory = Rc::clone(directory);
        self.checkpoints.set(self.checkpoints.get() + 1);
        self.env
            .spawn("journal warming", async move {
                let committer = &directory.committer;
                while committer.has_spare_room().await {
                    match cold.step().await {
                        Ok(true) if !committer.is_closing.get() && !directory.is_offline() => {}
                        Ok(_) => break,
                        // Without room it stays as it is.
                        Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                        Err(error) => {
                            drop(directory.fault(&committer.path, &error));
                            break;
                        }
                    }
                    committer.env.sleep_until(committer.env.now().after_ms(JOURNAL_WARM_PAUSE_MS)).await;
                }
                drop(cold);
                committer.checkpoints.set(committer.checkpoints.get() - 1);
                committer.idle.notify();
            })
            .detach();
    }

    /// Whether the device has room for files whose only use is speed.
    pub(crate) async fn has_spare_room(&self) -> bool {
        let wanted = self.limits.journal_file_bytes.saturating_mul(JOURNAL_WARM_ROOM_FILES);
        self.env.disk.space(&self.path).await.is_ok_and(|space| space.usable_bytes >= wanted)
    }

    /// Makes everything durable in the segments' own files.
    async fn sync_segments(&self, directory: &Rc<LogDirectory>) -> io::Result<()> {
        let taken: Vec<_> = directory
            .logs()
            .into_iter()
            .filter_map(|log| {
                let (end_offset, files) = log.take_unchecked();
                (!files.is_empty()).then_some((log, end_offset, files))
            })
            .collect();
        let files = files_of(taken.iter().map(|(_, _, files)| files));
        self.sync(&files).await?;
        for (log, end_offset, files) in &taken {
            log.on_checkpoint(*end_offset, files);
        }
        Ok(())
    }

    async fn sync(&self, files: &[Rc<dyn File>]) -> io::Result<()> {
        let synced = match files {
            [] => Ok(()),
            [file] => file.sync().await,
            _ if files.len() > self.limits.sync_files_max => {
                barnabas_base::reachable!(self.env, FILESYSTEM_SYNCED);
                match self.env.disk.sync_filesystem(&self.path).await {
                    // That takes a descriptor, and not every system can; the files have theirs.
                    Err(error) if is_passing(&error) || error.kind() == io::ErrorKind::Unsupported => {
                        self.env.disk.sync_files(files).await
                    }
                    outcome => outcome,
                }
            }
            _ => self.env.disk.sync_files(files).await,
        };
        barnabas_base::sometimes!(self.env, SYNC_FAILED, synced.is_err());
        synced.map_err(lost_if_full)
    }

    /// Names come before what is in the files: an acknowledged batch in a file without a name is lost, and so is one in
    /// the journal whose folder does not say whose it is.
    async fn sync_folders(&self, journaled: &[LogCommit], direct: &[LogCommit]) -> io::Result<()> {
        let commits = || journaled.iter().chain(direct);
        let topic_ids = self.write_topic_ids_again(commits().filter(|commit| commit.is_topic_id_unsure)).await?;
        let folders: BTreeSet<&PathBuf> = commits().flat_map(|commit| commit.folders.iter()).collect();
        if folders.len() + topic_ids.len() > self.limits.sync_files_max {
            match self.env.disk.sync_filesystem(&self.path).await {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                synced => return synced.map_err(lost_if_full),
            }
        }
        self.sync(&topic_ids).await?;
        let syncs = folders.into_iter().map(|folder| {
            let sync: Local<'_, io::Result<()>> =
                Box::pin(
                    async move { unless_gone(self.env.disk.sync_dir(folder).await).map(drop).map_err(lost_if_full) },
                );
            sync
        });
        join_all(syncs.collect()).await.into_iter().collect()
    }

    async fn write_topic_ids_again(&self, commits: impl Iterator<Item = &LogCommit>) -> io::Result<Vec<Rc<dyn File>>> {
        let writes = commits.map(|commit| {
            let write: Local<'_, io::Result<Option<Rc<dyn File>>>> =
                Box::pin(async move { unless_gone(commit.log.write_topic_id_again().await) });
            write
        });
        join_all(writes.collect()).await.into_iter().filter_map(io::Result::transpose).collect()
    }

    /// The directory went offline: whoever waits for room or idleness looks again.
    pub(crate) fn on_directory_failed(&self, error: &StorageError) {
        let answers = std::mem::take(&mut self.waiting.borrow_mut().answers);
        refuse(answers, error);
        self.idle.notify();
    }

    /// Waits for what is under way, syncs every segment and lets go of the journal. Its files stay until the directory's
    /// owner has written Kafka's checkpoints: until then only they know how far the starts of the logs were moved.
    pub(crate) async fn close(&self, directory: &Rc<LogDirectory>) -> Result<(), StorageError> {
        self.is_closing.set(true);
        loop {
            let seen = self.idle.version();
            if !self.is_running.get() && self.checkpoints.get() == 0 {
                break;
            }
            self.idle.changed_since(seen).await;
        }
        directory.check()?;
        let mut journal = self.journal.borrow_mut().take().expect("no commit is under way");
        let closed = self.sync_segments(directory).await;
        journal.leave();
        *self.journal.borrow_mut() = Some(journal);
        self.bound.borrow_mut().clear();
        closed.map_err(|error| directory.fault(&self.path, &error))
    }
}

fn files_of<'a>(files: impl Iterator<Item = &'a SegmentFiles>) -> Vec<Rc<dyn File>> {
    files.flatten().map(|(_, file)| Rc::clone(file)).collect()
}

fn is_full<T>(outcome: &io::Result<T>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::StorageFull)
}

fn went_offline() -> io::Error {
    io::Error::other("the log directory went offline")
}

fn refuse(answers: Vec<Answer>, error: &StorageError) {
    for answer in answers {
        answer.send(Err(error.clone()));
    }
}

fn journal_bytes(commit: &LogCommit) -> u64 {
    let pieces = commit.pieces.as_ref().map_or(0, Vec::len) as u64;
    commit.size_bytes + PARTS_OF_A_LOG_BYTES + pieces * 64
}

/// Nothing for a log that was deleted meanwhile: nobody waits for it.
fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Which logs go through the journal and which sync their own files.
fn choose(commits: Vec<LogCommit>, limits: &CommitLimits) -> (Vec<LogCommit>, Vec<LogCommit>) {
    let is_small = |commit: &LogCommit| commit.pieces.is_some() && commit.size_bytes <= limits.journal_log_bytes_max;
    let (journaled, mut direct): (Vec<_>, Vec<_>) = commits.into_iter().partition(is_small);
    let total: u64 = journaled.iter().map(|commit| commit.size_bytes).sum();
    // More files than are synced one by one go by one call for the whole file system, which takes the rest along.
    if total > limits.journal_commit_bytes_max || direct.len() > limits.sync_files_max {
        direct.extend(journaled);
        return (Vec::new(), direct);
    }
    (journaled, direct)
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("path", &self.path)
            .field("is_running", &self.is_running)
            .finish_non_exhaustive()
    }
}
