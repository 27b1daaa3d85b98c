//! Promise: the committed position of a group is the one that was committed last: it never falls unless a member asked,
//! and survives everything the lane draws. A register, judged as one: what is read was written, and was not overwritten
//! for certain before the read began. Offsets expire, but never those of a group that has members who read the topic
//! (KIP-211).

use std::collections::BTreeMap;

use barnabas_base::{Offset, Uuid};
use barnabas_history::{Call, LogName, Outcome, Reply};
use barnabas_plan::{GroupName, TopicName};

use crate::facts::{Facts, survives};
use crate::lawful::longest_age_ms;
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "committed",
    words: "the committed position is the last that was committed; it never falls unless a member asks",
    kind: Kind::BlackBox,
    applies: survives,
    check,
};

/// Kafka's default of `offsets.retention.minutes`, in milliseconds; a sixth less, for clocks that run ahead.
const EXPIRY_MS: u64 = 6 * 24 * 60 * 60 * 1000;

/// A commit of one position.
struct Write<'a> {
    offset: Offset,
    invoked: usize,
    /// When it was surely in force; never for one that was not answered.
    in_force: Option<usize>,
    generation: i32,
    member: &'a str,
}

/// Judges every answer for committed positions.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let writes = writes(facts);
    let expires =
        longest_age_ms(evidence) >= EXPIRY_MS || evidence.plan.knobs.get("broker.offsets.retention.minutes").is_some();
    for view in &facts.calls {
        let Call::Committed { group, topic } = view.call else { continue };
        let (Some(Outcome::Ok(Reply::Committed { offsets })), Some(ended)) = (view.outcome, view.ended) else {
            continue;
        };
        if facts.may_be_dropped(*topic) {
            continue;
        }
        let answers: BTreeMap<_, _> = offsets.iter().filter_map(|(log, at)| Some((facts.log(*log)?, *at))).collect();
        for ((whose, log), writes) in writes.range((*group, first_log(*topic))..) {
            if log.topic != *topic || whose != group {
                break;
            }
            let answer = answers.get(log).copied();
            let may_be_expired = expires && !is_at_work(writes, view.invoked, ended);
            let wrong = judge(writes, answer, view.invoked, ended).filter(|_| answer.is_some() || !may_be_expired);
            court.judge(wrong.is_some(), Some(ended), Some(*log), || {
                format!("{group} on {}: {}", shown(*log), wrong.unwrap_or_default())
            });
        }
        for (log, at) in answers.iter().filter(|(log, _)| !writes.contains_key(&(*group, **log))) {
            court.judge(true, Some(ended), Some(*log), || {
                format!("{group} on {}: {at} was never committed", shown(*log))
            });
        }
    }
    court.verdict()
}

fn first_log(topic: TopicName) -> LogName {
    LogName { topic, id: Uuid::default(), partition: 0 }
}

/// Whether the group had a member that read the log all the while since a position was committed: one whose commits were
/// accepted before and after the question, in one generation. Groups that have been empty begin another.
fn is_at_work(writes: &[Write<'_>], invoked: usize, ended: usize) -> bool {
    let accepted = || writes.iter().filter(|write| write.in_force.is_some() && write.generation > 0);
    let before = |write: &&Write<'_>| write.in_force.is_some_and(|at| at < invoked);
    accepted().filter(before).any(|first| {
        let is_same = |write: &Write<'_>| (write.generation, write.member) == (first.generation, first.member);
        accepted().any(|write| write.invoked > ended && is_same(write))
    })
}

/// What is wrong with an answer, if something is.
fn judge(writes: &[Write<'_>], answer: Option<Offset>, invoked: usize, ended: usize) -> Option<String> {
    // The last beginning of a commit that was in force before the question: what ended before it is overwritten.
    let settled = writes.iter().filter(|write| write.in_force.is_some_and(|at| at < invoked));
    let latest = settled.clone().max_by_key(|write| write.invoked);
    let Some(answer) = answer else {
        return latest.map(|write| format!("{} was committed and nothing is", write.offset));
    };
    let possible = |write: &&Write<'_>| {
        let overwritten = latest.is_some_and(|latest| write.in_force.is_some_and(|at| at < latest.invoked));
        write.offset == answer && write.invoked < ended && !overwritten
    };
    if writes.iter().any(|write| possible(&write)) {
        return None;
    }
    let last = latest.map_or_else(|| "nothing".to_owned(), |write| write.offset.to_string());
    Some(format!("{answer} is committed after {last} was"))
}

type Writes<'a> = BTreeMap<(GroupName, LogName), Vec<Write<'a>>>;

fn writes<'a>(facts: &Facts<'a>) -> Writes<'a> {
    let mut writes = Writes::new();
    for view in &facts.calls {
        let Call::Commit { group, generation, member, offsets } = view.call else { continue };
        if matches!(view.outcome, Some(Outcome::Failed(_))) {
            continue;
        }
        let in_force = view.ended.filter(|_| matches!(view.outcome, Some(Outcome::Ok(_))));
        for (log, offset) in offsets {
            let Some(log) = facts.log(*log) else { continue };
            let known = writes.entry((*group, log)).or_default();
            let (generation, offset, invoked) = (*generation, *offset, view.invoked);
            known.push(Write { offset, invoked, in_force, generation, member });
        }
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    fn unanswered() -> Outcome {
        Outcome::Unknown("timed out".to_owned())
    }

    #[test]
    fn accepts_what_was_committed_last() {
        accepts(
            &PROMISE,
            [
                durable().commits(1, 1, 5).committed(Some(5)).commits(1, 1, 3).committed(Some(3)),
                durable().commits(1, 1, 5).commit(1, 1, 7, unanswered()).committed(Some(5)).committed(Some(7)),
                durable().commit(1, 1, 5, unanswered()).committed(None).committed(Some(5)),
                durable().invoke(1, durable().to_commit(1, 1, 5)).committed(Some(5)).ends(0, Outcome::Ok(Reply::Done)),
            ],
        );
        passes_over(
            &PROMISE,
            [
                durable().committed(None),
                expiring().commits(1, 1, 5).committed(None),
                expiring().commits(1, 1, 5).committed(None).commits(1, 2, 5),
                expiring().commits(1, 1, 5).committed(None).commits(2, 1, 5),
                expiring().commits(1, 1, 5).committed(None).commit(1, 1, 5, unanswered()),
            ],
        );
    }

    /// Offsets of groups without members expire soon.
    fn expiring() -> crate::piece::Piece {
        durable().plan(|plan| plan.knobs.set("broker.offsets.retention.minutes", 1))
    }

    #[test]
    fn rejects_anything_else() {
        rejects(
            &PROMISE,
            [
                durable().commits(1, 1, 5).commits(1, 1, 7).committed(Some(5)),
                durable().commits(1, 1, 5).committed(None),
                durable().commits(1, 1, 5).committed(Some(6)),
                durable().committed(Some(5)),
                expiring().commits(1, 1, 5).committed(None).commits(1, 1, 6),
                durable().commit(1, 1, 5, Outcome::Failed("ILLEGAL_GENERATION".to_owned())).committed(Some(5)),
            ],
        );
    }
}
