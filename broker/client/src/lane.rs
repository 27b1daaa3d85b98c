//! [`Lane`]: the records of one partition on their way: queued, in batches under way, batches to be sent again, in order.
//!
//! Knows what order and sequences demand; makes no calls. The producer drives it.

use std::collections::VecDeque;

use barnabas_base::{Monotonic, ProducerEpoch, ProducerId, Sequence, Uuid};
use barnabas_wire::Records;
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compression, Compressor, Header, ProducerFields};

use crate::client::Tag;
use crate::limits::backoff_ms;
use crate::producer::{Attempts, RecordToSend};

/// A record that is not delivered.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) ordinal: u64,
    pub(crate) record: RecordToSend,
    pub(crate) deadline: Monotonic,
}

/// A batch, built once: a retry must carry the same bytes.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Records,
    pub(crate) producer: Option<ProducerFields>,
    pub(crate) queued: Vec<Queued>,
    pub(crate) deadline: Monotonic,
    pub(crate) attempts: Attempts,
    /// The topic's incarnation at the first attempt: a retry never reaches another one.
    pub(crate) topic_id: Uuid,
    pub(crate) call: Option<Tag>,
    /// Whether everything before it had been answered when it was sent last.
    was_first: bool,
    /// The broker misses what comes before it, which has been given up: it will never be accepted as it is.
    is_refused: bool,
}

impl Batch {
    /// Whether it can be put into another batch: no attempt can have got into the log.
    const fn can_be_rebuilt(&self) -> bool {
        self.call.is_none() && (self.is_refused || self.attempts.made == 0)
    }
}

/// Under which id and epoch sequences count.
pub(crate) type ProducerIdentity = (ProducerId, ProducerEpoch);

/// How batches are built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) batch_bytes: usize,
    pub(crate) compression: Compression,
}

/// One partition's records.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) queue: VecDeque<Queued>,
    /// In order of their sequences, the oldest in front.
    pub(crate) batches: VecDeque<Batch>,
    /// Nothing is sent before, after something went wrong.
    pub(crate) not_before: Monotonic,
    identity: Option<ProducerIdentity>,
    next_sequence: i32,
    /// A batch was given up, so that what is behind it may never be accepted. Nothing is built until all is resolved.
    is_broken: bool,
}

