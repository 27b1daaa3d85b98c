//! Promise: offsets of a group that nobody is a member of are forgotten after `offsets.retention.minutes` (KIP-211).

use std::time::Duration;

use barnabas_history::{Outcome, Reply};
use barnabas_plan::{Lane, Plan};

use crate::facts::Facts;
use crate::verdict::Court;
use crate::watch::{GRACE_MS, Watch};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "forgotten",
    words: "offsets that nobody uses any more are forgotten in time",
    kind: Kind::BlackBox,
    applies: expires,
    check,
};

const RETENTION: &str = "broker.offsets.retention.minutes";
const INTERVAL: &str = "broker.offsets.retention.check.interval.ms";
/// Kafka's default of it.
const INTERVAL_MS: u64 = 600_000;

/// Where clocks are true and offsets are kept for minutes.
fn expires(plan: &Plan) -> bool {
    plan.lane == Lane::Groups && plan.knobs.get(RETENTION).is_some()
}

/// Judges every answer of the last read that tells what a group has committed.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let (Some(read), Some(watch)) = (facts.last_read(), Watch::of(facts)) else { return court.verdict() };
    let knobs = &evidence.plan.knobs;
    let retention = Duration::from_secs(knobs.number(RETENTION, 0) * 60);
    let session_ms = evidence.plan.clients.iter().map(|client| client.session_timeout_ms).max().unwrap_or(0);
    let work_ms = session_ms + knobs.number(INTERVAL, INTERVAL_MS) + GRACE_MS;
    let due_at = watch.quiet_from.max(watch.served_from).after(retention + Duration::from_millis(work_ms));
    if due_at > watch.read {
        return court.verdict();
    }
    for view in facts.calls.iter().filter(|view| view.invoked > read.start) {
        let Some(Outcome::Ok(Reply::Committed { offsets })) = view.outcome else { continue };
        court.judge(!offsets.is_empty(), view.ended, None, || {
            format!("offsets of {} partitions are there that nobody has used for {retention:?}", offsets.len())
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, passes_over, rejects};

    use barnabas_history::Happening;
    use barnabas_plan::NodeName;

    /// A group commits, and offsets are kept for a minute.
    fn committed() -> Piece {
        Piece::of(Lane::Groups)
            .plan(|plan| {
                plan.knobs.set(RETENTION, 1_u64);
                plan.knobs.set(INTERVAL, 1_000_u64);
            })
            .happened(Happening::Serving { node: NodeName(0) })
            .sent(0, 1, 0)
            .commits(0, 1, 1)
            .happened(Happening::Healed)
    }

    fn read(piece: Piece, answer: Option<i64>) -> Piece {
        piece.happened(Happening::FirstRead).last(&[(0, 1)]).committed(answer)
    }

    #[test]
    fn accepts_what_is_forgotten() {
        accepts(&PROMISE, [read(committed().waits(70_100), None)]);
    }

    #[test]
    fn rejects_what_is_remembered() {
        rejects(&PROMISE, [read(committed().waits(70_100), Some(1))]);
    }

    #[test]
    fn passes_over_what_may_be_remembered() {
        let serves_late = committed().waits(70_100).happened(Happening::Serving { node: NodeName(0) });
        let used = committed().waits(60_000).commits(0, 1, 1).waits(10_100);
        let longer = committed().plan(|plan| plan.knobs.set(RETENTION, 2_u64)).waits(70_100);
        for piece in [committed().waits(69_000), serves_late, used, longer] {
            let piece = read(piece, Some(1));
            assert_eq!(piece.judged_by(&PROMISE).judged, 0);
            passes_over(&PROMISE, [piece]);
        }
    }
}
