//! The producers of one log: who may append next, what is a duplicate, which transactions are open, how far the log is
//! stable. A fold over batches in offset order (KIP-98, KIP-360, KIP-890). Hands out no offsets and knows no files;
//! [`LogFold`](crate::LogFold) drives it.

use std::collections::BTreeMap;

use barnabas_base::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use barnabas_wire::ErrorCode;
use barnabas_wire::record::BatchHeader;

use crate::transaction::{CompletedTxn, Marker};
use crate::{BatchMeta, ProducerEntry, Refusal};

/// Most producers one log remembers, about 20 MB. Kafka has no such bound and runs out of memory instead (KIP-936).
/// Beyond it the producers whose last batch or marker is oldest are forgotten, as if they had expired.
pub const PRODUCERS_PER_LOG_MAX: usize = 100_000;

/// Share of the producers that is forgotten at once when the bound is reached, so that the search for the silent ones
/// is not repeated for every new producer.
const EVICTED_SHARE: usize = 16;

/// First transaction version whose markers carry a bumped epoch (KIP-890).
const TRANSACTIONS_V2: i16 = 2;

/// Whose append is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer.
    Client,
    /// The group coordinator, whose transactional batches carry no sequence.
    Coordinator,
}

/// What to do with a batch that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    Append,
    /// It is in the log already: answer with the old offsets, once the old batch is as safe as the request asks.
    Duplicate(BatchMeta),
}

/// Producer state of one log at one offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: BTreeMap<ProducerId, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Transactions that ended with a marker at or past the high watermark, by first offset.
    unreplicated: BTreeMap<Offset, Ended>,
}

/// End of a transaction whose marker is not replicated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    producer_id: ProducerId,
    last_offset: Offset,
}

/// What one batch changed; enough to take it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    producer_id: ProducerId,
    previous: Option<ProducerEntry>,
    txn: TxnChange,
}

#[derive(Clone, Copy, Debug)]
enum TxnChange {
    None,
    Began(Offset),
    Ended(Offset),
}

impl ProducerState {
    /// No producers.
    #[must_use]
    pub const fn new() -> Self {
        Self { producers: BTreeMap::new(), ongoing: BTreeMap::new(), unreplicated: BTreeMap::new() }
    }

