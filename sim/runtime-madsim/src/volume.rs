//! One node's file system as data: for every file and every directory what the page cache shows and what the device has,
//! apart. No time, no randomness, no incarnations; `disk` drives it.
//!
//! A change is visible at once and carries a sequence number. A sync that was issued at number `n` carries the changes up
//! to `n` over to the device when it ends; what came later waits for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::{Range, RangeInclusive};
use std::path::{Component, Path, PathBuf};

use barnabas_base::Keyed;
use barnabas_runtime::{DirEntry, FileKind, OpenMode, Space};
use bytes::Bytes;

use crate::fault::PowerFate;
use crate::flips::Flips;
use crate::power::{Fate, Fates};

/// Blocks are handed out in this size.
const BLOCK_BYTES: u64 = 4096;

/// What the page cache takes in and gives up at once.
const PAGE_BYTES: u64 = 4096;

/// Longest name of an entry, as on ext4.
const NAME_BYTES_MAX: usize = 255;

/// Unreachable objects that are kept before they are looked for.
const ORPHANS_MAX: usize = 64;

/// After this long the kernel has written a change back by itself (`dirty_expire_centisecs` and the journal's commit
/// interval, with room to spare).
const WRITEBACK_MS: i64 = 60_000;

/// Names a file or a directory for as long as it exists; never used twice.
pub(crate) type Inode = u64;

/// Position in the order of changes.
pub(crate) type ChangeSeq = u64;

const ROOT: Inode = 0;

/// A change to a file that the device may not have yet.
#[derive(Clone, Debug)]
pub(crate) enum FileChange {
    Write { offset: u64, bytes: Bytes },
    Truncate { len: u64 },
}

impl FileChange {
    /// Bytes it writes.
    const fn len(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            Self::Truncate { .. } => 0,
        }
    }

    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write_into(content, *offset, bytes),
            Self::Truncate { len } => content.resize(index(*len), 0),
        }
    }
}

/// Puts `bytes` at `offset`, extending with zeroes.
pub(crate) fn write_into(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = index(offset);
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("simulated files fit memory")
}

/// The pages that a range touches.
fn pages(offset: u64, len: u64) -> Range<u64> {
    offset / PAGE_BYTES..offset.saturating_add(len).div_ceil(PAGE_BYTES)
}

/// A change to a directory. The parts of one rename share a sequence number and survive together.
#[derive(Clone, Debug)]
enum DirChange {
    Link { name: String, inode: Inode },
    Unlink { name: String, inode: Inode },
}

impl DirChange {
    fn apply(&self, entries: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Link { name, inode } => {
                entries.insert(name.clone(), *inode);
            }
            Self::Unlink { name, inode } => {
                if entries.get(name) == Some(inode) {
                    entries.remove(name);
                }
            }
        }
    }

    const fn inode(&self) -> Inode {
        match self {
            Self::Link { inode, .. } | Self::Unlink { inode, .. } => *inode,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct FileState {
    cache: Vec<u8>,
    device: Vec<u8>,
    unsynced: Vec<(ChangeSeq, i64, FileChange)>,
    /// Pages that the device falsified and that nobody has read since.
    cold_pages: BTreeSet<u64>,
    flips: Flips,
    /// Room is reserved up to here.
    reserved: u64,
}

impl FileState {
    fn blocks(&self) -> u64 {
        (self.cache.len() as u64).max(self.reserved).div_ceil(BLOCK_BYTES)
    }

    fn carry_over(&mut self, upto: ChangeSeq) {
        let covered = self.unsynced.partition_point(|(seq, _, _)| *seq <= upto);
        for (_, _, change) in self.unsynced.drain(..covered) {
            change.apply(&mut self.device);
        }
    }

    fn change(&mut self, seq: ChangeSeq, now_ms: i64, change: FileChange) {
        change.apply(&mut self.cache);
        let aged = self.unsynced.partition_point(|(_, since_ms, _)| *since_ms + WRITEBACK_MS < now_ms);
        if aged > 0 {
            let upto = self.unsynced[aged - 1].0;
            self.carry_over(upto);
        }
        self.unsynced.push((seq, now_ms, change));
    }
}

#[derive(Clone, Debug, Default)]
struct DirState {
    cache: BTreeMap<String, Inode>,
    device: BTreeMap<String, Inode>,
    /// With the other directory of a rename.
    unsynced: Vec<(ChangeSeq, Option<Inode>, DirChange)>,
}

#[derive(Clone, Debug)]
enum Content {
    File(FileState),
    Directory(DirState),
}

#[derive(Clone, Debug)]
struct Object {
    content: Content,
    modified_ms: i64,
    /// Names in the page cache that lead here: 0 or 1, there are no hard links.
    names: u32,
    /// Opens that were not closed.
    handles: u32,
}

/// What the processes of a machine hold of its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opens {
    /// Opens of files that have a name.
    pub named: u64,
    /// Opens of files whose name was removed.
    pub nameless: u64,
    /// Files that have a name.
    pub files: u64,
}

/// The file system of one node.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    objects: BTreeMap<Inode, Object>,
    next_inode: Inode,
    last_change: ChangeSeq,
    capacity_blocks: u64,
    used_blocks: u64,
    locked: BTreeSet<Inode>,
    orphans: usize,
}

