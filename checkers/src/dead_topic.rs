//! Promise: a topic that was deleted is gone: nothing is acknowledged to it, and no fresh reader finds anything in it; no
//! two topics have one id.

use std::collections::BTreeMap;

use barnabas_base::Uuid;
use barnabas_history::{Call, LogName, Outcome, Reply};

use crate::facts::{End, Facts, survives};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "dead-topic",
    words: "a deleted topic is gone, and its id is never used again",
    kind: Kind::BlackBox,
    applies: survives,
    check,
};

/// Judges every created id, and whatever is done after a topic's end.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let ends = ends(facts);
    let mut created = BTreeMap::new();
    for view in &facts.calls {
        let (Call::Create { topic, .. }, Some(Outcome::Ok(Reply::Created { id }))) = (view.call, view.outcome) else {
            continue;
        };
        let twice = created.insert(*id, *topic);
        court.judge(twice.is_some() && *id != Uuid::default(), view.ended, None, || {
            format!("{topic} was created with the id {id} of an earlier topic")
        });
    }
    let mut use_of = |log: LogName, since: usize, step: usize| {
        let dead = ends.get(&log.id).is_some_and(|end| *end < since);
        court.judge(dead, Some(step), Some(log), || format!("{} was deleted and lives on as {}", shown(log), log.id));
    };
    for send in facts.sends() {
        if let End::Ok(Some((log, _))) = send.end {
            use_of(log, send.invoked, send.ended);
        }
    }
    for poll in facts.polls().iter().filter(|poll| !poll.records.is_empty()) {
        if let Some(log) = poll.log {
            use_of(log, poll.since, poll.ended);
        }
    }
    court.verdict()
}

/// By which position an incarnation was surely deleted: it was known before somebody began a deletion that was answered.
fn ends(facts: &Facts<'_>) -> BTreeMap<Uuid, usize> {
    let mut known = BTreeMap::new();
    let mut see = |log: LogName, ended: usize| {
        if log.id != Uuid::default() {
            let first = known.entry((log.topic, log.id)).or_insert(ended);
            *first = ended.min(*first);
        }
    };
    for send in facts.sends() {
        if let End::Ok(Some((log, _))) = send.end {
            see(log, send.ended);
        }
    }
    for view in &facts.calls {
        if let (Call::Create { topic, .. }, Some(Outcome::Ok(Reply::Created { id }))) = (view.call, view.outcome) {
            see(LogName { topic: *topic, id: *id, partition: 0 }, facts.end_of(view));
        }
    }
    let mut ends = BTreeMap::new();
    for view in &facts.calls {
        let (Call::Drop { topic: dropped }, Some(Outcome::Ok(_)), Some(end)) = (view.call, view.outcome, view.ended)
        else {
            continue;
        };
        for ((_, id), _) in known.iter().filter(|((topic, _), since)| topic == dropped && **since < view.invoked) {
            let first = ends.entry(*id).or_insert(end);
            *first = end.min(*first);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, log, passes_over, rejects};

    use barnabas_history::{Outcome, Reply as Answer};

    fn done() -> Outcome {
        Outcome::Ok(Answer::Done)
    }

    fn create(piece: crate::piece::Piece, id: u8) -> crate::piece::Piece {
        let call = Call::Create { topic: crate::piece::T0, partitions: 1 };
        piece.ok(0, call, Reply::Created { id: Uuid([id; 16]) })
    }

    #[test]
    fn accepts_another_incarnation() {
        accepts(
            &PROMISE,
            [
                create(durable().sent(0, 1, 0).dropped(done()), 2).on(log(2)).sent(0, 2, 0).last(&[(0, 2)]),
                durable().sent(0, 1, 0).dropped(Outcome::Unknown("timed out".to_owned())).sent(0, 2, 1),
                durable().sent(0, 1, 0).send(0, 2).dropped(done()).ends(1, durable().at_offset(1)),
            ],
        );
        passes_over(&PROMISE, [durable().sent(0, 1, 0).dropped(done()).polled(1, &[(0, 1)])]);
        let unknown = || Outcome::Failed("the topic is not known".to_owned());
        let other = || Call::Assign { topic: crate::piece::T0, from_start: true };
        // What had been fetched comes even so: the reader was never given anything else.
        let kept = durable().sent(0, 1, 0).assign(1, true).dropped(done()).call(1, other(), unknown());
        passes_over(&PROMISE, [kept.polled(1, &[(0, 1)])]);
    }

    #[test]
    fn rejects_a_topic_that_lives_on() {
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 0).dropped(done()).sent(0, 2, 1),
                durable().sent(0, 1, 0).dropped(done()).assign(1, true).polled(1, &[(0, 1)]),
                durable()
                    .sent(0, 1, 0)
                    .dropped(done())
                    .assign(1, true)
                    .call(1, Call::Assign { topic: crate::piece::T0, from_start: true }, Outcome::Failed(String::new()))
                    .polled(1, &[(0, 1)]),
                create(create(durable(), 1).dropped(done()), 1),
                create(durable(), 1).dropped(done()).sent(0, 2, 0),
            ],
        );
    }
}