    /// How many producers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// About how many bytes of memory they take: an entry with its share of half-filled tree nodes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let bytes = self.producers.len().saturating_mul(size_of::<(ProducerId, ProducerEntry)>() * 3 / 2);
        u64::try_from(bytes).expect("a size fits 64 bits")
    }

    /// Whether no producer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// What is known of one producer.
    #[must_use]
    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// All producers, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// Checks a data batch against everything appended so far. Batches without a producer are always appended.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for an epoch that was superseded, OUT_OF_ORDER_SEQUENCE_NUMBER for a gap or a repeat
    /// older than the last five batches, INVALID_TXN_STATE for a plain batch inside a transaction. (Kafka no longer
    /// returns DUPLICATE_SEQUENCE_NUMBER.)
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Verdict, Refusal> {
        if !header.has_producer() {
            return Ok(Verdict::Append);
        }
        let Some(entry) = self.producers.get(&header.producer_id) else {
            // Nothing is known, maybe because retention or expiry removed it: any sequence is the first (KIP-360).
            return self.check_room();
        };
        if origin == Origin::Client
            && let Some(original) = entry.duplicate_of(header)
        {
            return Ok(Verdict::Duplicate(original));
        }
        check_epoch(entry, header)?;
        if origin == Origin::Client {
            check_sequence(entry, header)?;
        }
        if entry.current_txn_first_offset().is_some() && !header.attributes.is_transactional() {
            return Err(Refusal::new(
                ErrorCode::InvalidTxnState,
                format!("producer {} has an open transaction on this partition", header.producer_id),
            ));
        }
        Ok(Verdict::Append)
    }

    /// Checks a transaction marker of a coordinator, whose cluster has finalized `transaction_version`.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED for a coordinator that was replaced.
    pub fn check_marker(&self, header: &BatchHeader, marker: &Marker, transaction_version: i16) -> Result<(), Refusal> {
        let Some(entry) = self.producers.get(&header.producer_id) else {
            return Ok(());
        };
        check_marker_epoch(entry, header, transaction_version)?;
        if marker.end.coordinator_epoch < entry.coordinator_epoch() {
            return Err(Refusal::new(
                ErrorCode::TransactionCoordinatorFenced,
                format!(
                    "coordinator epoch {} is older than {}",
                    marker.end.coordinator_epoch,
                    entry.coordinator_epoch()
                ),
            ));
        }
        Ok(())
    }

    /// Folds a batch in, whatever [`ProducerState::check`] would say: followers and recovery take the log as it is.
    pub(crate) fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<&Marker>,
    ) -> (Option<Change>, Option<CompletedTxn>) {
        let is_emptied_marker = header.attributes.is_control() && marker.is_none();
        if !header.has_producer() || is_emptied_marker {
            return (None, None);
        }
        let producer_id = header.producer_id;
        let previous = self.producers.get(&producer_id).copied();
        if previous.is_none() {
            self.make_room();
        }
        let mut entry = previous.unwrap_or(ProducerEntry::UNKNOWN);
        let (txn, completed) = match marker {
            None => (self.begin_txn(&mut entry, header), None),
            Some(marker) => self.end_txn(&mut entry, header, marker),
        };
        self.producers.insert(producer_id, entry);
        let change = Change { producer_id, previous, txn };
        (Some(change), completed)
    }

    fn begin_txn(&mut self, entry: &mut ProducerEntry, header: &BatchHeader) -> TxnChange {
        if !entry.add_batch(header) {
            return TxnChange::None;
        }
        self.ongoing.insert(header.base_offset, header.producer_id);
        TxnChange::Began(header.base_offset)
    }

    fn end_txn(
        &mut self,
        entry: &mut ProducerEntry,
        header: &BatchHeader,
        marker: &Marker,
    ) -> (TxnChange, Option<CompletedTxn>) {
        // A marker without a transaction is a coordinator's retry, or its data was on no other replica: nothing ends.
        let Some(first_offset) = entry.add_marker(header, marker) else {
            return (TxnChange::None, None);
        };
        let producer_id = header.producer_id;
        let last_offset = header.base_offset;
        let removed = self.ongoing.remove(&first_offset);
        assert!(removed == Some(producer_id), "an entry with an open transaction is listed as such");
        let ended = Ended { producer_id, last_offset };
        self.unreplicated.insert(first_offset, ended);
        let next_open = self.ongoing.keys().next().copied();
        let completed = CompletedTxn {
            producer_id,
            first_offset,
            last_offset,
            is_aborted: !marker.end.is_commit,
            last_stable_offset: next_open.unwrap_or(last_offset.plus(1)),
        };
        (TxnChange::Ended(first_offset), Some(completed))
    }

    /// Takes the last change back.
    pub(crate) fn undo(&mut self, change: &Change) {
        match change.txn {
            TxnChange::None => {}
            TxnChange::Began(first_offset) => {
                self.ongoing.remove(&first_offset);
            }
            TxnChange::Ended(first_offset) => {
                let ended = self.unreplicated.remove(&first_offset);
                assert!(ended.is_some(), "a marker that was not written is not below the high watermark");
                self.ongoing.insert(first_offset, change.producer_id);
            }
        }
        match change.previous {
            Some(entry) => self.producers.insert(change.producer_id, entry),
            None => self.producers.remove(&change.producer_id),
        };
    }

    /// First offset that read_committed consumers may not see yet: the oldest transaction that is open, or has ended
    /// but its marker may still be lost (H16).
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let undecided = self.ongoing.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        match (undecided, unreplicated) {
            (Some(a), Some(b)) => Some(*a.min(b)),
            (offset, None) | (None, offset) => offset.copied(),
        }
    }

    /// First offset of the oldest open transaction.
    #[must_use]
    pub fn first_undecided_offset(&self) -> Option<Offset> {
        self.ongoing.keys().next().copied()
    }

    /// The last stable offset (I22): exclusive bound for read_committed consumers, never above `high_watermark` nor
    /// below `log_start`.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset, log_start: Offset) -> Offset {
        match self.first_unstable_offset() {
            None => high_watermark,
            Some(unstable) => unstable.max(log_start).min(high_watermark),
        }
    }

    /// Markers below `high_watermark` are safe: their transactions are stable.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, ended| ended.last_offset >= high_watermark);
    }

    /// Forgets producers silent since before `now - expiration_ms` (`producer.id.expiration.ms`), but none with an
    /// open transaction. Gives how many.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| {
            let silent_ms = now.0.saturating_sub(entry.last_timestamp().0);
            entry.current_txn_first_offset().is_some() || silent_ms < expiration_ms
        });
        before - self.producers.len()
    }

    /// Forgets producers whose last batch or marker lies below `offset`, but none with an open transaction. Gives how
    /// many.
    pub fn forget_below(&mut self, offset: Offset) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| entry.current_txn_first_offset().is_some() || entry.last_offset() >= offset);
        before - self.producers.len()
    }

    /// Adds an entry of a snapshot; false when the producer is there already.
    pub(crate) fn restore(&mut self, producer_id: ProducerId, entry: ProducerEntry) -> bool {
        if let Some(first_offset) = entry.current_txn_first_offset()
            && self.ongoing.insert(first_offset, producer_id).is_some()
        {
            return false;
        }
        self.producers.insert(producer_id, entry).is_none()
    }

    /// A leader takes no new producer when none could be forgotten for it.
    fn check_room(&self) -> Result<Verdict, Refusal> {
        let is_full = self.producers.len() >= PRODUCERS_PER_LOG_MAX && self.ongoing.len() >= self.producers.len();
        if is_full {
            return Err(Refusal::new(
                ErrorCode::PolicyViolation,
                format!("{PRODUCERS_PER_LOG_MAX} producers have open transactions on this partition"),
            ));
        }
        Ok(Verdict::Append)
    }

    /// Forgets the producers whose last batch or marker is oldest when the bound is reached: by offset, because one that
    /// replays old data is not silent, whatever its timestamps say. Depends on the log alone, so that every replica
    /// forgets the same ones at the same offset, unless it began with a snapshot, which does not say where markers lie.
    fn make_room(&mut self) {
        if self.producers.len() < PRODUCERS_PER_LOG_MAX {
            return;
        }
        let mut silent: Vec<_> = self
            .producers
            .iter()
            .filter(|(_, entry)| entry.current_txn_first_offset().is_none())
            .map(|(id, entry)| (entry.last_offset(), *id))
            .collect();
        silent.sort_unstable();
        let evicted = PRODUCERS_PER_LOG_MAX / EVICTED_SHARE;
        for (_, producer_id) in silent.into_iter().take(evicted) {
            self.producers.remove(&producer_id);
        }
    }
}

