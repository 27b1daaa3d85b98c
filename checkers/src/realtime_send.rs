//! Promise: what is acknowledged before another send begins has the lower offset, whoever sent them. Event numbers are
//! exact, so that the order in time needs no tolerance.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::LogName;

use crate::facts::{End, Facts, Sent, always};
use crate::verdict::{Court, shown};
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "realtime-send",
    words: "a record acknowledged before another is sent has the lower offset",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every acknowledged send against the highest offset that was acknowledged before it began.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    let mut invoked = Vec::new();
    for send in facts.sends() {
        let End::Ok(Some((log, offset))) = send.end else { continue };
        let Some(stretch) = facts.stretch(send.invoked, send.ended) else { continue };
        invoked.push((log, stretch, offset, send));
    }
    let mut ended = invoked.clone();
    ended.sort_by_key(|(.., send)| send.ended);
    let mut highest = BTreeMap::<(LogName, usize), (Offset, &Sent)>::new();
    let mut ended = ended.into_iter().peekable();
    for (log, stretch, offset, send) in invoked {
        while let Some((log, stretch, offset, earlier)) = ended.next_if(|(.., earlier)| earlier.ended < send.invoked) {
            let top = highest.entry((log, stretch)).or_insert((offset, earlier));
            if offset > top.0 {
                *top = (offset, earlier);
            }
        }
        let Some((floor, earlier)) = highest.get(&(log, stretch)) else { continue };
        court.judge(offset <= *floor, Some(send.ended), Some(log), || {
            let (value, before) = (send.value, earlier.value);
            format!("{value} was sent after {before} stood at {floor} of {} and landed at {offset}", shown(log))
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    #[test]
    fn accepts_rising_offsets_and_overlap() {
        let at = |offset| durable().at_offset(offset);
        accepts(
            &PROMISE,
            [durable().sent(0, 1, 0).sent(1, 2, 3), durable().plain().sent(0, 1, 0).sent(1, 2, 3).sent(0, 3, 4)],
        );
        passes_over(&PROMISE, [durable().send(0, 1).send(1, 2).ends(1, at(1)).ends(0, at(0))]);
    }

    #[test]
    fn rejects_a_later_send_at_an_earlier_offset() {
        let at = |offset| durable().at_offset(offset);
        rejects(
            &PROMISE,
            [
                durable().sent(0, 1, 5).sent(1, 2, 4),
                durable().plain().sent(0, 1, 5).sent(1, 2, 5),
                durable().send(0, 1).sent(1, 2, 7).sent(2, 3, 6).ends(0, at(3)),
            ],
        );
    }
}
