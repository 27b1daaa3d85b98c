//! Checksums of a segment's ranges and of its indexes, kept in a plain file beside it: Kafka's batch CRC leaves the first
//! 21 bytes of every batch unprotected, its indexes have none, and nobody reads a cold segment until a consumer does. A
//! cache: rebuilt from a segment that checks out when it is missing or describes another length. Pure; logs drive it.
//!
//! ```text
//!  0 magic "BARNCHCK"            24 bytes from the segment's start that are covered u64
//!  8 version u32 = 3             32 bytes of a range u32
//! 12 CRC-32C of 16.. u32         36 owner "barnabas", padded with zeroes to 16 bytes
//! 16 base offset i64             52 of the offset index: bytes u32, CRC-32C u32; the same of the time index; -1 for
//!                                   bytes that were not known
//!                                68 for each range, the last of which may be shorter: CRC-32C u32 of its bytes,
//!                                   CRC-32C u32 of the base offsets and leader epochs of the batches that begin in it
//! ```

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_wire::record::{BatchHeader, crc32c, crc32c_append};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: &[u8; 8] = b"BARNCHCK";
const VERSION: u32 = 3;
const OWNER: &[u8; 16] = b"barnabas\0\0\0\0\0\0\0\0";
const HEADER_BYTES: usize = 68;
const SUMS_BYTES: usize = 8;

/// What is known of a segment's ranges.
#[derive(Clone, Debug)]
pub(crate) struct Checksums {
    /// Of each whole range, from the first on, and of the open one.
    ranges: Vec<Sums>,
    /// Bytes of each.
    range_bytes: u64,
    /// Bytes that the checksums cover.
    covered: u64,
    /// Whether they cover the segment from its start.
    is_complete: bool,
    /// Ranges that this process wrote, or has compared with the file.
    known: Vec<bool>,
    /// Of the indexes as they are in their files.
    indexes: Option<IndexSums>,
}

/// Checksums of the indexes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexSums {
    offset: IndexSum,
    time: IndexSum,
}

/// Of one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexSum {
    bytes: u32,
    crc: u32,
}

impl IndexSum {
    const UNKNOWN: Self = Self { bytes: u32::MAX, crc: 0 };

    fn of(index: &[u8]) -> Self {
        Self { bytes: u32::try_from(index.len()).expect("indexes are small"), crc: crc32c(index) }
    }

    fn put(self, file: &mut BytesMut) {
        file.put_u32(self.bytes);
        file.put_u32(self.crc);
    }

    fn get(file: &mut &[u8]) -> Self {
        Self { bytes: file.get_u32(), crc: file.get_u32() }
    }

    fn len(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// Whether a file begins with what was written.
    fn confirms(self, index: &[u8]) -> bool {
        index.get(..self.len()).is_some_and(|begun| crc32c(begun) == self.crc)
    }
}

impl IndexSums {
    /// Of the bytes of an offset index and a time index.
    pub(crate) fn of(offset: &[u8], time: &[u8]) -> Self {
        Self { offset: IndexSum::of(offset), time: IndexSum::of(time) }
    }

    /// How many bytes of both files stand as they were written, entries that came later apart; `None` when they do not.
    pub(crate) fn confirmed(self, offset: &[u8], time: &[u8]) -> Option<(usize, usize)> {
        let is_confirmed = self.offset.confirms(offset) && self.time.confirms(time);
        is_confirmed.then_some((self.offset.len(), self.time.len()))
    }
}

/// Checksums of one range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of its bytes.
    pub(crate) bytes: u32,
    /// Of what stands in the headers of the batches that begin in it and is left out by their own checksums.
    pub(crate) places: u32,
}

impl Sums {
    /// Adds a batch that begins in the range.
    pub(crate) fn place(&mut self, base_offset: Offset, epoch: LeaderEpoch) {
        self.places = crc32c_append(self.places, &base_offset.0.to_be_bytes());
        self.places = crc32c_append(self.places, &epoch.0.to_be_bytes());
    }

