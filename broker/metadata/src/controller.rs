//! What the controller decides: requests in, metadata records and answers out.
//!
//! A fold over the metadata log with two views (design.md §5): *pending*, to the end of the log, decides the next
//! records; *committed*, to the high watermark, is what the cluster sees. It writes nothing itself. The node's controller
//! shard appends the records of each decision as one batch and lets its answer go when the batch is committed.

mod configs;
mod deletions;
mod elections;
mod names;
mod nodes;
mod partitions;
mod placement;
mod producer_ids;
mod refusal;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::VecDeque;
use std::sync::Arc;

use barnabas_base::{BrokerId, LeaderEpoch, Offset};
use barnabas_wire::internal::MetadataRecord;

use crate::config::{BrokerConfig, BrokerLayers};
use crate::image::{ClusterImage, ConfigResource, Delta};

pub use names::{
    CLUSTER_METADATA_TOPIC, CONSUMER_OFFSETS_TOPIC, invalid_topic_name, is_internal_topic, is_valid_topic_name,
};
pub use nodes::{BrokerRegistration, KRAFT_VERSION, METADATA_VERSION, METADATA_VERSION_MIN, supported_features};
pub use producer_ids::PRODUCER_IDS_PER_BLOCK;
pub use refusal::Refusal;

/// Most records one request may cause (Kafka's `QuorumController.MAX_RECORDS_PER_USER_OP`), so that a decision fits a
/// batch.
pub const RECORDS_PER_DECISION_MAX: usize = 10_000;

/// Most settings of one resource. Only on brokers may be set what no table names, and Kafka has 360 keys for these.
pub const CONFIG_ENTRIES_MAX: usize = 1_000;

/// Most bytes of all settings together ([`ClusterImage::config_bytes`]). Every shard and every snapshot holds them, and
/// a snapshot is written and read as a whole. A million topics with a setting each stay below.
pub const CONFIG_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A decision: what to append, and what to answer once that is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<T> {
    /// The records, one batch; none when there is nothing to append.
    pub records: Vec<MetadataRecord>,
    /// The answer.
    pub response: T,
    /// Whether earlier decisions were on their way when this one was made. An answer without records of its own then
    /// waits for them too, because it may rest on what they say.
    pub rests_on_pending: bool,
}

/// The controller of the cluster.
#[derive(Clone, Debug)]
pub struct ControllerCore {
    config: Arc<BrokerConfig>,
    committed: Arc<ClusterImage>,
    pending: ClusterImage,
    in_flight: VecDeque<InFlight>,
}

/// A decision that is not committed yet, and the image after it.
#[derive(Clone, Debug)]
struct InFlight {
    image: ClusterImage,
    delta: Delta,
}

impl ControllerCore {
    /// A controller that continues from `image`, which is what the log says. `config` is this node's.
    #[must_use]
    pub fn new(config: Arc<BrokerConfig>, image: ClusterImage) -> Self {
        Self { config, committed: Arc::new(image.clone()), pending: image, in_flight: VecDeque::new() }
    }

    /// The committed view.
    #[must_use]
    pub fn committed(&self) -> Arc<ClusterImage> {
        Arc::clone(&self.committed)
    }

    /// The pending view: what the log says to its end.
    #[must_use]
    pub const fn pending(&self) -> &ClusterImage {
        &self.pending
    }

    /// The configuration of the node this controller runs on.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// How many decisions are not committed yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The records of the oldest decision in flight are committed, the last of them at `last` in `epoch`. Gives the new
    /// committed image and what changed.
    ///
    /// # Panics
    /// The records do not fit the committed image. They were decided here, so that is a bug.
    pub fn commit(
        &mut self,
        last: Offset,
        epoch: LeaderEpoch,
        records: &[MetadataRecord],
    ) -> (Arc<ClusterImage>, Delta) {
        assert!(last >= Offset::ZERO, "a committed record has an offset");
        assert!(epoch >= LeaderEpoch(0), "a committed record has an epoch");
        let (image, delta) = match self.in_flight.pop_front() {
            Some(decided) => (decided.image, decided.delta),
            None => {
                let applied = self.committed.apply(records);
                let (image, delta) = applied.expect("records that this controller decided fit its image");
                self.pending = image.clone();
                (image, delta)
            }
        };
        self.committed = Arc::new(image);
        (self.committed(), delta)
    }

