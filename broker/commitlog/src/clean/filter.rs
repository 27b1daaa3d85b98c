//! What cleaning keeps of one batch: Kafka's rules (`Cleaner`, `MemoryRecords.filterTo`, KIP-534) over bytes. Decides
//! nothing about files; `run` hands it every batch of the segments it cleans, first to fill the map, then to rewrite.
//!
//! - A record stays when it is at or past the end of the map, or the last of its key and either has a value or is a
//!   tombstone whose delete horizon has not passed. Records without a key go.
//! - The first cleaning that keeps a tombstone writes the horizon, `now + delete.retention.ms`, into the batch.
//! - A batch keeps its base offset, last offset, producer fields and epoch, a record its offset: gaps appear.
//! - A batch left without records goes, unless it holds the last sequence of a producer that is remembered, or ends the
//!   range that is cleaned: then its header stays, with count 0.
//! - Records of aborted transactions go and never count as the last of their key. Control batches stay as they are.
//! - What need not change is copied byte by byte.

use std::collections::BTreeMap;
use std::fmt;

use barnabas_base::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use barnabas_logstate::{AbortedTxn, ProducerState};
use barnabas_wire::record::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, BuildError, Compression, Compressor, Decompressor, RecordError,
    empty_batch,
};
use bytes::Bytes;

use super::OffsetMap;

/// The last thing that a producer wrote, which must be found again when its state is rebuilt from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// Last offset of its last data batch; none when only a marker is left.
    pub data_offset: Option<Offset>,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// What the filter knows beside the batch.
#[derive(Clone, Debug, Default)]
pub struct CleanRules {
    /// The time of this cleaning, one for all its batches.
    pub now: TimestampMs,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// Exclusive end of what this cleaning may touch: the batch that ends there stays, so that the end is not lost.
    pub end: Offset,
    /// Producers that are remembered.
    pub producers: BTreeMap<ProducerId, LastRecord>,
    /// Aborted transactions with records in the range.
    pub aborted: AbortedRanges,
    /// Bytes that one batch may have once decompressed.
    pub plain_bytes_max: usize,
    /// Level for batches that are compressed again with this codec; others take their codec's default.
    pub compression_level: Option<(Compression, i32)>,
}

impl CleanRules {
    /// The last records of all producers in `state`.
    #[must_use]
    pub fn last_records(state: &ProducerState) -> BTreeMap<ProducerId, LastRecord> {
        let last_record = |(id, entry): (ProducerId, &barnabas_logstate::ProducerEntry)| {
            let data_offset = entry.last_batch().map(|batch| batch.last_offset);
            (id, LastRecord { data_offset, epoch: entry.epoch() })
        };
        state.iter().map(last_record).collect()
    }

    fn must_keep_header(&self, header: &BatchHeader) -> bool {
        header.end_offset() == self.end || header.has_producer() && self.is_last_of_producer(header)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.producers.get(&header.producer_id).is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes.is_control() && header.producer_epoch == last.epoch,
        })
    }
}

/// The offsets that aborted transactions span, by producer.
#[derive(Clone, Debug, Default)]
pub struct AbortedRanges {
    by_producer: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl AbortedRanges {
    /// The ranges of `aborted`, in any order.
    #[must_use]
    pub fn new(aborted: impl IntoIterator<Item = AbortedTxn>) -> Self {
        let mut by_producer: BTreeMap<ProducerId, Vec<_>> = BTreeMap::new();
        for txn in aborted {
            by_producer.entry(txn.producer_id).or_default().push((txn.first_offset, txn.last_offset));
        }
        by_producer.values_mut().for_each(|ranges| ranges.sort_unstable());
        Self { by_producer }
    }

    /// Whether the data batch of `header` belongs to an aborted transaction.
    #[must_use]
    pub fn contain(&self, header: &BatchHeader) -> bool {
        let Some(ranges) = self.by_producer.get(&header.producer_id) else { return false };
        if !header.attributes.is_transactional() || header.attributes.is_control() {
            return false;
        }
        let later = ranges.partition_point(|(first, _)| *first <= header.base_offset);
        later > 0 && header.last_offset() <= ranges[later - 1].1
    }
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// It goes.
    Dropped,
    /// It stays as it is.
    Kept,
    /// It is replaced.
    Rewritten(Bytes),
}

/// Why a batch cannot be cleaned; the log is then left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanError {
    /// The batch.
    pub base_offset: Offset,
    /// What is wrong.
    pub cause: CleanErrorCause,
}