    /// Adds what began as a batch and does not read as one.
    pub(crate) fn place_unsound(&mut self, head: &[u8]) {
        for field in [0..8, 12..16] {
            self.places = crc32c_append(self.places, head.get(field).unwrap_or_default());
        }
    }
}

/// A bit of a head that is not as it was summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlippedBit {
    /// Which of the heads.
    pub(crate) head: usize,
    /// The bit in its base offset; 0 when it is one of the leader epoch.
    pub(crate) offset_mask: i64,
}

impl FlippedBit {
    /// The one bit in `count` heads that, flipped back, makes one checksum of places the other; `None` when no single bit
    /// does. A bit of the last byte changes a CRC in a way of its own, and each byte behind it turns that on as it turns
    /// any CRC on: walking back from the last byte costs eight steps a byte.
    pub(crate) fn find(count: usize, read: u32, summed: u32) -> Option<Self> {
        const OFFSET_BYTES: usize = 8;
        const PLACE_BYTES: usize = OFFSET_BYTES + 4;
        let changed = |by: u8| crc32c(&[by]) ^ crc32c(&[0]);
        let low_bytes: Vec<u32> = (0..=u8::MAX).map(changed).collect();
        let mut changes: [u32; 8] = std::array::from_fn(|bit| changed(1 << bit));
        for byte in (0..count * PLACE_BYTES).rev() {
            if let Some(bit) = changes.iter().position(|change| *change == read ^ summed) {
                let above = (OFFSET_BYTES - 1).checked_sub(byte % PLACE_BYTES);
                let offset_mask = above.map_or(0, |above| 1_i64 << (above * 8 + bit));
                return Some(Self { head: byte / PLACE_BYTES, offset_mask });
            }
            for change in &mut changes {
                *change = (*change >> 8) ^ low_bytes[(*change & 0xff) as usize];
            }
        }
        None
    }
}

/// One range of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Where it begins.
    pub(crate) start: u64,
    /// Bytes that are covered.
    pub(crate) len: u64,
    /// Of what was written there.
    pub(crate) sums: Sums,
    /// Whether this process wrote it, or has compared it with the file.
    pub(crate) is_known: bool,
}

impl Checksums {
    /// Of a segment that is begun now, in ranges of so many bytes.
    pub(crate) fn written_here(range_bytes: u64) -> Self {
        Self { is_complete: true, ..Self::unknown(range_bytes) }
    }

    /// Of a segment that was found.
    pub(crate) const fn unknown(range_bytes: u64) -> Self {
        Self { ranges: Vec::new(), range_bytes, covered: 0, is_complete: false, known: Vec::new(), indexes: None }
    }

    /// Bytes of a range.
    pub(crate) const fn range_bytes(&self) -> u64 {
        self.range_bytes
    }

