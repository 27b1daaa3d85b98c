//! Checksums of a segment's ranges, kept in a plain file beside it: Kafka's batch CRC leaves the first 21 bytes of every
//! batch unprotected, and nobody reads a cold segment until a consumer does. A cache: rebuilt from a segment that checks
//! out when it is missing or describes another length. Pure; logs drive it.
//!
//! ```text
//!  0 magic "BARNCHCK"            24 segment bytes u64, all of which are covered
//!  8 version u32 = 1             32 bytes of a range u32
//! 12 CRC-32C of 16.. u32         36 owner "barnabas", padded with zeroes to 16 bytes
//! 16 base offset i64             52 CRC-32C u32 of each range; the last may be shorter
//! ```

use barnabas_base::Offset;
use barnabas_wire::record::{crc32c, crc32c_append};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::CHECK_RANGE_BYTES;

const MAGIC: &[u8; 8] = b"BARNCHCK";
const VERSION: u32 = 1;
const OWNER: &[u8; 16] = b"barnabas\0\0\0\0\0\0\0\0";
const HEADER_BYTES: usize = 52;

/// What is known of a segment's ranges.
#[derive(Clone, Debug)]
pub(crate) struct Checksums {
    /// CRC of each whole range, from the first on, and of the open one.
    ranges: Vec<u32>,
    /// Bytes that the checksums cover.
    covered: u64,
    /// Whether they cover the segment from its start.
    is_complete: bool,
    /// Ranges that were compared with the file since it was opened, or written since.
    verified: Vec<bool>,
    /// Whether the whole segment was written by this run: nothing to verify.
    is_fresh: bool,
}

impl Checksums {
    /// Of a segment that is begun now.
    pub(crate) const fn written_here() -> Self {
        Self { ranges: Vec::new(), covered: 0, is_complete: true, verified: Vec::new(), is_fresh: true }
    }

    /// Of a segment that was found.
    pub(crate) const fn unknown() -> Self {
        Self { ranges: Vec::new(), covered: 0, is_complete: false, verified: Vec::new(), is_fresh: false }
    }

