//! Where leader epochs end, as asked and as batches say.

use barnabas_base::{LeaderEpoch, Offset};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::OffsetForLeaderEpochRequest;
use barnabas_wire::message::offset_for_leader_epoch::{EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic};
use barnabas_wire::record::{Tail, batches};

use super::own::{ask, fetched_partition};
use super::{Stage, Trouble, code_of, must_be_accepted};
use crate::RawClient;
use crate::record::partition_index;
use crate::session::Purpose;

/// The first OffsetForLeaderEpoch that says which epoch its sender takes for the current one.
const CURRENT_EPOCH_SINCE: i16 = 2;
/// Longer logs are left alone.
const FETCHES_MAX: u32 = 64;

impl Stage<'_> {
    /// An epoch ends where the first batch of a later one begins. All is asked by one connection, so that the leader is the
    /// same.
    pub(super) async fn epoch_ends(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let end = self.end_of_log(&mut raw).await?;
        self.current_epoch_is_known(&mut raw, end).await?;
        let Some(begun) = self.epochs_in_log(&mut raw, end).await? else {
            return Err(Trouble::Unclear("the log does not begin at its first offset, or is long".to_owned()));
        };
        let last = begun.last().map_or(0, |(_, epoch)| epoch.0);
        let (topic, partition) = (self.log.topic.to_string(), partition_index(self.log.partition).0);
        for epoch in 0..=last {
            let version = self.any_version::<OffsetForLeaderEpochRequest>();
            let told = end_of_epoch(&mut raw, version, (&topic, partition), (-1, epoch)).await?;
            must_be_accepted("a question for the end of an epoch", code_of(told.error_code))?;
            let later = begun.iter().find(|(_, begun)| begun.0 > epoch).map(|(base, _)| *base);
            let is_right = match later {
                Some(base) => told.end_offset == base.0,
                // The last one of which there is a record ends there, or goes on.
                None => told.end_offset >= end.0,
            };
            if !is_right || told.leader_epoch > epoch {
                let (seen, within, due) = (told.end_offset, told.leader_epoch, later.unwrap_or(end));
                return Err(Trouble::Broken(format!(
                    "epoch {epoch} is told to end at {seen}, in epoch {within}, where {due} is due"
                )));
            }
        }
        Ok(())
    }

    /// The epoch of a leader is known to it from its beginning on, also when nothing was appended in it (KIP-101).
    async fn current_epoch_is_known(&mut self, raw: &mut RawClient, end: Offset) -> Result<(), Trouble> {
        let (topic, index) = (self.log.topic.to_string(), partition_index(self.log.partition));
        let known = self.session.client(Purpose::Work).cluster().topic(&topic);
        let Some(epoch) = known.and_then(|topic| topic.partitions.get(&index)).map(|known| known.leader_epoch.0) else {
            return Ok(());
        };
        let version = self.any_version_from::<OffsetForLeaderEpochRequest>(CURRENT_EPOCH_SINCE);
        let told = end_of_epoch(raw, version, (&topic, index.0), (epoch, epoch)).await?;
        // Whoever is behind is told so.
        if code_of(told.error_code) == ErrorCode::None && (told.leader_epoch != epoch || told.end_offset < end.0) {
            let (seen, within) = (told.end_offset, told.leader_epoch);
            return Err(Trouble::Broken(format!(
                "{epoch} is the epoch, and is told to end at {seen} in epoch {within}"
            )));
        }
        Ok(())
    }

    /// The first batch of each epoch up to `end`; `None` where some may be gone.
    async fn epochs_in_log(
        &self,
        raw: &mut RawClient,
        end: Offset,
    ) -> Result<Option<Vec<(Offset, LeaderEpoch)>>, Trouble> {
        let mut begun: Vec<(Offset, LeaderEpoch)> = Vec::new();
        let mut at = Offset(0);
        for _ in 0..FETCHES_MAX {
            if at >= end {
                return Ok(Some(begun));
            }
            let data = fetched_partition(raw, self.fetch(at, 0, -1)).await?;
            if data.error_code != 0 || data.log_start_offset != 0 {
                return Ok(None);
            }
            let bytes = data.records.bytes().cloned().unwrap_or_default();
            for batch in batches(&bytes, Tail::MayBeCut) {
                let batch = batch.map_err(|error| Trouble::Broken(format!("a batch cannot be read: {error}")))?;
                let header = batch.header();
                if header.base_offset > at {
                    return Ok(None);
                }
                let epoch = header.partition_leader_epoch;
                if begun.last().is_none_or(|(_, last)| *last < epoch) {
                    begun.push((header.base_offset, epoch));
                }
                at = header.end_offset();
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// Asks where an epoch ends, as somebody who knows of `current` (-1 for nobody in particular).
pub(super) async fn end_of_epoch(
    raw: &mut RawClient,
    version: i16,
    (topic, partition): (&str, i32),
    (current_leader_epoch, leader_epoch): (i32, i32),
) -> Result<EpochEndOffset, Trouble> {
    let partitions = vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
    let topics = vec![OffsetForLeaderTopic { topic: topic.to_owned(), partitions }];
    let response = ask(raw, version, OffsetForLeaderEpochRequest { replica_id: -1, topics }).await?;
    let first = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
    first.ok_or_else(|| Trouble::Broken("OffsetForLeaderEpoch is answered without its partition".to_owned()))
}
