//! Counters of one shard, kept from observations: plain numbers that an endpoint can read without asking the broker.
//!
//! One observer per shard, so that counting needs no lock; whoever reports adds the shards up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use barnabas_base::Observation;
use barnabas_runtime::Observer;

/// What a shard has done since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches appended.
    pub batches_appended: u64,
    /// Records appended.
    pub records_appended: u64,
    /// Bytes appended.
    pub bytes_appended: u64,
    /// Bytes served to readers.
    pub bytes_served: u64,
    /// Commits that became durable, counted per log.
    pub syncs: u64,
    /// Batches acknowledged.
    pub batches_acked: u64,
    /// Batches recognised as duplicates.
    pub duplicates: u64,
    /// Connections accepted.
    pub connections_opened: u64,
    /// Connections ended.
    pub connections_closed: u64,
    /// Ranges found damaged.
    pub damaged_ranges: u64,
    /// Log directories that failed.
    pub directories_failed: u64,
    /// Requests by API key.
    pub requests: BTreeMap<i16, u64>,
    /// Bytes of requests by API key.
    pub request_bytes: BTreeMap<i16, u64>,
    /// Bytes of responses by API key.
    pub response_bytes: BTreeMap<i16, u64>,
    /// Error codes answered, by API key and code.
    pub errors: BTreeMap<(i16, i16), u64>,
    /// Rare branches taken, by name.
    pub marks: BTreeMap<&'static str, u64>,
}

/// Counts what one shard observes.
#[derive(Debug, Default)]
pub struct ShardCounters {
    hot: HotCounters,
    rest: RefCell<Counters>,
}

/// Counters touched for every batch, apart from the maps.
#[derive(Debug, Default)]
struct HotCounters {
    batches_appended: Cell<u64>,
    records_appended: Cell<u64>,
    bytes_appended: Cell<u64>,
    bytes_served: Cell<u64>,
    syncs: Cell<u64>,
    batches_acked: Cell<u64>,
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get().wrapping_add(count));
}

impl ShardCounters {
    /// All counters at this moment.
    #[must_use]
    pub fn read(&self) -> Counters {
        let mut counters = self.rest.borrow().clone();
        counters.batches_appended = self.hot.batches_appended.get();
        counters.records_appended = self.hot.records_appended.get();
        counters.bytes_appended = self.hot.bytes_appended.get();
        counters.bytes_served = self.hot.bytes_served.get();
        counters.syncs = self.hot.syncs.get();
        counters.batches_acked = self.hot.batches_acked.get();
        counters
    }

    fn count_rest(&self, observation: &Observation) {
        let mut rest = self.rest.borrow_mut();
        match observation {
            Observation::ConnectionOpened => rest.connections_opened += 1,
            Observation::ConnectionClosed => rest.connections_closed += 1,
            Observation::Damaged { .. } => rest.damaged_ranges += 1,
            Observation::DirectoryFailed { .. } => rest.directories_failed += 1,
            Observation::RequestReceived { api_key, size_bytes } => {
                *rest.requests.entry(*api_key).or_default() += 1;
                *rest.request_bytes.entry(*api_key).or_default() += u64::from(*size_bytes);
            }
            Observation::ResponseSent { api_key, size_bytes } => {
                *rest.response_bytes.entry(*api_key).or_default() += size_bytes;
            }
            Observation::ErrorReturned { api_key, code } => *rest.errors.entry((*api_key, *code)).or_default() += 1,
            Observation::Mark { name } => *rest.marks.entry(name).or_default() += 1,
            _ => {}
        }
    }
}

impl Observer for ShardCounters {
    fn observe(&self, observation: &Observation) {
        match observation {
            Observation::Appended { base_offset, end_offset, size_bytes, .. } => {
                add(&self.hot.batches_appended, 1);
                let records = u64::try_from(end_offset.minus(*base_offset)).unwrap_or(0);
                add(&self.hot.records_appended, records);
                add(&self.hot.bytes_appended, u64::from(*size_bytes));
            }
            Observation::Synced { .. } => add(&self.hot.syncs, 1),
            Observation::Served { size_bytes, .. } => add(&self.hot.bytes_served, *size_bytes),
            Observation::Acked { duplicate, .. } => {
                add(&self.hot.batches_acked, 1);
                if *duplicate {
                    self.rest.borrow_mut().duplicates += 1;
                }
            }
            other => self.count_rest(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use barnabas_base::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};

    use super::*;

    #[test]
    fn observations_are_counted() {
        let partition = TopicPartition { topic_id: TopicId::default(), partition: PartitionIndex(0) };
        let counters = ShardCounters::default();
        counters.observe(&Observation::Appended {
            partition,
            base_offset: Offset(5),
            end_offset: Offset(8),
            leader_epoch: LeaderEpoch(0),
            crc: 0,
            size_bytes: 100,
            producer: None,
        });
        counters.observe(&Observation::ErrorReturned { api_key: 1, code: 3 });
        counters.observe(&Observation::ErrorReturned { api_key: 1, code: 3 });
        let read = counters.read();
        assert_eq!((read.batches_appended, read.records_appended, read.bytes_appended), (1, 3, 100));
        assert_eq!(read.errors.get(&(1, 3)), Some(&2));
    }
}
