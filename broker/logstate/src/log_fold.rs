//! The state of one log as a fold over its batches: end offset, leader epochs, producers, transactions. The same
//! [`LogFold::stage`] serves a leader's append, a follower's and recovery, so that state never depends on the path a
//! batch took. Writes nothing; `commitlog` drives it.
//!
//! Offsets are assigned when a write is issued, and the write may fail. A batch is therefore *staged* when its write is
//! issued: later batches of the same producer are judged on top of it. [`LogFold::commit`] forgets how to take it back
//! once the write succeeded; [`LogFold::rollback`] takes back everything from a failed write on, newest first. Staging
//! ahead shows nowhere outside: readers are bounded by the high watermark, which only covers committed batches, and a
//! transaction that a staged batch opens or ends lies above it.
//!
//! A snapshot for a segment roll is taken between two batches, before the first of the new segment is staged; it may
//! hold batches whose writes are still under way and must not be kept if one of them fails.

use std::collections::VecDeque;
use std::fmt;

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::record::{BatchHeader, RecordError};

use crate::epoch_cache::EpochEntry;
use crate::producer_state::Change;
use crate::transaction::{CompletedTxn, Marker};
use crate::{EpochCache, ProducerState};

/// Most batches staged and neither committed nor rolled back. A writer that reaches it waits for its writes.
pub const PENDING_BATCHES_MAX: usize = 65_536;

/// State of one log.
#[derive(Clone, Debug)]
pub struct LogFold {
    epochs: EpochCache,
    producers: ProducerState,
    /// Log end offset with all staged batches.
    end_offset: Offset,
    /// Log end offset with all written batches.
    committed_end: Offset,
    /// Epoch of the last batch; unknown in a log without one.
    last_epoch: LeaderEpoch,
    pending: VecDeque<Pending>,
}

/// One staged batch and how to take it back.
#[derive(Clone, Debug)]
struct Pending {
    base_offset: Offset,
    end_offset: Offset,
    previous_end: Offset,
    previous_epoch: LeaderEpoch,
    producer: Option<Change>,
    epochs: Option<EpochChange>,
}

/// The entries from `keep` on, as they were.
#[derive(Clone, Debug)]
struct EpochChange {
    keep: usize,
    tail: Vec<EpochEntry>,
}

/// What a staged batch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Log end offset after the batch.
    pub end_offset: Offset,
    /// The transaction it ended; an aborted one goes into the transaction index.
    pub completed: Option<CompletedTxn>,
}

/// Why a batch cannot follow the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// It begins before the end of the log. The checksum does not cover offsets, so this is how rot there shows (I13).
    OffsetRegress {
        /// End of the log.
        end_offset: Offset,
        /// Where the batch claims to begin.
        base_offset: Offset,
    },
    /// Its leader epoch is older than the one before (I13).
    EpochRegress {
        /// Epoch of the last batch.
        last: LeaderEpoch,
        /// Epoch the batch claims.
        found: LeaderEpoch,
    },
    /// A transaction marker that does not read.
    Record(RecordError),
    /// [`PENDING_BATCHES_MAX`] batches wait for their writes; stage it again after a commit.
    TooManyPending,
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetRegress { end_offset, base_offset } => {
                write!(f, "batch at {base_offset} in a log that ends at {end_offset}")
            }
            Self::EpochRegress { last, found } => {
                write!(f, "batch of leader epoch {found} after one of {last}")
            }
            Self::Record(error) => error.fmt(f),
            Self::TooManyPending => f.write_str("too many batches wait for their writes"),
        }
    }
}

impl std::error::Error for FoldError {}

impl LogFold {
    /// The state of an empty log that begins at `start_offset`.
    #[must_use]
    pub const fn new(start_offset: Offset) -> Self {
        Self {
            epochs: EpochCache::new(),
            producers: ProducerState::new(),
            end_offset: start_offset,
            committed_end: start_offset,
            last_epoch: LeaderEpoch::UNKNOWN,
            pending: VecDeque::new(),
        }
    }

    /// The state at `from`, as a producer snapshot at that offset and the epoch checkpoint tell it; the batches from
    /// there on are to be folded. Epochs that begin at or past `from` are dropped and found again.
    #[must_use]
    pub fn resume(from: Offset, producers: ProducerState, mut epochs: EpochCache) -> Self {
        epochs.truncate_from_end(from);
        let last_epoch = epochs.latest().map_or(LeaderEpoch::UNKNOWN, |latest| latest.epoch);
        Self { epochs, producers, end_offset: from, committed_end: from, last_epoch, pending: VecDeque::new() }
    }

    /// Log end offset with all staged batches: where the next one goes.
    #[must_use]
    pub const fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Log end offset without the batches whose writes are under way.
    #[must_use]
    pub const fn committed_end(&self) -> Offset {
        self.committed_end
    }

    /// Leader epoch of the last batch, or the one that this replica was told of last.
    #[must_use]
    pub const fn last_epoch(&self) -> LeaderEpoch {
        self.last_epoch
    }

    /// Leader epochs, with those of staged batches.
    #[must_use]
    pub const fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Producers, with what staged batches did.
    #[must_use]
    pub const fn producers(&self) -> &ProducerState {
        &self.producers
    }

    /// Batches staged and neither committed nor rolled back.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Folds in the batch of `header`, whose `body` is all behind the header, and remembers how to take it back.
    ///
    /// # Errors
    /// [`FoldError`]; the state is then unchanged.
    pub fn stage(&mut self, header: &BatchHeader, body: &[u8]) -> Result<Folded, FoldError> {
        if self.pending.len() >= PENDING_BATCHES_MAX {
            return Err(FoldError::TooManyPending);
        }
        let (pending, folded) = self.apply(header, body)?;
        self.pending.push_back(pending);
        Ok(folded)
    }

