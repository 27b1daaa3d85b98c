//! Promise: what lives that ended cleanly left on a device that keeps what it is given is believed by the next one. A broker
//! makes anew what it cannot believe, so that clients see nothing of a reader that refuses what the writer wrote: they wait.

use barnabas_base::{Mark, Observation, mark};
use barnabas_history::{Happening, What};

use crate::facts::{Facts, first_death};
use crate::observed::has_room;
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "believed",
    words: "what a clean stop left is believed by the next start",
    kind: Kind::WhiteBox,
    applies: has_room,
    check,
};

/// What a start or a read observes that does not believe what it finds.
const DISBELIEF: &[Mark] = &[
    mark::PRODUCER_SNAPSHOT_PASSED_OVER,
    mark::SNAPSHOT_PAST_END_REMOVED,
    mark::INDEXES_UNCONFIRMED,
    mark::INDEXES_REBUILT,
    mark::CHECKPOINT_DISBELIEVED,
    mark::EPOCHS_FOUND_AGAIN,
    mark::JOURNAL_RESTORED,
    mark::JOURNAL_PIECE_THERE,
    mark::JOURNAL_GAP,
    mark::JOURNAL_HOLE,
    mark::JOURNAL_UNREADABLE,
    mark::FOLDER_OF_OTHER_TOPIC,
    mark::DAMAGE_FOUND_BY_START,
    mark::DAMAGE_FOUND_BY_COMPARING,
    mark::REWRITTEN_BYTES_ACCEPTED,
    mark::MISSING_END_LISTED,
    mark::MISPLACED_BATCH_FOUND,
    mark::SHORTER_THAN_DURABLE,
    mark::WENT_ON_BEHIND_GARBAGE,
    mark::SEGMENT_MADE_WHERE_NONE,
];

/// Judges every start, and what is observed after it, until a life ends otherwise than by a clean stop.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    for (step, placed) in evidence.steps.iter().enumerate().take(first_death(evidence)) {
        match &placed.what {
            What::Happened(Happening::Serving { .. }) => court.judge(false, Some(step), None, String::new),
            What::Observed { node, observation: Observation::Mark { name }, .. } => {
                let found = DISBELIEF.iter().find(|mark| mark.name == *name);
                if let Some(mark) = found {
                    court.judge(true, Some(step), None, || format!("{node}, after clean stops alone: {}", mark.words));
                }
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

    fn serves() -> Piece {
        durable().started(0).happened(Happening::Serving { node: barnabas_plan::NodeName(0) })
    }

    #[test]
    fn accepts_what_only_a_death_explains() {
        accepts(
            &PROMISE,
            [
                serves().lives(true).observed(mark::PRODUCER_SNAPSHOT_USED.seen()),
                serves().lives(false).observed(mark::PRODUCER_SNAPSHOT_PASSED_OVER.seen()),
                serves().power_lost().lives(true).observed(mark::INDEXES_REBUILT.seen()),
            ],
        );
    }

    #[test]
    fn rejects_disbelief_after_clean_stops() {
        rejects(
            &PROMISE,
            [
                serves().lives(true).observed(mark::PRODUCER_SNAPSHOT_PASSED_OVER.seen()),
                serves().lives(true).lives(true).observed(mark::INDEXES_REBUILT.seen()),
                serves().lives(true).observed(mark::JOURNAL_UNREADABLE.seen()),
            ],
        );
    }
}
