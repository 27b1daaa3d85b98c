//! Blocks of producer ids (KIP-730): handed out once, never again.

use barnabas_base::{ProducerId, TimestampMs};
use barnabas_wire::internal::metadata_schema::ProducerIdsRecord;

use super::{ControllerCore, Decision};

/// Ids of a block (Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1_000;

/// Where a clock that is far off stops counting, so that ids stay what JSON numbers can say.
const CLOCK_MAX_MS: i64 = 1 << 52;

impl ControllerCore {
    /// Takes the next block for this node's broker: its first id and how many there are. The ids may be used once the
    /// record is committed.
    ///
    /// Ids begin above the milliseconds since 1970: a node whose disk was put back to an earlier state does not give out
    /// again what it gave since, as long as no more than a thousand producers a second came. The batches of two producers
    /// with one id pass for duplicates of each other. Apache Kafka counts from zero, and goes on above ours.
    pub fn allocate_producer_ids(&mut self, now: TimestampMs) -> Decision<(ProducerId, i32)> {
        let clock = ProducerId(now.0.clamp(0, CLOCK_MAX_MS));
        let first = self.pending.next_producer_id().max(clock);
        let mut work = self.work();
        let broker = self.node_id();
        let record = ProducerIdsRecord {
            broker_id: broker.0,
            broker_epoch: self.pending.broker(broker).map_or(-1, |broker| broker.epoch.0),
            next_producer_id: first.0 + i64::from(PRODUCER_IDS_PER_BLOCK),
        };
        work.add_unbounded(vec![record.into()]);
        self.decided(work, (first, PRODUCER_IDS_PER_BLOCK))
    }
}
