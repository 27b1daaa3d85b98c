//! The image that follows the metadata log, batch by batch, and knows how far it has come.
//!
//! Holds back the records of an open metadata transaction (KIP-868) until it ends. The node drives it while it replays
//! and the controller keeps one for what is committed.

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::internal::MetadataRecord;

use super::{ApplyError, ClusterImage, Delta};

/// Most records of an open metadata transaction. Kafka uses transactions to bootstrap a cluster, with few records.
const TRANSACTION_RECORDS_MAX: usize = 1_000_000;

/// How far an image has come in the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataPosition {
    /// The offset after the last record that counted.
    pub end_offset: Offset,
    /// The epoch of that record.
    pub epoch: LeaderEpoch,
    /// The timestamp of that record.
    pub timestamp: TimestampMs,
}

impl Default for MetadataPosition {
    fn default() -> Self {
        Self { end_offset: Offset::ZERO, epoch: LeaderEpoch(0), timestamp: TimestampMs(0) }
    }
}

/// Follows the metadata log.
#[derive(Clone, Debug, Default)]
pub struct ImageLoader {
    image: ClusterImage,
    position: MetadataPosition,
    /// Records since a BeginTransactionRecord.
    transaction: Option<Vec<MetadataRecord>>,
}

impl ImageLoader {
    /// A loader that stands at `position` with `image`, as a snapshot gave it.
    #[must_use]
    pub const fn new(image: ClusterImage, position: MetadataPosition) -> Self {
        Self { image, position, transaction: None }
    }

    /// The image.
    #[must_use]
    pub const fn image(&self) -> &ClusterImage {
        &self.image
    }

    /// How far the log was read, open transaction included.
    #[must_use]
    pub const fn position(&self) -> MetadataPosition {
        self.position
    }

    /// Takes in the next batch, which ends at `position`; the answer is what became visible by it. A batch without
    /// records, which a control batch is here, moves the position only.
    ///
    /// # Errors
    /// A record does not fit; the loader stays where it was.
    pub fn replay(&mut self, records: &[MetadataRecord], position: MetadataPosition) -> Result<Delta, ApplyError> {
        if self.transaction.is_none() && !records.iter().any(is_transactional) {
            let (image, delta) = self.image.apply(records)?;
            (self.image, self.position) = (image, position);
            return Ok(delta);
        }
        let mut next = self.clone();
        let mut delta = Delta::default();
        for record in records {
            next.replay_one(record, &mut delta)?;
        }
        next.position = position;
        *self = next;
        Ok(delta)
    }

    fn replay_one(&mut self, record: &MetadataRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let misplaced = |reason: &str| ApplyError { record: record.name(), reason: reason.to_owned() };
        match (record, &mut self.transaction) {
            (MetadataRecord::BeginTransactionRecord(_), None) => {
                self.transaction = Some(Vec::new());
            }
            (MetadataRecord::BeginTransactionRecord(_), Some(_)) => {
                return Err(misplaced("a transaction is open already"));
            }
            (MetadataRecord::EndTransactionRecord(_), Some(held)) => {
                let records = std::mem::take(held);
                self.transaction = None;
                self.make_visible(&records, delta)?;
            }
            (MetadataRecord::AbortTransactionRecord(_), Some(_)) => self.transaction = None,
            (MetadataRecord::EndTransactionRecord(_) | MetadataRecord::AbortTransactionRecord(_), None) => {
                return Err(misplaced("no transaction is open"));
            }
            (_, Some(held)) => {
                if held.len() >= TRANSACTION_RECORDS_MAX {
                    return Err(misplaced("the open transaction is too large"));
                }
                held.push(record.clone());
            }
            (_, None) => self.make_visible(std::slice::from_ref(record), delta)?,
        }
        Ok(())
    }

    fn make_visible(&mut self, records: &[MetadataRecord], delta: &mut Delta) -> Result<(), ApplyError> {
        let (image, change) = self.image.apply(records)?;
        self.image = image;
        delta.merge(change);
        Ok(())
    }
}

const fn is_transactional(record: &MetadataRecord) -> bool {
    matches!(
        record,
        MetadataRecord::BeginTransactionRecord(_)
            | MetadataRecord::EndTransactionRecord(_)
            | MetadataRecord::AbortTransactionRecord(_)
    )
}
