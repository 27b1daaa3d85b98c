//! Offsets by time: the first record at or after a timestamp, and the record with the largest one (KIP-79, KIP-734).

use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::record::{Batch, Decompressor, RecordError, TimestampType};

use super::Log;
use super::locate::Found;
use crate::ReadError;
use crate::index::TimestampOffset;
use crate::scan::{Scanner, Step};

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its offset.
    pub offset: Offset,
    /// Epoch in which it was appended.
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first record below `bound` whose timestamp is `timestamp` or later.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn offset_for_timestamp(
        self: &Rc<Self>,
        timestamp: TimestampMs,
        bound: Offset,
    ) -> Result<Option<TimestampAndOffset>, ReadError> {
        self.while_unchanged(async || self.search_timestamp(timestamp, bound).await).await
    }

    async fn search_timestamp(
        self: &Rc<Self>,
        timestamp: TimestampMs,
        bound: Offset,
    ) -> io::Result<Option<TimestampAndOffset>> {
        let log_start = self.log_start_offset();
        for base in self.segment_bases() {
            if base >= bound {
                break;
            }
            let Some(largest) = self.largest_of(base).await? else { continue };
            if largest.timestamp < timestamp {
                continue;
            }
            if let Some(found) = self.first_at(base, timestamp, log_start).await? {
                return Ok((found.offset < bound).then_some(found));
            }
        }
        Ok(None)
    }

    /// The first record below `bound` with the largest timestamp.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn max_timestamp(self: &Rc<Self>, bound: Offset) -> Result<Option<TimestampAndOffset>, ReadError> {
        self.while_unchanged(async || self.search_max_timestamp(bound).await).await
    }

    async fn search_max_timestamp(self: &Rc<Self>, bound: Offset) -> io::Result<Option<TimestampAndOffset>> {
        let log_start = self.log_start_offset();
        let mut best: Option<(Offset, TimestampOffset)> = None;
        for base in self.segment_bases() {
            let largest = self.largest_of(base).await?;
            let Some(largest) = largest.filter(|largest| largest.timestamp.0 >= 0) else { continue };
            if best.is_none_or(|(_, before)| largest.timestamp > before.timestamp) {
                best = Some((base, largest));
            }
        }
        let Some((base, largest)) = best else { return Ok(None) };
        let found = self.first_at(base, largest.timestamp, log_start).await?;
        Ok(found.filter(|found| found.offset < bound))
    }

    /// What `search` finds in segments that none cut, replaced or removed meanwhile: cleaning moves records into a segment
    /// that a search has already passed.
    async fn while_unchanged<T>(&self, search: impl AsyncFn() -> io::Result<T>) -> Result<T, ReadError> {
        loop {
            self.directory.check()?;
            let layout = self.state.borrow().layout;
            let found = search().await;
            if self.state.borrow().layout == layout {
                return found.map_err(|error| self.read_error(&error));
            }
            barnabas_base::reachable!(self.env, SEARCH_REPEATED);
        }
    }

    pub(crate) fn segment_bases(&self) -> Vec<Offset> {
        self.state.borrow().segments.iter().map(|segment| segment.base).collect()
    }

    /// Largest timestamp of a segment and the last offset of its batch; `None` when the segment is gone or empty.
    pub(crate) async fn largest_of(self: &Rc<Self>, base: Offset) -> io::Result<Option<TimestampOffset>> {
        {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok(None) };
            if segment.largest.is_some() || segment.size == 0 {
                return Ok(segment.largest);
            }
        }
        self.load_indexes(base).await?;
        Ok(self.state.borrow().segment(base).and_then(|segment| segment.largest))
    }

    /// The first record of a segment, at or above `from`, whose timestamp is `timestamp` or later.
    async fn first_at(
        self: &Rc<Self>,
        base: Offset,
        timestamp: TimestampMs,
        from: Offset,
    ) -> io::Result<Option<TimestampAndOffset>> {
        self.load_indexes(base).await?;
        let (before, size) = {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { return Ok(None) };
            // The entry names the batch with the largest timestamp so far: an earlier one is at or before it, a later
            // one behind it.
            let before = TimestampMs(timestamp.0 - 1);
            let entry = segment.indexes.as_ref().map(|indexes| indexes.time.lookup(before));
            (entry.map_or(base, |entry| entry.offset), segment.size)
        };
        let position = match self.locate(base, before.max(from)).await? {
            Found::Batch(batch) => batch.position,
            Found::None | Found::Damaged(_) => return Ok(None),
        };
        let file = self.segment_file(base).await?;
        let mut scanner = Scanner::new(&self.env, file, position, size).trusting(self.damaged_positions(base));
        let mut decompressor = Decompressor::new();
        let limit_bytes = self.state.borrow().rules.decompressed_bytes_max;
        loop {
            match scanner.step().await? {
                Step::End => return Ok(None),
                Step::Bad { position, .. } => match self.damage_end(base, position) {
                    Some(end) => scanner.seek(end),
                    None => return Ok(None),
                },
                Step::Batches { batches, .. } => {
                    for batch in batches.iter().filter(|batch| batch.header().max_timestamp >= timestamp) {
                        let found = first_record(batch, timestamp, from, &mut decompressor, limit_bytes);
                        if let Ok(Some(found)) = found {
                            return Ok(Some(found));
                        }
                    }
                }
            }
        }
    }
}

/// The first record of a batch, at or above `from`, whose timestamp is `timestamp` or later.
fn first_record(
    batch: &Batch,
    timestamp: TimestampMs,
    from: Offset,
    decompressor: &mut Decompressor,
    limit_bytes: usize,
) -> Result<Option<TimestampAndOffset>, RecordError> {
    let header = batch.header();
    let leader_epoch = header.partition_leader_epoch;
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime && header.base_offset >= from {
        return Ok(Some(TimestampAndOffset {
            timestamp: header.max_timestamp,
            offset: header.base_offset,
            leader_epoch,
        }));
    }
    let payload = batch.payload(decompressor, limit_bytes)?;
    for record in payload.records() {
        let record = record?;
        if record.offset >= from && record.timestamp >= timestamp {
            return Ok(Some(TimestampAndOffset { timestamp: record.timestamp, offset: record.offset, leader_epoch }));
        }
    }
    Ok(None)
}
