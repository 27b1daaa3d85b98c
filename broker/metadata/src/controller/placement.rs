//! Where replicas of new partitions go: spread over brokers and racks, active brokers first.
//!
//! Pure; the same image and draw give the same placement. The idea of stripes over racks is that of Kafka's
//! `StripedReplicaPlacer`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::BrokerId;
use barnabas_wire::ErrorCode;

use super::refusal::Refusal;
use crate::image::{BrokerImage, ClusterImage};

/// Replicas of `count` partitions from `first` on, the leader first. `draw` decides on which broker they begin.
pub(crate) fn place(
    image: &ClusterImage,
    first: i32,
    count: i32,
    replication_factor: i16,
    draw: u64,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let refuse = |message: String| {
        let message = format!("Unable to replicate the partition {replication_factor} time(s): {message}");
        Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message))
    };
    let active = striped(image.brokers().filter(|broker| takes_replicas(broker) && broker.is_active()));
    if active.is_empty() {
        return refuse("All brokers are currently fenced, or have all their log directories cordoned.".to_owned());
    }
    let inactive = striped(image.brokers().filter(|broker| takes_replicas(broker) && !broker.is_active()));
    let factor = usize::from(replication_factor.unsigned_abs());
    assert!(factor > 0, "a partition has at least one replica");
    let total = active.len() + inactive.len();
    if factor > total {
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {total} \
             broker(s) are registered or some brokers have all their log directories cordoned."
        ));
    }
    let others = active.len() as u64 - 1;
    // Halved, so that positions behind it do not pass the end of the type.
    let begin = draw >> 1;
    let placed = (0..u64::from(count.unsigned_abs())).map(|ordinal| {
        let start = begin + u64::from(first.unsigned_abs()) + ordinal;
        // Every round over the brokers shifts the followers by one, so that the load of a failed leader spreads.
        let round = start / active.len() as u64;
        let followers = (0..others).map(|step| rotated(&active, start + 1 + (step + round) % others));
        let spare = (0..inactive.len() as u64).map(|step| rotated(&inactive, start + step));
        let candidates = std::iter::once(rotated(&active, start)).chain(followers).chain(spare);
        over_racks(image, candidates.collect(), factor)
    });
    Ok(placed.collect())
}

/// The first `factor` of `candidates`, where a rack comes a second time only when all others have had their turn. The
/// first candidate, which is to lead, stays the first.
fn over_racks(image: &ClusterImage, mut candidates: Vec<BrokerId>, factor: usize) -> Vec<BrokerId> {
    let rack = |id: BrokerId| image.broker(id).and_then(|broker| broker.rack.as_deref());
    let mut replicas = Vec::with_capacity(factor);
    let mut used = BTreeSet::new();
    while replicas.len() < factor {
        let fresh = candidates.iter().position(|id| !used.contains(&rack(*id)));
        let Some(position) = fresh else {
            used.clear();
            continue;
        };
        let id = candidates.remove(position);
        used.insert(rack(id));
        replicas.push(id);
    }
    replicas
}

fn rotated(brokers: &[BrokerId], position: u64) -> BrokerId {
    let index = position % brokers.len() as u64;
    brokers[usize::try_from(index).expect("a remainder of a length is an index")]
}

/// Whether the broker has a log directory left that is not cordoned (KIP-1066).
fn takes_replicas(broker: &BrokerImage) -> bool {
    let cordoned = &broker.cordoned_directories;
    broker.directories.is_empty() || broker.directories.iter().any(|directory| !cordoned.contains(directory))
}

/// Brokers in an order in which neighbours stand in different racks as far as possible.
fn striped<'a>(brokers: impl Iterator<Item = &'a BrokerImage>) -> Vec<BrokerId> {
    let mut racks: BTreeMap<Option<&str>, VecDeque<BrokerId>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(broker.rack.as_deref()).or_default().push_back(broker.id);
    }
    let mut order = Vec::new();
    while !racks.is_empty() {
        for brokers in racks.values_mut() {
            order.extend(brokers.pop_front());
        }
        racks.retain(|_, brokers| !brokers.is_empty());
    }
    order
}

#[cfg(test)]
mod tests {
    use barnabas_wire::internal::node_schema::RegisterBrokerRecord;
    use proptest::prelude::*;

    use super::*;

    fn cluster(brokers: &[(Option<&str>, bool)]) -> ClusterImage {
        let records: Vec<_> = (1..)
            .zip(brokers)
            .map(|(broker_id, (rack, fenced))| {
                let rack = rack.map(str::to_owned);
                RegisterBrokerRecord { broker_id, rack, fenced: *fenced, ..RegisterBrokerRecord::default() }.into()
            })
            .collect();
        ClusterImage::default().apply(&records).expect("brokers fit an empty image").0
    }

    #[test]
    fn neighbours_stand_in_different_racks() {
        let image = cluster(&[(Some("a"), false), (Some("a"), false), (Some("b"), false), (Some("b"), false)]);
        for replicas in place(&image, 0, 8, 2, 0).expect("two of four") {
            let racks: BTreeSet<_> =
                replicas.iter().filter_map(|id| image.broker(*id)).map(|broker| broker.rack.clone()).collect();
            assert_eq!(racks.len(), 2, "{replicas:?}");
        }
    }

    #[test]
    fn fenced_brokers_follow_at_best() {
        let image = cluster(&[(None, true), (None, false)]);
        assert_eq!(place(&image, 0, 1, 2, 7), Ok(vec![vec![BrokerId(2), BrokerId(1)]]));
        let error = place(&image, 0, 1, 3, 0).expect_err("there are two");
        assert!(error.message.is_some_and(|message| message.contains("only 2 broker(s) are registered")));
        assert!(place(&cluster(&[(None, true)]), 0, 1, 1, 0).is_err());
    }

    proptest! {
        #[test]
        fn replicas_are_distinct_and_leaders_spread(
            brokers in 1..7_usize, factor in 1..7_i16, partitions in 1..40_i32, draw in any::<u64>()
        ) {
            let image = cluster(&vec![(None, false); brokers]);
            let placed = place(&image, 0, partitions, factor, draw);
            let possible = usize::from(factor.unsigned_abs()) <= brokers;
            prop_assert_eq!(placed.is_ok(), possible);
            let mut leaders: BTreeMap<BrokerId, usize> = BTreeMap::new();
            for replicas in placed.unwrap_or_default() {
                let distinct: BTreeSet<_> = replicas.iter().collect();
                prop_assert_eq!(distinct.len(), usize::from(factor.unsigned_abs()));
                *leaders.entry(replicas[0]).or_default() += 1;
            }
            let most = leaders.values().max().copied().unwrap_or(0);
            let fair = usize::try_from(partitions).expect("positive").div_ceil(brokers);
            prop_assert!(most <= fair + 1, "no broker leads much more than its share");
        }
    }
}
