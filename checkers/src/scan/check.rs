//! The file of checksums that a broker keeps beside a segment: of ranges of its bytes, of the places of the batches that
//! begin in them, and of its indexes.

use barnabas_base::Offset;

use super::crc::crc32c;
use super::{bytes, read_i64, read_u32};

/// What a file of this kind begins with.
const MAGIC: [u8; 8] = *b"BARNCHCK";
const VERSION: u32 = 3;
/// The checksum of the file covers what follows it.
const COVERED_FROM: usize = 16;
/// Where the checksums of ranges begin.
const HEADER_BYTES: usize = 68;

/// The length of an index and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexCheck {
    bytes: u32,
    crc: u32,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentCheck {
    pub base: Offset,
    /// Bytes of the segment that are covered.
    pub covered: u64,
    pub range_bytes: u64,
    pub offset_index: IndexCheck,
    pub time_index: IndexCheck,
    /// Of each range: of its bytes, and of the offsets and epochs of its batches.
    pub ranges: Vec<(u32, u32)>,
}

impl IndexCheck {
    fn read(from: &[u8], at: usize) -> Option<Self> {
        Some(Self { bytes: read_u32(from, at)?, crc: read_u32(from, at + 4)? })
    }

    /// Whether an index begins with what is said of it. Where nothing was known nothing is said.
    pub(crate) fn fits(self, index: &[u8]) -> bool {
        let is_unknown = self.bytes == u32::MAX;
        let begun = usize::try_from(self.bytes).ok().and_then(|len| index.get(..len));
        is_unknown || begun.is_some_and(|begun| crc32c(begun) == self.crc)
    }
}

/// Reads the file; `None` when it is not whole.
pub(crate) fn segment_check(file: &[u8]) -> Option<SegmentCheck> {
    let is_ours = bytes(file, 0) == Some(MAGIC) && read_u32(file, 8) == Some(VERSION);
    if !is_ours || read_u32(file, 12)? != crc32c(file.get(COVERED_FROM..)?) {
        return None;
    }
    let (sums, rest) = file.get(HEADER_BYTES..)?.as_chunks::<8>();
    let range = |sums: &[u8; 8]| Some((read_u32(sums, 0)?, read_u32(sums, 4)?));
    let ranges = sums.iter().map(range).collect::<Option<Vec<_>>>().filter(|_| rest.is_empty())?;
    Some(SegmentCheck {
        base: Offset(read_i64(file, 16)?),
        covered: u64::from_be_bytes(bytes(file, 24)?),
        range_bytes: u64::from(read_u32(file, 32)?),
        offset_index: IndexCheck::read(file, 52)?,
        time_index: IndexCheck::read(file, 60)?,
        ranges,
    })
}

/// The checksums of each range of a segment whose batches begin at such positions.
pub(crate) fn range_sums<'a>(
    segment: &[u8],
    range_bytes: usize,
    batches: impl Iterator<Item = &'a (usize, super::Batch<'a>)> + Clone,
) -> Vec<(u32, u32)> {
    let ranges = segment.chunks(range_bytes.max(1)).enumerate();
    ranges
        .map(|(index, bytes)| {
            let begins = |position: usize| position / range_bytes.max(1) == index;
            let places = batches.clone().filter(|(position, _)| begins(*position)).flat_map(|(_, batch)| {
                let (offset, epoch) = (batch.base_offset.0.to_be_bytes(), batch.leader_epoch.0.to_be_bytes());
                offset.into_iter().chain(epoch)
            });
            (crc32c(bytes), crc32c(&places.collect::<Vec<u8>>()))
        })
        .collect()
}
