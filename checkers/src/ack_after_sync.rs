//! Promise: an acknowledgement follows the sync of what it acknowledges and, with acks=all, the high watermark; after a
//! directory failed, its shard syncs nothing more, and soon no shard of its broker does (I18).

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Observation, Offset, ShardId};
use barnabas_plan::NodeName;

use crate::facts::Facts;
use crate::observed::{Replica, Sight, log_of, sights, syncs_first};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "ack-after-sync",
    words: "an acknowledgement follows the sync of what it covers, and nothing is synced after the device failed",
    kind: Kind::WhiteBox,
    applies: syncs_first,
    check,
};

/// How soon every shard of a broker knows that a directory has failed, in nanoseconds: a message away, on the slowest
/// processor and in the longest queue that is drawn.
const SPREADS_WITHIN_NS: u64 = 15_000_000_000;

/// Directories that failed: by shard, and by broker with the time.
#[derive(Default)]
struct Failed {
    shards: BTreeSet<(NodeName, u64, ShardId)>,
    brokers: BTreeMap<(NodeName, u64), u64>,
}

impl Failed {
    fn note(&mut self, sight: &Sight<'_>, at_ns: u64) {
        self.shards.insert((sight.node, sight.life, sight.shard));
        self.brokers.entry((sight.node, sight.life)).or_insert(at_ns);
    }

    /// Whether the shard of this observation knows of a failure.
    fn is_known(&self, sight: &Sight<'_>, at_ns: u64) -> bool {
        let told = |since: &u64| at_ns.saturating_sub(*since) > SPREADS_WITHIN_NS;
        self.shards.contains(&(sight.node, sight.life, sight.shard))
            || self.brokers.get(&(sight.node, sight.life)).is_some_and(told)
    }
}

/// Judges every acknowledgement, and every sync.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let mut synced = BTreeMap::<Replica, Offset>::new();
    let mut failed = Failed::default();
    let one_directory = !evidence.plan.knobs.get("broker.log.dirs").is_some_and(|dirs| dirs.contains(','));
    for sight in sights(evidence) {
        let at_ns = evidence.steps[sight.step].at.0;
        if matches!(sight.what, Observation::DirectoryFailed { .. }) && one_directory {
            failed.note(&sight, at_ns);
        }
        let Some(partition) = log_of(sight.what) else { continue };
        let point = synced.entry((sight.node, partition)).or_insert(Offset::ZERO);
        match sight.what {
            Observation::LogLoaded { end_offset, .. } => *point = *end_offset,
            Observation::Truncated { offset, .. } => *point = (*point).min(*offset),
            Observation::Synced { offset, .. } => {
                let late = failed.is_known(&sight, at_ns) && *offset > *point;
                court.judge(late, Some(sight.step), None, || {
                    format!("{partition} on {} was synced up to {offset} after its directory failed", sight.node)
                });
                *point = (*point).max(*offset);
            }
            Observation::Acked { end_offset, acks, .. } if *acks != 0 => {
                court.judge(*end_offset > *point, Some(sight.step), None, || {
                    format!("{partition} on {} acknowledged up to {end_offset}, synced up to {point}", sight.node)
                });
            }
            _ => {}
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, rejects};

    use barnabas_base::RestartKind::{Fresh, Unclean};

    fn written() -> Piece {
        durable().loaded(Fresh, 0, 0).appended(0, 4)
    }

    /// A directory fails on another shard.
    fn elsewhere(piece: Piece) -> Piece {
        piece.observed_on(ShardId(1), Observation::DirectoryFailed { index: 0 })
    }

    #[test]
    fn accepts_acknowledgements_of_what_is_durable() {
        accepts(
            &PROMISE,
            [
                written().synced(4).acked(0, 4, -1).acked(0, 4, 1),
                written().lives(false).loaded(Unclean, 0, 4).acked(0, 4, -1),
                written().synced(4).observed(Observation::DirectoryFailed { index: 0 }).acked(0, 4, -1),
                elsewhere(written()).waits(14_000).synced(4),
                elsewhere(written()).waits(16_000).lives(false).loaded(Unclean, 0, 4).appended(4, 8).synced(8),
            ],
        );
    }

    #[test]
    fn rejects_those_before_the_sync() {
        let failed = || Observation::DirectoryFailed { index: 0 };
        rejects(
            &PROMISE,
            [
                written().acked(0, 4, -1),
                written().synced(3).acked(0, 4, 1),
                written().observed(failed()).synced(4),
                elsewhere(written()).waits(16_000).synced(4),
                written().synced(4).lives(false).loaded(Unclean, 0, 2).acked(0, 4, -1),
            ],
        );
    }
}
