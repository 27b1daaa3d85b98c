//! The bytes of a journal file. Pure: [`Journal`](super::Journal) writes them, the replay at start and `log dump` read
//! them. All integers are big-endian. Version 1.
//!
//! ```text
//! block at 0, padded with zeroes to 512 bytes
//!    0 magic "BARNJRNL"            28 directory id [u8; 16]
//!    8 version u32 = 1             44 owner "barnabas", padded with zeroes to 16 bytes
//!   12 CRC-32C of 16..68 u32       60 salt u64, random
//!   16 generation u64              68 zeroes
//!   24 shard u32
//! then entries, each at a multiple of 512 bytes
//!    0 magic "BJN1"                16 sequence u64, rising by one from 0 within the file
//!    4 CRC-32C of salt, 8..length  24 length u32, without the padding behind it
//!    8 generation u64              28 parts u32
//!   32 synced u64, how many entries of the file were durable when this one was written
//!   40 parts
//! a part: tag u8, log number u32, and by tag
//!    1 log        topic id [u8; 16], partition i32, folder length u16, folder
//!    2 data       segment i64, position u64, end offset i64, length u32, bytes of whole batches
//!    3 point      durable i64, in file i64, log start i64, settled offset i64, settled segment i64, settled position u64
//!    4 truncated  end offset i64
//!    5 removed
//! ```
//!
//! Log numbers hold within one file; a `log` part precedes all others of its number. Files are written over again: an
//! entry counts only when its generation is that of the file's first block. The salt keeps a client from sending records
//! that pass for an entry, should a reader ever look for one in the middle of them. Entries begin at sectors, so that a commit
//! never rewrites a sector that holds an acknowledged one, and so that a reader finds the next entry behind a damaged
//! one.

use barnabas_base::{DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition, Uuid};
use barnabas_wire::record::{crc32c, crc32c_append};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::{JOURNAL_ALIGN_BYTES, JOURNAL_PARTS_MAX};

pub(crate) const VERSION: u32 = 1;
/// Bytes of the first block.
pub(crate) const FIRST_BLOCK_BYTES: u64 = JOURNAL_ALIGN_BYTES;
const FILE_MAGIC: &[u8; 8] = b"BARNJRNL";
const ENTRY_MAGIC: &[u8; 4] = b"BJN1";
const OWNER: &[u8; 16] = b"barnabas\0\0\0\0\0\0\0\0";
const FILE_HEADER_BYTES: usize = 68;
const ENTRY_HEADER_BYTES: usize = 40;
const ENTRY_CRC_START: usize = 8;
const ALIGN: usize = JOURNAL_ALIGN_BYTES as usize;

/// The first block of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Rises with every file begun, over all shards and starts of a directory.
    pub(crate) generation: u64,
    /// Shard that wrote it.
    pub(crate) shard: u32,
    /// Directory it belongs to.
    pub(crate) directory_id: DirectoryId,
    /// Random; part of every entry's checksum.
    pub(crate) salt: u64,
}

/// Why a journal file cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileHeaderError {
    /// Nothing was ever made durable in it.
    Empty,
    /// It is not a journal, or its first block is damaged.
    Damaged,
    /// A later release wrote it.
    Version(u32),
}

impl FileHeader {
    /// The padded first block.
    pub(crate) fn to_block(self) -> Bytes {
        let mut block = BytesMut::with_capacity(ALIGN);
        block.put_slice(FILE_MAGIC);
        block.put_u32(VERSION);
        block.put_u32(0);
        block.put_u64(self.generation);
        block.put_u32(self.shard);
        block.put_slice(self.directory_id.0.as_bytes());
        block.put_slice(OWNER);
        block.put_u64(self.salt);
        let crc = crc32c(&block[16..FILE_HEADER_BYTES]);
        block[12..16].copy_from_slice(&crc.to_be_bytes());
        block.resize(ALIGN, 0);
        block.freeze()
    }

    /// Where the checksum of every entry begins.
    fn seed(&self) -> u32 {
        crc32c(&self.salt.to_be_bytes())
    }

