//! Kafka's producer snapshot of version 1.

use barnabas_base::Offset;

use super::crc::crc32c;
use super::{read_i16, read_i32, read_i64, read_u32};

const ENTRY_BYTES: usize = 46;

/// The last batch of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotEntry {
    pub producer_id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_offset: Offset,
    pub offset_delta: i32,
}

/// The entries; `None` when the file is damaged.
pub(crate) fn snapshot(bytes: &[u8]) -> Option<Vec<SnapshotEntry>> {
    if read_i16(bytes, 0)? != 1 || read_u32(bytes, 2)? != crc32c(bytes.get(6..)?) {
        return None;
    }
    let (entries, rest) = bytes.get(10..)?.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || usize::try_from(read_i32(bytes, 6)?) != Ok(entries.len()) {
        return None;
    }
    let entry = |entry: &[u8; ENTRY_BYTES]| {
        Some(SnapshotEntry {
            producer_id: read_i64(entry, 0)?,
            epoch: read_i16(entry, 8)?,
            last_sequence: read_i32(entry, 10)?,
            last_offset: Offset(read_i64(entry, 14)?),
            offset_delta: read_i32(entry, 22)?,
        })
    };
    entries.iter().map(entry).collect()
}
