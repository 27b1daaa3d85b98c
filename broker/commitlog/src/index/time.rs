//! Timestamp to offset (`TimeIndex`): 12 bytes an entry, i64 largest timestamp so far and i32 offset relative to the
//! segment, both rising. The offset is the last of the batch that has the timestamp.

use barnabas_base::{Offset, TimestampMs};
use bytes::{BufMut, Bytes, BytesMut};

use super::WrongIndex;

/// Bytes of an entry on disk.
pub(crate) const TIME_ENTRY_BYTES: usize = 12;

/// A timestamp and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimestampOffset {
    /// The timestamp; none when nothing is known.
    pub(crate) timestamp: TimestampMs,
    /// The offset.
    pub(crate) offset: Offset,
}

/// The time index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeIndex {
    base: Offset,
    entries: Vec<(TimestampMs, u32)>,
    written: usize,
}

impl TimeIndex {
    /// An empty index of the segment at `base`.
    pub(crate) const fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), written: 0 }
    }

    /// Reads what stands on disk. Zeroes at the end are room that Kafka reserved, but for a first entry that is the only
    /// one or has others behind it: timestamp 0 at the segment's base is an entry as well.
    pub(crate) fn parse(base: Offset, bytes: &[u8]) -> Result<Self, WrongIndex> {
        let mut entries: Vec<(TimestampMs, u32)> = Vec::with_capacity(bytes.len() / TIME_ENTRY_BYTES);
        for (index, chunk) in bytes.chunks(TIME_ENTRY_BYTES).enumerate() {
            let Some((timestamp, offset)) = chunk.split_at_checked(8) else { return Err(WrongIndex) };
            let (Ok(timestamp), Ok(offset)) = (timestamp.try_into(), offset.try_into()) else {
                return Err(WrongIndex);
            };
            let entry = (TimestampMs(i64::from_be_bytes(timestamp)), u32::from_be_bytes(offset));
            let rest = &bytes[index * TIME_ENTRY_BYTES..];
            let is_only = index == 0 && rest.len() == TIME_ENTRY_BYTES;
            if entry == (TimestampMs(0), 0) && !is_only && rest.iter().all(|byte| *byte == 0) {
                break;
            }
            let rises = entries.last().is_none_or(|last| entry.0 > last.0 && entry.1 >= last.1);
            if !rises || entry.0.0 < 0 || entry.1 > i32::MAX as u32 {
                return Err(WrongIndex);
            }
            entries.push(entry);
        }
        let written = entries.len();
        Ok(Self { base, entries, written })
    }

    /// The last entry at or below `timestamp`, or the start of the segment.
    pub(crate) fn lookup(&self, timestamp: TimestampMs) -> TimestampOffset {
        let after = self.entries.partition_point(|entry| entry.0 <= timestamp);
        self.at(after)
    }

    /// The last entry: the largest timestamp of a sealed segment.
    pub(crate) fn last(&self) -> TimestampOffset {
        self.at(self.entries.len())
    }

    fn at(&self, after: usize) -> TimestampOffset {
        match after.checked_sub(1) {
            Some(index) => {
                let (timestamp, offset) = self.entries[index];
                TimestampOffset { timestamp, offset: self.base.plus(i64::from(offset)) }
            }
            None => TimestampOffset { timestamp: TimestampMs::NONE, offset: self.base },
        }
    }

    /// Adds an entry unless the timestamp is no larger than the last.
    pub(crate) fn push(&mut self, entry: TimestampOffset) {
        let last = self.last();
        if entry.timestamp.0 < 0 || entry.timestamp <= last.timestamp {
            return;
        }
        assert!(self.entries.is_empty() || entry.offset >= last.offset, "larger timestamps come at larger offsets");
        let relative = u32::try_from(entry.offset.minus(self.base)).expect("a segment is left before offsets overflow");
        self.entries.push((entry.timestamp, relative));
    }

    /// Drops what lies at or above `offset`.
    pub(crate) fn truncate(&mut self, offset: Offset) {
        let relative = offset.minus(self.base);
        let kept = self.entries.partition_point(|entry| i64::from(entry.1) < relative);
        self.entries.truncate(kept);
        self.written = self.written.min(kept);
    }

    /// Entries.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes on disk of all entries.
    pub(crate) const fn size_bytes(&self) -> u64 {
        (self.entries.len() * TIME_ENTRY_BYTES) as u64
    }

    /// Entries that are not in the file yet, and where in the file they go.
    pub(crate) fn unwritten(&self) -> (u64, Bytes) {
        ((self.written * TIME_ENTRY_BYTES) as u64, self.bytes_from(self.written))
    }

    /// The file from entry `first` on.
    pub(crate) fn bytes_from(&self, first: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity((self.entries.len() - first) * TIME_ENTRY_BYTES);
        for (timestamp, offset) in &self.entries[first..] {
            bytes.put_i64(timestamp.0);
            bytes.put_u32(*offset);
        }
        bytes.freeze()
    }

    /// Everything up to entry `count` is in the file.
    pub(crate) fn set_written(&mut self, count: usize) {
        self.written = count.min(self.entries.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp: i64, offset: i64) -> TimestampOffset {
        TimestampOffset { timestamp: TimestampMs(timestamp), offset: Offset(offset) }
    }

    #[test]
    fn only_larger_timestamps_enter() {
        let mut index = TimeIndex::new(Offset(10));
        index.push(entry(5, 11));
        index.push(entry(5, 12));
        index.push(entry(4, 13));
        index.push(entry(9, 14));
        index.push(entry(-1, 15));
        assert_eq!(index.len(), 2);
        assert_eq!(index.lookup(TimestampMs(8)), entry(5, 11));
        assert_eq!(index.lookup(TimestampMs(4)), entry(-1, 10));
        assert_eq!(index.last(), entry(9, 14));
    }

    #[test]
    fn bytes_round_trip() {
        let mut index = TimeIndex::new(Offset(10));
        index.push(entry(5, 11));
        index.push(entry(9, 14));
        let (_, bytes) = index.unwritten();
        assert_eq!(bytes.len(), 24);
        let mut padded = bytes.to_vec();
        padded.resize(120, 0);
        let parsed = TimeIndex::parse(Offset(10), &padded).expect("a sound index");
        assert_eq!(parsed.entries, index.entries);
        assert_eq!(TimeIndex::parse(Offset(10), &bytes[..20]), Err(WrongIndex));
        padded[60] = 1;
        assert_eq!(TimeIndex::parse(Offset(10), &padded), Err(WrongIndex), "no room, and out of order");
        let mut falling = bytes.to_vec();
        falling[7] = 0xff;
        assert_eq!(TimeIndex::parse(Offset(10), &falling), Err(WrongIndex));
    }

    #[test]
    fn an_entry_of_zeroes_is_no_room_when_it_is_the_first() {
        let mut index = TimeIndex::new(Offset(10));
        index.push(entry(0, 10));
        let alone = index.bytes_from(0);
        assert_eq!(TimeIndex::parse(Offset(10), &alone).expect("one entry").last(), entry(0, 10));
        index.push(entry(9, 14));
        let followed = index.bytes_from(0);
        assert_eq!(TimeIndex::parse(Offset(10), &followed).expect("two entries").entries, index.entries);
        assert_eq!(TimeIndex::parse(Offset(10), &[0; 24]).expect("reserved room").len(), 0);
        assert_eq!(TimeIndex::parse(Offset(10), &followed[..20]), Err(WrongIndex));
    }

    #[test]
    fn truncation_follows_offsets() {
        let mut index = TimeIndex::new(Offset(10));
        index.push(entry(5, 11));
        index.push(entry(9, 14));
        index.truncate(Offset(14));
        assert_eq!(index.last(), entry(5, 11));
    }
}
