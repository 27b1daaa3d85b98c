//! Promise: what was deleted by DeleteRecords never comes back, whatever dies afterwards.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;
use barnabas_plan::{Action, Plan};

use crate::facts::{Facts, survives};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "trimmed",
    words: "deleted records never come back",
    kind: Kind::BlackBox,
    applies: has_trims,
    check,
};

/// Where nothing is deleted nothing can come back.
fn has_trims(plan: &Plan) -> bool {
    survives(plan) && plan.operations.iter().any(|operation| matches!(operation.action, Action::Trim { .. }))
}

/// Judges every log of every poll of a reader that began after something was deleted.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let mut trims = BTreeMap::<LogName, Vec<(usize, Offset)>>::new();
    for (log, low_watermark, ended) in facts.trims() {
        trims.entry(log).or_default().push((ended, low_watermark));
    }
    for poll in facts.polls() {
        let (Some(log), Some(first)) = (poll.log, poll.records.first()) else { continue };
        let before = trims.get(&log).into_iter().flatten().filter(|(ended, _)| *ended < poll.since);
        let Some(start) = before.map(|(_, low_watermark)| *low_watermark).max() else { continue };
        court.judge(first.offset < start, Some(poll.ended), Some(log), || {
            format!("{} of {} was read after everything before {start} was deleted", first.offset, shown(log))
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    #[test]
    fn accepts_what_stays_deleted() {
        accepts(
            &PROMISE,
            [
                durable().trimmed(2).assign(1, true).polled(1, &[(2, 1)]),
                durable().trimmed(2).power_lost().last(&[(3, 1)]),
            ],
        );
        passes_over(
            &PROMISE,
            [
                durable().assign(1, true).trimmed(2).polled(1, &[(0, 1)]),
                // It was a member meanwhile, and has what it had fetched before that.
                durable().assign(1, true).trimmed(2).assigned(1, 1, None).revoked(1).polled(1, &[(0, 1)]),
                durable().trimmed(2).last(&[]),
            ],
        );
    }

    #[test]
    fn rejects_what_comes_back() {
        rejects(
            &PROMISE,
            [
                durable().trimmed(2).assign(1, true).polled(1, &[(1, 1)]),
                durable().trimmed(2).power_lost().last(&[(0, 1), (1, 2), (2, 3)]),
                durable().trimmed(1).trimmed(3).assigned(1, 1, Some(2)).polled_as_member(1, &[(2, 3)]),
            ],
        );
    }
}
