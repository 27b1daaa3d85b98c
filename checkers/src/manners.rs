//! Promise: a raw client's bad manners are answered as Kafka answers them: the trick ends as its author foresaw, or
//! nobody knows because the connection broke.

use barnabas_history::{Call, Outcome};
use barnabas_plan::{Action, Plan};

use crate::facts::Facts;
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "manners",
    words: "bad manners are answered as Kafka answers them",
    kind: Kind::BlackBox,
    applies: has_tricks,
    check,
};

/// Where nobody has bad manners there is nothing to answer.
fn has_tricks(plan: &Plan) -> bool {
    plan.operations.iter().any(|operation| matches!(operation.action, Action::Raw { .. }))
}

/// Judges every trick whose outcome is known.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    for view in &facts.calls {
        let Call::Raw { trick } = view.call else { continue };
        let broken = match view.outcome {
            Some(Outcome::Ok(_)) => None,
            Some(Outcome::Failed(reason)) => Some(reason),
            Some(Outcome::Unknown(_)) | None => continue,
        };
        court.judge(broken.is_some(), view.ended, None, || {
            format!("{trick} was answered otherwise than Kafka does: {}", broken.map_or("", String::as_str))
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    use barnabas_history::Reply;

    fn trick() -> Call {
        Call::Raw { trick: "wrong-crc".to_owned() }
    }

    #[test]
    fn accepts_what_was_foreseen() {
        accepts(
            &PROMISE,
            [
                durable().ok(0, trick(), Reply::Done),
                durable().ok(0, trick(), Reply::Done).call(1, trick(), Outcome::Unknown("reset".to_owned())),
            ],
        );
        passes_over(&PROMISE, [durable().invoke(0, trick())]);
    }

    #[test]
    fn rejects_the_unforeseen() {
        let wrong = || Outcome::Failed("answered without error".to_owned());
        rejects(
            &PROMISE,
            [
                durable().call(0, trick(), wrong()),
                durable().ok(0, trick(), Reply::Done).call(0, trick(), wrong()),
                durable().power_lost().call(2, trick(), wrong()),
            ],
        );
    }
}