impl Volume {
    /// An empty file system.
    pub(crate) fn new(capacity_bytes: u64, now_ms: i64) -> Self {
        let root =
            Object { content: Content::Directory(DirState::default()), modified_ms: now_ms, names: 1, handles: 0 };
        Self {
            objects: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            last_change: 0,
            capacity_blocks: capacity_bytes / BLOCK_BYTES,
            used_blocks: 0,
            locked: BTreeSet::new(),
            orphans: 0,
        }
    }

    /// Number of the last change: a sync issued now covers all up to it.
    pub(crate) const fn last_change(&self) -> ChangeSeq {
        self.last_change
    }

    /// Changes the size of the file system, also to less than is used.
    pub(crate) const fn set_capacity(&mut self, bytes: u64) {
        self.capacity_blocks = bytes / BLOCK_BYTES;
    }

    pub(crate) fn open(&mut self, path: &Path, mode: OpenMode, now_ms: i64) -> io::Result<Inode> {
        let (parent, name) = self.parent_of(path)?;
        let found = self.directory(parent)?.cache.get(name).copied();
        let inode = match (found, mode) {
            (None, OpenMode::Read | OpenMode::Write) => return Err(ErrorKind::NotFound.into()),
            (None, OpenMode::CreateNew | OpenMode::CreateOrOpen | OpenMode::CreateTruncated) => {
                self.create(parent, name, Content::File(FileState::default()), now_ms)?
            }
            (Some(_), OpenMode::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(inode), OpenMode::CreateTruncated) => {
                self.file(inode)?;
                self.truncate(inode, 0, now_ms)?;
                inode
            }
            (Some(inode), OpenMode::Read | OpenMode::Write | OpenMode::CreateOrOpen) => inode,
        };
        self.file(inode)?;
        self.object_mut(inode).handles += 1;
        Ok(inode)
    }

    /// Gives one open back; an unlinked file's room returns with the last.
    pub(crate) fn close(&mut self, inode: Inode) {
        let object = self.object_mut(inode);
        assert!(object.handles > 0, "an open is closed once");
        object.handles -= 1;
        self.release_if_unused(inode);
    }

    /// Opens that were not closed, and how many files there are.
    pub(crate) fn opens(&self) -> Opens {
        let mut opens = Opens::default();
        for object in self.objects.values().filter(|object| matches!(object.content, Content::File(_))) {
            let handles = u64::from(object.handles);
            if object.names > 0 {
                opens.files += 1;
                opens.named += handles;
            } else {
                opens.nameless += handles;
            }
        }
        opens
    }

    pub(crate) fn read(&self, inode: Inode, offset: u64, len: usize) -> io::Result<Bytes> {
        let content = &self.file(inode)?.cache;
        let start = index(offset).min(content.len());
        let end = start.saturating_add(len).min(content.len());
        Ok(Bytes::copy_from_slice(&content[start..end]))
    }

    pub(crate) fn size(&self, inode: Inode) -> io::Result<u64> {
        Ok(self.file(inode)?.cache.len() as u64)
    }

