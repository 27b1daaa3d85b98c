//! [`Producer`]: records to batches, batches to leaders, in order, each delivered or given up with a reason.
//!
//! Without `idempotent` one batch of a partition is under way at a time, so that order survives retries. With it up to
//! five are: sequences keep their order, and the broker drops what it has already (KIP-98). Not transactional. Driven
//! through a [`Client`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use barnabas_base::{Monotonic, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use barnabas_wire::message::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use barnabas_wire::message::{InitProducerIdRequest, ProduceRequest};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compression, Compressor, Header, ProducerFields};
use barnabas_wire::{ErrorCode, Records, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::client::{Client, Destination, Event, Tag};
use crate::limits::{QUEUED_RECORDS_MAX, backoff_ms};
use crate::{CallError, Cluster};

/// From this version on Produce names topics by id.
const NAMES_UNTIL_VERSION: i16 = 12;
/// Batches of one partition under way of which the broker recognises each (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;
/// Seed of Kafka's partitioner (`Utils.murmur2`).
const MURMUR2_SEED: u32 = 0x9747_b28c;

/// Settings of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `acks`: −1, 0 or 1.
    pub acks: i16,
    /// `enable.idempotence`; needs `acks` −1.
    pub idempotent: bool,
    /// `batch.size`, in bytes before compression.
    pub batch_bytes: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `delivery.timeout.ms`: a record older than this is given up.
    pub delivery_timeout_ms: i64,
    /// `request.timeout.ms`.
    pub request_timeout_ms: i32,
    /// Batches of one partition under way at once: 1, or up to 5 when idempotent.
    pub in_flight_max: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: -1,
            idempotent: true,
            batch_bytes: 16 * 1024,
            compression: Compression::None,
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 30_000,
            in_flight_max: 1,
        }
    }
}

/// A record on its way to the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordToSend {
    /// The topic.
    pub topic: String,
    /// The partition; none lets the key's hash, or else the turn, decide.
    pub partition: Option<PartitionIndex>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// When it was made.
    pub timestamp: TimestampMs,
}

impl RecordToSend {
    /// About how many bytes it takes in a batch.
    fn size_bytes(&self) -> usize {
        const OVERHEAD: usize = 16;
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|(key, value)| key.len() + len(value) + OVERHEAD).sum::<usize>();
        len(&self.key) + len(&self.value) + headers + OVERHEAD
    }
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What [`Producer::send`] returned for it.
    pub ordinal: u64,
    /// Its topic.
    pub topic: String,
    /// Its partition; none when it was given up before one was chosen.
    pub partition: Option<PartitionIndex>,
    /// Its offset (unknown with `acks` 0), or why it was given up.
    pub result: Result<Offset, DeliveryError>,
    /// Whether a record that was given up may be in the log all the same: an attempt was not answered, or by an error
    /// that leaves it open.
    pub in_doubt: bool,
}

/// Why a record was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryError {
    /// The broker refuses it for good, with a word of its own if it has one.
    Refused(ErrorCode, Option<String>),
    /// It was not delivered in time; it may still be in the log.
    TimedOut,
    /// The call could not be made.
    Call(CallError),
    /// It cannot be put into a batch.
    Build(String),
}

impl DeliveryError {
    /// The cluster's error, if it was the cluster that refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(code, _) | Self::Call(CallError::Refused(code)) => Some(*code),
            Self::TimedOut | Self::Call(_) | Self::Build(_) => None,
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code, None) => f.write_str(code.name()),
            Self::Refused(code, Some(message)) => write!(f, "{}: {message}", code.name()),
            Self::TimedOut => f.write_str("not delivered in time"),
            Self::Call(error) => write!(f, "{error}"),
            Self::Build(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for DeliveryError {}

#[derive(Debug)]
struct Queued {
    ordinal: u64,
    record: RecordToSend,
    deadline: Monotonic,
}

/// A batch of one partition, built once: a retry must carry the same bytes.
#[derive(Debug)]
struct Batch {
    records: Records,
    producer: Option<ProducerFields>,
    ordinals: Vec<u64>,
    deadline: Monotonic,
    attempt: u32,
    /// The call that carries it, while one does.
    call: Option<Tag>,
    in_doubt: bool,
}

/// What waits for one partition, in order.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Queued>,
    /// Built and neither delivered nor given up, by sequence.
    batches: VecDeque<Batch>,
    not_before: Monotonic,
    next_sequence: i32,
}