    /// Reads the first block of a file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, FileHeaderError> {
        let Some(mut header) = file.get(..FILE_HEADER_BYTES) else { return Err(FileHeaderError::Empty) };
        if header.iter().all(|byte| *byte == 0) {
            return Err(FileHeaderError::Empty);
        }
        let covered = &header[16..];
        if !header.starts_with(FILE_MAGIC) {
            return Err(FileHeaderError::Damaged);
        }
        header.advance(FILE_MAGIC.len());
        let version = header.get_u32();
        if version != VERSION {
            return Err(FileHeaderError::Version(version));
        }
        if header.get_u32() != crc32c(covered) {
            return Err(FileHeaderError::Damaged);
        }
        let generation = header.get_u64();
        let shard = header.get_u32();
        let directory_id = DirectoryId(get_uuid(&mut header));
        header.advance(OWNER.len());
        let salt = header.get_u64();
        Ok(Self { generation, shard, directory_id, salt })
    }
}

fn get_uuid(bytes: &mut &[u8]) -> Uuid {
    let mut id = [0; 16];
    bytes.copy_to_slice(&mut id);
    Uuid(id)
}

/// What is known about the durable part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Everything below is durable, in the segment or in the journal.
    pub(crate) durable: Offset,
    /// Everything below is durable in the segment's own file.
    pub(crate) in_file: Offset,
    /// First offset that may be read.
    pub(crate) log_start: Offset,
    /// Up to here indexes, epochs and a producer snapshot are on disk: a start after a crash walks from here.
    pub(crate) settled: Offset,
    /// The segment that holds `settled`.
    pub(crate) settled_segment: Offset,
    /// The position of `settled` in it.
    pub(crate) settled_position: u64,
}

/// One statement of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// From here on `number` stands for this log.
    Log {
        /// Number within the file.
        number: u32,
        /// The log.
        partition: TopicPartition,
        /// Its folder.
        folder: String,
    },
    /// Batches that were acknowledged by way of the journal.
    Data {
        /// The log.
        number: u32,
        /// Base offset of the segment.
        segment: Offset,
        /// Position in it.
        position: u64,
        /// Log end offset after these batches.
        end_offset: Offset,
        /// Whole batches.
        bytes: Bytes,
    },
    /// How far the log is durable.
    Point {
        /// The log.
        number: u32,
        /// What is known.
        point: Point,
    },
    /// The log was cut; earlier data at and above the offset is void.
    Truncated {
        /// The log.
        number: u32,
        /// New log end offset.
        end_offset: Offset,
    },
    /// The log is gone.
    Removed {
        /// The log.
        number: u32,
    },
}

const TAG_LOG: u8 = 1;
const TAG_DATA: u8 = 2;
const TAG_POINT: u8 = 3;
const TAG_TRUNCATED: u8 = 4;
const TAG_REMOVED: u8 = 5;

/// Where the bytes of a data part belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The log.
    pub(crate) number: u32,
    /// Base offset of the segment.
    pub(crate) segment: Offset,
    /// Position in it.
    pub(crate) position: u64,
    /// Log end offset after these batches.
    pub(crate) end_offset: Offset,
}

/// Builds one entry without copying the batches in it.
#[derive(Debug)]
pub(crate) struct EntryBuilder {
    pieces: Vec<Bytes>,
    open: BytesMut,
    length: usize,
    parts: usize,
    has_data: bool,
}