fn check_epoch(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), Refusal> {
    if header.producer_epoch >= entry.epoch() {
        return Ok(());
    }
    // Since KIP-588 this code, not PRODUCER_FENCED: the client aborts and tries again.
    Err(stale_epoch(entry, header))
}

fn stale_epoch(entry: &ProducerEntry, header: &BatchHeader) -> Refusal {
    Refusal::new(
        ErrorCode::InvalidProducerEpoch,
        format!("epoch {} of producer {}, last seen {}", header.producer_epoch, header.producer_id, entry.epoch()),
    )
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), Refusal> {
    let sequence = header.base_sequence;
    let is_next = if header.producer_epoch != entry.epoch() {
        sequence == Sequence(0) || entry.epoch() == ProducerEpoch::NONE
    } else {
        follows(entry.last_sequence(), sequence)
    };
    if is_next {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::OutOfOrderSequenceNumber,
        format!(
            "sequence {sequence} of producer {} epoch {}, last seen {} in epoch {}",
            header.producer_id,
            header.producer_epoch,
            entry.last_sequence(),
            entry.epoch()
        ),
    ))
}

/// Whether `next` comes right after `last`; none is followed by 0, and so is the largest sequence.
fn follows(last: Sequence, next: Sequence) -> bool {
    match last {
        Sequence::NONE => next == Sequence(0),
        last => next == last.plus(1),
    }
}

/// Transactions v2 bump the epoch with every marker: an equal one is a retry of a marker that was written, or at the
/// last epoch there is (KIP-890).
fn check_marker_epoch(entry: &ProducerEntry, header: &BatchHeader, transaction_version: i16) -> Result<(), Refusal> {
    if transaction_version < TRANSACTIONS_V2 {
        return check_epoch(entry, header);
    }
    let is_retry = header.producer_epoch == entry.epoch()
        && (entry.current_txn_first_offset().is_none() || header.producer_epoch == ProducerEpoch(i16::MAX));
    if header.producer_epoch > entry.epoch() || is_retry {
        return Ok(());
    }
    Err(stale_epoch(entry, header))
}

#[cfg(test)]
#[path = "producer_state_test.rs"]
mod tests;
