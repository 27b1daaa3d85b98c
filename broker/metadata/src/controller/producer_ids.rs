//! Blocks of producer ids (KIP-730): handed out once, never again.

use barnabas_base::ProducerId;
use barnabas_wire::internal::metadata_schema::ProducerIdsRecord;

use super::{ControllerCore, Decision};

/// Ids of a block (Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1_000;

impl ControllerCore {
    /// Takes the next block for this node's broker: its first id and how many there are. The ids may be used once the
    /// record is committed.
    pub fn allocate_producer_ids(&mut self) -> Decision<(ProducerId, i32)> {
        let first = self.pending.next_producer_id();
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
