//! Promise: what a broker holds is bounded (I42). Once its clients have gone it has each of its files open once at most and
//! none that is gone, and beside the producer snapshots of its segments a log has two at most. Once it serves nobody any more
//! it holds no memory for what they asked for.

use barnabas_base::Observation;
use barnabas_history::{Happening, SPARE_SNAPSHOTS_MAX, What};

use crate::facts::{Facts, always};
use crate::verdict::Court;
use crate::watch::GRACE_MS;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "bounds",
    words: "a broker keeps open what it has, once, two snapshots a log beside those of segments, nothing for clients that \
            are gone, and no folder of a log that is",
    kind: Kind::WhiteBox,
    applies: always,
    check,
};

/// Kafka's default of `log.segment.delete.delay.ms`, the longest that is drawn.
const DELETE_DELAY_MS: u64 = 60_000;

/// Judges what a broker held when nobody asked it for anything.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let has_rested = evidence.plan.knobs.number("world.rest_ms", 0) > DELETE_DELAY_MS + GRACE_MS;
    for (position, step) in evidence.steps.iter().enumerate() {
        let mut judge = |is_broken, words: String| court.judge(is_broken, Some(position), None, || words);
        match &step.what {
            What::Happened(Happening::Holds {
                node,
                named,
                nameless,
                files,
                spare_snapshots: spare,
                deleted_folders: deleted,
            }) => {
                judge(named > files, format!("{node} has {files} files open {named} times"));
                judge(*nameless > 0, format!("{node} has {nameless} files open that are gone"));
                judge(
                    *spare > SPARE_SNAPSHOTS_MAX,
                    format!("a log on {node} has {spare} snapshots more than segments"),
                );
                judge(
                    has_rested && *deleted > 0,
                    format!("{node} has {deleted} folders of logs that were deleted long ago"),
                );
            }
            What::Observed { node, observation: Observation::MemoryLeft { account, bytes }, .. } => {
                judge(*bytes > 0, format!("{node} stops with {bytes} bytes held for {account:?}"));
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

    use barnabas_base::Account;
    use barnabas_plan::NodeName;

    fn holds([named, nameless, files, spare_snapshots]: [u64; 4]) -> Piece {
        let (node, deleted_folders) = (NodeName(0), 0);
        durable().happened(Happening::Holds { node, named, nameless, files, spare_snapshots, deleted_folders })
    }

    /// A folder of a deleted log is there after a rest.
    fn holds_deleted(rest_ms: u64) -> Piece {
        let (named, nameless, files, spare_snapshots, deleted_folders) = (0, 0, 1, 0, 1);
        let holds = Happening::Holds { node: NodeName(0), named, nameless, files, spare_snapshots, deleted_folders };
        durable().plan(|plan| plan.knobs.set("world.rest_ms", rest_ms)).happened(holds)
    }

    fn left(piece: Piece, account: Account, bytes: u64) -> Piece {
        piece.observed(Observation::MemoryLeft { account, bytes })
    }

    #[test]
    fn accepts_what_is_needed() {
        accepts(&PROMISE, [holds([4, 0, 4, 0]), holds([0, 0, 9, 2]), left(durable(), Account::RequestFrames, 0)]);
        accepts(&PROMISE, [holds_deleted(60_000)]);
    }

    #[test]
    fn rejects_what_is_left_over() {
        rejects(&PROMISE, [holds([5, 0, 4, 0]), holds([1, 1, 4, 0]), holds([1, 0, 4, 3])]);
        rejects(&PROMISE, [holds_deleted(70_000)]);
        rejects(&PROMISE, [left(holds([4, 0, 4, 0]), Account::ResponseSegments, 17)]);
    }
}