impl EntryBuilder {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), open: BytesMut::new(), length: ENTRY_HEADER_BYTES, parts: 0, has_data: false }
    }

    /// Whether nothing was said yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.parts == 0
    }

    /// Whether it holds batches.
    pub(crate) const fn has_data(&self) -> bool {
        self.has_data
    }

    /// Bytes in the file, padding included.
    pub(crate) const fn padded_bytes(&self) -> u64 {
        (self.length.next_multiple_of(ALIGN)) as u64
    }

    /// Whether another part may be added.
    pub(crate) const fn has_room(&self) -> bool {
        self.parts < JOURNAL_PARTS_MAX
    }

    /// Adds a part.
    pub(crate) fn push(&mut self, part: &Part) {
        assert!(self.has_room(), "entries have a bounded number of parts");
        let before = self.open.len();
        match part {
            Part::Log { number, partition, folder } => {
                self.head(TAG_LOG, *number);
                self.open.put_slice(partition.topic_id.0.as_bytes());
                self.open.put_i32(partition.partition.0);
                self.open.put_u16(u16::try_from(folder.len()).expect("folder names are at most 255 bytes"));
                self.open.put_slice(folder.as_bytes());
            }
            Part::Data { number, segment, position, end_offset, bytes } => {
                let place = Place { number: *number, segment: *segment, position: *position, end_offset: *end_offset };
                self.push_data(place, std::slice::from_ref(bytes));
                return;
            }
            Part::Point { number, point } => {
                self.head(TAG_POINT, *number);
                self.open.put_i64(point.durable.0);
                self.open.put_i64(point.in_file.0);
                self.open.put_i64(point.log_start.0);
                self.open.put_i64(point.settled.0);
                self.open.put_i64(point.settled_segment.0);
                self.open.put_u64(point.settled_position);
            }
            Part::Truncated { number, end_offset } => {
                self.head(TAG_TRUNCATED, *number);
                self.open.put_i64(end_offset.0);
            }
            Part::Removed { number } => self.head(TAG_REMOVED, *number),
        }
        self.length += self.open.len() - before;
        self.parts += 1;
    }

    /// Adds a data part whose batches lie in several pieces.
    pub(crate) fn push_data(&mut self, place: Place, pieces: &[Bytes]) {
        assert!(self.has_room(), "entries have a bounded number of parts");
        let before = self.open.len();
        let len: usize = pieces.iter().map(Bytes::len).sum();
        self.has_data = true;
        self.head(TAG_DATA, place.number);
        self.open.put_i64(place.segment.0);
        self.open.put_u64(place.position);
        self.open.put_i64(place.end_offset.0);
        self.open.put_u32(u32::try_from(len).expect("a commit's share of one log is bounded"));
        self.length += self.open.len() - before + len;
        self.parts += 1;
        let head = self.open.split().freeze();
        self.pieces.push(head);
        self.pieces.extend_from_slice(pieces);
    }

    fn head(&mut self, tag: u8, number: u32) {
        self.open.put_u8(tag);
        self.open.put_u32(number);
    }

    /// The pieces to write one behind the other.
    pub(crate) fn finish(mut self, header: &FileHeader, sequence: u64, synced: u64) -> Vec<Bytes> {
        let padding = self.length.next_multiple_of(ALIGN) - self.length;
        let mut head = BytesMut::with_capacity(ENTRY_HEADER_BYTES);
        head.put_slice(ENTRY_MAGIC);
        head.put_u32(0);
        head.put_u64(header.generation);
        head.put_u64(sequence);
        head.put_u32(u32::try_from(self.length).expect("an entry fits a journal file"));
        head.put_u32(u32::try_from(self.parts).expect("parts are bounded"));
        head.put_u64(synced);
        if !self.open.is_empty() {
            self.pieces.push(self.open.freeze());
        }
        let mut crc = crc32c_append(header.seed(), &head[ENTRY_CRC_START..]);
        for piece in &self.pieces {
            crc = crc32c_append(crc, piece);
        }
        head[4..8].copy_from_slice(&crc.to_be_bytes());
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2);
        pieces.push(head.freeze());
        pieces.append(&mut self.pieces);
        if padding > 0 {
            static ZEROES: [u8; ALIGN] = [0; ALIGN];
            pieces.push(Bytes::from_static(&ZEROES[..padding]));
        }
        pieces
    }
}

/// An entry as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Position in the file.
    pub(crate) position: u64,
    /// Sequence number within the file.
    pub(crate) sequence: u64,
    /// How many entries of the file were durable when it was written.
    pub(crate) synced: u64,
    /// What it says.
    pub(crate) parts: Vec<Part>,
}

/// Everything readable in a journal file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    /// Its first block.
    pub(crate) header: FileHeader,
    /// Its entries in order.
    pub(crate) entries: Vec<Entry>,
    /// Whether an entry is missing that a later one knows to have been durable: damage.
    pub(crate) has_hole: bool,
}