impl Lane {
    /// The first batch that no call carries.
    fn first_idle(&self) -> Option<usize> {
        self.batches.iter().position(|batch| batch.call.is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// Not idempotent.
    None,
    Wanted {
        not_before: Monotonic,
        attempt: u32,
    },
    Asked(Tag, u32),
    Known(ProducerId, ProducerEpoch),
}

impl Identity {
    /// Whether a batch with these fields was made under it.
    fn is(self, fields: ProducerFields) -> bool {
        matches!(self, Self::Known(id, epoch) if id == fields.id && epoch == fields.epoch)
    }
}

type LaneKey = (String, PartitionIndex);

/// The producer.
pub struct Producer {
    config: ProducerConfig,
    identity: Identity,
    /// Records whose partition is not chosen yet: the topic's partitions are not known.
    unplaced: VecDeque<Queued>,
    lanes: BTreeMap<LaneKey, Lane>,
    next_ordinal: u64,
    undelivered: usize,
    /// Whose turn it is among partitions, for records without key.
    turn: u32,
    deliveries: VecDeque<Delivery>,
    compressor: Compressor,
}

impl Producer {
    /// A producer that has sent nothing.
    #[must_use]
    pub fn new(config: ProducerConfig) -> Self {
        assert!(!config.idempotent || config.acks == -1, "an idempotent producer waits for all replicas");
        let batches_max = if config.idempotent { IDEMPOTENT_IN_FLIGHT_MAX } else { 1 };
        assert!((1..=batches_max).contains(&config.in_flight_max), "more batches under way could change their order");
        let identity = if config.idempotent {
            Identity::Wanted { not_before: Monotonic::ZERO, attempt: 0 }
        } else {
            Identity::None
        };
        Self {
            config,
            identity,
            unplaced: VecDeque::new(),
            lanes: BTreeMap::new(),
            next_ordinal: 0,
            undelivered: 0,
            turn: 0,
            deliveries: VecDeque::new(),
            compressor: Compressor::new(),
        }
    }

    /// Whether one more record may be queued.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.undelivered < QUEUED_RECORDS_MAX
    }

    /// Records that are neither delivered nor given up.
    #[must_use]
    pub const fn undelivered(&self) -> usize {
        self.undelivered
    }

    /// Queues a record and numbers it. [`poll`](Self::poll) sends it.
    pub fn send(&mut self, now: Monotonic, record: RecordToSend) -> u64 {
        assert!(self.has_room(), "the owner of a producer waits while it has no room");
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.undelivered += 1;
        let deadline = now.after_ms(self.config.delivery_timeout_ms);
        self.unplaced.push_back(Queued { ordinal, record, deadline });
        ordinal
    }

    /// What became of the next record.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// When [`poll`](Self::poll) is due, if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        let unplaced = self.unplaced.front().map(|queued| queued.deadline);
        let lanes = self.lanes.values().filter_map(|lane| {
            let idle = lane.first_idle()?;
            Some(lane.not_before.min(lane.batches[idle].deadline))
        });
        let identity = match self.identity {
            Identity::Wanted { not_before, .. } if self.undelivered > 0 => Some(not_before),
            _ => None,
        };
        unplaced.into_iter().chain(lanes).chain(identity).min()
    }

    /// Sends what can be sent.
    pub fn poll(&mut self, now: Monotonic, client: &mut Client) {
        self.place(now, client);
        if self.undelivered == 0 || !self.has_identity(now, client) {
            return;
        }
        let keys: Vec<LaneKey> = self.lanes.keys().cloned().collect();
        for key in keys {
            self.poll_lane(now, &key, client);
        }
    }

    /// Takes a reply of the client; says whether it was one of ours.
    pub fn on_event(&mut self, now: Monotonic, client: &mut Client, event: &Event) -> bool {
        if let Identity::Asked(tag, attempt) = self.identity
            && tag == event.tag
        {
            self.on_identity(now, attempt, event);
            return true;
        }
        let carries = |batch: &Batch| batch.call == Some(event.tag);
        let found = self.lanes.iter().find_map(|(key, lane)| {
            let index = lane.batches.iter().position(carries)?;
            Some((key.clone(), index))
        });
        let Some((key, index)) = found else { return false };
        self.on_produced(now, client, &key, index, &event.reply);
        true
    }