    /// Adds a batch at the end, in as many parts as it comes. Without what came before, nothing is kept.
    pub(crate) fn push_batch<'a>(&mut self, header: &BatchHeader, parts: impl IntoIterator<Item = &'a [u8]>) {
        if !self.is_complete {
            return;
        }
        self.open_range();
        self.ranges.last_mut().expect("a range is open").place(header.base_offset, header.partition_leader_epoch);
        parts.into_iter().for_each(|part| self.push(part));
    }

    fn open_range(&mut self) {
        if self.covered.is_multiple_of(self.range_bytes) && self.ranges.len() as u64 * self.range_bytes == self.covered
        {
            self.ranges.push(Sums::default());
            self.known.push(true);
        }
    }

    /// Adds bytes at the end that belong to a batch which began before, or to none.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if !self.is_complete {
            return;
        }
        while !bytes.is_empty() {
            self.open_range();
            let within = self.covered % self.range_bytes;
            let room = usize::try_from(self.range_bytes - within).expect("ranges fit the address space");
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let last = self.ranges.last_mut().expect("a range was begun above");
            last.bytes = crc32c_append(last.bytes, now);
            self.covered += now.len() as u64;
            bytes = later;
        }
    }

    /// Forgets everything; the segment was cut.
    pub(crate) fn reset(&mut self) {
        *self = Self::unknown(self.range_bytes);
    }

    /// Whether every byte up to `size` is covered.
    pub(crate) const fn covers(&self, size: u64) -> bool {
        self.is_complete && self.covered == size
    }

    /// The file that keeps them.
    pub(crate) fn to_bytes(&self, base: Offset) -> Bytes {
        assert!(self.is_complete, "only complete checksums are kept");
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.ranges.len() * SUMS_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_i64(base.0);
        bytes.put_u64(self.covered);
        bytes.put_u32(u32::try_from(self.range_bytes).expect("ranges are small"));
        bytes.put_slice(OWNER);
        let unknown = IndexSums { offset: IndexSum::UNKNOWN, time: IndexSum::UNKNOWN };
        let indexes = self.indexes.unwrap_or(unknown);
        indexes.offset.put(&mut bytes);
        indexes.time.put(&mut bytes);
        for range in &self.ranges {
            bytes.put_u32(range.bytes);
            bytes.put_u32(range.places);
        }
        let crc = crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    }

    /// What the indexes are from here on in their files.
    pub(crate) const fn set_indexes(&mut self, indexes: IndexSums) {
        self.indexes = Some(indexes);
    }

    /// What the indexes were when they were written last, if that is known.
    pub(crate) const fn indexes(&self) -> Option<IndexSums> {
        self.indexes
    }

    /// Bytes from the start that are covered.
    pub(crate) const fn covered(&self) -> u64 {
        self.covered
    }

    /// Reads the file; `None` when it does not describe a segment at `base`, or more than `size` bytes of it, or in other
    /// ranges than of `range_bytes`.
    pub(crate) fn parse(mut bytes: &[u8], base: Offset, size: u64, range_bytes: u64) -> Option<Self> {
        let covered_bytes = bytes.get(16..)?;
        if !bytes.starts_with(MAGIC) || bytes.len() < HEADER_BYTES {
            return None;
        }
        bytes.advance(MAGIC.len());
        let version = bytes.get_u32();
        let crc = bytes.get_u32();
        let is_ours = version == VERSION && crc == crc32c(covered_bytes);
        let is_same = bytes.get_i64() == base.0;
        let covered = bytes.get_u64();
        let has_same_ranges = u64::from(bytes.get_u32()) == range_bytes;
        bytes.advance(OWNER.len());
        let indexes = IndexSums { offset: IndexSum::get(&mut bytes), time: IndexSum::get(&mut bytes) };
        let indexes = (indexes.offset != IndexSum::UNKNOWN).then_some(indexes);
        let count = covered.div_ceil(range_bytes);
        if !is_ours
            || !is_same
            || covered > size
            || !has_same_ranges
            || bytes.len() as u64 != count.saturating_mul(SUMS_BYTES as u64)
        {
            return None;
        }
        let sums = |mut chunk: &[u8]| Sums { bytes: chunk.get_u32(), places: chunk.get_u32() };
        let ranges: Vec<Sums> = bytes.chunks_exact(SUMS_BYTES).map(sums).collect();
        let known = vec![false; ranges.len()];
        Some(Self { ranges, range_bytes, covered, is_complete: true, known, indexes })
    }

    /// The ranges that touch bytes `from..to`.
    pub(crate) fn ranges(&self, from: u64, to: u64) -> impl Iterator<Item = Range> {
        let touched = self.touched(from, to);
        touched.clone().zip(self.ranges[touched.clone()].iter().zip(&self.known[touched])).map(
            |(index, (sums, is_known))| {
                let start = index as u64 * self.range_bytes;
                let len = (self.covered - start).min(self.range_bytes);
                Range { start, len, sums: *sums, is_known: *is_known }
            },
        )
    }

    /// Which ranges touch bytes `from..to`, by their place in the order.
    fn touched(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let to = if self.is_complete { to.min(self.covered) } else { 0 };
        let first = usize::try_from(from / self.range_bytes).unwrap_or(usize::MAX);
        let end = usize::try_from(to.div_ceil(self.range_bytes)).unwrap_or(usize::MAX);
        first.min(end)..end
    }

    /// Whether this process wrote bytes `from..to`, or has compared them since they came from the device.
    pub(crate) fn are_known(&self, from: u64, to: u64) -> bool {
        self.is_complete && to <= self.covered && self.known[self.touched(from, to)].iter().all(|is_known| *is_known)
    }

    /// Bytes `from..to` came from the device once more: nobody knows of the ranges that they touch.
    pub(crate) fn unseen(&mut self, from: u64, to: u64) {
        let touched = self.touched(from, to);
        self.known[touched].fill(false);
    }

    /// Somebody has looked at a range, whose checksums are `sums` from here on. A range that has grown since stays as it is.
    pub(crate) fn seen(&mut self, range: &Range, sums: Sums) {
        let index = usize::try_from(range.start / self.range_bytes).unwrap_or(usize::MAX);
        if (self.covered - range.start.min(self.covered)).min(self.range_bytes) != range.len {
            return;
        }
        if let (Some(known), Some(kept)) = (self.known.get_mut(index), self.ranges.get_mut(index)) {
            *known = true;
            *kept = sums;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CHECK_RANGE_BYTES;

    fn sample(len: usize) -> (Checksums, Vec<u8>) {
        let data: Vec<u8> = (0..len).map(|index| u8::try_from(index % 251).expect("below 251")).collect();
        let mut checks = Checksums::written_here(CHECK_RANGE_BYTES);
        for chunk in data.chunks(70_000) {
            checks.push(chunk);
        }
        (checks, data)
    }

    #[test]
    fn ranges_do_not_depend_on_how_bytes_arrive() {
        let range = usize::try_from(CHECK_RANGE_BYTES).expect("fits");
        let (checks, data) = sample(2 * range + 5);
        let mut parsed = Checksums::parse(&checks.to_bytes(Offset(7)), Offset(7), data.len() as u64, CHECK_RANGE_BYTES)
            .expect("its own file");
        let all: Vec<Range> = parsed.ranges(0, u64::MAX).collect();
        let places: Vec<(u64, u64)> = all.iter().map(|range| (range.start, range.len)).collect();
        assert_eq!(
            places,
            [(0, CHECK_RANGE_BYTES), (CHECK_RANGE_BYTES, CHECK_RANGE_BYTES), (2 * CHECK_RANGE_BYTES, 5)]
        );
        for range in &all {
            assert!(!range.is_known, "nobody has looked at them");
            let start = usize::try_from(range.start).expect("fits");
            let bytes = &data[start..start + usize::try_from(range.len).expect("fits")];
            assert_eq!(range.sums.bytes, crc32c(bytes));
            parsed.seen(range, range.sums);
        }
        assert!(parsed.ranges(0, u64::MAX).all(|range| range.is_known));
        assert!(checks.ranges(0, u64::MAX).all(|range| range.is_known), "they were written here");
        parsed.unseen(CHECK_RANGE_BYTES - 1, CHECK_RANGE_BYTES);
        parsed.unseen(4 * CHECK_RANGE_BYTES, u64::MAX);
        let known: Vec<bool> = parsed.ranges(0, u64::MAX).map(|range| range.is_known).collect();
        assert_eq!(known, [false, true, true], "what came from the device again");
        let size = data.len() as u64;
        assert!(!parsed.are_known(CHECK_RANGE_BYTES - 1, size) && parsed.are_known(CHECK_RANGE_BYTES, size));
        assert!(!parsed.are_known(CHECK_RANGE_BYTES, size + 1), "nobody has summed that up");
        assert_eq!(parsed.ranges(CHECK_RANGE_BYTES, CHECK_RANGE_BYTES + 1).count(), 1);
    }

    #[test]
    fn a_range_that_has_grown_is_not_taken_for_what_it_was() {
        let (mut checks, _) = sample(10);
        let before = checks.ranges(0, 10).next().expect("one range");
        checks.push(b"more");
        checks.seen(&before, Sums::default());
        let after = checks.ranges(0, u64::MAX).next().expect("one range");
        assert_eq!((after.len, after.sums.bytes), (14, crc32c_append(before.sums.bytes, b"more")));
    }

    #[test]
    fn they_go_on_where_a_file_ends() {
        let range = usize::try_from(CHECK_RANGE_BYTES).expect("fits");
        let (all, data) = sample(2 * range + 5);
        let (begun, _) = sample(range + 7);
        let mut resumed = Checksums::parse(&begun.to_bytes(Offset(7)), Offset(7), data.len() as u64, CHECK_RANGE_BYTES)
            .expect("its start");
        resumed.push(&data[range + 7..]);
        assert_eq!(resumed.to_bytes(Offset(7)), all.to_bytes(Offset(7)));
        let known: Vec<bool> = resumed.ranges(0, u64::MAX).map(|range| range.is_known).collect();
        assert_eq!(known, [false, false, true], "the range that goes on was not compared");
    }

    #[test]
    fn a_flipped_bit_is_found_in_whichever_head_it_is() {
        let heads: Vec<(i64, i32)> = (0..20).map(|head| (head * 37, 5)).collect();
        let places = |heads: &[(i64, i32)]| {
            let mut sums = Sums::default();
            heads.iter().for_each(|(base, epoch)| sums.place(Offset(*base), LeaderEpoch(*epoch)));
            sums.places
        };
        let summed = places(&heads);
        assert_eq!(FlippedBit::find(heads.len(), summed, summed), None);
        for head in 0..heads.len() {
            for bit in 0..96 {
                let mut read = heads.clone();
                let offset_mask = if bit < 64 { 1_i64 << bit } else { 0 };
                read[head].0 ^= offset_mask;
                read[head].1 ^= if bit < 64 { 0 } else { 1_i32 << (bit - 64) };
                assert_eq!(
                    FlippedBit::find(heads.len(), places(&read), summed),
                    Some(FlippedBit { head, offset_mask })
                );
            }
        }
        let mut twice = heads.clone();
        (twice[3].0, twice[11].0) = (twice[3].0 ^ 4, twice[11].0 ^ 64);
        assert_eq!(FlippedBit::find(heads.len(), places(&twice), summed), None);
    }

    #[test]
    fn indexes_are_confirmed_as_far_as_they_were_written() {
        let (mut checks, data) = sample(100);
        let parse = |checks: &Checksums| {
            Checksums::parse(&checks.to_bytes(Offset(7)), Offset(7), data.len() as u64, CHECK_RANGE_BYTES)
                .expect("its own file")
        };
        assert_eq!(parse(&checks).indexes(), None, "nobody said what they are");
        checks.set_indexes(IndexSums::of(b"offsets.", b"timestamps.."));
        let sums = parse(&checks).indexes().expect("they are known");
        assert_eq!(sums.confirmed(b"offsets.", b"timestamps.."), Some((8, 12)));
        assert_eq!(sums.confirmed(b"offsets.grown", b"timestamps..grown"), Some((8, 12)));
        assert_eq!(sums.confirmed(b"offsets.", b"timestamqs.."), None);
        assert_eq!(sums.confirmed(b"offsets", b"timestamps.."), None, "an entry is missing");
    }

    #[test]
    fn a_file_about_something_else_is_no_use() {
        let (checks, data) = sample(100);
        let bytes = checks.to_bytes(Offset(7));
        assert!(Checksums::parse(&bytes, Offset(8), data.len() as u64, CHECK_RANGE_BYTES).is_none());
        assert!(Checksums::parse(&bytes, Offset(7), 99, CHECK_RANGE_BYTES).is_none());
        assert!(Checksums::parse(&bytes[..bytes.len() - 1], Offset(7), 100, CHECK_RANGE_BYTES).is_none());
        let mut flipped = bytes.to_vec();
        flipped[70] ^= 1;
        assert!(Checksums::parse(&flipped, Offset(7), 100, CHECK_RANGE_BYTES).is_none());
    }
}
