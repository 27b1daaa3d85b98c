//! One segment of a log as its log remembers it: where it begins, how long it is, what its sparse indexes say. Holds no
//! logic of files; the modules of [`log`](crate::log) open, write and read them.

use std::rc::Rc;

use barnabas_base::{Mark, Offset, TimestampMs, mark};
use barnabas_logstate::AbortedTxn;
use barnabas_runtime::File;
use barnabas_wire::record::BatchHeader;
use bytes::Bytes;

use crate::check::{Checksums, IndexSums};
use crate::index::{OffsetIndex, TimeIndex, TimestampOffset};

/// The sparse indexes of a segment in memory.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    pub(crate) offset: OffsetIndex,
    pub(crate) time: TimeIndex,
}

impl Indexes {
    pub(crate) const fn new(base: Offset) -> Self {
        Self { offset: OffsetIndex::new(base), time: TimeIndex::new(base) }
    }

    /// Checksums of both as they are in their files once they are written.
    pub(crate) fn sums(&self) -> IndexSums {
        IndexSums::of(&self.offset.bytes_from(0), &self.time.bytes_from(0))
    }

    pub(crate) const fn size_bytes(&self) -> u64 {
        self.offset.size_bytes() + self.time.size_bytes()
    }
}

/// One segment.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// Bytes written; the file may be longer while a write is under way.
    pub(crate) size: u64,
    /// Room was allocated up to this position, for a log that keeps headroom.
    pub(crate) allocated_to: u64,
    /// The open file, while the log keeps it open.
    pub(crate) file: Option<Rc<dyn File>>,
    /// Whether the file was used since it was last looked at for closing.
    pub(crate) was_used: bool,
    /// The files go by other names than their own for a moment: they stay open, and indexes in memory.
    pub(crate) is_pinned: bool,
    /// Always there for the active segment.
    pub(crate) indexes: Option<Indexes>,
    /// Bytes since the last index entry.
    pub(crate) unindexed_bytes: u64,
    /// Largest timestamp and the last offset of its batch; `None` when it has to be looked up.
    pub(crate) largest: Option<TimestampOffset>,
    /// Max timestamp of the first batch, from which `segment.ms` counts; `None` when it has to be looked up or the
    /// segment is empty.
    pub(crate) first_timestamp: Option<TimestampMs>,
    /// Wall clock when the segment was begun, from which `segment.ms` counts without timestamps.
    pub(crate) created: TimestampMs,
    /// Last write.
    pub(crate) modified: TimestampMs,
    /// Aborted transactions, and how many of them are in the file.
    pub(crate) aborted: Vec<AbortedTxn>,
    pub(crate) aborted_written: usize,
    /// Checksums of its ranges.
    pub(crate) checks: Checksums,
    /// Taken off `segment.ms`, so that logs do not roll together.
    pub(crate) jitter_ms: i64,
}

impl Segment {
    /// An empty segment with checksums of ranges of `range_bytes`.
    pub(crate) fn new(base: Offset, now: TimestampMs, jitter_ms: i64, range_bytes: u64) -> Self {
        Self {
            base,
            size: 0,
            allocated_to: 0,
            file: None,
            was_used: false,
            is_pinned: false,
            indexes: Some(Indexes::new(base)),
            unindexed_bytes: 0,
            largest: Some(TimestampOffset { timestamp: TimestampMs::NONE, offset: base }),
            first_timestamp: None,
            created: now,
            modified: now,
            aborted: Vec::new(),
            aborted_written: 0,
            checks: Checksums::written_here(range_bytes),
            jitter_ms,
        }
    }

    /// A segment found on disk.
    pub(crate) fn found(base: Offset, size: u64, modified: TimestampMs, range_bytes: u64) -> Self {
        Self {
            size,
            indexes: None,
            largest: None,
            created: modified,
            modified,
            checks: Checksums::unknown(range_bytes),
            ..Self::new(base, modified, 0, range_bytes)
        }
    }

    /// Notes a batch that stands at the end of the segment.
    pub(crate) fn push(&mut self, header: &BatchHeader, index_interval_bytes: u32) {
        let position = self.size;
        let size = u64::from(header.size_bytes);
        let last_offset = header.last_offset();
        let indexes = self.indexes.get_or_insert_with(|| Indexes::new(self.base));
        let largest = self.largest.unwrap_or(TimestampOffset { timestamp: TimestampMs::NONE, offset: self.base });
        let largest = if header.max_timestamp > largest.timestamp {
            TimestampOffset { timestamp: header.max_timestamp, offset: last_offset }
        } else {
            largest
        };
        if self.unindexed_bytes > u64::from(index_interval_bytes) {
            indexes.offset.push(last_offset, position);
            indexes.time.push(largest);
            self.unindexed_bytes = 0;
        }
        if position == 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.largest = Some(largest);
        self.unindexed_bytes += size;
        self.size += size;
    }

    /// What the check file is to say once the indexes that are in memory are in their files. Where the checksums of the
    /// segment are not known yet, those of its indexes alone.
    pub(crate) fn check_file(&mut self) -> Bytes {
        let sums = self.indexes.as_ref().map(Indexes::sums);
        let mut of_indexes = Checksums::written_here(self.checks.range_bytes());
        let checks = if self.checks.covers(self.size) { &mut self.checks } else { &mut of_indexes };
        if let Some(sums) = sums {
            checks.set_indexes(sums);
        }
        checks.to_bytes(self.base)
    }

