//! The journal of one (log directory, shard): two files written in turn, each a sequence of checksummed entries. A
//! small commit of many logs costs one write and one sync here instead of one sync a log; the segments have the same
//! bytes in the page cache and are synced later, when the other file is begun. Not a log and not read in normal
//! operation; the [`Committer`](crate::committer) writes it, a start after a crash replays it.
//!
//! Files are written over, not truncated, and where there is room they are written once from end to end before they are
//! used: a commit then changes no file system metadata, which is most of what a sync costs (README, "Commit").

pub(crate) mod format;
#[cfg(test)]
mod format_tests;
pub(crate) mod replay;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::{DirectoryId, ShardId};
use barnabas_runtime::{Disk, Env, File, OpenMode};
use bytes::Bytes;

use crate::directory::unless_without;
use crate::limits::{JOURNAL_RESERVE_BYTES, JOURNAL_WARM_BYTES};
use crate::name::JOURNAL_PREFIX;
use format::{EntryBuilder, FIRST_BLOCK_BYTES, FileHeader};

/// Path of one of the two files of a shard's journal.
pub(crate) fn journal_path(directory: &Path, shard: u32, file: usize) -> PathBuf {
    let letter = if file == 0 { 'a' } else { 'b' };
    directory.join(format!("{JOURNAL_PREFIX}{shard}.{letter}"))
}

/// What the first block of every file says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalIdentity {
    pub(crate) directory_id: DirectoryId,
    pub(crate) shard: ShardId,
    /// Lies above all generations that the directory has seen.
    pub(crate) generation: u64,
}

/// The writing end.
pub(crate) struct Journal {
    env: Env,
    directory: PathBuf,
    directory_id: DirectoryId,
    shard: u32,
    files: [Option<Rc<dyn File>>; 2],
    needed: Rc<Needed>,
    active: usize,
    header: FileHeader,
    position: u64,
    /// How far each file was ever written.
    written: [u64; 2],
    file_bytes: u64,
    sequence: u64,
    /// Entries of the active file that are known to be durable.
    synced: u64,
    has_begun: bool,
    has_data: bool,
    /// The file that the last switch left, until somebody sees to it.
    left: Option<usize>,
}

/// What background work knows of the two files.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// The file holds what segments lack, or is being warmed: it must not be written over.
    files: [Cell<bool>; 2],
    /// Every block of the file has been written: entries change no metadata of the file system from here on.
    warm: [Cell<bool>; 2],
}

impl Needed {
    fn is_needed(&self, file: usize) -> bool {
        self.files[file].get()
    }

    /// The segments have everything that `file` holds.
    pub(crate) fn release(&self, file: usize) {
        self.files[file].set(false);
    }
}

/// A journal file that has not been through its first round, while it is warmed.
pub(crate) struct ColdFile {
    needed: Rc<Needed>,
    index: usize,
    file: Rc<dyn File>,
    position: u64,
    end: u64,
}

impl ColdFile {
    /// Writes the next piece of zeroes and makes it durable; false when the file is warm.
    pub(crate) async fn step(&mut self) -> io::Result<bool> {
        if self.position >= self.end {
            self.needed.warm[self.index].set(true);
            return Ok(false);
        }
        let len = (self.end - self.position).min(JOURNAL_WARM_BYTES);
        let zeroes = Bytes::from(vec![0; usize::try_from(len).expect("a mebibyte at most")]);
        self.file.write_at(self.position, &[zeroes]).await?;
        self.file.sync().await?;
        self.position += len;
        Ok(true)
    }
}

impl Drop for ColdFile {
    fn drop(&mut self) {
        self.needed.release(self.index);
    }
}

impl Journal {
    /// A journal that creates its files when it is first written.
    pub(crate) fn new(env: Env, directory: PathBuf, identity: JournalIdentity, file_bytes: u64) -> Self {
        let JournalIdentity { directory_id, shard, generation } = identity;
        let shard = u32::from(shard.0);
        Self {
            env,
            directory,
            directory_id,
            shard,
            files: [None, None],
            needed: Rc::default(),
            active: 1,
            header: FileHeader { generation, shard, directory_id, salt: 0 },
            position: file_bytes,
            written: [0, 0],
            file_bytes,
            sequence: 0,
            synced: 0,
            has_begun: false,
            has_data: false,
            left: None,
        }
    }

    /// Whether an entry of `bytes` still goes into the active file.
    pub(crate) const fn has_room(&self, bytes: u64) -> bool {
        self.has_begun && self.position + bytes <= self.file_bytes
    }

    /// Whether the other file may be begun.
    pub(crate) fn can_switch(&self) -> bool {
        !self.has_begun || !self.needed.is_needed(1 - self.active)
    }

    /// Whether the other file is better: free, and warm while this one is not.
    pub(crate) fn prefers_other(&self) -> bool {
        let is_warm = |file: usize| self.needed.warm[file].get();
        self.has_begun && self.can_switch() && !is_warm(self.active) && is_warm(1 - self.active)
    }

