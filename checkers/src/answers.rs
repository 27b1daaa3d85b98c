//! Promise: what a broker sends on a connection are answers to what it was asked there, in that order, in the version
//! that was asked for (I40).

use barnabas_history::{Happening, Outcome, What};

use crate::facts::{Facts, always};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "answers",
    words: "answers come in the order of their requests, and read as what was asked for",
    kind: Kind::BlackBox,
    applies: always,
    check,
};

/// Judges every call that was answered, and everything that a client could not take for an answer.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for (position, step) in evidence.steps.iter().enumerate() {
        match &step.what {
            What::Happened(Happening::Misanswered { by, what }) => {
                court.judge(true, Some(position), None, || format!("{} was sent {what}", by.client));
            }
            What::Ended { outcome: Outcome::Ok(_) | Outcome::Failed(_), .. } => {
                court.judge(false, Some(position), None, String::new);
            }
            What::Ended { outcome: Outcome::Unknown(_), .. }
            | What::Invoked { .. }
            | What::Member { .. }
            | What::Reborn { .. }
            | What::Observed { .. }
            | What::Happened(_) => {}
        }
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, life, passes_over, rejects};

    fn misanswered(piece: Piece, client: u16) -> Piece {
        piece.happened(Happening::Misanswered { by: life(client), what: "a response to another request".to_owned() })
    }

    #[test]
    fn accepts_answers_and_silence() {
        accepts(&PROMISE, [durable().sent(0, 1, 0), durable().sent(0, 1, 0).unknown(0, 2).failed(0, 3)]);
        passes_over(&PROMISE, [durable().unknown(0, 1)]);
    }

    #[test]
    fn rejects_what_answers_nothing() {
        rejects(
            &PROMISE,
            [
                misanswered(durable(), 0),
                misanswered(durable().sent(0, 1, 0), 1),
                misanswered(durable().unknown(0, 1), 0).sent(0, 2, 0),
            ],
        );
    }
}