    /// Whether batches that should begin another segment could go into this one: what its indexes can say bounds it.
    pub(crate) fn can_hold<'a>(&self, headers: impl Iterator<Item = &'a BatchHeader>) -> bool {
        let mut size = self.size;
        for header in headers {
            size += u64::from(header.size_bytes);
            if !is_within_reach(self.base, header) {
                return false;
            }
        }
        size <= u64::from(i32::MAX.unsigned_abs())
    }

    /// Closes the time index: a sealed segment's last entry is its largest timestamp.
    pub(crate) fn seal(&mut self) {
        if let (Some(indexes), Some(largest)) = (&mut self.indexes, self.largest) {
            indexes.time.push(largest);
        }
    }
}

/// Whether a segment at `base` can hold a batch: its indexes count from there.
pub(crate) fn is_within_reach(base: Offset, header: &BatchHeader) -> bool {
    header.last_offset().minus(base) <= i64::from(i32::MAX)
}

/// Whether a log must begin another segment before it takes the next batch (`LogSegment.shouldRoll`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollTest {
    pub(crate) base: Offset,
    pub(crate) size: u64,
    pub(crate) unindexed_bytes: u64,
    pub(crate) index_entries: u64,
    pub(crate) time_entries: u64,
    pub(crate) first_timestamp: Option<TimestampMs>,
    pub(crate) created: TimestampMs,
    pub(crate) jitter_ms: i64,
}

impl RollTest {
    /// The state of a segment after what has been written.
    pub(crate) fn of(segment: &Segment) -> Self {
        let entries = segment.indexes.as_ref().map_or((0, 0), |indexes| (indexes.offset.len(), indexes.time.len()));
        Self {
            base: segment.base,
            size: segment.size,
            unindexed_bytes: segment.unindexed_bytes,
            index_entries: entries.0 as u64,
            time_entries: entries.1 as u64,
            first_timestamp: segment.first_timestamp,
            created: segment.created,
            jitter_ms: segment.jitter_ms,
        }
    }

    /// The state of the segment that begins at `base` instead.
    pub(crate) const fn rolled(&self, base: Offset, now: TimestampMs) -> Self {
        Self {
            base,
            size: 0,
            unindexed_bytes: 0,
            index_entries: 0,
            time_entries: 0,
            first_timestamp: None,
            created: now,
            jitter_ms: self.jitter_ms,
        }
    }

    /// Whether `header` goes into another segment.
    pub(crate) fn must_roll(&self, header: &BatchHeader, config: &crate::LogConfig, now: TimestampMs) -> bool {
        if self.size == 0 {
            return header.last_offset().minus(self.base) > i64::from(i32::MAX);
        }
        let size = u64::from(header.size_bytes);
        let index_entries_max = u64::from(config.index_bytes_max) / crate::index::OFFSET_ENTRY_BYTES as u64;
        let time_entries_max = u64::from(config.index_bytes_max) / crate::index::TIME_ENTRY_BYTES as u64;
        self.size + size > u64::from(config.segment_bytes)
            || self.age_ms(header.max_timestamp, now) > config.roll_ms().saturating_sub(self.jitter_ms)
            || self.index_entries >= index_entries_max
            || self.time_entries + 1 >= time_entries_max
            || header.last_offset().minus(self.base) > i64::from(i32::MAX)
            || self.size + size > u64::from(i32::MAX.unsigned_abs())
    }

    /// Which of the bounds asks for another segment, where one does.
    pub(crate) fn why_roll(&self, header: &BatchHeader, config: &crate::LogConfig) -> Mark {
        let is_too_far = header.last_offset().minus(self.base) > i64::from(i32::MAX);
        let is_too_large = self.size + u64::from(header.size_bytes) > u64::from(config.segment_bytes);
        let entries_max = u64::from(config.index_bytes_max) / crate::index::OFFSET_ENTRY_BYTES as u64;
        let time_entries_max = u64::from(config.index_bytes_max) / crate::index::TIME_ENTRY_BYTES as u64;
        let is_index_full = self.index_entries >= entries_max || self.time_entries + 1 >= time_entries_max;
        match (is_too_far, is_too_large, is_index_full) {
            (true, _, _) => mark::ROLLED_BY_OFFSETS,
            (_, true, _) => mark::ROLLED_BY_SIZE,
            (_, _, true) => mark::ROLLED_BY_INDEX,
            (false, false, false) => mark::ROLLED_BY_TIME,
        }
    }

    /// Time by the records' own clock when they have one, by ours otherwise.
    fn age_ms(&self, timestamp: TimestampMs, now: TimestampMs) -> i64 {
        match self.first_timestamp {
            Some(first) if first.0 >= 0 => timestamp.0.saturating_sub(first.0),
            Some(_) | None => now.0.saturating_sub(self.created.0),
        }
    }

    /// Counts a batch that goes into this segment.
    pub(crate) fn push(&mut self, header: &BatchHeader, index_interval_bytes: u32) {
        if self.unindexed_bytes > u64::from(index_interval_bytes) {
            self.index_entries += 1;
            self.time_entries += 1;
            self.unindexed_bytes = 0;
        }
        if self.size == 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.unindexed_bytes += u64::from(header.size_bytes);
        self.size += u64::from(header.size_bytes);
    }
}
