//! Promise: who waits for records to be safe is woken when they are. A Produce that runs out of time was waiting for
//! something: a broker all of whose logs had been safe to their ends answers none with REQUEST_TIMED_OUT.
//!
//! Judged after the heal only. Before, a shard may have stood still with an answer that was due earlier.

use std::collections::BTreeMap;

use barnabas_base::{Observation, Offset, TopicPartition};
use barnabas_history::{Happening, What};
use barnabas_plan::NodeName;

use crate::facts::{Facts, always};
use crate::observed::{Replica, sights};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "prompt",
    words: "who waits for records to be safe is woken when they are",
    kind: Kind::WhiteBox,
    applies: always,
    check,
};

/// Kafka's key of Produce, and REQUEST_TIMED_OUT.
const PRODUCE: i16 = 0;
const REQUEST_TIMED_OUT: i16 = 7;
/// How long an answer may take from the shard that ran out of time to its client's, in nanoseconds.
const GRACE_NS: u64 = 2_000_000_000;

/// A log in one life of its broker.
#[derive(Clone, Copy)]
struct Waited {
    end: Offset,
    high_watermark: Offset,
    /// When its end was last above its high watermark.
    behind_ns: u64,
}

/// Judges every Produce that was answered: in time, or with something to wait for.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    let is_heal = |what: &What| matches!(what, What::Happened(Happening::Healed));
    let healed_ns = evidence.steps.iter().find(|step| is_heal(&step.what)).map_or(u64::MAX, |step| step.at.0);
    let mut logs = BTreeMap::<Replica, Waited>::new();
    for sight in sights(evidence) {
        let now_ns = evidence.steps[sight.step].at.0;
        if let Observation::ErrorReturned { api_key: PRODUCE, code: REQUEST_TIMED_OUT } = sight.what {
            let is_past = now_ns > healed_ns.saturating_add(GRACE_NS);
            if is_past {
                let broken = !is_behind(&logs, sight.node, now_ns);
                court.judge(broken, Some(sight.step), None, || {
                    format!("a Produce ran out of time on {}, all of whose logs were safe to their ends", sight.node)
                });
            }
        }
        if let Observation::Acked { .. } = sight.what {
            court.judge(false, Some(sight.step), None, String::new);
        }
        follow(&mut logs, sight.node, sight.what, now_ns);
    }
    court.verdict()
}

/// Whether some log of `node` was not safe to its end a little while ago.
fn is_behind(logs: &BTreeMap<Replica, Waited>, node: NodeName, now_ns: u64) -> bool {
    let behind = |log: &Waited| log.high_watermark < log.end || log.behind_ns + GRACE_NS >= now_ns;
    logs.iter().any(|((of, _), log)| *of == node && behind(log))
}

fn follow(logs: &mut BTreeMap<Replica, Waited>, node: NodeName, what: &Observation, now_ns: u64) {
    let fresh = Waited { end: Offset::ZERO, high_watermark: Offset::ZERO, behind_ns: now_ns };
    let mut log = |partition: &TopicPartition, change: &dyn Fn(&mut Waited)| {
        change(logs.entry((node, *partition)).or_insert(fresh));
    };
    match what {
        Observation::LogLoaded { partition, end_offset, .. } => {
            log(partition, &|log| *log = Waited { end: *end_offset, high_watermark: *end_offset, ..fresh });
        }
        Observation::Appended { partition, end_offset, .. } => log(partition, &|log| log.end = *end_offset),
        Observation::Truncated { partition, offset } => log(partition, &|log| log.end = log.end.min(*offset)),
        Observation::HighWatermarkSet { partition, offset } => log(partition, &|log| {
            if log.high_watermark < log.end {
                log.behind_ns = now_ns;
            }
            log.high_watermark = *offset;
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{Piece, accepts, durable, passes_over, rejects};

    use barnabas_base::RestartKind::{Fresh, Unclean};

    fn written() -> Piece {
        durable().loaded(Fresh, 0, 0).appended(0, 4)
    }

    fn healed(piece: Piece) -> Piece {
        piece.happened(Happening::Healed).waits(5_000)
    }

    fn times_out(piece: Piece) -> Piece {
        piece.observed(Observation::ErrorReturned { api_key: PRODUCE, code: REQUEST_TIMED_OUT })
    }

    #[test]
    fn accepts_who_had_something_to_wait_for() {
        accepts(
            &PROMISE,
            [
                written().high_watermark(4).acked(0, 4, -1),
                times_out(healed(written())),
                times_out(healed(written()).high_watermark(4)),
                times_out(healed(written().high_watermark(4)).appended(4, 8)),
                times_out(healed(written().high_watermark(4).lives(false).loaded(Unclean, 0, 4).appended(4, 5))),
            ],
        );
        let fetch = Observation::ErrorReturned { api_key: 1, code: REQUEST_TIMED_OUT };
        passes_over(
            &PROMISE,
            [times_out(written().high_watermark(4).waits(5_000)), healed(written().high_watermark(4)).observed(fetch)],
        );
    }

    #[test]
    fn rejects_who_was_not_woken() {
        rejects(
            &PROMISE,
            [
                times_out(healed(written().high_watermark(4))),
                times_out(healed(written()).high_watermark(4).waits(3_000)),
                times_out(healed(written().high_watermark(4).lives(false).loaded(Unclean, 0, 4))),
            ],
        );
    }
}
