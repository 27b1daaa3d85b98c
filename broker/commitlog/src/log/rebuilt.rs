//! [`Rebuilt`]: the indexes and checksums of a segment, made from its batches by whoever walks through them: recovery, and
//! a log that was cut.

use barnabas_base::{Offset, TimestampMs};
use barnabas_logstate::AbortedTxn;
use barnabas_wire::record::{Batch, BatchHeader};

use crate::check::Checksums;
use crate::segment::Segment;

/// A segment's caches in the making.
pub(crate) struct Rebuilt {
    pub(super) segment: Segment,
    /// Position up to which the segment was walked.
    pub(super) size: u64,
    pub(super) last_end: Offset,
    pub(super) aborted: Vec<AbortedTxn>,
    /// Of all that was walked, where that is all there is and none of it is damaged.
    pub(super) checks: Option<Checksums>,
}

impl Rebuilt {
    pub(super) fn new(base: Offset, range_bytes: u64) -> Self {
        Self {
            segment: Segment::new(base, TimestampMs::NONE, 0, range_bytes),
            size: 0,
            last_end: base,
            aborted: Vec::new(),
            checks: Some(Checksums::written_here(range_bytes)),
        }
    }

    /// Adds a batch that was found sound to the checksums.
    pub(super) fn sum(&mut self, batch: &Batch) {
        if let Some(checks) = &mut self.checks {
            checks.push_batch(batch.header(), [&batch.bytes()[..]]);
        }
    }

    pub(super) fn push(&mut self, header: &BatchHeader, interval: u32) {
        self.segment.size = self.size;
        self.segment.push(header, interval);
        self.size = self.segment.size;
    }

    /// Goes on behind damage.
    pub(super) fn skip(&mut self, position: u64, offset: Offset) {
        self.size = position;
        self.last_end = offset;
        self.checks = None;
    }

    /// Hands the caches to the segment, which ends where the walk ended.
    pub(crate) fn install(self, segment: &mut Segment) {
        segment.size = self.size;
        if let Some(checks) = self.checks.filter(|checks| checks.covers(self.size)) {
            segment.checks = checks;
        }
        segment.indexes = self.segment.indexes;
        segment.largest = self.segment.largest;
        segment.unindexed_bytes = self.segment.unindexed_bytes;
        segment.first_timestamp = self.segment.first_timestamp;
        for entry in self.aborted {
            if !segment.aborted.contains(&entry) {
                segment.aborted.push(entry);
            }
        }
    }
}
