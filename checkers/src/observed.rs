//! White-box promises on what brokers observe, in order: watermarks, appends, acknowledgements, restarts.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{LeaderEpoch, Observation, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};
use barnabas_history::{Happening, What};

use crate::{Facts, Verdict};

/// Every observation with its step and the life it was made in.
fn observations<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (usize, u64, &'a Observation)> {
    facts.evidence.steps.iter().enumerate().filter_map(|(step, happened)| match &happened.what {
        What::Observed { life, observation, .. } => Some((step, *life, observation)),
        _ => None,
    })
}

/// Whether acknowledgements follow the sync in this run.
fn syncs_first(facts: &Facts<'_>) -> bool {
    facts.plan().knobs.get("broker.flush.policy") != Some("os")
}

/// A Produce that is acknowledged with acks other than 0 is durable by then (I06 under `flush.policy=ack`).
pub(crate) fn acked_synced(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !syncs_first(facts) {
        return verdict;
    }
    let mut synced: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            Observation::Synced { partition, offset } => {
                let top = synced.entry(*partition).or_insert(*offset);
                *top = (*top).max(*offset);
            }
            Observation::LogLoaded { partition, end_offset, .. } => {
                synced.insert(*partition, *end_offset);
            }
            Observation::Acked { partition, end_offset, acks, .. } if *acks != 0 => {
                let durable = synced.get(partition).copied().unwrap_or(Offset(0));
                verdict.judge(*end_offset > durable, step, None, || {
                    format!("{partition:?} was acknowledged up to {end_offset} when {durable} was durable")
                });
            }
            _ => {}
        }
    }
    verdict
}

/// What is served lies below the high watermark.
pub(crate) fn served_committed(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut high: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            Observation::HighWatermarkSet { partition, offset } => {
                high.insert(*partition, *offset);
            }
            Observation::LogLoaded { partition, end_offset, .. } => {
                high.insert(*partition, *end_offset);
            }
            Observation::Served { partition, bound, .. } => {
                let limit = high.get(partition).copied();
                verdict.judge(limit.is_some_and(|limit| *bound > limit), step, None, || {
                    format!("{partition:?} was served up to {bound}, above its high watermark {limit:?}")
                });
            }
            _ => {}
        }
    }
    verdict
}

/// Start, high watermark and end of one log.
#[derive(Clone, Copy, Default)]
struct Marks {
    start: Offset,
    high: Offset,
    end: Offset,
}

/// The start and the high watermark never fall within a life, and start ≤ high watermark ≤ end.
pub(crate) fn watermarks(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut marks: BTreeMap<TopicPartition, Marks> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            Observation::LogLoaded { partition, start_offset, end_offset, .. } => {
                marks.insert(*partition, Marks { start: *start_offset, high: *start_offset, end: *end_offset });
            }
            Observation::Appended { partition, end_offset, .. } => {
                marks.entry(*partition).or_default().end = *end_offset;
            }
            Observation::Truncated { partition, offset } => {
                let mark = marks.entry(*partition).or_default();
                mark.end = *offset;
                mark.high = mark.high.min(*offset);
            }
            Observation::HighWatermarkSet { partition, offset } => {
                let mark = marks.entry(*partition).or_default();
                verdict.judge(*offset < mark.high || *offset > mark.end, step, None, || {
                    format!("{partition:?}: high watermark {} → {offset} with the end at {}", mark.high, mark.end)
                });
                mark.high = *offset;
            }
            Observation::LogStartSet { partition, offset } => {
                let mark = marks.entry(*partition).or_default();
                verdict.judge(*offset < mark.start || *offset > mark.end, step, None, || {
                    format!("{partition:?}: log start {} → {offset} with the end at {}", mark.start, mark.end)
                });
                mark.start = *offset;
            }
            _ => {}
        }
    }
    verdict
}

