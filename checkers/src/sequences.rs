//! Promise: per producer id and epoch sequences are contiguous modulo 2³¹ along a log, epochs of an id never fall, and no
//! batch is appended twice (I20). Judged on what was appended; what a crash took from the end is taken back.
//!
//! A broker observes a batch once it is written, so that one that dies in between leaves records in the page cache that
//! nobody observed. The log says where when it is loaded; of them a producer may have sent any.
//!
//! Producer snapshots are caches that a crash may take, and what they said is found again in the log, if it is still there.
//! Of a producer all of whose batches were deleted Kafka knows nothing then, and takes any sequence (`ProducerAppendInfo`:
//! "If there is no current producer epoch (possibly because all producer records have been deleted due to retention or the
//! DeleteRecords API) accept writes with any sequence number").

use std::collections::BTreeMap;

use barnabas_base::{Observation, Offset, ProducerEpoch, ProducerId, RestartKind};
use barnabas_plan::Plan;

use crate::facts::Facts;
use crate::lawful::longest_age_ms;
use crate::observed::{Replica, honest, log_of, sights};
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "sequences",
    words: "sequences of a producer are contiguous, its epochs never fall, no batch is appended twice",
    kind: Kind::WhiteBox,
    applies: judged,
    check,
};

/// Kafka's default of `producer.id.expiration.ms`.
const EXPIRATION_MS: u64 = 24 * 60 * 60 * 1000;

fn judged(plan: &Plan) -> bool {
    honest(plan) && !plan.knobs.iter().any(|(name, _)| name.starts_with("broker.producer.id.expiration"))
}

/// The end of one batch.
#[derive(Clone, Copy)]
struct Batch {
    base: Offset,
    epoch: ProducerEpoch,
    first: i32,
    /// The sequence that follows.
    next: i32,
}

/// One replica, as far as it was observed.
#[derive(Default)]
struct Log {
    end: Offset,
    /// The batches of each producer that are there.
    producers: BTreeMap<ProducerId, Vec<Batch>>,
    /// Where records are that nobody observed: from, to.
    unseen: Vec<(Offset, Offset)>,
}

/// Judges every batch of an idempotent producer against the one before it.
fn check(facts: &Facts<'_>) -> Verdict {
    let evidence = facts.evidence;
    let mut court = Court::new(evidence);
    if longest_age_ms(evidence) >= EXPIRATION_MS {
        return court.verdict();
    }
    let mut logs = BTreeMap::<Replica, Log>::new();
    for sight in sights(evidence) {
        let Some(partition) = log_of(sight.what) else { continue };
        let log = logs.entry((sight.node, partition)).or_default();
        match sight.what {
            Observation::LogLoaded { kind, start_offset, end_offset, .. } => {
                log.go_on_at(*end_offset);
                if *kind == RestartKind::Unclean {
                    log.forget_below(*start_offset);
                }
            }
            Observation::Truncated { offset, .. } => log.go_on_at(*offset),
            Observation::Appended { base_offset, end_offset, producer, .. } => {
                log.end = *end_offset;
                let Some((id, epoch, first)) = *producer else { continue };
                let count = i32::try_from(end_offset.minus(*base_offset)).unwrap_or(i32::MAX);
                let next = first.plus(count).0;
                let batch = Batch { base: *base_offset, epoch, first: first.0, next };
                if let Some(last) = log.last(id) {
                    let wrong = last.wrong(&batch, log.unseen_between(last.base, batch.base));
                    court.judge(wrong.is_some(), Some(sight.step), None, || {
                        let reason = wrong.unwrap_or_default();
                        format!("{partition} on {}, producer {id} at {base_offset}: {reason}", sight.node)
                    });
                }
                log.producers.entry(id).or_default().push(batch);
            }
            _ => {}
        }
    }
    court.verdict()
}

impl Log {
    /// Producers all of whose batches lie below the log's start may be forgotten.
    fn forget_below(&mut self, start: Offset) {
        self.producers.retain(|_, batches| batches.last().is_some_and(|batch| batch.base >= start));
    }

    fn last(&self, id: ProducerId) -> Option<Batch> {
        self.producers.get(&id)?.last().copied()
    }

    /// Records between two batches that nobody observed.
    fn unseen_between(&self, from: Offset, to: Offset) -> i64 {
        let within = |(start, end): &&(Offset, Offset)| *start > from && *end <= to;
        self.unseen.iter().filter(within).map(|(start, end)| end.minus(*start)).sum()
    }

    /// The log goes on at `end`: batches behind it are gone, records before it that nobody observed are there.
    fn go_on_at(&mut self, end: Offset) {
        for batches in self.producers.values_mut() {
            batches.truncate(batches.partition_point(|batch| batch.base < end));
        }
        self.unseen.retain_mut(|(start, last)| {
            *last = (*last).min(end);
            *start < *last
        });
        if end > self.end {
            self.unseen.push((self.end, end));
        }
        self.end = end;
    }
}