    /// Adds bytes at the end. Without what came before, nothing is kept.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if !self.is_complete {
            return;
        }
        while !bytes.is_empty() {
            let within = self.covered % CHECK_RANGE_BYTES;
            if within == 0 {
                self.ranges.push(0);
                self.verified.push(true);
            }
            let room = usize::try_from(CHECK_RANGE_BYTES - within).expect("ranges fit the address space");
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let last = self.ranges.last_mut().expect("a range was begun above");
            *last = crc32c_append(*last, now);
            self.covered += now.len() as u64;
            bytes = later;
        }
    }

    /// Forgets everything; the segment was cut.
    pub(crate) fn reset(&mut self) {
        *self = Self::unknown();
    }

    /// Whether every byte up to `size` is covered.
    pub(crate) const fn covers(&self, size: u64) -> bool {
        self.is_complete && self.covered == size
    }

    /// The file that keeps them.
    pub(crate) fn to_bytes(&self, base: Offset) -> Bytes {
        assert!(self.is_complete, "only complete checksums are kept");
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.ranges.len() * 4);
        bytes.put_slice(MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_i64(base.0);
        bytes.put_u64(self.covered);
        bytes.put_u32(u32::try_from(CHECK_RANGE_BYTES).expect("ranges are a mebibyte"));
        bytes.put_slice(OWNER);
        for range in &self.ranges {
            bytes.put_u32(*range);
        }
        let crc = crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    }

    /// Reads the file; `None` when it does not describe a segment of `size` bytes at `base`.
    pub(crate) fn parse(mut bytes: &[u8], base: Offset, size: u64) -> Option<Self> {
        let covered_bytes = bytes.get(16..)?;
        if !bytes.starts_with(MAGIC) || bytes.len() < HEADER_BYTES {
            return None;
        }
        bytes.advance(MAGIC.len());
        let version = bytes.get_u32();
        let crc = bytes.get_u32();
        let is_ours = version == VERSION && crc == crc32c(covered_bytes);
        let is_same = bytes.get_i64() == base.0 && bytes.get_u64() == size;
        let range_bytes = u64::from(bytes.get_u32());
        bytes.advance(OWNER.len());
        let count = size.div_ceil(CHECK_RANGE_BYTES);
        if !is_ours || !is_same || range_bytes != CHECK_RANGE_BYTES || bytes.len() as u64 != count * 4 {
            return None;
        }
        let ranges: Vec<u32> = bytes.chunks_exact(4).map(|mut chunk| chunk.get_u32()).collect();
        let verified = vec![false; ranges.len()];
        Some(Self { ranges, covered: size, is_complete: true, verified, is_fresh: false })
    }

    /// Ranges touching bytes `from..to` that were not compared with the file yet: their start and length.
    pub(crate) fn unverified(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        if self.is_fresh || !self.is_complete || from >= to {
            return Vec::new();
        }
        let first = from / CHECK_RANGE_BYTES;
        let last = (to - 1) / CHECK_RANGE_BYTES;
        (first..=last)
            .filter(|range| usize::try_from(*range).is_ok_and(|range| self.verified.get(range) == Some(&false)))
            .map(|range| {
                let start = range * CHECK_RANGE_BYTES;
                (start, (self.covered - start).min(CHECK_RANGE_BYTES))
            })
            .collect()
    }

    /// Compares the bytes of the range at `start`; a range that matches is not asked for again.
    pub(crate) fn verify(&mut self, start: u64, crc: u32) -> bool {
        let Ok(range) = usize::try_from(start / CHECK_RANGE_BYTES) else { return false };
        let matches = self.ranges.get(range) == Some(&crc);
        if let Some(verified) = self.verified.get_mut(range) {
            *verified |= matches;
        }
        matches
    }

    /// Takes the range at `start` for seen, whatever it holds: its damage is listed.
    pub(crate) fn accept(&mut self, start: u64) {
        let range = usize::try_from(start / CHECK_RANGE_BYTES).unwrap_or(usize::MAX);
        if let Some(verified) = self.verified.get_mut(range) {
            *verified = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize) -> (Checksums, Vec<u8>) {
        let data: Vec<u8> = (0..len).map(|index| u8::try_from(index % 251).expect("below 251")).collect();
        let mut checks = Checksums::written_here();
        for chunk in data.chunks(70_000) {
            checks.push(chunk);
        }
        (checks, data)
    }

    #[test]
    fn ranges_do_not_depend_on_how_bytes_arrive() {
        let range = usize::try_from(CHECK_RANGE_BYTES).expect("fits");
        let (checks, data) = sample(2 * range + 5);
        let mut parsed =
            Checksums::parse(&checks.to_bytes(Offset(7)), Offset(7), data.len() as u64).expect("its own file");
        let open = parsed.unverified(0, data.len() as u64);
        assert_eq!(open, [(0, CHECK_RANGE_BYTES), (CHECK_RANGE_BYTES, CHECK_RANGE_BYTES), (2 * CHECK_RANGE_BYTES, 5)]);
        for (start, len) in open {
            let start_index = usize::try_from(start).expect("fits");
            let bytes = &data[start_index..start_index + usize::try_from(len).expect("fits")];
            assert!(parsed.verify(start, crc32c(bytes)));
        }
        assert!(parsed.unverified(0, data.len() as u64).is_empty());
        assert!(!parsed.verify(0, 0));
    }

    #[test]
    fn a_file_about_something_else_is_no_use() {
        let (checks, data) = sample(100);
        let bytes = checks.to_bytes(Offset(7));
        assert!(Checksums::parse(&bytes, Offset(8), data.len() as u64).is_none());
        assert!(Checksums::parse(&bytes, Offset(7), 99).is_none());
        assert!(Checksums::parse(&bytes[..bytes.len() - 1], Offset(7), 100).is_none());
        let mut flipped = bytes.to_vec();
        flipped[54] ^= 1;
        assert!(Checksums::parse(&flipped, Offset(7), 100).is_none());
    }
}
