//! One partition's log: segments on disk and what they add up to. Belongs to one shard; everything is a method on
//! `Rc<Log>`. Appends are ordered by the order of calls; the writer and the committer run behind them. The node drives
//! it, [`LogDirectory`] holds what logs share.
//!
//! ```text
//! log start ≤ high watermark ≤ synced ≤ written = end
//! ```
//!
//! Under `flush.policy=os` the high watermark may pass `synced`. Offsets between `written` and the end of the fold are
//! staged: handed out, their writes under way.

mod ahead;
mod append;
mod clean;
mod close;
mod commit;
mod files;
mod locate;
mod lookup;
mod missing;
mod open;
mod past_ends;
mod quarantine;
mod read;
mod rebuilt;
mod recover;
mod retention;
mod roll;
mod scrub;
mod settle;
mod state;
mod swap;
mod truncate;
mod watched;

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicPartition};
use barnabas_runtime::Env;
use barnabas_runtime::sync::Notify;

pub use append::{AppendOptions, AppendOrigin, AppendTicket, Appended};
pub use clean::CleanOutcome;
pub use commit::HighWatermark;
pub use lookup::TimestampAndOffset;
pub use open::LoadReport;
pub use read::{AbortedTransaction, ReadBound, ReadBytes, ReadResult, ReadStop};
pub(crate) use state::{Capture, State, TailBatch};

use crate::directory::{DirectoryReport, LogDirectory, checkpoint_key};
use crate::limits::PRODUCER_SILENT_MS_MIN;
use crate::{DamagedRange, LogConfig};

/// A partition's log.
pub struct Log {
    pub(crate) env: Env,
    pub(crate) directory: Rc<LogDirectory>,
    partition: TopicPartition,
    topic: Rc<str>,
    folder: PathBuf,
    folder_name: String,
    number: u32,
    pub(crate) state: RefCell<State>,
    changed: Notify,
}

/// A producer that a log remembers, for DescribeProducers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its latest epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of its last record; none before the first.
    pub last_sequence: Sequence,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub transaction_start: Option<Offset>,
}

impl Log {
    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> TopicPartition {
        self.partition
    }

    /// Name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The directory it lives in.
    #[must_use]
    pub const fn directory(&self) -> &Rc<LogDirectory> {
        &self.directory
    }

    pub(crate) fn folder_name(&self) -> &str {
        &self.folder_name
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The offset after the last written record: where the log ends for followers and for its own leader.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.state.borrow().fold.committed_end()
    }

    /// The offset that the next batch gets: where the log ends if everything under way is written.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.state.borrow().fold.end_offset()
    }

    /// Exclusive end of what consumers may read.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.state.borrow().high_watermark
    }

    /// Exclusive end of what `read_committed` consumers may read.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.state.borrow().last_stable
    }

    /// First offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.state.borrow().log_start
    }

    /// Counts changes of end, high watermark and log start; wakes long polls.
    #[must_use]
    pub const fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.state.borrow().segments.iter().map(|segment| segment.size).sum()
    }

    /// Number of segments.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.state.borrow().segments.len()
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> LogConfig {
        self.state.borrow().config.clone()
    }

    /// Takes over another configuration. Segments that exist keep their size, and the log its flush policy, which a broker
    /// reads at its start; everything else holds from here on.
    pub fn update_config(&self, config: LogConfig) {
        let mut state = self.state.borrow_mut();
        let flush_policy = state.config.flush_policy;
        state.set_config(LogConfig { flush_policy, ..config });
    }

    /// The producers that are remembered, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        let state = self.state.borrow();
        let active = state.fold.producers().iter().map(|(producer_id, entry)| ActiveProducer {
            producer_id,
            epoch: entry.epoch(),
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp(),
            coordinator_epoch: entry.coordinator_epoch(),
            transaction_start: entry.current_txn_first_offset(),
        });
        active.collect()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`, and notes where the log ends, by which those are
    /// judged that have to make room before that. Gives how many. To be called from time to time.
    pub fn expire_producers(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let end_offset = state.fold.committed_end();
        state.past_ends.note(self.env.now(), end_offset);
        self.expire(&mut state)
    }

    /// Forgets producers whose last timestamp is `producer.id.expiration.ms` old, by a clock that does not jump: what the
    /// wall clock showed when the log was opened, and the time since. None is forgotten before the log has been open for
    /// as long, because the wall clock may have jumped while it was not: a batch that its producer sends once more must
    /// be recognised.
    fn expire(&self, state: &mut State) -> usize {
        let expiration_ms = state.config.producer_id_expiration_ms;
        let (wall, opened) = state.opened;
        let open_ms = i64::try_from(self.env.now().since(opened).as_millis()).unwrap_or(i64::MAX);
        if open_ms < expiration_ms {
            return 0;
        }
        let now = TimestampMs(wall.0.saturating_add(open_ms));
        let forgotten = state.fold.expire_producers(now, expiration_ms);
        barnabas_base::sometimes!(self.env, PRODUCERS_EXPIRED, forgotten > 0);
        state.weigh_producers();
        forgotten
    }

    /// Forgets producers to make room for others: those that have expired, and those from which nothing was appended for
    /// [`PRODUCER_SILENT_MS_MIN`]. Their timestamps do not tell: whoever replays old data is busy.
    fn forget_silent_producers(&self, state: &mut State) {
        self.expire(state);
        if let Some(end_offset) = state.past_ends.end_before(self.env.now(), PRODUCER_SILENT_MS_MIN) {
            state.fold.forget_producers_below(end_offset);
            state.weigh_producers();
        }
    }

    /// The epoch in which the record at `offset` was appended.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.state.borrow().fold.epochs().epoch_for_offset(offset)
    }

    /// The latest leader epoch of the log.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.state.borrow().fold.epochs().latest().map(|entry| entry.epoch)
    }

    /// The largest epoch not above `epoch` and the offset at which it ends here (OffsetForLeaderEpoch, KIP-101).
    #[must_use]
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.borrow();
        state.fold.epochs().end_offset_for(epoch, state.fold.committed_end())
    }

    /// Ranges that answer CORRUPT_MESSAGE.
    #[must_use]
    pub fn damaged_ranges(&self) -> Vec<DamagedRange> {
        self.state.borrow().damage.ranges().to_vec()
    }

    /// Adds what this log has to say to the owner's checkpoint files.
    pub(crate) fn report(&self, report: &mut DirectoryReport) {
        let state = self.state.borrow();
        let key = || checkpoint_key(&self.topic, self.partition);
        report.recovery_points.insert(key(), state.kafka_recovery_point());
        // Kafka leaves out a log that begins with its first segment. A segment that is gone from here may still be on the
        // disk under its own name, when a stop or a crash comes before the rename or makes nothing of it; and one that
        // somebody else removes is missed.
        report.log_starts.insert(key(), state.log_start);
        report.high_watermarks.insert(key(), state.high_watermark);
        if state.config.cleanup.compact
            && let Some(first_dirty) = state.first_dirty
        {
            report.cleaner_points.insert(key(), first_dirty);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let bytes = self.state.borrow().settling.unsettled_bytes;
        self.directory.resources.settled(bytes);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("folder", &self.folder_name).finish_non_exhaustive()
    }
}