    /// Chooses partitions, and gives up records of topics that do not appear.
    fn place(&mut self, now: Monotonic, client: &mut Client) {
        let mut still_unplaced = VecDeque::new();
        while let Some(queued) = self.unplaced.pop_front() {
            let topic = &queued.record.topic;
            client.want_topic(now, topic);
            if lacks_partition(client.cluster(), &queued.record) {
                let error = DeliveryError::Refused(ErrorCode::UnknownTopicOrPartition, None);
                self.give_up(&queued, queued.record.partition, error);
                continue;
            }
            if let Some(partition) = self.partition_of(client.cluster(), &queued.record) {
                self.lanes.entry((topic.clone(), partition)).or_default().queue.push_back(queued);
                continue;
            }
            let refusal = client.cluster().refusal(topic);
            match refusal.filter(|code| !code.is_retriable() || now >= queued.deadline) {
                Some(code) => self.give_up(&queued, None, DeliveryError::Refused(code, None)),
                None if now >= queued.deadline => self.give_up(&queued, None, DeliveryError::TimedOut),
                None => still_unplaced.push_back(queued),
            }
        }
        self.unplaced = still_unplaced;
    }

    /// Keys go where Kafka's own producer puts them; records without key take turns.
    fn partition_of(&mut self, cluster: &Cluster, record: &RecordToSend) -> Option<PartitionIndex> {
        let topic = cluster.topic(&record.topic)?;
        if record.partition.is_some() {
            return record.partition;
        }
        let count = u32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)?;
        let chosen = match &record.key {
            Some(key) => (murmur2(key) & 0x7fff_ffff) % count,
            None => {
                self.turn = self.turn.wrapping_add(1);
                self.turn % count
            }
        };
        i32::try_from(chosen).ok().map(PartitionIndex)
    }

    fn has_identity(&mut self, now: Monotonic, client: &mut Client) -> bool {
        match self.identity {
            Identity::None | Identity::Known(..) => true,
            Identity::Asked(..) => false,
            Identity::Wanted { not_before, attempt } => {
                if now >= not_before {
                    let request = InitProducerIdRequest {
                        transactional_id: None,
                        transaction_timeout_ms: i32::MAX,
                        ..Default::default()
                    };
                    let timeout_ms = i64::from(self.config.request_timeout_ms);
                    let request = RequestBody::InitProducerId(request);
                    let tag = client.call(now, Destination::Any, request, None, timeout_ms);
                    self.identity = Identity::Asked(tag, attempt);
                }
                false
            }
        }
    }

    fn on_identity(&mut self, now: Monotonic, attempt: u32, event: &Event) {
        self.identity = match &event.reply {
            Ok((_, ResponseBody::InitProducerId(response))) if response.error_code == 0 => {
                Identity::Known(ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch))
            }
            // Whatever went wrong: the records wait for it until their time is up.
            _ => Identity::Wanted { not_before: now.after_ms(backoff_ms(attempt)), attempt: attempt + 1 },
        };
    }

    /// Sends the batches of a partition that may go, in order.
    fn poll_lane(&mut self, now: Monotonic, key: &LaneKey, client: &mut Client) {
        self.give_up_late(now, key);
        loop {
            let lane = self.lanes.get_mut(key).expect("lanes are never removed");
            if lane.first_idle().is_none() && lane.batches.len() < self.config.in_flight_max {
                self.build_batch(key);
            }
            let lane = self.lanes.get_mut(key).expect("lanes are never removed");
            let Some(index) = lane.first_idle() else { return };
            if now < lane.not_before {
                return;
            }
            let request = self.request(key, index, client);
            let version_cap = client.cluster().topic_id(&key.0).is_zero().then_some(NAMES_UNTIL_VERSION);
            let destination = Destination::Leader(key.0.clone(), key.1);
            let timeout_ms = i64::from(self.config.request_timeout_ms);
            let call = client.call(now, destination, RequestBody::Produce(request), version_cap, timeout_ms);
            let lane = self.lanes.get_mut(key).expect("lanes are never removed");
            lane.batches[index].call = Some(call);
        }
    }

    fn request(&self, key: &LaneKey, index: usize, client: &Client) -> ProduceRequest {
        let (topic, partition) = key;
        let records = self.lanes[key].batches[index].records.clone();
        let partition_data = vec![PartitionProduceData { index: partition.0, records }];
        let topic_id = client.cluster().topic_id(topic);
        ProduceRequest {
            transactional_id: None,
            acks: self.config.acks,
            timeout_ms: self.config.request_timeout_ms,
            topic_data: vec![TopicProduceData { name: topic.clone(), topic_id, partition_data }],
        }
    }

    /// Gives up the batches whose time is up and that no call carries.
    fn give_up_late(&mut self, now: Monotonic, key: &LaneKey) {
        let is_late = |batch: &Batch| batch.call.is_none() && now >= batch.deadline;
        while let Some(index) = self.lanes[key].batches.iter().position(is_late) {
            self.finish_batch(key, index, &Err(DeliveryError::TimedOut));
        }
    }

    /// Puts as many queued records into a batch as fit; at least one.
    fn build_batch(&mut self, key: &LaneKey) {
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let Some(first) = lane.queue.front() else { return };
        let deadline = first.deadline;
        // Batches of an identity that was given up come to their end first, or order would be lost.
        let is_foreign = |batch: &Batch| batch.producer.is_some_and(|fields| !self.identity.is(fields));
        if lane.batches.iter().any(is_foreign) {
            return;
        }
        let producer = match self.identity {
            Identity::Known(id, epoch) => {
                Some(ProducerFields { id, epoch, base_sequence: Sequence(lane.next_sequence) })
            }
            Identity::None | Identity::Wanted { .. } | Identity::Asked(..) => None,
        };
        let options = BatchOptions { compression: self.config.compression, producer, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        let mut ordinals = Vec::new();
        while let Some(queued) = lane.queue.front() {
            let full = builder.plain_bytes() + queued.record.size_bytes() > self.config.batch_bytes;
            if !builder.is_empty() && full {
                break;
            }
            let queued = lane.queue.pop_front().expect("there was one");
            if let Err(error) = append(&mut builder, &queued.record) {
                let error = DeliveryError::Build(error.to_string());
                self.undelivered -= 1;
                self.deliveries.push_back(delivery(queued.ordinal, key, Err(error), false));
                continue;
            }
            ordinals.push(queued.ordinal);
        }
        if ordinals.is_empty() {
            return;
        }
        match builder.build(&mut self.compressor) {
            Ok(bytes) => {
                let count = i32::try_from(ordinals.len()).expect("a batch has at most 2³¹ records");
                lane.next_sequence = Sequence(lane.next_sequence).plus(count).0;
                let records = bytes.into();
                let batch = Batch { records, producer, ordinals, deadline, attempt: 0, call: None, in_doubt: false };
                lane.batches.push_back(batch);
            }
            Err(error) => {
                let error = DeliveryError::Build(error.to_string());
                self.undelivered -= ordinals.len();
                let failed = ordinals.into_iter().map(|ordinal| delivery(ordinal, key, Err(error.clone()), false));
                self.deliveries.extend(failed);
            }
        }
    }

    fn on_produced(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        key: &LaneKey,
        index: usize,
        reply: &Result<(i16, ResponseBody), CallError>,
    ) {
        let outcome = self.outcome(key, reply);
        let lane = self.lanes.get_mut(key).expect("the lane was found by its call");
        let batch = &mut lane.batches[index];
        batch.call = None;
        match outcome {
            Ok(base_offset) => self.finish_batch(key, index, &Ok(base_offset)),
            // One before it is not in yet: this one goes again behind it.
            Err(Setback::OutOfOrder(_)) if index > 0 => batch.attempt += 1,
            Err(Setback::OutOfOrder(error) | Setback::Final(error)) => self.finish_batch(key, index, &Err(error)),
            Err(Setback::Retry { in_doubt }) => {
                batch.in_doubt |= in_doubt;
                lane.not_before = now.after_ms(backoff_ms(batch.attempt));
                batch.attempt += 1;
                client.forget_leader(now, &key.0, key.1);
            }
        }
    }

    fn outcome(&self, key: &LaneKey, reply: &Result<(i16, ResponseBody), CallError>) -> Result<Offset, Setback> {
        match reply {
            Ok((_, ResponseBody::Produce(_))) if self.config.acks == 0 => Ok(Offset::UNKNOWN),
            Ok((_, ResponseBody::Produce(response))) => {
                let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
                match partitions.into_iter().find(|partition| partition.index == key.1.0) {
                    Some(partition) => outcome_of(partition),
                    None => Err(Setback::Final(DeliveryError::Call(CallError::Unsupported))),
                }
            }
            Ok(_) => Err(Setback::Final(DeliveryError::Call(CallError::Unsupported))),
            Err(CallError::Refused(code)) if !code.is_retriable() => {
                Err(Setback::Final(DeliveryError::Refused(*code, None)))
            }
            Err(CallError::Unsupported) => Err(Setback::Final(DeliveryError::Call(CallError::Unsupported))),
            Err(CallError::Encode(error)) => Err(Setback::Final(DeliveryError::Call(CallError::Encode(*error)))),
            Err(CallError::TimedOut | CallError::Disconnected) => Err(Setback::Retry { in_doubt: true }),
            // It was never sent.
            Err(CallError::Overloaded | CallError::Refused(_)) => Err(Setback::Retry { in_doubt: false }),
        }
    }

    /// The batch is delivered or given up. After a failure an idempotent producer starts over under a new id: whether
    /// the batch is in the log is not known, and so the next sequence is not either.
    fn finish_batch(&mut self, key: &LaneKey, index: usize, result: &Result<Offset, DeliveryError>) {
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let batch = lane.batches.remove(index).expect("only batches finish");
        self.undelivered -= batch.ordinals.len();
        for (position, ordinal) in (0_i64..).zip(batch.ordinals) {
            let result = result.clone().map(|base| if base.0 < 0 { base } else { base.plus(position) });
            self.deliveries.push_back(delivery(ordinal, key, result, batch.in_doubt));
        }
        let is_current = batch.producer.is_some_and(|fields| self.identity.is(fields));
        if result.is_err() && is_current {
            self.identity = Identity::Wanted { not_before: Monotonic::ZERO, attempt: 0 };
            self.lanes.values_mut().for_each(|lane| lane.next_sequence = 0);
        }
    }

    fn give_up(&mut self, queued: &Queued, partition: Option<PartitionIndex>, error: DeliveryError) {
        self.undelivered -= 1;
        let (ordinal, topic) = (queued.ordinal, queued.record.topic.clone());
        self.deliveries.push_back(Delivery { ordinal, topic, partition, result: Err(error), in_doubt: false });
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("undelivered", &self.undelivered).finish_non_exhaustive()
    }
}

