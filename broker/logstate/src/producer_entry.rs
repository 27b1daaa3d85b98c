//! What a partition remembers of one idempotent producer: its epoch, the last five batches, its open transaction.
//! Plain state; [`ProducerState`](crate::ProducerState) drives it.

use barnabas_base::limits::PRODUCER_BATCHES_MAX;
use barnabas_base::{Offset, ProducerEpoch, Sequence, TimestampMs};
use barnabas_wire::record::BatchHeader;

use crate::transaction::Marker;

/// Coordinator epoch of a producer that never ended a transaction here.
pub(crate) const NO_COORDINATOR_EPOCH: i32 = -1;

/// One appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Its last offset.
    pub last_offset: Offset,
    /// Last offset minus first.
    pub offset_delta: i32,
    /// Its max timestamp.
    pub timestamp: TimestampMs,
}

impl BatchMeta {
    const EMPTY: Self = Self {
        last_sequence: Sequence::NONE,
        last_offset: Offset::UNKNOWN,
        offset_delta: 0,
        timestamp: TimestampMs::NONE,
    };

    pub(crate) fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    /// Sequence of the first record; sequences wrap at 31 bits.
    #[must_use]
    pub const fn first_sequence(&self) -> Sequence {
        let last = self.last_sequence.0;
        if last < 0 {
            Sequence::NONE
        } else if last < self.offset_delta {
            Sequence(i32::MAX - (self.offset_delta - last) + 1)
        } else {
            Sequence(last - self.offset_delta)
        }
    }

    /// Its first offset.
    #[must_use]
    pub const fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0 - self.offset_delta as i64)
    }
}

/// The last batches of a producer, oldest first.
#[derive(Clone, Copy, Debug)]
struct RecentBatches {
    batches: [BatchMeta; PRODUCER_BATCHES_MAX],
    len: usize,
}

impl RecentBatches {
    const EMPTY: Self = Self { batches: [BatchMeta::EMPTY; PRODUCER_BATCHES_MAX], len: 0 };

    fn as_slice(&self) -> &[BatchMeta] {
        &self.batches[..self.len]
    }

    fn push(&mut self, batch: BatchMeta) {
        if self.len == PRODUCER_BATCHES_MAX {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[self.len] = batch;
        self.len += 1;
    }
}

/// State of one producer id on one partition.
#[derive(Clone, Copy, Debug)]
pub struct ProducerEntry {
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
    last_timestamp: TimestampMs,
    last_offset: Offset,
    current_txn_first_offset: Option<Offset>,
    recent: RecentBatches,
}

/// Leaves out where the last marker lies: a snapshot has no room for it.
impl PartialEq for ProducerEntry {
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && self.coordinator_epoch == other.coordinator_epoch
            && self.last_timestamp == other.last_timestamp
            && self.current_txn_first_offset == other.current_txn_first_offset
            && self.batches() == other.batches()
    }
}

impl Eq for ProducerEntry {}

