//! Offsets by time: the first record at or after a timestamp, and the record with the largest one (KIP-79, KIP-734).

use std::cmp::Reverse;
use std::io;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::record::{Batch, Decompressor, RecordError, TimestampType};

use super::Log;
use super::locate::Found;
use crate::ReadError;
use crate::index::TimestampOffset;
use crate::scan::Step;

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
        let mut segments = Vec::new();
        for base in self.segment_bases() {
            let largest = self.largest_of(base).await?.map_or(TimestampMs::NONE, |largest| largest.timestamp);
            if largest.0 >= 0 {
                segments.push((base, largest));
            }
        }
        // Stable, so that of equal timestamps the first one comes first.
        segments.sort_by_key(|(_, largest)| Reverse(*largest));
        let mut best: Option<TimestampAndOffset> = None;
        for (base, largest) in segments {
            if best.is_some_and(|best| best.timestamp >= largest) {
                break;
            }
            let found = match self.first_at(base, largest, log_start).await? {
                Some(found) => Some(found),
                // The record with that timestamp was deleted; what is left of its segment may still have the largest.
                None => self.largest_from(base, log_start).await?,
            };
            best = match (best, found) {
                (Some(best), Some(found)) if found.timestamp <= best.timestamp => Some(best),
                (best, found) => found.or(best),
            };
        }
        Ok(best.filter(|best| best.offset < bound))
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
        let mut found = None;
        self.show(base, (before.max(from), size), |batch, decompressor, limit_bytes| {
            if batch.header().max_timestamp >= timestamp {
                found = first_record(batch, timestamp, from, decompressor, limit_bytes).ok().flatten();
            }
            found.is_none()
        })
        .await?;
        Ok(found)
    }

    /// The first record of a segment with the largest timestamp that one at or above `from` has.
    async fn largest_from(self: &Rc<Self>, base: Offset, from: Offset) -> io::Result<Option<TimestampAndOffset>> {
        let Some(size) = self.state.borrow().segment(base).map(|segment| segment.size) else { return Ok(None) };
        let mut best: Option<TimestampAndOffset> = None;
        self.show(base, (base.max(from), size), |batch, decompressor, limit_bytes| {
            let known = best.map_or(TimestampMs::NONE, |best| best.timestamp);
            if batch.header().max_timestamp > known
                && let Ok(Some(found)) = largest_record(batch, from, decompressor, limit_bytes)
                && found.timestamp > known
            {
                best = Some(found);
            }
            true
        })
        .await?;
        Ok(best)
    }

    /// Shows the batches of a segment, from that with the record at `from` up to position `size`, until `goes_on` says no.
    async fn show(
        self: &Rc<Self>,
        base: Offset,
        (from, size): (Offset, u64),
        mut goes_on: impl FnMut(&Batch, &mut Decompressor, usize) -> bool,
    ) -> io::Result<()> {
        let position = match self.locate(base, from).await? {
            Found::Batch(batch) => batch.position,
            Found::None | Found::Damaged(_) => return Ok(()),
        };
        let file = self.segment_file(base).await?;
        let mut scanner = self.scanner(file, position, size).trusting(self.damaged_positions(base));
        let mut decompressor = Decompressor::new();
        let limit_bytes = self.state.borrow().rules.decompressed_bytes_max;
        loop {
            match scanner.step().await? {
                Step::End => return Ok(()),
                Step::Bad { position, .. } => match self.damage_end(base, position) {
                    Some(end) => scanner.seek(end),
                    None => return Ok(()),
                },
                Step::Batches { batches, .. } => {
                    for batch in &batches {
                        if !goes_on(batch, &mut decompressor, limit_bytes) {
                            return Ok(());
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
    // All records have that timestamp, but cleaning may have taken the first one away.
    let is_whole = header.record_count > 0 && header.record_count - 1 == header.last_offset_delta;
    let is_append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    if is_append_time && is_whole && header.base_offset >= from {
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

/// The first record of a batch with the largest timestamp that one at or above `from` has.
fn largest_record(
    batch: &Batch,
    from: Offset,
    decompressor: &mut Decompressor,
    limit_bytes: usize,
) -> Result<Option<TimestampAndOffset>, RecordError> {
    let leader_epoch = batch.header().partition_leader_epoch;
    let payload = batch.payload(decompressor, limit_bytes)?;
    let mut best: Option<TimestampAndOffset> = None;
    for record in payload.records() {
        let record = record?;
        let known = best.map_or(TimestampMs::NONE, |best| best.timestamp);
        if record.offset >= from && record.timestamp > known {
            best = Some(TimestampAndOffset { timestamp: record.timestamp, offset: record.offset, leader_epoch });
        }
    }
    Ok(best)
}
