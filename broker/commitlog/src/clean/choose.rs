//! When a log is cleaned, how far, and which segments become one. Pure decisions over facts about segments; reads no
//! file and no clock. The node's cleaner asks them for every compacted log, `run` for the one it cleans.

use std::ops::Range;

use barnabas_base::{Offset, TimestampMs};

use crate::config::LogConfig;

/// What the decisions know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its base offset.
    pub base_offset: Offset,
    /// Bytes of its `.log` file.
    pub size_bytes: u64,
    /// Bytes of its offset index.
    pub index_bytes: u64,
    /// Bytes of its time index.
    pub time_index_bytes: u64,
    /// Timestamp of its first batch; none when it is empty.
    pub first_timestamp: TimestampMs,
    /// Largest timestamp in it.
    pub largest_timestamp: TimestampMs,
}

/// What the decisions know of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts<'a> {
    /// Its segments by rising base offset; the last one is active.
    pub segments: &'a [SegmentFacts],
    /// First offset that may be read.
    pub log_start: Offset,
    /// Nothing at or past it is cleaned: it may still be undone (H27).
    pub last_stable: Offset,
    /// End of the log.
    pub log_end: Offset,
    /// Where the last cleaning stopped, from `cleaner-offset-checkpoint`.
    pub cleaned_to: Option<Offset>,
}

/// What of a log can be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Where the last cleaning stopped: records from here on go into the offset map.
    pub first_dirty: Offset,
    /// Exclusive end, the base offset of a segment.
    pub end: Offset,
    /// Whether the checkpoint was outside the log and `first_dirty` is the log start instead.
    pub is_checkpoint_invalid: bool,
    /// Bytes of the segments below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of the segments from `first_dirty` up to `end`.
    pub dirty_bytes: u64,
    /// Whether a record is older than `max.compaction.lag.ms` (KIP-354).
    pub is_overdue: bool,
}

impl Cleanable {
    /// What of `log` can be cleaned at the time `now`.
    #[must_use]
    pub fn of(log: &LogFacts<'_>, config: &LogConfig, now: TimestampMs) -> Self {
        let (active, sealed) = log.segments.split_last().expect("a log has an active segment");
        let checkpoint = log.cleaned_to.unwrap_or(log.log_start);
        // Below the start after DeleteRecords or retention, past the end after a lost tail.
        let is_checkpoint_invalid = checkpoint < log.log_start || checkpoint > log.log_end;
        let first_dirty = if is_checkpoint_invalid { log.log_start } else { checkpoint };
        let dirty = &sealed[containing(log.segments, first_dirty).min(sealed.len())..];

        let min_lag_ms = config.min_compaction_lag_ms.max(0);
        let too_young = |segment: &&SegmentFacts| segment.largest_timestamp.0 > now.0.saturating_sub(min_lag_ms);
        let lag_end = if min_lag_ms > 0 { dirty.iter().find(too_young) } else { None };
        let bound = [Some(log.last_stable), Some(active.base_offset), lag_end.map(|segment| segment.base_offset)];
        let bound = bound.into_iter().flatten().min().expect("two of the bounds always exist").max(first_dirty);
        // Whole segments only: the one with the bound in it waits.
        let end = log.segments[containing(log.segments, bound)].base_offset;

        let from = first_dirty.min(end);
        let is_clean = |segment: &&SegmentFacts| segment.base_offset < first_dirty;
        let dirty_range = overlapping(log.segments, from, end);
        Self {
            first_dirty,
            end,
            is_checkpoint_invalid,
            clean_bytes: log.segments.iter().filter(is_clean).map(|segment| segment.size_bytes).sum(),
            dirty_bytes: log.segments[dirty_range].iter().map(|segment| segment.size_bytes).sum(),
            is_overdue: is_overdue(dirty, config.max_compaction_lag_ms, now),
        }
    }

    /// Share of the bytes that no cleaning has seen.
    #[must_use]
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 { 0.0 } else { self.dirty_bytes as f64 / total as f64 }
    }

    /// Whether cleaning pays or must be.
    #[must_use]
    pub fn is_due(&self, config: &LogConfig) -> bool {
        let has_dirty = self.end > self.first_dirty && self.dirty_bytes > 0;
        has_dirty && (self.is_overdue || self.dirty_ratio() > config.min_cleanable_ratio)
    }
}

fn is_overdue(dirty: &[SegmentFacts], max_lag_ms: i64, now: TimestampMs) -> bool {
    let bound = now.0.saturating_sub(max_lag_ms.max(0));
    dirty.iter().map(|segment| segment.first_timestamp.0).filter(|timestamp| *timestamp > 0).any(|first| first < bound)
}

/// Index of the segment that holds `offset`: the last one that begins at or below it; the first when all begin later.
fn containing(segments: &[SegmentFacts], offset: Offset) -> usize {
    segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
}

/// The segments with offsets in `[from, to)`.
fn overlapping(segments: &[SegmentFacts], from: Offset, to: Offset) -> Range<usize> {
    let end = segments.partition_point(|segment| segment.base_offset < to);
    containing(segments, from).min(end)..end
}