impl ProducerEntry {
    /// A producer of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        epoch: ProducerEpoch::NONE,
        coordinator_epoch: NO_COORDINATOR_EPOCH,
        last_timestamp: TimestampMs::NONE,
        last_offset: Offset::UNKNOWN,
        current_txn_first_offset: None,
        recent: RecentBatches::EMPTY,
    };

    /// An entry as a snapshot that was taken at `end_offset` holds it: of the recent batches only the last. Where the
    /// last marker lies it does not say; without a batch that may be right below `end_offset`.
    pub(crate) fn restored(
        epoch: ProducerEpoch,
        coordinator_epoch: i32,
        last_timestamp: TimestampMs,
        current_txn_first_offset: Option<Offset>,
        last_batch: Option<BatchMeta>,
        end_offset: Offset,
    ) -> Self {
        let last_offset = last_batch.map_or(Offset(end_offset.0 - 1), |batch| batch.last_offset);
        let recent = RecentBatches::EMPTY;
        let mut entry =
            Self { epoch, coordinator_epoch, last_timestamp, last_offset, current_txn_first_offset, recent };
        if let Some(batch) = last_batch {
            entry.recent.push(batch);
        }
        entry
    }

    /// The latest epoch seen; none for an unknown producer.
    #[must_use]
    pub const fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// Epoch of the coordinator that wrote the last marker, −1 before the first.
    #[must_use]
    pub const fn coordinator_epoch(&self) -> i32 {
        self.coordinator_epoch
    }

    /// Timestamp of the last batch or marker; expiry counts from it.
    #[must_use]
    pub const fn last_timestamp(&self) -> TimestampMs {
        self.last_timestamp
    }

    /// Last offset of the last batch or marker, as far as it is known. Unlike a timestamp it does not depend on what the
    /// producer's clock said.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.last_offset
    }

    /// Where the open transaction began, if there is one.
    #[must_use]
    pub const fn current_txn_first_offset(&self) -> Option<Offset> {
        self.current_txn_first_offset
    }

    /// The batches a duplicate is recognised by, oldest first: at most five, all of the current epoch.
    #[must_use]
    pub fn batches(&self) -> &[BatchMeta] {
        self.recent.as_slice()
    }

    /// The last batch of the current epoch.
    #[must_use]
    pub fn last_batch(&self) -> Option<BatchMeta> {
        self.batches().last().copied()
    }

    /// Sequence of the last record of the current epoch, none before the first.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last_batch().map_or(Sequence::NONE, |batch| batch.last_sequence)
    }

    /// The batch that `header` repeats: same epoch and sequences, among those remembered.
    #[must_use]
    pub(crate) fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchMeta> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        self.batches()
            .iter()
            .find(|batch| {
                batch.first_sequence() == header.base_sequence && batch.last_sequence == header.last_sequence()
            })
            .copied()
    }

    /// Adds a data batch; true when it opened a transaction.
    pub(crate) fn add_batch(&mut self, header: &BatchHeader) -> bool {
        self.set_epoch(header.producer_epoch);
        self.recent.push(BatchMeta::of(header));
        self.last_timestamp = header.max_timestamp;
        self.last_offset = header.last_offset();
        let begins = header.attributes.is_transactional() && self.current_txn_first_offset.is_none();
        if begins {
            self.current_txn_first_offset = Some(header.base_offset);
        }
        begins
    }

    /// Adds a marker; gives where the transaction it ended began.
    pub(crate) fn add_marker(&mut self, header: &BatchHeader, marker: &Marker) -> Option<Offset> {
        self.set_epoch(header.producer_epoch);
        self.last_offset = header.last_offset();
        self.coordinator_epoch = marker.end.coordinator_epoch;
        self.last_timestamp = marker.timestamp;
        self.current_txn_first_offset.take()
    }

    /// Sequences start over with an epoch, hence the batches of another one say nothing.
    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.recent = RecentBatches::EMPTY;
            self.epoch = epoch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sequences_wrap_backwards() {
        let batch = |last, delta| BatchMeta {
            last_sequence: Sequence(last),
            last_offset: Offset(100),
            offset_delta: delta,
            timestamp: TimestampMs(0),
        };
        assert_eq!(batch(9, 4).first_sequence(), Sequence(5));
        assert_eq!(batch(4, 4).first_sequence(), Sequence(0));
        assert_eq!(batch(1, 3).first_sequence(), Sequence(i32::MAX - 1));
        assert_eq!(batch(0, 1).first_sequence(), Sequence(i32::MAX));
        assert_eq!(batch(9, 4).first_offset(), Offset(96));
        for (first, delta) in [(0, 0), (i32::MAX, 3), (i32::MAX - 2, 2), (7, 9)] {
            let last = Sequence(first).plus(delta);
            assert_eq!(batch(last.0, delta).first_sequence(), Sequence(first));
        }
    }

    #[test]
    fn only_the_last_five_are_kept() {
        let mut recent = RecentBatches::EMPTY;
        for last in 0..8 {
            recent.push(BatchMeta { last_sequence: Sequence(last), ..BatchMeta::EMPTY });
        }
        let kept: Vec<_> = recent.as_slice().iter().map(|batch| batch.last_sequence.0).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7]);
    }
}
