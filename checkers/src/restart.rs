//! Promise: a log comes up with everything that was ever durable, and after a clean stop exactly as it was (I16). What a
//! write left behind that was under way when the process died nobody observed, so that a crash may bring more.

use std::collections::BTreeMap;

use barnabas_base::{Observation, Offset, RestartKind};

use crate::facts::Facts;
use crate::observed::{Replica, clean_ends, honest, log_of, sights};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "restart",
    words: "a log comes up with all that was durable, and after a clean stop exactly as it was",
    kind: Kind::WhiteBox,
    applies: honest,
    check,
};

/// What is known of a replica from its lives so far.
#[derive(Clone, Copy, Default)]
struct Known {
    life: u64,
    start: Offset,
    synced: Offset,
    end: Offset,
}

/// Judges every start of a log that was there before.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let clean = clean_ends(evidence);
    let mut replicas = BTreeMap::<Replica, Known>::new();
    for sight in sights(evidence) {
        let Some(partition) = log_of(sight.what) else { continue };
        let replica = (sight.node, partition);
        match sight.what {
            Observation::LogLoaded { kind, start_offset, end_offset, .. } => {
                let (start, end) = (*start_offset, *end_offset);
                if let Some(known) = replicas.get(&replica).filter(|known| known.life != sight.life) {
                    let wrong = known.wrong(clean.contains(&(sight.node, known.life)), *kind, start, end);
                    court.judge(wrong.is_some(), Some(sight.step), None, || {
                        format!("{partition} on {} came up {}", sight.node, wrong.unwrap_or_default())
                    });
                }
                // What a start has found, another crash may take again unless it is observed to be durable.
                let synced = replicas.get(&replica).map_or(Offset::ZERO, |known| known.synced);
                replicas.insert(replica, Known { life: sight.life, start, synced, end });
            }
            Observation::Appended { end_offset, .. } => {
                replicas.entry(replica).or_default().end = *end_offset;
            }
            Observation::Synced { offset, .. } => {
                let known = replicas.entry(replica).or_default();
                known.synced = known.synced.max(*offset);
            }
            Observation::Truncated { offset, .. } => {
                let known = replicas.entry(replica).or_default();
                known.synced = known.synced.min(*offset);
                known.end = *offset;
            }
            Observation::LogStartSet { offset, .. } => replicas.entry(replica).or_default().start = *offset,
            _ => {}
        }
    }
    court.verdict()
}

impl Known {
    fn wrong(&self, clean: bool, kind: RestartKind, start: Offset, end: Offset) -> Option<String> {
        if end < self.synced {
            return Some(format!("with end {end}, and {} was durable", self.synced));
        }
        if clean && kind == RestartKind::Clean && (start, end) != (self.start, self.end) {
            let Self { start: before, end: last, .. } = self;
            return Some(format!("from {start} to {end} after a clean stop from {before} to {last}"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, rejects};

    use barnabas_base::RestartKind::{Clean, Fresh, Unclean};

    fn written() -> crate::piece::Piece {
        durable().started(0).loaded(Fresh, 0, 0).appended(0, 4).synced(3)
    }

    #[test]
    fn accepts_all_that_was_durable() {
        accepts(
            &PROMISE,
            [
                written().lives(false).loaded(Unclean, 0, 3),
                written().lives(false).loaded(Unclean, 0, 9),
                written().synced(4).lives(true).loaded(Clean, 0, 4),
                written().truncated(2).lives(false).loaded(Unclean, 0, 2),
            ],
        );
    }

    #[test]
    fn rejects_less_or_other() {
        rejects(
            &PROMISE,
            [
                written().lives(false).loaded(Unclean, 0, 2),
                written().synced(4).lives(true).loaded(Clean, 0, 5),
                written().synced(4).log_start(2).lives(true).loaded(Clean, 0, 4),
                written().lives(false).loaded(Unclean, 0, 4).lives(false).loaded(Unclean, 0, 2),
            ],
        );
    }
}