/// Splits `segments`, all of which are cleaned, into runs that become one segment each, so that cleaning does not leave
/// ever smaller ones behind. `end` is the base offset of the segment that follows.
#[must_use]
pub fn group_segments(segments: &[SegmentFacts], config: &LogConfig, end: Offset) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut sizes = Sizes::default();
    for (index, segment) in segments.iter().enumerate() {
        let next_base = segments.get(index + 1).map_or(end, |next| next.base_offset);
        if let Some(group) = groups.last_mut() {
            let sum = sizes.with(segment);
            let span = next_base.minus(segments[group.start].base_offset);
            // Index entries and record deltas hold 31 bits relative to the base offset.
            let is_addressable = segment.size_bytes == 0 || span <= i64::from(i32::MAX);
            if sum.fits(config) && is_addressable {
                group.end = index + 1;
                sizes = sum;
                continue;
            }
        }
        groups.push(index..index + 1);
        sizes = Sizes::default().with(segment);
    }
    groups
}

#[derive(Clone, Copy, Default)]
struct Sizes {
    log: u64,
    index: u64,
    time_index: u64,
}

impl Sizes {
    const fn with(self, segment: &SegmentFacts) -> Self {
        Self {
            log: self.log + segment.size_bytes,
            index: self.index + segment.index_bytes,
            time_index: self.time_index + segment.time_index_bytes,
        }
    }

    fn fits(self, config: &LogConfig) -> bool {
        let index_max = u64::from(config.index_bytes_max);
        self.log <= u64::from(config.segment_bytes) && self.index <= index_max && self.time_index <= index_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base: i64, size_bytes: u64, time: i64) -> SegmentFacts {
        SegmentFacts {
            base_offset: Offset(base),
            size_bytes,
            index_bytes: 8,
            time_index_bytes: 12,
            first_timestamp: TimestampMs(time),
            largest_timestamp: TimestampMs(time + 9),
        }
    }

    const NOW: TimestampMs = TimestampMs(1_000);

    fn cleanable(segments: &[SegmentFacts], cleaned_to: Option<i64>, stable: i64, config: &LogConfig) -> Cleanable {
        let facts = LogFacts {
            segments,
            log_start: segments[0].base_offset,
            last_stable: Offset(stable),
            log_end: Offset(45),
            cleaned_to: cleaned_to.map(Offset),
        };
        Cleanable::of(&facts, config, NOW)
    }

    fn four() -> [SegmentFacts; 4] {
        [segment(10, 100, 100), segment(20, 200, 200), segment(30, 300, 300), segment(40, 50, 400)]
    }

    #[test]
    fn everything_before_the_active_segment_is_cleanable() {
        let found = cleanable(&four(), None, 45, &LogConfig::default());
        assert_eq!((found.first_dirty, found.end), (Offset(10), Offset(40)));
        assert_eq!((found.clean_bytes, found.dirty_bytes), (0, 600));
        assert!(found.is_due(&LogConfig::default()));
    }

    #[test]
    fn cleaning_goes_on_where_it_stopped() {
        let found = cleanable(&four(), Some(30), 45, &LogConfig::default());
        assert_eq!((found.clean_bytes, found.dirty_bytes, found.end), (300, 300, Offset(40)));
        assert!(!found.is_due(&LogConfig::default()), "half is not more than half");
        let done = cleanable(&four(), Some(40), 45, &LogConfig::default());
        assert_eq!((done.first_dirty, done.end, done.dirty_bytes), (Offset(40), Offset(40), 0));
        assert!(!done.is_due(&LogConfig::default()));
    }

    #[test]
    fn the_last_stable_offset_holds_its_whole_segment_back() {
        let found = cleanable(&four(), None, 35, &LogConfig::default());
        assert_eq!((found.end, found.dirty_bytes), (Offset(30), 300));
        let nothing = cleanable(&four(), None, 12, &LogConfig::default());
        assert_eq!((nothing.end, nothing.dirty_bytes), (Offset(10), 0));
        assert!(!nothing.is_due(&LogConfig::default()));
    }

    #[test]
    fn young_segments_wait_and_old_ones_do_not() {
        let config = LogConfig { min_compaction_lag_ms: 750, ..LogConfig::default() };
        let found = cleanable(&four(), None, 45, &config);
        assert_eq!(found.end, Offset(30), "300 + 9 is younger than 1000 - 750");
        let config = LogConfig { max_compaction_lag_ms: 650, min_cleanable_ratio: 1.0, ..LogConfig::default() };
        assert!(cleanable(&four(), Some(30), 45, &config).is_due(&config), "300 is older than 1000 - 650");
        let config = LogConfig { max_compaction_lag_ms: 800, ..config };
        assert!(!cleanable(&four(), Some(30), 45, &config).is_due(&config));
    }

    #[test]
    fn a_checkpoint_outside_the_log_starts_over() {
        for checkpoint in [5, 46] {
            let found = cleanable(&four(), Some(checkpoint), 45, &LogConfig::default());
            assert!(found.is_checkpoint_invalid);
            assert_eq!(found.first_dirty, Offset(10));
        }
    }

    #[test]
    fn segments_are_joined_up_to_the_segment_size() {
        let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
        let segments = four();
        assert_eq!(group_segments(&segments[..3], &config, Offset(40)), [0..2, 2..3]);
        let config = LogConfig { index_bytes_max: 20, ..LogConfig::default() };
        assert_eq!(group_segments(&segments[..3], &config, Offset(40)), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn joined_segments_stay_addressable() {
        let far = i64::from(i32::MAX);
        let segments = [segment(0, 1, 0), segment(far - 5, 1, 0), segment(far + 1, 1, 0)];
        let config = LogConfig::default();
        assert_eq!(group_segments(&segments, &config, Offset(far + 9)), [0..1, 1..3]);
        assert_eq!(group_segments(&segments[..2], &config, Offset(far)), vec![0..2]);
    }
}
