//! The log scanner: reads segments, indexes, snapshots and offset records from a disk image, with decoders of its own. It
//! uses nothing of the broker's: an oracle that shares code with what it judges is blind to its bugs.

mod batch;
mod check;
mod crc;
#[cfg(test)]
pub(crate) mod fixture;
mod index;
mod log;
mod metadata;
mod offsets;
mod snapshot;

pub(crate) use batch::Batch;
pub(crate) use check::{IndexCheck, range_sums, segment_check};
pub(crate) use index::{offset_entries, time_entries};
pub(crate) use log::{LOG_STARTS, ScannedLog, ScannedSegment, batches, counted_lines, logs};
pub(crate) use metadata::{MetadataRecord, metadata_record};
pub(crate) use offsets::offset_record;
pub(crate) use snapshot::{SnapshotEntry, snapshot};

/// The first `N` bytes at `at`.
pub(crate) fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk::<N>().copied()
}

/// A big-endian number at `at`.
macro_rules! number {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(from: &[u8], at: usize) -> Option<$type> {
            bytes(from, at).map(<$type>::from_be_bytes)
        }
    };
}

number!(read_i16, i16);
number!(read_i32, i32);
number!(read_u32, u32);
number!(read_i64, i64);

/// A number of 7 bits a byte, the lowest first.
pub(crate) fn uvarint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
