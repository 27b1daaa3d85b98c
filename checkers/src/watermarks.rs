//! Promise: log start ≤ high watermark ≤ what is durable ≤ end; none of them falls within a life unless the log is cut;
//! what is served lies below the high watermark (I14, I28).

use std::collections::BTreeMap;

use barnabas_base::{Observation, Offset};

use crate::facts::{Facts, always};
use crate::observed::{Replica, sights, syncs_first};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "watermarks",
    words: "start, high watermark, durable point and end keep their order, and only what is below the high watermark is served",
    kind: Kind::WhiteBox,
    applies: always,
    check,
};

/// Bounds of one replica in one life.
#[derive(Clone, Copy, Default)]
struct Bounds {
    start: Offset,
    /// At or above the true high watermark: a log comes up with one that nobody observes.
    high_watermark: Offset,
    /// The last one that was observed.
    observed: Offset,
    synced: Offset,
    end: Offset,
}

/// Judges every move of a bound and every answer to a Fetch.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let durable = syncs_first(&evidence.plan);
    let mut replicas = BTreeMap::<Replica, Bounds>::new();
    for sight in sights(evidence) {
        let Some(partition) = crate::observed::log_of(sight.what) else { continue };
        let bounds = replicas.entry((sight.node, partition)).or_default();
        let wrong = bounds.step(sight.what, durable);
        let Some(wrong) = wrong else { continue };
        court.judge(wrong.is_some(), Some(sight.step), None, || {
            format!("{partition} on {}: {}", sight.node, wrong.unwrap_or_default())
        });
    }
    court.verdict()
}

impl Bounds {
    /// Takes one observation; `Some` when it was judged, with what is wrong.
    fn step(&mut self, observation: &Observation, durable: bool) -> Option<Option<String>> {
        match observation {
            Observation::LogLoaded { start_offset, end_offset, .. } => {
                let end = *end_offset;
                *self = Self { start: *start_offset, high_watermark: end, observed: Offset::ZERO, synced: end, end };
                Some((*start_offset > end).then(|| format!("came up from {start_offset} to {end}")))
            }
            Observation::Appended { end_offset, .. } => {
                self.end = *end_offset;
                None
            }
            Observation::Synced { offset, .. } => {
                let beyond = (*offset > self.end).then(|| format!("{offset} was synced and {} written", self.end));
                self.synced = self.synced.max(*offset);
                Some(beyond)
            }
            Observation::Truncated { offset, .. } => {
                self.end = self.end.min(*offset);
                self.synced = self.synced.min(*offset);
                self.high_watermark = self.high_watermark.min(*offset);
                self.observed = self.observed.min(*offset);
                None
            }
            Observation::HighWatermarkSet { offset, .. } => Some(self.high_watermark_set(*offset, durable)),
            Observation::LogStartSet { offset, .. } => {
                let falls = (*offset < self.start).then(|| format!("start fell from {} to {offset}", self.start));
                let above = || {
                    let top = self.high_watermark;
                    (*offset > top).then(|| format!("start {offset} is above the high watermark {top}"))
                };
                let wrong = falls.or_else(above);
                self.start = self.start.max(*offset);
                Some(wrong)
            }
            Observation::Served { bound, .. } => {
                let top = self.high_watermark;
                Some((*bound > top).then(|| format!("served up to {bound}, above the high watermark {top}")))
            }
            _ => None,
        }
    }

    fn high_watermark_set(&mut self, offset: Offset, durable: bool) -> Option<String> {
        let wrong = if offset < self.observed {
            Some(format!("high watermark fell from {} to {offset}", self.observed))
        } else if offset > self.end {
            Some(format!("high watermark {offset} is above the end {}", self.end))
        } else if durable && offset > self.synced {
            Some(format!("high watermark {offset} is above what is durable, {}", self.synced))
        } else {
            None
        };
        self.observed = offset;
        self.high_watermark = self.high_watermark.max(offset);
        wrong
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
    fn accepts_bounds_in_order() {
        accepts(
            &PROMISE,
            [
                fresh().appended(0, 4).synced(4).high_watermark(4).served(0, 4).log_start(2),
                fresh()
                    .appended(0, 4)
                    .synced(4)
                    .high_watermark(4)
                    .truncated(2)
                    .lives(false)
                    .loaded(Unclean, 0, 2)
                    .served(0, 2),
                fresh()
                    .plan(|plan| plan.knobs.set("broker.flush.policy", "os"))
                    .appended(0, 4)
                    .high_watermark(4)
                    .served(0, 4),
            ],
        );
    }

    #[test]
    fn rejects_disorder() {
        let written = || fresh().appended(0, 4);
        rejects(
            &PROMISE,
            [
                written().synced(5),
                written().synced(3).high_watermark(4),
                written().synced(4).high_watermark(5),
                written().synced(4).high_watermark(4).high_watermark(3),
                written().synced(3).high_watermark(3).served(0, 4),
                written().synced(3).high_watermark(3).log_start(4),
                written().synced(4).high_watermark(4).log_start(3).log_start(2),
            ],
        );
    }
}