    /// The other file, to be warmed, if it is cold and free. It is free again when the work is dropped.
    pub(crate) fn take_cold(&self) -> Option<ColdFile> {
        let index = 1 - self.active;
        let file = Rc::clone(self.files[index].as_ref()?);
        if self.needed.is_needed(index) || self.needed.warm[index].get() {
            return None;
        }
        self.needed.files[index].set(true);
        let position = self.written[index];
        Some(ColdFile { needed: Rc::clone(&self.needed), index, file, position, end: self.file_bytes })
    }

    /// Leaves the active file for the other one, which then holds `table` and nothing else. The file that was left is
    /// [`Journal::take_left`] when it holds data, also when the table finds no room.
    pub(crate) async fn switch(&mut self, table: EntryBuilder) -> io::Result<()> {
        assert!(self.can_switch(), "a journal file is written over only when nothing in it is needed");
        let left = self.active;
        let next = 1 - left;
        if let Some(file) = self.files[left].as_ref().filter(|_| self.synced < self.sequence) {
            // What was said in passing is durable before what it replaced is written over.
            file.sync().await?;
        }
        // Both at once: on a device that is full later, the second one could not be made.
        for file in [next, left] {
            if self.files[file].is_none() {
                self.files[file] = Some(self.create(file).await?);
            }
        }
        let file = Rc::clone(self.files[next].as_ref().expect("made above"));
        self.header = FileHeader {
            generation: self.header.generation + 1,
            shard: self.shard,
            directory_id: self.directory_id,
            salt: self.env.entropy.next_u64(),
        };
        file.write_at(0, &[self.header.to_block()]).await?;
        // Before the old entries are written over: with the old first block and some of them gone, the file would pass for
        // a damaged one after a power loss.
        file.sync().await?;
        let is_needed = self.has_begun && self.has_data;
        self.needed.files[left].set(is_needed);
        self.left = is_needed.then_some(left);
        self.has_data = false;
        self.active = next;
        self.position = FIRST_BLOCK_BYTES;
        self.sequence = 0;
        self.synced = 0;
        self.has_begun = true;
        if table.is_empty() { Ok(()) } else { self.append(table).await }
    }

    /// The file that the last switch left, if it is needed until [`Needed::release`]. Given once.
    pub(crate) const fn take_left(&mut self) -> Option<usize> {
        self.left.take()
    }

    async fn create(&self, file: usize) -> io::Result<Rc<dyn File>> {
        let disk: &dyn Disk = &*self.env.disk;
        let path = journal_path(&self.directory, self.shard, file);
        let created = disk.open(&path, OpenMode::CreateTruncated).await?;
        // Deletions and cuts have to be said also when the device is full later. Where there is no room now, that is
        // found out when something has to be said.
        unless_without(created.allocate(0, JOURNAL_RESERVE_BYTES.min(self.file_bytes)).await)?;
        disk.sync_dir(&self.directory).await?;
        Ok(created)
    }

    /// Writes an entry; durable after a sync of [`Journal::file`].
    pub(crate) async fn append(&mut self, entry: EntryBuilder) -> io::Result<()> {
        self.has_data |= entry.has_data();
        let bytes = entry.padded_bytes();
        assert!(self.has_room(bytes), "the journal was asked for room before it is written");
        let file = self.file();
        let pieces = entry.finish(&self.header, self.sequence, self.synced);
        if let Err(error) = file.write_at(self.position, &pieces).await {
            // Whatever is wrong, nothing more goes into this file: half an entry may stand here.
            self.position = self.file_bytes;
            return Err(error);
        }
        self.position += bytes;
        self.written[self.active] = self.written[self.active].max(self.position);
        self.sequence += 1;
        Ok(())
    }

    /// Whether something was said that no sync has covered.
    pub(crate) const fn has_unsynced(&self) -> bool {
        self.synced < self.sequence
    }

    /// A sync of [`Journal::file`] has ended that was begun after the last entry.
    pub(crate) const fn on_synced(&mut self) {
        self.synced = self.sequence;
    }

    /// The active file.
    pub(crate) fn file(&self) -> Rc<dyn File> {
        Rc::clone(self.files[self.active].as_ref().expect("a journal that is written has a file"))
    }

    /// Tells which files are needed, and when they no longer are.
    pub(crate) fn needed(&self) -> Rc<Needed> {
        Rc::clone(&self.needed)
    }

    /// Lets go of both files.
    pub(crate) fn leave(&mut self) {
        self.files = [None, None];
        self.has_begun = false;
        for file in 0..2 {
            self.needed.files[file].set(false);
            self.needed.warm[file].set(false);
            self.written[file] = 0;
        }
        self.has_data = false;
        self.position = self.file_bytes;
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("shard", &self.shard)
            .field("generation", &self.header.generation)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