    /// Writes all `bytes`, or as many as there is room for and says `StorageFull`.
    pub(crate) fn write(&mut self, inode: Inode, offset: u64, mut bytes: Bytes, now_ms: i64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = self.file(inode)?;
        let end = offset + bytes.len() as u64;
        let room_end = (file.blocks() + self.free_blocks()) * BLOCK_BYTES;
        let full = end > room_end;
        if full {
            bytes.truncate(index(room_end.saturating_sub(offset)));
        }
        if !bytes.is_empty() {
            self.file_mut(inode)?.flips.written(offset, bytes.len() as u64);
            self.change_file(inode, FileChange::Write { offset, bytes }, now_ms)?;
        }
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Makes a file at least `len` long, with zeroes.
    pub(crate) fn lengthen(&mut self, inode: Inode, len: u64, now_ms: i64) -> io::Result<()> {
        if self.file(inode)?.cache.len() as u64 >= len { Ok(()) } else { self.truncate(inode, len, now_ms) }
    }

    /// Whether a range is in the page cache.
    pub(crate) fn is_cached(&self, inode: Inode, offset: u64, len: u64) -> bool {
        self.file(inode).is_ok_and(|file| file.cold_pages.range(pages(offset, len)).next().is_none())
    }

    /// The page cache gives a range up, which is not what was written to it.
    pub(crate) fn drop_from_cache(&mut self, inode: Inode, offset: u64, len: u64) {
        if let Ok(file) = self.file_mut(inode) {
            file.cold_pages.extend(pages(offset, len));
        }
    }

    /// The page cache takes a range from the device.
    pub(crate) fn bring_in(&mut self, inode: Inode, offset: u64, len: u64) {
        if let Ok(file) = self.file_mut(inode)
            && !file.cold_pages.is_empty()
        {
            let pages = pages(offset, len);
            file.cold_pages.retain(|page| !pages.contains(page));
        }
    }

    /// Flips one bit of a file on the device, whose page the cache has given up; false when it has no such byte.
    pub(crate) fn flip(&mut self, inode: Inode, now_ns: u64, (offset, bit): (u64, u8)) -> bool {
        let Ok(file) = self.file_mut(inode) else { return false };
        let mask = 1 << (bit % 8);
        let mut flipped = false;
        for content in [&mut file.cache, &mut file.device] {
            if let Some(byte) = content.get_mut(index(offset)) {
                *byte ^= mask;
                flipped = true;
            }
        }
        if flipped {
            file.flips.push(now_ns, offset, mask);
            self.drop_from_cache(inode, offset, 1);
        }
        flipped
    }

    /// What a response has of `bytes`, which stand at `offset`.
    pub(crate) fn as_sent(&self, inode: Inode, now_ns: u64, offset: u64, bytes: Bytes) -> Bytes {
        match self.file(inode) {
            Ok(file) => file.flips.as_sent(now_ns, offset, bytes),
            Err(_) => bytes,
        }
    }

    /// Every file with its path, as the page cache shows it.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Inode)> {
        let mut files = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, inode)) = open.pop() {
            match &self.object(inode).content {
                Content::File(_) => files.push((path, inode)),
                Content::Directory(directory) => {
                    open.extend(directory.cache.iter().map(|(name, child)| (path.join(name), *child)));
                }
            }
        }
        files.sort();
        files
    }

    /// The disk as a power loss would leave it that keeps nothing of what was not synced.
    pub(crate) fn durable(&self) -> Self {
        let mut durable = self.clone();
        let draw = |_: &'static str, _: u64| Keyed::new(0, "unused");
        durable.lose_power(&Fates::new(&draw, PowerFate::Nothing));
        durable
    }

    /// Bytes of writes that are not durable.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        let written = |object: &Object| match &object.content {
            Content::File(file) => file.unsynced.iter().map(|(_, _, change)| change.len()).sum::<u64>(),
            Content::Directory(_) => 0,
        };
        self.objects.values().map(written).sum()
    }

    pub(crate) fn truncate(&mut self, inode: Inode, len: u64, now_ms: i64) -> io::Result<()> {
        let file = self.file_mut(inode)?;
        if len < file.cache.len() as u64 {
            // What was reserved past the end goes with it.
            let before = file.blocks();
            file.reserved = file.reserved.min(len);
            let after = file.blocks();
            self.used_blocks -= before - after;
        }
        self.change_file(inode, FileChange::Truncate { len }, now_ms)
    }

    /// Reserves room up to `end` without changing the length.
    pub(crate) fn allocate(&mut self, inode: Inode, end: u64) -> io::Result<()> {
        let free = self.free_blocks();
        let file = self.file_mut(inode)?;
        let before = file.blocks();
        let reserved = file.reserved;
        // A shorter range than was reserved takes nothing and gives nothing back.
        file.reserved = reserved.max(end);
        let more = file.blocks() - before;
        if more > free {
            file.reserved = reserved;
            return Err(ErrorKind::StorageFull.into());
        }
        self.used_blocks += more;
        Ok(())
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = &self.directory(self.find(path)?)?.cache;
        Ok(entries.iter().map(|(name, inode)| self.entry(name, *inode)).collect())
    }

    pub(crate) fn metadata(&self, path: &Path) -> io::Result<DirEntry> {
        let inode = self.find(path)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok(self.entry(name, inode))
    }

    pub(crate) fn create_dir_all(&mut self, path: &Path, now_ms: i64) -> io::Result<()> {
        let mut at = ROOT;
        for name in components(path)? {
            at = match self.directory(at)?.cache.get(name) {
                Some(inode) => *inode,
                None => self.create(at, name, Content::Directory(DirState::default()), now_ms)?,
            };
        }
        self.directory(at).map(|_| ())
    }

    pub(crate) fn remove(&mut self, path: &Path, now_ms: i64) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.entry_of(parent, name)?;
        self.file(inode)?;
        let name = name.to_owned();
        self.unlink(parent, name, inode, now_ms);
        Ok(())
    }

    pub(crate) fn remove_dir_all(&mut self, path: &Path, now_ms: i64) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.entry_of(parent, name)?;
        self.directory(inode)?;
        let name = name.to_owned();
        self.empty(inode, now_ms)?;
        self.unlink(parent, name, inode, now_ms);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path, now_ms: i64) -> io::Result<()> {
        let (from_parent, from_name) = self.parent_of(from)?;
        let inode = self.entry_of(from_parent, from_name)?;
        let (to_parent, to_name) = self.parent_of(to)?;
        if to.starts_with(from) && to != from {
            return Err(ErrorKind::InvalidInput.into());
        }
        let replaced = self.directory(to_parent)?.cache.get(to_name).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            self.check_replaceable(inode, replaced)?;
        }
        let seq = self.next_change();
        let (from_name, to_name) = (from_name.to_owned(), to_name.to_owned());
        let other = (from_parent != to_parent).then_some(from_parent);
        let change = DirChange::Link { name: to_name, inode };
        self.change_dir(to_parent, seq, other, change, now_ms);
        let other = (from_parent != to_parent).then_some(to_parent);
        self.change_dir(from_parent, seq, other, DirChange::Unlink { name: from_name, inode }, now_ms);
        if let Some(replaced) = replaced {
            self.object_mut(replaced).names -= 1;
            self.release_if_unused(replaced);
        }
        Ok(())
    }

    pub(crate) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = ROOT;
        for name in components(path)? {
            at = self.entry_of(at, name)?;
        }
        Ok(at)
    }

    pub(crate) fn space(&self) -> Space {
        Space { total_bytes: self.capacity_blocks * BLOCK_BYTES, usable_bytes: self.free_blocks() * BLOCK_BYTES }
    }

    /// Takes the lock on an open file.
    pub(crate) fn lock(&mut self, inode: Inode) -> io::Result<()> {
        if self.locked.insert(inode) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    pub(crate) fn unlock(&mut self, inode: Inode) {
        assert!(self.locked.remove(&inode), "who unlocks holds the lock");
    }

    /// Makes the changes of a file up to `upto` durable.
    pub(crate) fn sync_file(&mut self, inode: Inode, upto: ChangeSeq) {
        if let Ok(file) = self.file_mut(inode) {
            file.carry_over(upto);
        }
    }

    /// Forgets the changes of a file up to `upto`: a failed flush marks its pages clean.
    pub(crate) fn drop_dirty(&mut self, inode: Inode, upto: ChangeSeq) {
        if let Ok(file) = self.file_mut(inode) {
            file.unsynced.retain(|(seq, _, _)| *seq > upto);
        }
    }

    /// Makes the entries of a directory durable, with both ends of every rename that touched it.
    pub(crate) fn sync_dir(&mut self, inode: Inode, upto: ChangeSeq) {
        let Ok(directory) = self.directory(inode) else { return };
        let others: BTreeSet<(Inode, ChangeSeq)> = directory
            .unsynced
            .iter()
            .filter(|(seq, _, _)| *seq <= upto)
            .filter_map(|(seq, other, _)| Some(((*other)?, *seq)))
            .collect();
        self.carry_dir(inode, |seq| seq <= upto);
        for (other, with) in others {
            self.carry_dir(other, |seq| seq == with);
        }
        self.collect_orphans();
    }

    /// Makes everything up to `upto` durable.
    pub(crate) fn sync_all(&mut self, upto: ChangeSeq) {
        let inodes: Vec<_> = self.objects.keys().copied().collect();
        for inode in inodes {
            self.sync_file(inode, upto);
            self.carry_dir(inode, |seq| seq <= upto);
        }
        self.collect_orphans();
    }

    /// The process has gone and with it its opens and locks; the page cache stays.
    pub(crate) fn close_all(&mut self) {
        self.locked.clear();
        let open: Vec<_> = self.objects.iter().filter(|(_, object)| object.handles > 0).map(|(id, _)| *id).collect();
        for inode in open {
            self.object_mut(inode).handles = 0;
            self.release_if_unused(inode);
        }
    }

    /// The machine has lost its memory: what was not synced is kept, torn or lost as `fates` decide.
    pub(crate) fn lose_power(&mut self, fates: &Fates<'_>) {
        self.close_all();
        let pending = self.pending_names();
        for (inode, object) in &mut self.objects {
            match &mut object.content {
                Content::File(file) => {
                    let changes = file.unsynced.drain(..).map(|(seq, _, change)| (seq, change));
                    file.device = fates.file(*inode, std::mem::take(&mut file.device), changes);
                    file.cache = file.device.clone();
                    file.reserved = 0;
                }
                Content::Directory(directory) => {
                    for (seq, _, change) in directory.unsynced.drain(..) {
                        if fates.names(seq, &pending) == Fate::Kept {
                            change.apply(&mut directory.device);
                        }
                    }
                    directory.cache = directory.device.clone();
                }
            }
        }
        self.rebuild_names();
    }

    /// From the first to the last change of names that is not durable.
    fn pending_names(&self) -> RangeInclusive<ChangeSeq> {
        let directories = self.objects.values().filter_map(|object| match &object.content {
            Content::Directory(directory) => Some(directory),
            Content::File(_) => None,
        });
        let first = directories.flat_map(|directory| &directory.unsynced).map(|(seq, _, _)| *seq).min();
        first.unwrap_or(self.last_change)..=self.last_change
    }

    /// Counts names and blocks afresh and drops what no name leads to.
    fn rebuild_names(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(inode) = open.pop() {
            let Ok(directory) = self.directory_mut(inode) else { continue };
            // Two surviving names of one object: the older wins, there are no hard links.
            directory.cache.retain(|_, child| reached.insert(*child));
            directory.device = directory.cache.clone();
            open.extend(directory.cache.values());
        }
        self.objects.retain(|inode, _| reached.contains(inode));
        self.used_blocks = 0;
        self.orphans = 0;
        for object in self.objects.values_mut() {
            object.names = 1;
            if let Content::File(file) = &object.content {
                self.used_blocks += file.blocks();
            }
        }
    }

    fn create(&mut self, parent: Inode, name: &str, content: Content, now_ms: i64) -> io::Result<Inode> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ErrorKind::InvalidFilename.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.objects.insert(inode, Object { content, modified_ms: now_ms, names: 1, handles: 0 });
        let seq = self.next_change();
        self.change_dir(parent, seq, None, DirChange::Link { name: name.to_owned(), inode }, now_ms);
        Ok(inode)
    }

    fn unlink(&mut self, parent: Inode, name: String, inode: Inode, now_ms: i64) {
        let seq = self.next_change();
        self.change_dir(parent, seq, None, DirChange::Unlink { name, inode }, now_ms);
        self.object_mut(inode).names -= 1;
        self.release_if_unused(inode);
    }

    fn empty(&mut self, directory: Inode, now_ms: i64) -> io::Result<()> {
        let entries: Vec<_> = self.directory(directory)?.cache.clone().into_iter().collect();
        for (name, inode) in entries {
            if self.directory(inode).is_ok() {
                self.empty(inode, now_ms)?;
            }
            self.unlink(directory, name, inode, now_ms);
        }
        Ok(())
    }

    fn check_replaceable(&self, inode: Inode, replaced: Inode) -> io::Result<()> {
        match (&self.object(inode).content, &self.object(replaced).content) {
            (Content::File(_), Content::File(_)) => Ok(()),
            (Content::File(_), Content::Directory(_)) => Err(ErrorKind::IsADirectory.into()),
            (Content::Directory(_), Content::File(_)) => Err(ErrorKind::NotADirectory.into()),
            (Content::Directory(_), Content::Directory(directory)) if directory.cache.is_empty() => Ok(()),
            (Content::Directory(_), Content::Directory(_)) => Err(ErrorKind::DirectoryNotEmpty.into()),
        }
    }

    fn change_file(&mut self, inode: Inode, change: FileChange, now_ms: i64) -> io::Result<()> {
        let seq = self.next_change();
        let file = self.file_mut(inode)?;
        let before = file.blocks();
        file.change(seq, now_ms, change);
        let after = file.blocks();
        self.used_blocks = self.used_blocks + after - before;
        self.object_mut(inode).modified_ms = now_ms;
        Ok(())
    }

    fn change_dir(&mut self, inode: Inode, seq: ChangeSeq, other: Option<Inode>, change: DirChange, now_ms: i64) {
        self.object_mut(inode).modified_ms = now_ms;
        let directory = self.directory_mut(inode).expect("names live in directories");
        change.apply(&mut directory.cache);
        directory.unsynced.push((seq, other, change));
    }

    fn carry_dir(&mut self, inode: Inode, covered: impl Fn(ChangeSeq) -> bool) {
        let Ok(directory) = self.directory_mut(inode) else { return };
        let (carried, kept) =
            std::mem::take(&mut directory.unsynced).into_iter().partition(|(seq, _, _)| covered(*seq));
        directory.unsynced = kept;
        for (_, _, change) in carried {
            let change: DirChange = change;
            change.apply(&mut directory.device);
        }
    }

    /// Gives the room of an object back when nobody can reach it; its content stays, in case its name comes back.
    fn release_if_unused(&mut self, inode: Inode) {
        let object = self.object(inode);
        if object.names > 0 || object.handles > 0 {
            return;
        }
        if let Content::File(file) = &object.content {
            self.used_blocks -= file.blocks();
        }
        self.orphans += 1;
    }

    /// Drops objects that no name leads to, neither in the cache nor after any power loss.
    fn collect_orphans(&mut self) {
        if self.orphans < ORPHANS_MAX {
            return;
        }
        let mut reachable = BTreeSet::from([ROOT]);
        for object in self.objects.values() {
            let Content::Directory(directory) = &object.content else { continue };
            reachable.extend(directory.cache.values().chain(directory.device.values()));
            reachable.extend(directory.unsynced.iter().map(|(_, _, change)| change.inode()));
        }
        self.objects.retain(|inode, object| object.handles > 0 || reachable.contains(inode));
        self.orphans = 0;
    }

    const fn next_change(&mut self) -> ChangeSeq {
        self.last_change += 1;
        self.last_change
    }

    const fn free_blocks(&self) -> u64 {
        self.capacity_blocks.saturating_sub(self.used_blocks)
    }

    fn entry(&self, name: &str, inode: Inode) -> DirEntry {
        let object = self.object(inode);
        let (kind, size_bytes) = match &object.content {
            Content::File(file) => (FileKind::File, file.cache.len() as u64),
            Content::Directory(_) => (FileKind::Directory, 0),
        };
        DirEntry { name: name.to_owned(), kind, size_bytes, modified_ms: object.modified_ms }
    }

    fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(Inode, &'a str)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("")))?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    fn entry_of(&self, directory: Inode, name: &str) -> io::Result<Inode> {
        self.directory(directory)?.cache.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn object(&self, inode: Inode) -> &Object {
        self.objects.get(&inode).expect("what a name or a handle leads to exists")
    }

    fn object_mut(&mut self, inode: Inode) -> &mut Object {
        self.objects.get_mut(&inode).expect("what a name or a handle leads to exists")
    }

    fn file(&self, inode: Inode) -> io::Result<&FileState> {
        match &self.object(inode).content {
            Content::File(file) => Ok(file),
            Content::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> io::Result<&mut FileState> {
        match &mut self.objects.get_mut(&inode).ok_or(ErrorKind::NotFound)?.content {
            Content::File(file) => Ok(file),
            Content::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn directory(&self, inode: Inode) -> io::Result<&DirState> {
        match self.objects.get(&inode).map(|object| &object.content) {
            Some(Content::Directory(directory)) => Ok(directory),
            Some(Content::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn directory_mut(&mut self, inode: Inode) -> io::Result<&mut DirState> {
        match self.objects.get_mut(&inode).map(|object| &mut object.content) {
            Some(Content::Directory(directory)) => Ok(directory),
            Some(Content::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// The names on the way to `path`; relative paths begin at the root.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => {
                names.pop();
            }
            Component::Normal(name) => names.push(name.to_str().ok_or(ErrorKind::InvalidFilename)?),
            Component::Prefix(_) => return Err(ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}

#[cfg(test)]
#[path = "volume_test.rs"]
mod tests;
