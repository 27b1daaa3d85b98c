//! A record batch of format 2, by its header, and its records where they are not compressed.

use barnabas_base::{LeaderEpoch, Offset};

use super::crc::crc32c;
use super::{read_i16, read_i32, read_i64, read_u32, uvarint};

/// Bytes before the records.
const HEADER_BYTES: usize = 61;
/// Base offset and length stand before what the length counts.
const OVERHEAD_BYTES: usize = 12;
/// The checksum covers what follows it.
const COVERED_FROM: usize = 21;

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch<'a> {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: i16,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub last_offset_delta: i32,
    pub size_bytes: usize,
    records: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch at the beginning of `bytes`; `None` when it is not whole or not as it was written.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(read_i32(bytes, 8)?).ok()?;
        let size_bytes = OVERHEAD_BYTES.checked_add(length)?;
        let bytes = bytes.get(..size_bytes).filter(|bytes| bytes.len() >= HEADER_BYTES)?;
        let crc = read_u32(bytes, 17)?;
        if bytes[16] != 2 || crc32c(&bytes[COVERED_FROM..]) != crc {
            return None;
        }
        let base_offset = Offset(read_i64(bytes, 0)?);
        let last_offset_delta = read_i32(bytes, 23).filter(|delta| *delta >= 0)?;
        Some(Self {
            base_offset,
            last_offset: base_offset.plus(i64::from(last_offset_delta)),
            leader_epoch: LeaderEpoch(read_i32(bytes, 12)?),
            crc,
            attributes: read_i16(bytes, 21)?,
            max_timestamp: read_i64(bytes, 35)?,
            producer_id: read_i64(bytes, 43)?,
            producer_epoch: read_i16(bytes, 51)?,
            base_sequence: read_i32(bytes, 53)?,
            last_offset_delta,
            size_bytes,
            records: &bytes[HEADER_BYTES..],
        })
    }

    /// Whether the cleaner has rewritten the batch to say when its tombstones may go (KIP-534).
    pub(crate) const fn has_delete_horizon(&self) -> bool {
        self.attributes & 0x40 != 0
    }

    /// Whether its records are none of a client or of metadata, but about the log.
    pub(crate) const fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Sequence of the last record; sequences are 31 bits wide.
    pub(crate) fn last_sequence(&self) -> i32 {
        let next = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(next & 0x7fff_ffff).expect("31 bits")
    }

    /// Offset, key and value of each record; `None` when they are compressed or do not read.
    pub(crate) fn records(&self) -> Option<Vec<Record<'a>>> {
        if self.attributes & 7 != 0 {
            return None;
        }
        let mut rest = self.records;
        let mut records = Vec::new();
        while !rest.is_empty() {
            let length = usize::try_from(varint(&mut rest)?).ok()?;
            let (mut record, behind) = rest.split_at_checked(length)?;
            rest = behind;
            record = record.get(1..)?;
            varint(&mut record)?;
            let offset = self.base_offset.plus(varint(&mut record)?);
            let key = field(&mut record)?;
            let value = field(&mut record)?;
            records.push(Record { offset, key, value });
        }
        Some(records)
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub offset: Offset,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// A zigzag number.
fn varint(from: &mut &[u8]) -> Option<i64> {
    let value = uvarint(from)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Bytes behind their length; `Some(None)` for null.
#[allow(clippy::option_option, reason = "torn and null are two things")]
fn field<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(varint(from)?) else { return Some(None) };
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(Some(bytes))
}
