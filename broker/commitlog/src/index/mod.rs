//! The sparse indexes of a segment in memory and their bytes on disk. Caches: whoever loads one checks it and rebuilds
//! it from the segment when it is missing or wrong. Pure; segments and recovery drive them.

mod offset;
mod time;

pub(crate) use offset::{OFFSET_ENTRY_BYTES, OffsetIndex};
pub(crate) use time::{TIME_ENTRY_BYTES, TimeIndex, TimestampOffset};

/// An index does not fit the segment it stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongIndex;