impl Lane {
    /// Whether there is anything to do.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.batches.is_empty()
    }

    /// When something is due by itself: a retry, or the end of a record's time.
    pub(crate) fn next_wakeup(&self, polled_at: Monotonic) -> Option<Monotonic> {
        let waiting = self.batches.iter().find(|batch| batch.call.is_none());
        let pause = waiting.map(|_| self.not_before).filter(|at| *at > polled_at);
        let front = self.batches.front().filter(|batch| batch.call.is_none()).map(|batch| batch.deadline);
        let queued = self.queue.front().map(|queued| queued.deadline);
        pause.into_iter().chain(front).chain(queued).min()
    }

    /// Whether a batch may be built under `identity`: sequences of two identities are never under way together, lest a
    /// retry of the older overtake.
    pub(crate) fn may_build(&mut self, identity: Option<ProducerIdentity>) -> bool {
        if self.is_broken {
            return false;
        }
        if self.identity != identity && self.batches.is_empty() {
            self.identity = identity;
            self.next_sequence = 0;
        }
        self.identity == identity
    }

    /// Puts as many queued records into a batch as fit, at least one. Returns those that cannot be put into any.
    pub(crate) fn build(&mut self, recipe: Recipe, compressor: &mut Compressor) -> Vec<(Queued, String)> {
        let mut failed = Vec::new();
        let Some(deadline) = self.queue.front().map(|queued| queued.deadline) else { return failed };
        let base_sequence = Sequence(self.next_sequence);
        let producer = self.identity.map(|(id, epoch)| ProducerFields { id, epoch, base_sequence });
        let options = BatchOptions { compression: recipe.compression, producer, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        let mut queued = Vec::new();
        while let Some(next) = self.queue.front() {
            let is_full = builder.plain_bytes() + next.record.size_bytes() > recipe.batch_bytes;
            if !builder.is_empty() && is_full {
                break;
            }
            let next = self.queue.pop_front().expect("there was one");
            match append(&mut builder, &next.record) {
                Ok(()) => queued.push(next),
                Err(error) => failed.push((next, error.to_string())),
            }
        }
        if queued.is_empty() {
            return failed;
        }
        let records = match builder.build(compressor) {
            Ok(bytes) => bytes.into(),
            Err(error) => {
                failed.extend(queued.into_iter().map(|queued| (queued, error.to_string())));
                return failed;
            }
        };
        if producer.is_some() {
            let count = i32::try_from(queued.len()).expect("a batch has at most 2³¹ records");
            self.next_sequence = base_sequence.plus(count).0;
        }
        self.batches.push_back(Batch {
            records,
            producer,
            queued,
            deadline,
            attempts: Attempts::default(),
            topic_id: Uuid::ZERO,
            call: None,
            was_first: false,
            is_refused: false,
        });
        failed
    }

    /// The next batch to send while fewer than `in_flight_max` are under way. One that waits holds up those behind it.
    pub(crate) fn next_to_send(&self, in_flight_max: usize) -> Option<usize> {
        let under_way = self.batches.iter().filter(|batch| batch.call.is_some()).count();
        if under_way >= in_flight_max {
            return None;
        }
        self.batches.iter().position(|batch| batch.call.is_none() && !batch.is_refused)
    }

    /// Notes an attempt.
    pub(crate) fn sent(&mut self, position: usize, call: Tag) {
        let batch = &mut self.batches[position];
        batch.call = Some(call);
        batch.attempts.made += 1;
        batch.was_first = position == 0;
    }

    /// Waits a while after a setback of the batch at `position`, longer each time.
    pub(crate) fn pause(&mut self, now: Monotonic, position: usize) {
        let attempt = self.batches[position].attempts.made.saturating_sub(1);
        self.not_before = self.not_before.max(now.after_ms(backoff_ms(attempt)));
    }

    /// What being out of order means for the batch at `position`.
    pub(crate) fn on_out_of_order(&mut self, position: usize) -> OutOfOrder {
        let is_broken = self.is_broken;
        let batch = &mut self.batches[position];
        match (is_broken, batch.was_first, batch.attempts.open) {
            (false, false, _) => OutOfOrder::Waits,
            (true, _, false) => {
                batch.is_refused = true;
                OutOfOrder::Rebuilt
            }
            (false, true, _) | (true, _, true) => OutOfOrder::Lost,
        }
    }

    /// Takes the batch at `position` out, because it was given up. Those behind it that were never sent are built anew.
    pub(crate) fn give_up(&mut self, position: usize) -> Batch {
        let batch = self.batches.remove(position).expect("only batches are given up");
        let Some(producer) = batch.producer else { return batch };
        if batch.attempts.made == 0 {
            // Nothing behind it was sent either; its sequences are free again.
            while self.batches.len() > position {
                self.take_apart_last();
            }
            self.next_sequence = producer.base_sequence.0;
        } else {
            self.is_broken = true;
        }
        batch
    }

    /// Ends a break once everything behind it is resolved. Says whether it did: the sequences are of no use any more.
    pub(crate) fn settle(&mut self) -> Option<ProducerIdentity> {
        if !self.is_broken || !self.batches.iter().all(Batch::can_be_rebuilt) {
            return None;
        }
        while !self.batches.is_empty() {
            self.take_apart_last();
        }
        self.is_broken = false;
        self.identity.take()
    }

    fn take_apart_last(&mut self) {
        let batch = self.batches.pop_back().expect("the caller has looked");
        for queued in batch.queued.into_iter().rev() {
            self.queue.push_front(queued);
        }
    }
}

/// What a batch out of order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfOrder {
    /// Early: what comes before it is still on its way.
    Waits,
    /// Behind one that was given up, and surely not in the log: it is built anew under another identity.
    Rebuilt,
    /// To be given up: the broker lost what came before it, or an attempt of this one may have got through.
    Lost,
}

fn append(builder: &mut BatchBuilder, record: &RecordToSend) -> Result<(), barnabas_wire::record::BuildError> {
    let headers = record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() });
    builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers)
}