enum Setback {
    /// Again, after a pause.
    Retry {
        in_doubt: bool,
    },
    /// A batch before it is missing: again when one is under way, the end otherwise.
    OutOfOrder(DeliveryError),
    Final(DeliveryError),
}

fn outcome_of(partition: &PartitionProduceResponse) -> Result<Offset, Setback> {
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    match code {
        // The broker has the batch already, from an attempt whose answer was lost.
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Ok(Offset(partition.base_offset)),
        ErrorCode::OutOfOrderSequenceNumber => {
            Err(Setback::OutOfOrder(DeliveryError::Refused(code, partition.error_message.clone())))
        }
        code if code.is_retriable() => Err(Setback::Retry { in_doubt: leaves_open(code) }),
        code => Err(Setback::Final(DeliveryError::Refused(code, partition.error_message.clone()))),
    }
}

/// Whether an error may come after the append (KAFKA-13574).
const fn leaves_open(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::RequestTimedOut
            | ErrorCode::UnknownServerError
            | ErrorCode::KafkaStorageError
    )
}

fn delivery(ordinal: u64, key: &LaneKey, result: Result<Offset, DeliveryError>, in_doubt: bool) -> Delivery {
    let in_doubt = in_doubt && result.is_err();
    Delivery { ordinal, topic: key.0.clone(), partition: Some(key.1), result, in_doubt }
}

/// Whether a record names a partition that its topic is known not to have.
fn lacks_partition(cluster: &Cluster, record: &RecordToSend) -> bool {
    let topic = cluster.topic(&record.topic);
    let chosen = record.partition.zip(topic);
    chosen.is_some_and(|(partition, topic)| !topic.partitions.contains_key(&partition))
}

fn append(builder: &mut BatchBuilder, record: &RecordToSend) -> Result<(), barnabas_wire::record::BuildError> {
    let headers = record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() });
    builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers)
}

/// MurmurHash2 as Kafka's clients compute it, so that a key goes to the same partition from everywhere.
fn murmur2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SHIFT: u32 = 24;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = MURMUR2_SEED ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("chunks_exact yields 4 bytes"));
        word = word.wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        word = word.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let rest = chunks.remainder();
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafka() {
        // Values of org.apache.kafka.common.utils.Utils.murmur2, which is signed.
        let signed = |text: &str| murmur2(text.as_bytes()).cast_signed();
        assert_eq!(signed("21"), -973_932_308);
        assert_eq!(signed("foobar"), -790_332_482);
        assert_eq!(signed("a-little-bit-long-string"), -985_981_536);
        assert_eq!(signed("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58_897_971);
    }
}
