//! Promise: committed positions are the replay of `__consumer_offsets` (I24): what OffsetFetch answers after a clean stop
//! and start is what the log says.

use std::collections::BTreeMap;

use barnabas_base::Offset;
use barnabas_history::{Call, CallView, DiskImage, Outcome, Reply};

use crate::facts::Facts;
use crate::lawful::longest_age_ms;
use crate::observed::honest;
use crate::scan::{logs, offset_record};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "disk-offsets",
    words: "committed positions are the replay of their log",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

/// Below this age no position expires: a little less than Kafka's default.
const EXPIRATION_MS: u64 = 6 * 24 * 60 * 60 * 1000;

type Positions = BTreeMap<(String, String, i32), Offset>;

/// Judges every position that was answered after a clean stop and that nobody could have changed since.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let shorter = evidence.plan.knobs.iter().any(|(name, _)| name == "broker.offsets.retention.minutes");
    if shorter || longest_age_ms(evidence) >= EXPIRATION_MS {
        return court.verdict();
    }
    // Only behind the last stop after which nobody changed anything can be told what is to be answered.
    let unchanged = |image: &&DiskImage| !facts.calls.iter().any(|call| changes(facts, call, image));
    for image in evidence.disks.iter().filter(|image| image.stopped_cleanly).filter(unchanged) {
        judge_after(&mut court, facts, image);
    }
    court.verdict()
}

/// Judges every position that was answered after `image` was left.
fn judge_after(court: &mut Court<'_>, facts: &Facts<'_>, image: &DiskImage) {
    let Some(positions) = replay(image) else { return };
    for view in facts.calls.iter().filter(|view| view.invoked > image.after_step) {
        let (Call::Committed { group, topic }, Some(Outcome::Ok(Reply::Committed { offsets }))) =
            (view.call, view.outcome)
        else {
            continue;
        };
        let answered: BTreeMap<i32, Offset> =
            offsets.iter().filter_map(|(log, at)| Some((i32::try_from(log.partition).ok()?, *at))).collect();
        let (group, topic) = (group.to_string(), topic.to_string());
        let of_log =
            positions.range((group.clone(), topic.clone(), i32::MIN)..=(group.clone(), topic.clone(), i32::MAX));
        let replayed: BTreeMap<i32, Offset> = of_log.map(|((.., partition), at)| (*partition, *at)).collect();
        court.judge(answered != replayed, view.ended, None, || {
            format!("{group} on {topic}: {answered:?} was answered where the log says {replayed:?}")
        });
    }
}

/// Whether a call may have changed a position after the image was taken.
fn changes(facts: &Facts<'_>, view: &CallView<'_>, image: &DiskImage) -> bool {
    let writes = matches!(view.call, Call::Commit { .. } | Call::Drop { .. } | Call::Raw { .. } | Call::Wrong { .. });
    let unanswered = !matches!(view.outcome, Some(Outcome::Ok(_) | Outcome::Failed(_)));
    writes && (facts.end_of(view) > image.after_step || unanswered && view.invoked > image.after_step)
}

/// The fold of all partitions of the topic; `None` when a batch cannot be read.
fn replay(image: &DiskImage) -> Option<Positions> {
    let mut positions = Positions::new();
    for log in logs(image).iter().filter(|log| log.topic == "__consumer_offsets") {
        for batch in log.batches() {
            for record in batch.records()? {
                let Some(committed) = offset_record(&record) else { continue };
                let key = (committed.group, committed.topic, committed.partition);
                match committed.offset {
                    Some(offset) => positions.insert(key, offset),
                    None => positions.remove(&key),
                };
            }
        }
    }
    Some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use crate::scan::fixture::{Draft, committed, draft, file, image};

    fn disk(piece: Piece, commits: &[Option<i64>]) -> Piece {
        let batch = Draft { records: commits.iter().map(|offset| committed(*offset)).collect(), ..draft(0, 1) };
        let step = piece.evidence.steps.len();
        piece.disk(image(step, "__consumer_offsets-0", &[(&file(0, "log"), batch.bytes())])).started(1)
    }

    #[test]
    fn accepts_the_replay() {
        accepts(
            &PROMISE,
            [
                disk(durable(), &[Some(5)]).committed(Some(5)),
                disk(durable().commits(1, 1, 7), &[Some(5), Some(7)]).committed(Some(7)),
                disk(durable(), &[Some(5), None]).committed(None),
            ],
        );
        passes_over(
            &PROMISE,
            [disk(durable(), &[Some(5)]).commits(1, 1, 7).committed(Some(7)), durable().committed(None)],
        );
    }

    #[test]
    fn rejects_anything_else() {
        rejects(
            &PROMISE,
            [
                disk(durable(), &[Some(5)]).committed(Some(4)),
                disk(durable(), &[Some(5)]).committed(None),
                disk(durable(), &[Some(5), None]).committed(Some(5)),
            ],
        );
    }
}
