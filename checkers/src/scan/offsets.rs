//! Records of `__consumer_offsets` that commit or delete a position: key version 0 or 1, value versions 0 to 4.

use barnabas_base::Offset;

use super::batch::Record;
use super::{read_i16, read_i32, read_i64};

/// A committed or deleted position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRecord {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    /// `None` for a tombstone.
    pub offset: Option<Offset>,
}

/// Reads a record; `None` when it is of another kind.
pub(crate) fn offset_record(record: &Record<'_>) -> Option<OffsetRecord> {
    let key = record.key?;
    if !matches!(read_i16(key, 0)?, 0 | 1) {
        return None;
    }
    let (group, at) = text(key, 2)?;
    let (topic, at) = text(key, at)?;
    let partition = read_i32(key, at)?;
    let offset = record.value.and_then(|value| read_i64(value, 2)).map(Offset);
    Some(OffsetRecord { group, topic, partition, offset })
}

fn text(from: &[u8], at: usize) -> Option<(String, usize)> {
    let length = usize::try_from(read_i16(from, at)?).ok()?;
    let bytes = from.get(at + 2..)?.get(..length)?;
    Some((String::from_utf8(bytes.to_vec()).ok()?, at + 2 + length))
}
