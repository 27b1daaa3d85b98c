//! A client that writes numbered records with acks=all and remembers exactly what it was told. It outlives the broker:
//! after a crash an idempotent writer sends again what was not answered, as producers do; the other kind does not,
//! so that nothing it sends may ever appear twice.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::random::Random;
use crate::raw::{Connection, ProducerIdentity, batch};

/// What a producer may have in flight without losing its order.
const IN_FLIGHT_MAX: usize = 5;
/// Records in the longest batch.
const BATCH_RECORDS_MAX: u64 = 20;
/// Bytes that follow the number of a record, at most.
const PADDING_MAX: u64 = 300;
/// How often what is in flight is sent again before the writer gives up: enough for a broker that takes seconds to lead
/// its partitions after a start.
const RETRIES_MAX: u32 = 1_000;
/// How often a gap before what is in flight is believed to pass; later it means that the broker has forgotten batches.
const GAPS_MAX: u32 = 5;
/// Before a batch is sent again that was refused for now.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;

/// One batch as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    /// The number of its first record, which is its sequence too.
    first: u32,
    records: u32,
    bytes: Vec<u8>,
}

/// A batch that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// The number of its first record.
    pub(super) first: u32,
    /// How many records it has.
    pub(super) records: u32,
    /// The offset of its first record.
    pub(super) base_offset: i64,
}

/// A writer with what it knows.
pub(super) struct Writer {
    /// Its number among the writers.
    pub(super) id: u32,
    /// The one partition it writes to.
    pub(super) partition: i32,
    /// Who an idempotent writer is.
    producer: Option<Identity>,
    random: Random,
    next_number: u32,
    in_flight: VecDeque<Sent>,
    acknowledged: Vec<Acknowledged>,
    forgotten: usize,
}

/// An idempotent writer to the broker.
#[derive(Clone, Copy)]
struct Identity {
    producer_id: i64,
    producer_epoch: i16,
    /// The number of the record that had sequence 0.
    first: u32,
}

impl Identity {
    fn ask(connection: &mut Connection, first: u32) -> Result<Self> {
        let (producer_id, producer_epoch) = connection.init_producer_id()?;
        Ok(Identity { producer_id, producer_epoch, first })
    }
}

/// How a connection ended.
enum Outcome {
    /// Everything is answered.
    Settled,
    /// Refused for now: everything in flight must be settled anew.
    Refused,
    /// The broker misses batches before what is in flight.
    Gap,
}

impl Writer {
    /// A writer that has not written; an idempotent one asks the broker who it is.
    pub(super) fn new(id: u32, partition: i32, idempotent: bool, seed: u64, port: u16) -> Result<Self> {
        let producer = match idempotent {
            true => Some(Identity::ask(&mut Connection::open(port)?, 0)?),
            false => None,
        };
        Ok(Writer {
            id,
            partition,
            producer,
            random: Random::new(seed, u64::from(id)),
            next_number: 0,
            in_flight: VecDeque::new(),
            acknowledged: Vec::new(),
            forgotten: 0,
        })
    }

    /// Whether every record of it may appear once only although it sends again.
    pub(super) fn is_idempotent(&self) -> bool {
        self.producer.is_some()
    }

    /// Every record it has sent has a lower number.
    pub(super) fn end(&self) -> u32 {
        self.next_number
    }

    /// What it was told.
    pub(super) fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    /// Batches that the broker had forgotten to know again, so that nobody can tell whether they are on the log.
    pub(super) fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Writes until it is told to stop and everything is answered, or until the connection breaks.
    pub(super) fn write(&mut self, topic: &str, port: u16, stop: &AtomicBool) -> Result<()> {
        let mut gaps = 0;
        for _ in 0..RETRIES_MAX {
            let mut connection = Connection::open(port)?;
            // What a writer without identity had in flight is unknown for ever.
            if self.producer.is_none() {
                self.in_flight.clear();
            }
            for sent in &self.in_flight {
                connection.send_produce(topic, self.partition, -1, &sent.bytes)?;
            }
            match self.write_on(topic, &mut connection, stop)? {
                Outcome::Settled => return Ok(()),
                Outcome::Refused => {}
                Outcome::Gap => gaps += 1,
            }
            if gaps > GAPS_MAX && self.producer.is_some() {
                self.start_over(&mut Connection::open(port)?)?;
                gaps = 0;
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        bail!("writer {} was refused {RETRIES_MAX} times", self.id)
    }

    /// Kafka's snapshot of a producer holds its last batch only, so that after a crash older ones in flight are not
    /// known again. A producer then begins anew with another id; sending the same records under it could double them.
    fn start_over(&mut self, connection: &mut Connection) -> Result<()> {
        self.forgotten += self.in_flight.len();
        self.in_flight.clear();
        self.producer = Some(Identity::ask(connection, self.next_number)?);
        Ok(())
    }

    /// One connection's worth; ends when stopped, or when a batch was refused for now.
    fn write_on(&mut self, topic: &str, connection: &mut Connection, stop: &AtomicBool) -> Result<Outcome> {
        loop {
            while self.in_flight.len() < IN_FLIGHT_MAX && !stop.load(Ordering::Relaxed) {
                let sent = self.next_batch();
                connection.send_produce(topic, self.partition, -1, &sent.bytes)?;
                self.in_flight.push_back(sent);
            }
            let Some(sent) = self.in_flight.front() else {
                return Ok(Outcome::Settled);
            };
            let answer = connection.receive_produce()?;
            match answer.error_code {
                0 => {
                    ensure!(answer.base_offset >= 0, "success without an offset");
                    self.acknowledged.push(Acknowledged {
                        first: sent.first,
                        records: sent.records,
                        base_offset: answer.base_offset,
                    });
                    self.in_flight.pop_front();
                }
                OUT_OF_ORDER_SEQUENCE_NUMBER => return Ok(Outcome::Gap),
                // Unknown topic or partition, leader not available, not leader, timed out, not enough replicas before
                // and after the append, storage error.
                3 | 5 | 6 | 7 | 19 | 20 | 56 => return Ok(Outcome::Refused),
                error_code => bail!("writer {} was answered error {error_code}", self.id),
            }
        }
    }

    fn next_batch(&mut self) -> Sent {
        let first = self.next_number;
        let records = u32::try_from(self.random.between(1, BATCH_RECORDS_MAX + 1)).expect("a short batch");
        let values: Vec<String> = (first..first + records)
            .map(|number| {
                let padding = usize::try_from(self.random.between(0, PADDING_MAX)).expect("a short record");
                format!("{}:{number}:{}", self.id, "x".repeat(padding))
            })
            .collect();
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let producer = match self.producer {
            Some(identity) => ProducerIdentity {
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                base_sequence: i32::try_from(first - identity.first).expect("a run is shorter than the sequences"),
            },
            None => ProducerIdentity::NONE,
        };
        self.next_number += records;
        Sent { first, records, bytes: batch::build(producer, batch::now_ms(), &values) }
    }
}