/// Reads a whole journal file. What counts are the entries that were synced, as far as a later one tells, and those that
/// follow them without a gap: of entries that were not synced a power loss leaves any, and one behind a gap says things
/// that depend on what is gone.
pub(crate) fn parse_file(file: &Bytes) -> Result<JournalFile, FileHeaderError> {
    let header = FileHeader::parse(file)?;
    let mut found: Vec<Entry> = Vec::new();
    let mut position = ALIGN;
    while position < file.len() {
        let parsed = parse_entry(&file.slice(position..), &header);
        // An entry of this file cannot precede one before it: bytes of a batch that look like one.
        let expected = found.last().map_or(0, |entry| entry.sequence + 1);
        match parsed.filter(|parsed| parsed.sequence >= expected) {
            Some(parsed) => {
                let length = parsed.length;
                let Parsed { sequence, synced, parts, .. } = parsed;
                found.push(Entry { position: position as u64, sequence, synced, parts });
                position += length.next_multiple_of(ALIGN);
            }
            None => position += ALIGN,
        }
    }
    let synced = found.iter().map(|entry| entry.synced).max().unwrap_or(0);
    let mut entries = Vec::with_capacity(found.len());
    let mut expected = 0;
    let mut has_hole = false;
    for entry in found {
        if entry.sequence > expected.max(synced) {
            break;
        }
        has_hole |= entry.sequence != expected;
        expected = entry.sequence + 1;
        entries.push(entry);
    }
    Ok(JournalFile { header, entries, has_hole: has_hole || expected < synced })
}

struct Parsed {
    length: usize,
    sequence: u64,
    synced: u64,
    parts: Vec<Part>,
}

fn parse_entry(bytes: &Bytes, header: &FileHeader) -> Option<Parsed> {
    if !bytes.starts_with(ENTRY_MAGIC) || bytes.len() < ENTRY_HEADER_BYTES {
        return None;
    }
    let mut head = &bytes[ENTRY_MAGIC.len()..ENTRY_HEADER_BYTES];
    let crc = head.get_u32();
    if head.get_u64() != header.generation {
        return None;
    }
    let sequence = head.get_u64();
    let length = usize::try_from(head.get_u32()).ok()?;
    let count = usize::try_from(head.get_u32()).ok()?;
    let synced = head.get_u64();
    let covered = bytes.get(ENTRY_CRC_START..length)?;
    if length < ENTRY_HEADER_BYTES || count > JOURNAL_PARTS_MAX || crc32c_append(header.seed(), covered) != crc {
        return None;
    }
    let mut rest = bytes.slice(ENTRY_HEADER_BYTES..length);
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push(parse_part(&mut rest)?);
    }
    rest.is_empty().then_some(Parsed { length, sequence, synced, parts })
}

fn parse_part(bytes: &mut Bytes) -> Option<Part> {
    let tag = bytes.try_get_u8().ok()?;
    let number = bytes.try_get_u32().ok()?;
    Some(match tag {
        TAG_LOG => {
            let mut id = [0; 16];
            bytes.try_copy_to_slice(&mut id).ok()?;
            let partition = PartitionIndex(bytes.try_get_i32().ok()?);
            let length = usize::from(bytes.try_get_u16().ok()?);
            let folder = take(bytes, length)?;
            let folder = std::str::from_utf8(&folder).ok()?.to_owned();
            let topic_id = TopicId(Uuid(id));
            Part::Log { number, partition: TopicPartition { topic_id, partition }, folder }
        }
        TAG_DATA => {
            let segment = Offset(bytes.try_get_i64().ok()?);
            let position = bytes.try_get_u64().ok()?;
            let end_offset = Offset(bytes.try_get_i64().ok()?);
            let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
            Part::Data { number, segment, position, end_offset, bytes: take(bytes, length)? }
        }
        TAG_POINT => Part::Point {
            number,
            point: Point {
                durable: Offset(bytes.try_get_i64().ok()?),
                in_file: Offset(bytes.try_get_i64().ok()?),
                log_start: Offset(bytes.try_get_i64().ok()?),
                settled: Offset(bytes.try_get_i64().ok()?),
                settled_segment: Offset(bytes.try_get_i64().ok()?),
                settled_position: bytes.try_get_u64().ok()?,
            },
        },
        TAG_TRUNCATED => Part::Truncated { number, end_offset: Offset(bytes.try_get_i64().ok()?) },
        TAG_REMOVED => Part::Removed { number },
        _ => return None,
    })
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
