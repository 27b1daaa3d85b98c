//! [`sights`]: what brokers observed, log by log and in order, for white-box checkers. One log of one node is one
//! replica; its lives follow one another.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Observation, ShardId, TopicPartition};
use barnabas_history::{Evidence, Happening, What};
use barnabas_plan::{Fault, Lane, NodeName, Plan};

/// One observation, placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub step: usize,
    pub node: NodeName,
    pub life: u64,
    pub shard: ShardId,
    pub what: &'a Observation,
}

/// A replica: a log of a node.
pub(crate) type Replica = (NodeName, TopicPartition);

/// Whether the device tells the truth and keeps what was synced: it neither lies nor is replaced.
pub(crate) fn honest(plan: &Plan) -> bool {
    let replaced = |fault: &Fault| matches!(fault, Fault::OldDisk { .. } | Fault::WipedDisk { .. });
    !plan.lane.promises().detection_only && !plan.faults.iter().any(|planned| replaced(&planned.fault))
}

/// Whether the device keeps what can be made again from records as it was written.
pub(crate) fn keeps_caches(plan: &Plan) -> bool {
    honest(plan) && plan.lane != Lane::Caches
}

/// Whether, beside that, the device has room and takes what it is given: a stop that finds none leaves less than it would.
pub(crate) fn has_room(plan: &Plan) -> bool {
    let takes_room =
        |fault: &Fault| matches!(fault, Fault::DiskFull { .. } | Fault::DiskError { .. } | Fault::ShortWrite { .. });
    keeps_caches(plan) && !plan.faults.iter().any(|planned| takes_room(&planned.fault))
}

/// Whether what is acknowledged is durable first.
pub(crate) fn syncs_first(plan: &Plan) -> bool {
    plan.knobs.get("broker.flush.policy") != Some("os")
}

/// Every observation in order.
pub(crate) fn sights(evidence: &Evidence) -> impl Iterator<Item = Sight<'_>> {
    evidence.steps.iter().enumerate().filter_map(|(step, placed)| {
        let What::Observed { node, life, shard, observation } = &placed.what else { return None };
        Some(Sight { step, node: *node, life: *life, shard: *shard, what: observation })
    })
}

/// The log that an observation is about, and nothing for the rest.
pub(crate) const fn log_of(observation: &Observation) -> Option<TopicPartition> {
    match observation {
        Observation::Appended { partition, .. }
        | Observation::Synced { partition, .. }
        | Observation::Truncated { partition, .. }
        | Observation::HighWatermarkSet { partition, .. }
        | Observation::LogStartSet { partition, .. }
        | Observation::EpochSet { partition, .. }
        | Observation::Acked { partition, .. }
        | Observation::Served { partition, .. }
        | Observation::LogLoaded { partition, .. }
        | Observation::Damaged { partition, .. } => Some(*partition),
        _ => None,
    }
}

/// Lives of nodes that ended by themselves, as asked.
pub(crate) fn clean_ends(evidence: &Evidence) -> BTreeSet<(NodeName, u64)> {
    let mut lives = BTreeMap::new();
    let mut clean_ends = BTreeSet::new();
    for step in &evidence.steps {
        match &step.what {
            What::Happened(Happening::Started { node, life }) => {
                lives.insert(*node, *life);
            }
            What::Happened(Happening::Ended { node, clean: true }) => {
                clean_ends.extend(lives.get(node).map(|life| (*node, *life)));
            }
            What::Happened(_) | What::Invoked { .. } | What::Ended { .. } => {}
            What::Member { .. } | What::Reborn { .. } | What::Observed { .. } => {}
        }
    }
    clean_ends
}
