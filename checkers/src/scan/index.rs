//! Kafka's sparse indexes: 8 bytes an entry by offset, 12 by time. Zeroes at the end are room that was reserved.

use barnabas_base::Offset;

use super::{read_i32, read_i64, read_u32};

/// Offset and position of each entry.
pub(crate) fn offset_entries(base: Offset, bytes: &[u8]) -> Option<Vec<(Offset, usize)>> {
    let mut entries = Vec::new();
    for entry in bytes.chunks(8) {
        let (offset, position) = (read_i32(entry, 0)?, read_u32(entry, 4)?);
        if (offset, position) == (0, 0) {
            break;
        }
        entries.push((base.plus(i64::from(offset)), usize::try_from(position).ok()?));
    }
    Some(entries)
}

/// Timestamp and offset of each entry.
pub(crate) fn time_entries(base: Offset, bytes: &[u8]) -> Option<Vec<(i64, Offset)>> {
    let mut entries = Vec::new();
    for entry in bytes.chunks(12) {
        let (timestamp, offset) = (read_i64(entry, 0)?, read_i32(entry, 8)?);
        if (timestamp, offset) == (0, 0) {
            break;
        }
        entries.push((timestamp, base.plus(i64::from(offset))));
    }
    Some(entries)
}