    /// Folds in a batch that is in the log already: recovery.
    ///
    /// # Errors
    /// [`FoldError`]; the state is then unchanged.
    pub fn replay(&mut self, header: &BatchHeader, body: &[u8]) -> Result<Folded, FoldError> {
        assert!(self.pending.is_empty(), "a log is replayed before it is written to");
        let (_, folded) = self.apply(header, body)?;
        self.committed_end = self.end_offset;
        Ok(folded)
    }

    fn apply(&mut self, header: &BatchHeader, body: &[u8]) -> Result<(Pending, Folded), FoldError> {
        self.check_chain(header)?;
        let marker = Marker::of(header, body).map_err(FoldError::Record)?;
        let epochs = self.assign_epoch(header.partition_leader_epoch, header.base_offset);
        let (producer, completed) = self.producers.apply(header, marker.as_ref());
        let end_offset = header.end_offset();
        let pending = Pending {
            base_offset: header.base_offset,
            end_offset,
            previous_end: self.end_offset,
            previous_epoch: self.last_epoch,
            producer,
            epochs,
        };
        let folded = Folded { end_offset, completed };
        self.end_offset = end_offset;
        self.last_epoch = header.partition_leader_epoch;
        Ok((pending, folded))
    }

    fn check_chain(&self, header: &BatchHeader) -> Result<(), FoldError> {
        if header.base_offset < self.end_offset {
            return Err(FoldError::OffsetRegress { end_offset: self.end_offset, base_offset: header.base_offset });
        }
        if header.partition_leader_epoch < self.last_epoch {
            return Err(FoldError::EpochRegress { last: self.last_epoch, found: header.partition_leader_epoch });
        }
        Ok(())
    }

    fn assign_epoch(&mut self, epoch: LeaderEpoch, offset: Offset) -> Option<EpochChange> {
        if epoch.0 < 0 {
            return None;
        }
        let keep = self.epochs.plan(epoch, offset)?.keep;
        let tail = self.epochs.entries()[keep..].to_vec();
        self.epochs.assign(epoch, offset);
        Some(EpochChange { keep, tail })
    }

    /// Notes that this replica leads in `epoch`, which begins at the end of the log even if nothing is appended in it
    /// (H05). True when it was not known before.
    ///
    /// # Errors
    /// [`FoldError::EpochRegress`] when the log has batches of a later epoch: whoever made this replica the leader does
    /// not know its log.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<bool, FoldError> {
        if epoch < self.last_epoch {
            return Err(FoldError::EpochRegress { last: self.last_epoch, found: epoch });
        }
        Ok(self.epochs.assign(epoch, self.end_offset))
    }

    /// The writes of all batches that end at or below `through` have succeeded.
    pub fn commit(&mut self, through: Offset) {
        assert!(through <= self.end_offset, "only staged batches are committed");
        while let Some(first) = self.pending.front()
            && first.end_offset <= through
        {
            self.pending.pop_front();
        }
        assert!(self.pending.front().is_none_or(|first| first.base_offset >= through), "batches are committed whole");
        self.committed_end = self.committed_end.max(through);
    }

    /// Takes back every staged batch from `to` on: a write failed, and what was judged on top of it goes with it.
    pub fn rollback(&mut self, to: Offset) {
        assert!(to >= self.committed_end, "what is written is truncated, not rolled back");
        while let Some(last) = self.pending.pop_back() {
            if last.base_offset < to {
                assert!(last.end_offset <= to, "batches are rolled back whole");
                self.pending.push_back(last);
                break;
            }
            self.undo(&last);
        }
        // An epoch that this replica began meanwhile now begins earlier, where the log ends.
        if let Some(latest) = self.epochs.latest()
            && latest.start_offset > self.end_offset
        {
            self.epochs.assign(latest.epoch, self.end_offset);
        }
    }

    fn undo(&mut self, pending: &Pending) {
        if let Some(change) = &pending.producer {
            self.producers.undo(change);
        }
        if let Some(change) = &pending.epochs {
            let began = self.epochs.latest();
            self.epochs.restore_tail(change.keep, &change.tail);
            // A leadership that began on top of the batch stays, whatever happens to the batch.
            if let Some(began) = began
                && began.start_offset > pending.base_offset
            {
                self.epochs.assign(began.epoch, pending.previous_end);
            }
        }
        self.end_offset = pending.previous_end;
        self.last_epoch = pending.previous_epoch;
    }

    /// Everything below `high_watermark` is replicated; gives the last stable offset that follows.
    pub fn on_high_watermark(&mut self, high_watermark: Offset, log_start: Offset) -> Offset {
        assert!(high_watermark <= self.committed_end, "the high watermark covers written batches only");
        self.producers.on_high_watermark(high_watermark);
        self.producers.last_stable_offset(high_watermark, log_start)
    }

    /// The log begins at `log_start` from here on. Producers stay: they expire by time, also when their records are gone
    /// (KIP-360).
    pub fn on_log_start(&mut self, log_start: Offset) {
        assert!(
            self.pending.is_empty() || log_start <= self.committed_end,
            "a log start past the end waits for pending writes"
        );
        if self.end_offset < log_start {
            self.end_offset = log_start;
            self.committed_end = log_start;
        }
        self.producers.on_high_watermark(log_start);
        self.epochs.truncate_from_start(log_start);
    }

    /// See [`ProducerState::expire`].
    pub fn expire_producers(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        self.producers.expire(now, expiration_ms)
    }

    /// See [`ProducerState::forget_below`].
    pub fn forget_producers_below(&mut self, offset: Offset) -> usize {
        self.producers.forget_below(offset)
    }
}

#[cfg(test)]
#[path = "log_fold_test.rs"]
mod tests;
