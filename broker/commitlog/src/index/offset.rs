//! Offset to position (`OffsetIndex`): 8 bytes an entry, i32 offset relative to the segment and i32 position, both
//! rising. An entry names the *last* offset of the batch that begins at its position.

use barnabas_base::Offset;
use bytes::{BufMut, Bytes, BytesMut};

use super::WrongIndex;

/// Bytes of an entry on disk.
pub(crate) const OFFSET_ENTRY_BYTES: usize = 8;

/// Where a walk through a segment may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Last offset of the batch at `position`; the segment's base when there is no entry.
    pub(crate) offset: Offset,
    /// Byte position of a batch in the segment.
    pub(crate) position: u64,
    /// Whether an entry said so, which a reader then checks against the batch it finds.
    pub(crate) from_entry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    relative_offset: u32,
    position: u32,
}

/// Room that was reserved and not used: no entry names position 0, where walks begin anyway.
const RESERVED: Entry = Entry { relative_offset: 0, position: 0 };

/// The offset index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetIndex {
    base: Offset,
    entries: Vec<Entry>,
    written: usize,
}

impl OffsetIndex {
    /// An empty index of the segment at `base`.
    pub(crate) const fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), written: 0 }
    }

    /// Reads what stands on disk beside a segment of `segment_bytes`. Zeroes at the end are room that Kafka reserved.
    pub(crate) fn parse(base: Offset, bytes: &[u8], segment_bytes: u64) -> Result<Self, WrongIndex> {
        let mut entries = Vec::with_capacity(bytes.len() / OFFSET_ENTRY_BYTES);
        let mut last: Option<Entry> = None;
        for chunk in bytes.chunks(OFFSET_ENTRY_BYTES) {
            let Some((offset, position)) = chunk.split_at_checked(4) else { return Err(WrongIndex) };
            let (Ok(offset), Ok(position)) = (offset.try_into(), position.try_into()) else { return Err(WrongIndex) };
            let entry = Entry { relative_offset: u32::from_be_bytes(offset), position: u32::from_be_bytes(position) };
            if entry == RESERVED {
                break;
            }
            let rises =
                last.is_none_or(|last| entry.relative_offset > last.relative_offset && entry.position > last.position);
            let is_signed = entry.relative_offset <= i32::MAX as u32 && entry.position <= i32::MAX as u32;
            if !rises || !is_signed {
                return Err(WrongIndex);
            }
            if u64::from(entry.position) >= segment_bytes {
                return Err(WrongIndex);
            }
            entries.push(entry);
            last = Some(entry);
        }
        let written = entries.len();
        Ok(Self { base, entries, written })
    }

    /// The last entry at or below `offset`, or the start of the segment.
    pub(crate) fn lookup(&self, offset: Offset) -> Position {
        let relative = offset.minus(self.base);
        let after = self.entries.partition_point(|entry| i64::from(entry.relative_offset) <= relative);
        self.at(after)
    }

    /// The last entry strictly below byte `position`, or the start of the segment.
    pub(crate) fn before_position(&self, position: u64) -> Position {
        let after = self.entries.partition_point(|entry| u64::from(entry.position) < position);
        self.at(after)
    }

    /// The last batch boundary at or below byte `position`, if an entry names one.
    pub(crate) fn boundary_at_or_below(&self, position: u64) -> Option<u64> {
        let after = self.entries.partition_point(|entry| u64::from(entry.position) <= position);
        after.checked_sub(1).map(|index| u64::from(self.entries[index].position))
    }

    fn at(&self, after: usize) -> Position {
        match after.checked_sub(1) {
            Some(index) => {
                let entry = self.entries[index];
                Position {
                    offset: self.base.plus(i64::from(entry.relative_offset)),
                    position: u64::from(entry.position),
                    from_entry: true,
                }
            }
            None => Position { offset: self.base, position: 0, from_entry: false },
        }
    }

    /// Adds the batch that ends with `last_offset` and begins at `position`.
    pub(crate) fn push(&mut self, last_offset: Offset, position: u64) {
        let relative = u32::try_from(last_offset.minus(self.base)).expect("a segment is left before offsets overflow");
        let position = u32::try_from(position).expect("a segment is left before positions overflow");
        let rises = self.entries.last().is_none_or(|last| relative > last.relative_offset);
        assert!(rises, "index entries rise: {last_offset} in {:?} behind {:?}", self.base, self.entries.last());
        self.entries.push(Entry { relative_offset: relative, position });
    }

    /// Drops what lies at or above `offset`.
    pub(crate) fn truncate(&mut self, offset: Offset) {
        let relative = offset.minus(self.base);
        let kept = self.entries.partition_point(|entry| i64::from(entry.relative_offset) < relative);
        self.entries.truncate(kept);
        self.written = self.written.min(kept);
    }

    /// Entries.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes on disk of all entries.
    pub(crate) const fn size_bytes(&self) -> u64 {
        (self.entries.len() * OFFSET_ENTRY_BYTES) as u64
    }

    /// Entries that are not in the file yet, and where in the file they go.
    pub(crate) fn unwritten(&self) -> (u64, Bytes) {
        ((self.written * OFFSET_ENTRY_BYTES) as u64, self.bytes_from(self.written))
    }

    /// The file from entry `first` on.
    pub(crate) fn bytes_from(&self, first: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity((self.entries.len() - first) * OFFSET_ENTRY_BYTES);
        for entry in &self.entries[first..] {
            bytes.put_u32(entry.relative_offset);
            bytes.put_u32(entry.position);
        }
        bytes.freeze()
    }

    /// Everything up to entry `count` is in the file.
    pub(crate) fn set_written(&mut self, count: usize) {
        self.written = count.min(self.entries.len());
    }

    /// The index as (last offset, position) pairs, for printing and checks.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Offset, u64)> {
        self.entries.iter().map(|entry| (self.base.plus(i64::from(entry.relative_offset)), u64::from(entry.position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> OffsetIndex {
        let mut index = OffsetIndex::new(Offset(100));
        index.push(Offset(109), 4_096);
        index.push(Offset(119), 8_192);
        index.push(Offset(140), 12_000);
        index
    }

    #[test]
    fn lookup_finds_the_floor() {
        let index = sample();
        assert_eq!(index.lookup(Offset(100)).position, 0);
        assert_eq!(index.lookup(Offset(108)).position, 0);
        assert_eq!(index.lookup(Offset(109)).position, 4_096);
        assert_eq!(index.lookup(Offset(139)).position, 8_192);
        assert_eq!(index.lookup(Offset(9_999)).position, 12_000);
        assert_eq!(index.boundary_at_or_below(8_191), Some(4_096));
        assert_eq!(index.boundary_at_or_below(8_192), Some(8_192));
        assert_eq!(index.boundary_at_or_below(1), None);
        assert_eq!(index.before_position(8_192).position, 4_096);
    }

    #[test]
    fn bytes_round_trip_and_reserved_room_is_ignored() {
        let index = sample();
        let (at, bytes) = index.unwritten();
        assert_eq!((at, bytes.len()), (0, 24));
        let mut padded = bytes.to_vec();
        padded.resize(800, 0);
        let parsed = OffsetIndex::parse(Offset(100), &padded, 13_000).expect("a sound index");
        assert_eq!(parsed.iter().collect::<Vec<_>>(), index.iter().collect::<Vec<_>>());
        let empty = OffsetIndex::parse(Offset(0), &[0; 80], 13_000).expect("only reserved room");
        assert_eq!(empty.len(), 0);
    }

    #[test]
    fn damage_is_noticed() {
        let (_, bytes) = sample().unwritten();
        assert_eq!(OffsetIndex::parse(Offset(100), &bytes, 12_000), Err(WrongIndex), "points past the segment");
        assert_eq!(OffsetIndex::parse(Offset(100), &bytes[..23], 13_000), Err(WrongIndex), "half an entry");
        let mut swapped = bytes.to_vec();
        swapped.swap(3, 11);
        assert_eq!(OffsetIndex::parse(Offset(100), &swapped, 13_000), Err(WrongIndex), "falls");
    }

    #[test]
    fn truncation_drops_entries_at_the_offset() {
        let mut index = sample();
        index.set_written(3);
        index.truncate(Offset(119));
        assert_eq!(index.lookup(Offset(9_999)).offset, Offset(109));
        assert_eq!(index.unwritten().0, 8);
    }
}
