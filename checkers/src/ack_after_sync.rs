//! Promise: an acknowledgement follows the sync of what it acknowledges and, with acks=all, the high watermark; after a
//! directory failed, its shard syncs and acknowledges nothing more (I18).

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{Observation, Offset};
use barnabas_history::Evidence;

use crate::observed::{Replica, log_of, sights, syncs_first};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "ack-after-sync",
    words: "an acknowledgement follows the sync of what it covers, and nothing is synced after the device failed",
    kind: Kind::WhiteBox,
    applies: syncs_first,
    check,
};

/// Judges every acknowledgement, and every sync.
fn check(evidence: &Evidence) -> Verdict {
    let mut court = Court::new(evidence);
    let mut synced = BTreeMap::<Replica, Offset>::new();
    let mut failed = BTreeSet::new();
    let one_directory = !evidence.plan.knobs.get("broker.log.dirs").is_some_and(|dirs| dirs.contains(','));
    for sight in sights(evidence) {
        if matches!(sight.what, Observation::DirectoryFailed { .. }) && one_directory {
            failed.insert((sight.node, sight.life, sight.shard));
        }
        let Some(partition) = log_of(sight.what) else { continue };
        let point = synced.entry((sight.node, partition)).or_insert(Offset::ZERO);
        match sight.what {
            Observation::LogLoaded { end_offset, .. } => *point = *end_offset,
            Observation::Truncated { offset, .. } => *point = (*point).min(*offset),
            Observation::Synced { offset, .. } => {
                let late = failed.contains(&(sight.node, sight.life, sight.shard)) && *offset > *point;
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
    use crate::piece::{accepts, durable, rejects};

    use barnabas_base::RestartKind::{Fresh, Unclean};

    fn written() -> crate::piece::Piece {
        durable().loaded(Fresh, 0, 0).appended(0, 4)
    }

    #[test]
    fn accepts_acknowledgements_of_what_is_durable() {
        accepts(
            &PROMISE,
            [
                written().synced(4).acked(0, 4, -1).acked(0, 4, 1),
                written().lives(false).loaded(Unclean, 0, 4).acked(0, 4, -1),
                written().synced(4).observed(Observation::DirectoryFailed { index: 0 }).acked(0, 4, -1),
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
                written().synced(4).lives(false).loaded(Unclean, 0, 2).acked(0, 4, -1),
            ],
        );
    }
}