/// Batches follow each other without a gap within a life, and their epochs never fall.
pub(crate) fn appends(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut ends: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let mut epochs: BTreeMap<TopicPartition, LeaderEpoch> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            Observation::LogLoaded { partition, end_offset, .. } => {
                ends.insert(*partition, *end_offset);
            }
            Observation::Truncated { partition, offset } => {
                ends.insert(*partition, *offset);
            }
            Observation::Appended { partition, base_offset, end_offset, leader_epoch, .. } => {
                let end = ends.insert(*partition, *end_offset);
                verdict.judge(end.is_some_and(|end| end != *base_offset), step, None, || {
                    format!("{partition:?}: a batch at {base_offset} follows the end at {end:?}")
                });
                let epoch = epochs.insert(*partition, *leader_epoch);
                let falls = epoch.is_some_and(|epoch| *leader_epoch < epoch) && !facts.promises.detection_only;
                verdict.judge(falls, step, None, || format!("{partition:?}: epoch {leader_epoch} after {epoch:?}"));
            }
            _ => {}
        }
    }
    verdict
}

/// A log comes up with everything that was synced, and with nothing that was not written.
pub(crate) fn restart(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if facts.promises.detection_only {
        return verdict;
    }
    let mut synced: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let mut written: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            Observation::Synced { partition, offset } => {
                let top = synced.entry(*partition).or_insert(*offset);
                *top = (*top).max(*offset);
            }
            Observation::Appended { partition, end_offset, .. } => {
                let top = written.entry(*partition).or_insert(*end_offset);
                *top = (*top).max(*end_offset);
            }
            Observation::Truncated { partition, offset } => {
                for offsets in [&mut synced, &mut written] {
                    if let Some(top) = offsets.get_mut(partition) {
                        *top = (*top).min(*offset);
                    }
                }
            }
            Observation::LogLoaded { partition, end_offset, .. } => {
                let (durable, all) = (synced.get(partition).copied(), written.get(partition).copied());
                let lost = durable.is_some_and(|durable| *end_offset < durable) && syncs_first(facts);
                let invented = all.is_some_and(|all| *end_offset > all);
                verdict.judge(lost || invented, step, None, || {
                    format!("{partition:?} came up with {end_offset}; {durable:?} was durable and {all:?} written")
                });
                written.insert(*partition, *end_offset);
            }
            _ => {}
        }
    }
    verdict
}

/// A batch of an idempotent producer is appended once, unless it was cut off again.
pub(crate) fn sequences(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if !facts.acked_survives() {
        return verdict;
    }
    let mut seen: BTreeSet<(TopicPartition, ProducerId, ProducerEpoch, Sequence)> = BTreeSet::new();
    let mut ends: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for (step, _, observation) in observations(facts) {
        match observation {
            // What did not survive may come again.
            Observation::Truncated { partition, .. } => {
                seen.retain(|(of, ..)| of != partition);
            }
            Observation::LogLoaded { partition, end_offset, .. } => {
                if ends.get(partition).is_some_and(|end| end > end_offset) {
                    seen.retain(|(of, ..)| of != partition);
                }
            }
            Observation::Appended { partition, end_offset, producer: Some((id, epoch, sequence)), .. } => {
                ends.insert(*partition, *end_offset);
                let first = seen.insert((*partition, *id, *epoch, *sequence));
                verdict.judge(!first, step, None, || {
                    format!("{partition:?}: sequence {sequence:?} of producer {id:?} was appended twice")
                });
            }
            _ => {}
        }
    }
    verdict
}

/// Metadata is applied in the order of its log.
pub(crate) fn metadata(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut last: Option<(Offset, LeaderEpoch)> = None;
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        match &happened.what {
            // An image is read anew by each life.
            What::Happened(Happening::Started { .. }) => last = None,
            What::Observed { observation: Observation::MetadataApplied { offset, epoch }, .. } => {
                let falls = last.is_some_and(|(at, of)| *offset <= at || *epoch < of);
                verdict.judge(falls, step, None, || format!("metadata at {offset} in {epoch} follows {last:?}"));
                last = Some((*offset, *epoch));
            }
            _ => {}
        }
    }
    verdict
}
