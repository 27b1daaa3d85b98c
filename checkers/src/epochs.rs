//! Promise: along a log batches follow one another without a gap and their leader epochs never fall; a leader epoch that
//! begins is larger than every one before it and begins at the end of the log (I12, I13, I38).

use std::collections::BTreeMap;

use barnabas_base::{LeaderEpoch, Observation, Offset};

use crate::facts::Facts;
use crate::observed::{Replica, honest, log_of, sights};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "epochs",
    words: "batches follow one another, their epochs never fall, epochs begin once and at the end",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

/// Where a replica stands.
#[derive(Clone, Copy)]
struct Stand {
    end: Offset,
    /// Of the last batch.
    batch: LeaderEpoch,
    /// The largest that began and is known to be remembered.
    begun: LeaderEpoch,
    /// The largest that ever began: it is in the metadata, which no crash takes.
    ever: LeaderEpoch,
}

/// Judges every batch that was appended and every epoch that began.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let mut replicas = BTreeMap::<Replica, Stand>::new();
    for sight in sights(evidence) {
        let Some(partition) = log_of(sight.what) else { continue };
        let none = Stand {
            end: Offset::UNKNOWN,
            batch: LeaderEpoch::UNKNOWN,
            begun: LeaderEpoch::UNKNOWN,
            ever: LeaderEpoch::UNKNOWN,
        };
        let stand = replicas.entry((sight.node, partition)).or_insert(none);
        let wrong = match sight.what {
            Observation::LogLoaded { end_offset, .. } => {
                stand.end = *end_offset;
                // The tail that a crash took may have been of the last epoch.
                stand.batch = LeaderEpoch::UNKNOWN;
                stand.begun = LeaderEpoch::UNKNOWN;
                continue;
            }
            Observation::Truncated { offset, .. } => {
                *stand = Stand { end: *offset, ever: stand.ever, ..none };
                continue;
            }
            Observation::LogStartSet { offset, .. } => {
                stand.end = stand.end.max(*offset);
                continue;
            }
            Observation::Appended { base_offset, end_offset, leader_epoch, .. } => {
                let wrong = stand.appended(*base_offset, *leader_epoch);
                stand.end = *end_offset;
                stand.batch = *leader_epoch;
                stand.begun = stand.begun.max(*leader_epoch);
                wrong
            }
            Observation::EpochSet { epoch, start_offset, .. } => {
                let wrong = stand.begins(*epoch, *start_offset);
                stand.begun = *epoch;
                stand.ever = stand.ever.max(*epoch);
                wrong
            }
            _ => continue,
        };
        court.judge(wrong.is_some(), Some(sight.step), None, || {
            format!("{partition} on {}: {}", sight.node, wrong.unwrap_or_default())
        });
    }
    court.verdict()
}

impl Stand {
    fn appended(&self, base: Offset, epoch: LeaderEpoch) -> Option<String> {
        if self.end != Offset::UNKNOWN && base != self.end {
            return Some(format!("a batch at {base} follows the end {}", self.end));
        }
        (epoch < self.batch).then(|| format!("a batch of epoch {epoch} follows one of {}", self.batch))
    }

    fn begins(&self, epoch: LeaderEpoch, start: Offset) -> Option<String> {
        if epoch <= self.begun {
            return Some(format!("epoch {epoch} begins after {}", self.begun));
        }
        if epoch < self.ever {
            return Some(format!("epoch {epoch} begins, and {} had begun before the restart", self.ever));
        }
        (start < self.end).then(|| format!("epoch {epoch} begins at {start}, before the end {}", self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use barnabas_base::RestartKind::{Fresh, Unclean};

    fn fresh() -> crate::piece::Piece {
        durable().loaded(Fresh, 0, 0)
    }

    #[test]
    fn accepts_epochs_that_rise() {
        accepts(
            &PROMISE,
            [
                fresh().epoch(0, 0).batch(0, 2, 0, None).epoch(1, 2).batch(2, 3, 1, None),
                fresh().epoch(0, 0).lives(false).loaded(Unclean, 0, 0).epoch(0, 0).batch(0, 2, 0, None),
                fresh().appended(0, 4).truncated(2).appended(2, 3),
                fresh().appended(0, 4).log_start(9).appended(9, 10),
            ],
        );
    }

    #[test]
    fn rejects_gaps_and_falls() {
        rejects(
            &PROMISE,
            [
                fresh().appended(0, 2).appended(3, 4),
                fresh().appended(0, 2).appended(1, 4),
                fresh().batch(0, 2, 3, None).batch(2, 3, 2, None),
                fresh().epoch(1, 0).epoch(1, 0),
                fresh().appended(0, 2).epoch(1, 1),
                fresh().epoch(4, 0).lives(false).loaded(Unclean, 0, 0).epoch(3, 0),
            ],
        );
    }
}