/// What is wrong with a batch that cannot be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanErrorCause {
    /// Its bytes do not read.
    Record(RecordError),
    /// It cannot be put together again.
    Build(BuildError),
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch at offset {} cannot be cleaned: ", self.base_offset)?;
        match &self.cause {
            CleanErrorCause::Record(error) => error.fmt(f),
            CleanErrorCause::Build(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CleanError {}

/// Reads and rewrites batches. Keeps the contexts of the codecs and two counts.
#[derive(Debug, Default)]
pub struct Filter {
    decompressor: Decompressor,
    compressor: Compressor,
    /// Records read by [`Filter::clean`].
    pub records_read: u64,
    /// Records that it kept.
    pub records_kept: u64,
    /// Tombstones that it dropped, their time over.
    pub tombstones_dropped: u64,
    /// Batches in which it began the time of tombstones.
    pub tombstones_dated: u64,
    /// Batches of which it kept no more than the header.
    pub headers_kept: u64,
    /// Records without a key that it removed. A leader refuses them in a compacted topic, so they are from before.
    pub records_without_key: u64,
}

impl Filter {
    /// Puts the keys of `batch` at and past the end of `map` into it, until it is full.
    ///
    /// # Errors
    /// [`CleanError`] when the batch cannot be read.
    pub fn index(&mut self, batch: &Batch, map: &mut OffsetMap, rules: &CleanRules) -> Result<(), CleanError> {
        let header = batch.header();
        let from = map.end();
        if header.end_offset() <= from {
            return Ok(());
        }
        if !header.attributes.is_control() && !rules.aborted.contain(header) {
            let fail = |error| CleanError { base_offset: header.base_offset, cause: CleanErrorCause::Record(error) };
            let payload = batch.payload(&mut self.decompressor, rules.plain_bytes_max).map_err(fail)?;
            for record in payload.records() {
                let record = record.map_err(fail)?;
                let Some(key) = record.key else { continue };
                if record.offset < from {
                    continue;
                }
                if map.is_full() {
                    return Ok(());
                }
                map.put(key, record.offset);
            }
        }
        map.advance_to(header.end_offset());
        Ok(())
    }

    /// What becomes of `batch`.
    ///
    /// # Errors
    /// [`CleanError`] when the batch cannot be read or put together again.
    pub fn clean(&mut self, batch: &Batch, map: &OffsetMap, rules: &CleanRules) -> Result<Cleaned, CleanError> {
        let header = batch.header();
        let base_offset = header.base_offset;
        self.records_read += u64::from(header.record_count.unsigned_abs());
        if header.attributes.is_control() {
            self.records_kept += u64::from(header.record_count.unsigned_abs());
            return Ok(Cleaned::Kept);
        }
        if rules.aborted.contain(header) {
            return Ok(without_records(header, rules));
        }
        let fail = |error| CleanError { base_offset, cause: CleanErrorCause::Record(error) };
        let payload = batch.payload(&mut self.decompressor, rules.plain_bytes_max).map_err(fail)?;
        let mut kept = Vec::new();
        let mut has_tombstone = false;
        let mut count = 0_usize;
        for record in payload.records() {
            let record = record.map_err(fail)?;
            count += 1;
            self.records_without_key += u64::from(record.key.is_none());
            let is_past = record.offset >= map.end();
            let is_last = record.key.is_some_and(|key| map.get(key).is_none_or(|last| record.offset >= last));
            let is_readable = record.value.is_some() || header.delete_horizon().is_none_or(|at| rules.now < at);
            self.tombstones_dropped += u64::from(is_last && !is_past && !is_readable);
            if is_past || is_last && is_readable {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            }
        }
        self.records_kept += kept.len() as u64;
        if kept.is_empty() {
            self.headers_kept += u64::from(rules.must_keep_header(header));
            return Ok(without_records(header, rules));
        }
        let sets_horizon = has_tombstone && header.delete_horizon().is_none();
        if kept.len() == count && !sets_horizon {
            return Ok(Cleaned::Kept);
        }
        let level = rules.compression_level.filter(|(codec, _)| *codec == header.compression());
        let mut options = BatchOptions { level: level.map(|(_, level)| level), ..BatchOptions::retaining(header) };
        if sets_horizon {
            self.tombstones_dated += 1;
            options.delete_horizon = Some(rules.now.saturating_add_ms(rules.delete_retention_ms));
        }
        let mut builder = BatchBuilder::new(options);
        let appended = kept.iter().try_for_each(|record| builder.append_record(record));
        let built = appended.and_then(|()| builder.build(&mut self.compressor));
        let bytes = built.map_err(|error| CleanError { base_offset, cause: CleanErrorCause::Build(error) })?;
        Ok(Cleaned::Rewritten(bytes))
    }
}

/// What becomes of a batch of which no record stays.
fn without_records(header: &BatchHeader, rules: &CleanRules) -> Cleaned {
    if !rules.must_keep_header(header) {
        Cleaned::Dropped
    } else if header.record_count == 0 {
        Cleaned::Kept
    } else {
        Cleaned::Rewritten(empty_batch(header))
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