impl Batch {
    /// What is wrong with a batch that follows this one, with so many records between them that nobody observed.
    fn wrong(&self, next: &Self, unseen: i64) -> Option<String> {
        if next.epoch < self.epoch {
            return Some(format!("epoch {} after {}", next.epoch, self.epoch));
        }
        let expected = if next.epoch == self.epoch { self.next } else { 0 };
        let passed_over = i64::from(next.first.wrapping_sub(expected) & i32::MAX);
        (passed_over > unseen).then(|| format!("sequence {} where {expected} follows", next.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    use barnabas_base::RestartKind::{Clean, Unclean};

    #[test]
    fn accepts_contiguous_sequences() {
        accepts(
            &PROMISE,
            [
                durable().batch(0, 2, 0, Some((7, 0, 0))).batch(2, 3, 0, Some((7, 0, 2))),
                durable().batch(0, 2, 0, Some((7, 0, i32::MAX))).batch(2, 3, 0, Some((7, 0, 1))),
                durable().batch(0, 2, 0, Some((7, 0, 5))).batch(2, 3, 0, Some((7, 1, 0))),
                durable().batch(0, 2, 0, Some((7, 0, 0))).batch(2, 4, 0, Some((7, 0, 2))).truncated(2).batch(
                    2,
                    3,
                    0,
                    Some((7, 0, 2)),
                ),
            ],
        );
        // It died with three records written that it had not observed yet; two of them are of this producer.
        let died = durable().batch(0, 2, 0, Some((7, 0, 0))).lives(false).loaded(Unclean, 0, 5);
        accepts(&PROMISE, [died.batch(5, 6, 0, Some((7, 0, 4))).batch(6, 7, 0, Some((7, 0, 5)))]);
        // The next death takes what came behind those, and leaves them.
        let again = durable().batch(0, 2, 0, Some((7, 0, 0))).lives(false).loaded(Unclean, 0, 3);
        let again = again.batch(3, 4, 0, Some((7, 0, 3))).lives(false).loaded(Unclean, 0, 3);
        accepts(&PROMISE, [again.batch(3, 4, 0, Some((7, 0, 3)))]);
        // It takes what others sent behind them, and leaves them too.
        let others = durable().batch(0, 2, 0, Some((7, 0, 0))).lives(false).loaded(Unclean, 0, 3);
        let others = others.batch(3, 5, 0, Some((8, 0, 0))).lives(false).loaded(Unclean, 0, 3);
        accepts(&PROMISE, [others.batch(3, 4, 0, Some((7, 0, 3)))]);
        let lost = durable().batch(0, 2, 0, Some((7, 0, 0))).lives(false).loaded(Unclean, 0, 0);
        passes_over(&PROMISE, [lost.batch(0, 2, 0, Some((7, 0, 0)))]);
        let deleted = durable().batch(0, 2, 0, Some((7, 0, 0))).lives(false).loaded(Unclean, 2, 2);
        passes_over(&PROMISE, [deleted.batch(2, 3, 0, Some((7, 0, 9)))]);
        // The death takes what was not deleted.
        let taken =
            durable().batch(0, 2, 0, Some((7, 0, 0))).batch(2, 3, 0, Some((8, 0, 0))).batch(3, 4, 0, Some((7, 0, 2)));
        let taken = taken.lives(false).loaded(Unclean, 2, 3).batch(3, 4, 0, Some((7, 0, 9)));
        accepts(&PROMISE, [taken]);
    }

    #[test]
    fn rejects_others() {
        let first = || durable().batch(0, 2, 0, Some((7, 3, 0)));
        rejects(
            &PROMISE,
            [
                first().batch(2, 4, 0, Some((7, 3, 0))),
                first().batch(2, 4, 0, Some((7, 3, 3))),
                first().batch(2, 4, 0, Some((7, 2, 2))),
                first().batch(2, 4, 0, Some((7, 4, 2))),
                first().lives(false).loaded(Unclean, 0, 2).batch(2, 4, 0, Some((7, 3, 0))),
                first().lives(false).loaded(Unclean, 0, 2).batch(2, 4, 0, Some((7, 3, 3))),
                first().lives(false).loaded(Unclean, 0, 5).batch(5, 6, 0, Some((7, 3, 6))),
                first().lives(true).loaded(Clean, 2, 2).batch(2, 4, 0, Some((7, 3, 9))),
                first().lives(false).loaded(Unclean, 0, 2).batch(2, 4, 0, Some((7, 3, 9))),
                first().lives(false).loaded(Unclean, 0, 5).batch(5, 6, 0, Some((7, 3, 4))).batch(
                    6,
                    7,
                    0,
                    Some((7, 3, 6)),
                ),
                first().lives(false).loaded(Unclean, 0, 5).batch(5, 6, 0, Some((7, 3, 1))),
                // Nothing is left of what was not seen.
                first()
                    .lives(false)
                    .loaded(Unclean, 0, 3)
                    .batch(3, 4, 0, Some((7, 3, 3)))
                    .lives(false)
                    .loaded(Unclean, 0, 3)
                    .batch(3, 4, 0, Some((7, 3, 4))),
            ],
        );
    }
}
