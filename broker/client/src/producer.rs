//! [`Producer`]: records to batches, batches to leaders, in order, each delivered or given up with a reason.
//!
//! One batch of a partition is under way at a time, so that order survives retries; with `idempotent` the broker also
//! drops what it has already (KIP-98). Not transactional. Driven through a [`Client`].

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
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Queued>,
    batch: Option<Batch>,
    in_flight: Option<Tag>,
    not_before: Monotonic,
    next_sequence: i32,
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
        let lanes = self.lanes.values().filter_map(|lane| match (&lane.batch, lane.in_flight) {
            (Some(batch), None) => Some(lane.not_before.min(batch.deadline)),
            (Some(_), Some(_)) | (None, _) => None,
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
        let lane = self.lanes.iter().find(|(_, lane)| lane.in_flight == Some(event.tag));
        let Some((key, _)) = lane else { return false };
        let key = key.clone();
        self.on_produced(now, client, &key, &event.reply);
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

    fn poll_lane(&mut self, now: Monotonic, key: &LaneKey, client: &mut Client) {
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        if lane.in_flight.is_some() {
            return;
        }
        if lane.batch.is_none() {
            self.build_batch(key);
        }
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let Some(batch) = &lane.batch else { return };
        if now >= batch.deadline {
            self.finish_batch(key, &Err(DeliveryError::TimedOut));
            return;
        }
        if now < lane.not_before {
            return;
        }
        let (topic, partition) = key;
        let topic_id = client.cluster().topic_id(topic);
        let version_cap = topic_id.is_zero().then_some(NAMES_UNTIL_VERSION);
        let partition_data = vec![PartitionProduceData { index: partition.0, records: batch.records.clone() }];
        let request = ProduceRequest {
            transactional_id: None,
            acks: self.config.acks,
            timeout_ms: self.config.request_timeout_ms,
            topic_data: vec![TopicProduceData { name: topic.clone(), topic_id, partition_data }],
        };
        let destination = Destination::Leader(topic.clone(), *partition);
        let timeout_ms = i64::from(self.config.request_timeout_ms);
        let call = client.call(now, destination, RequestBody::Produce(request), version_cap, timeout_ms);
        lane.in_flight = Some(call);
    }

    /// Puts as many queued records into a batch as fit; at least one.
    fn build_batch(&mut self, key: &LaneKey) {
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let Some(first) = lane.queue.front() else { return };
        let deadline = first.deadline;
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
                self.deliveries.push_back(delivery(queued.ordinal, key, Err(error)));
                continue;
            }
            ordinals.push(queued.ordinal);
        }
        if ordinals.is_empty() {
            return;
        }
        match builder.build(&mut self.compressor) {
            Ok(bytes) => lane.batch = Some(Batch { records: bytes.into(), producer, ordinals, deadline, attempt: 0 }),
            Err(error) => {
                let error = DeliveryError::Build(error.to_string());
                self.undelivered -= ordinals.len();
                let failed = ordinals.into_iter().map(|ordinal| delivery(ordinal, key, Err(error.clone())));
                self.deliveries.extend(failed);
            }
        }
    }

    fn on_produced(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        key: &LaneKey,
        reply: &Result<(i16, ResponseBody), CallError>,
    ) {
        let lane = self.lanes.get_mut(key).expect("the lane was found by its call");
        lane.in_flight = None;
        let outcome = match reply {
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
            Err(CallError::TimedOut | CallError::Disconnected | CallError::Overloaded | CallError::Refused(_)) => {
                Err(Setback::Retry)
            }
        };
        match outcome {
            Ok(base_offset) => self.finish_batch(key, &Ok(base_offset)),
            Err(Setback::Final(error)) => self.finish_batch(key, &Err(error)),
            Err(Setback::Retry) => {
                client.forget_leader(now, &key.0, key.1);
                let batch = lane.batch.as_mut().expect("a call has a batch");
                lane.not_before = now.after_ms(backoff_ms(batch.attempt));
                batch.attempt += 1;
            }
        }
    }

    /// The batch is delivered or given up. After a failure an idempotent producer starts over under a new id: whether
    /// the batch is in the log is not known, and so the next sequence is not either.
    fn finish_batch(&mut self, key: &LaneKey, result: &Result<Offset, DeliveryError>) {
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let batch = lane.batch.take().expect("only batches finish");
        let count = i32::try_from(batch.ordinals.len()).expect("a batch has at most 2³¹ records");
        self.undelivered -= batch.ordinals.len();
        for (position, ordinal) in (0_i64..).zip(batch.ordinals) {
            let result = result.clone().map(|base| if base.0 < 0 { base } else { base.plus(position) });
            self.deliveries.push_back(delivery(ordinal, key, result));
        }
        let Some(producer) = batch.producer else { return };
        let is_current = matches!(self.identity, Identity::Known(id, _) if id == producer.id);
        if result.is_ok() && is_current {
            lane.next_sequence = producer.base_sequence.plus(count).0;
        } else if result.is_err() && is_current {
            self.identity = Identity::Wanted { not_before: Monotonic::ZERO, attempt: 0 };
            self.lanes.values_mut().for_each(|lane| lane.next_sequence = 0);
        }
    }

    fn give_up(&mut self, queued: &Queued, partition: Option<PartitionIndex>, error: DeliveryError) {
        self.undelivered -= 1;
        let (ordinal, topic) = (queued.ordinal, queued.record.topic.clone());
        self.deliveries.push_back(Delivery { ordinal, topic, partition, result: Err(error) });
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("undelivered", &self.undelivered).finish_non_exhaustive()
    }
}

enum Setback {
    Retry,
    Final(DeliveryError),
}

fn outcome_of(partition: &PartitionProduceResponse) -> Result<Offset, Setback> {
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    match code {
        // The broker has the batch already, from an attempt whose answer was lost.
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Ok(Offset(partition.base_offset)),
        code if code.is_retriable() => Err(Setback::Retry),
        code => Err(Setback::Final(DeliveryError::Refused(code, partition.error_message.clone()))),
    }
}

fn delivery(ordinal: u64, key: &LaneKey, result: Result<Offset, DeliveryError>) -> Delivery {
    Delivery { ordinal, topic: key.0.clone(), partition: Some(key.1), result }
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
