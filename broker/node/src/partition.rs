//! One partition this broker leads: its log, its leader epoch and those who wait for it to grow. Lives on one shard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset, TopicPartition};
use barnabas_commitlog::{DamagedRange, Log};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::fetch::EpochEndOffset;

use crate::watch::Watcher;

/// A partition and what the cluster image says of it.
pub(crate) struct Partition {
    pub(crate) id: TopicPartition,
    pub(crate) topic_name: Rc<str>,
    pub(crate) log: Rc<Log>,
    pub(crate) watchers: RefCell<BTreeSet<Watcher>>,
    leader_epoch: Cell<LeaderEpoch>,
    replicas: Cell<usize>,
    in_sync_replicas: Cell<usize>,
    min_in_sync_replicas: Cell<usize>,
    /// Damage that the log of the broker has told of.
    reported_damage: RefCell<Vec<DamagedRange>>,
}

impl Partition {
    /// A partition whose log is open and that nobody leads yet. What was found damaged by then has been told.
    pub(crate) fn new(id: TopicPartition, topic_name: Rc<str>, log: Rc<Log>) -> Self {
        let reported_damage = RefCell::new(log.damaged_ranges());
        Self {
            reported_damage,
            id,
            topic_name,
            log,
            watchers: RefCell::default(),
            leader_epoch: Cell::new(LeaderEpoch::UNKNOWN),
            replicas: Cell::new(0),
            in_sync_replicas: Cell::new(0),
            min_in_sync_replicas: Cell::new(1),
        }
    }

    /// Takes over what the image says. A leader epoch never goes back for a topic id.
    pub(crate) fn lead(&self, epoch: LeaderEpoch, replicas: usize, in_sync_replicas: usize) {
        assert!(epoch >= self.leader_epoch.get(), "a leader epoch never goes back for a topic id");
        self.leader_epoch.set(epoch);
        self.replicas.set(replicas);
        self.in_sync_replicas.set(in_sync_replicas);
    }

    /// `min.insync.replicas` of the topic.
    pub(crate) fn set_min_in_sync_replicas(&self, count: i32) {
        self.min_in_sync_replicas.set(usize::try_from(count).unwrap_or(1));
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.get()
    }

    /// Whether enough replicas are in sync for `acks=all`. A `min.insync.replicas` above the number of replicas, which no
    /// partition could ever meet, asks for all of them (`Partition.effectiveMinIsr` of Apache Kafka 4.3).
    pub(crate) fn has_enough_in_sync_replicas(&self) -> bool {
        self.in_sync_replicas.get() >= self.min_in_sync_replicas.get().min(self.replicas.get())
    }

    /// Tells people of damage that has been found since the last time.
    pub(crate) fn report_damage(&self) {
        let damage = self.log.damaged_ranges();
        let before = self.reported_damage.replace(damage.clone());
        for range in damage.iter().filter(|range| !before.contains(range)) {
            let (from, to, segment) = (range.from, range.to, range.segment);
            tracing::error!(
                target: "LogManager",
                "{self:?}: offsets {from} to {to} in the segment at {segment} are damaged and answer CORRUPT_MESSAGE"
            );
        }
    }

    /// Compares the epoch a client believes in with the real one (KIP-320); −1 asks for no check.
    pub(crate) fn check_epoch(&self, believed: LeaderEpoch) -> Result<(), ErrorCode> {
        if believed == LeaderEpoch::UNKNOWN || believed == self.leader_epoch.get() {
            Ok(())
        } else if believed < self.leader_epoch.get() {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }

    /// Where a reader's log, which ends at `fetch_offset` with a record of `last_epoch`, leaves ours (KIP-595). A reader
    /// with a record of an epoch that has not been yet has read another log, and is out of this one's range.
    pub(crate) fn divergence(
        &self,
        last_epoch: LeaderEpoch,
        fetch_offset: Offset,
    ) -> Result<Option<EpochEndOffset>, ErrorCode> {
        if last_epoch > self.leader_epoch.get() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let Some((epoch, end_offset)) = self.log.epoch_end_offset(last_epoch) else { return Ok(None) };
        let diverges = epoch < last_epoch || end_offset < fetch_offset;
        Ok(diverges.then_some(EpochEndOffset { epoch: epoch.0, end_offset: end_offset.0 }))
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({}-{})", self.topic_name, self.id.partition)
    }
}