    /// An append failed or the leadership is lost: what was not committed is forgotten. The caller sees to it that no
    /// batch decided since stays in the log, by truncating it or by stopping: such a batch may rest on a lost one.
    pub fn drop_pending(&mut self) {
        self.in_flight.clear();
        self.pending = ClusterImage::clone(&self.committed);
    }

    /// A decision whose records are already in `image`, which becomes the pending view.
    fn decided<T>(&mut self, work: Work, response: T) -> Decision<T> {
        let rests_on_pending = !self.in_flight.is_empty();
        if !work.records.is_empty() {
            self.pending = work.image.clone();
            self.in_flight.push_back(InFlight { image: work.image, delta: work.delta });
        }
        Decision { records: work.records, response, rests_on_pending }
    }

    /// A decision that changes nothing.
    fn answered<T>(&self, response: T) -> Decision<T> {
        Decision { records: Vec::new(), response, rests_on_pending: !self.in_flight.is_empty() }
    }

    fn work(&self) -> Work {
        Work { image: self.pending.clone(), records: Vec::new(), delta: Delta::default() }
    }

    /// The id of this node, which is broker and controller.
    fn node_id(&self) -> BrokerId {
        self.config.node_id
    }

    /// The resource under which this node's own dynamic configuration stands.
    fn own_resource(&self) -> ConfigResource {
        ConfigResource::broker(self.node_id())
    }
}

/// A decision in the making: records and the image they lead to, so that each part of a request sees the parts before.
struct Work {
    image: ClusterImage,
    records: Vec<MetadataRecord>,
    delta: Delta,
}

impl Work {
    /// Adds records, all or none of them.
    fn add(&mut self, records: Vec<MetadataRecord>) -> Result<(), Refusal> {
        if self.records.len() + records.len() > RECORDS_PER_DECISION_MAX {
            return Err(Refusal::too_large());
        }
        let (image, delta) = applied(&self.image, &records);
        // What makes them fewer is taken at any size, which a log of another program may have.
        if image.config_bytes() > self.image.config_bytes().max(CONFIG_BYTES_MAX) {
            return Err(Refusal::too_much_config());
        }
        self.take(image, delta, records);
        Ok(())
    }

    /// Adds records that no request asked for and that may come in any number.
    fn add_unbounded(&mut self, records: Vec<MetadataRecord>) {
        let (image, delta) = applied(&self.image, &records);
        self.take(image, delta, records);
    }

    fn take(&mut self, image: ClusterImage, delta: Delta, records: Vec<MetadataRecord>) {
        self.image = image;
        self.delta.merge(delta);
        self.records.extend(records);
    }

    /// The layers of configuration that hold for topics on `node`, as this image has them.
    fn layers<'a>(&'a self, config: &'a BrokerConfig, own: &'a ConfigResource) -> BrokerLayers<'a> {
        layers_of(&self.image, config, own)
    }
}

fn applied(image: &ClusterImage, records: &[MetadataRecord]) -> (ClusterImage, Delta) {
    image.apply(records).expect("decided records fit the image they were decided on")
}

fn layers_of<'a>(image: &'a ClusterImage, config: &'a BrokerConfig, own: &'a ConfigResource) -> BrokerLayers<'a> {
    static ALL: ConfigResource = ConfigResource::all_brokers();
    BrokerLayers { dynamic_broker: image.config(own), dynamic_default: image.config(&ALL), statics: &config.statics }
}
