//! [`Producer`]: records to batches, batches to leaders, in order, each delivered or given up with a reason.
//!
//! With `idempotent` up to five batches of a partition are under way at once and the broker keeps their order and drops
//! what it has already (KIP-98); without it order survives retries only with one. Not transactional. Driven through a
//! [`Client`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use barnabas_base::{Monotonic, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs, Uuid};
use barnabas_wire::message::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use barnabas_wire::message::{InitProducerIdRequest, ProduceRequest};
use barnabas_wire::record::{Compression, Compressor};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::client::{Client, Destination, Event, Tag};
use crate::lane::{Lane, OutOfOrder, Queued, Recipe};
use crate::limits::{BATCHES_IN_FLIGHT_MAX, QUEUED_RECORDS_MAX, backoff_ms};
use crate::partitioner::murmur2;
use crate::{CallError, Cluster, leaves_open};

/// From this version on Produce names topics by id.
const NAMES_UNTIL_VERSION: i16 = 12;

/// Settings of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `acks`: −1, 0 or 1.
    pub acks: i16,
    /// `enable.idempotence`; needs `acks` −1.
    pub idempotent: bool,
    /// Batches of one partition under way at once, at most [`BATCHES_IN_FLIGHT_MAX`]: the broker remembers no more of them.
    /// Without `idempotent` more than one may change the order.
    pub in_flight_max: usize,
    /// `batch.size`, in bytes before compression.
    pub batch_bytes: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `delivery.timeout.ms`: a record older than this is given up.
    pub delivery_timeout_ms: i64,
    /// `request.timeout.ms`: what the broker is given, and how long the Java client waits.
    pub request_timeout_ms: i32,
    /// How much longer an answer is waited for; librdkafka's `socket.timeout.ms` is twice the other by default.
    pub answer_grace_ms: i64,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: -1,
            idempotent: true,
            in_flight_max: BATCHES_IN_FLIGHT_MAX,
            batch_bytes: 16 * 1024,
            compression: Compression::None,
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 30_000,
            answer_grace_ms: 0,
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
    pub(crate) fn size_bytes(&self) -> usize {
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
    /// The incarnation of the topic it was sent to; zero when that is not known.
    pub topic_id: Uuid,
    /// How it was tried.
    pub attempts: Attempts,
}

/// The attempts to deliver one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many were made.
    pub made: u32,
    /// Whether one of them got no answer, or one that leaves open whether the record was appended.
    pub open: bool,
    /// What the last one that failed was answered.
    pub last_error: Option<ErrorCode>,
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
    /// Whose batch a call carries.
    calls: BTreeMap<Tag, LaneKey>,
    next_ordinal: u64,
    undelivered: usize,
    /// Whose turn it is among partitions, for records without key.
    turn: u32,
    deliveries: VecDeque<Delivery>,
    compressor: Compressor,
    polled_at: Monotonic,
}

impl Producer {
    /// A producer that has sent nothing.
    #[must_use]
    pub fn new(config: ProducerConfig) -> Self {
        assert!(!config.idempotent || config.acks == -1, "an idempotent producer waits for all replicas");
        let in_flight = 1..=BATCHES_IN_FLIGHT_MAX;
        assert!(in_flight.contains(&config.in_flight_max), "the broker remembers a few batches of a producer");
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
            calls: BTreeMap::new(),
            next_ordinal: 0,
            undelivered: 0,
            turn: 0,
            deliveries: VecDeque::new(),
            compressor: Compressor::new(),
            polled_at: Monotonic::ZERO,
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
        let lanes = self.lanes.values().filter_map(|lane| lane.next_wakeup(self.polled_at));
        let identity = match self.identity {
            Identity::Wanted { not_before, .. } if self.undelivered > 0 => Some(not_before),
            _ => None,
        };
        unplaced.into_iter().chain(lanes).chain(identity).min()
    }

    /// Sends what can be sent.
    pub fn poll(&mut self, now: Monotonic, client: &mut Client) {
        self.polled_at = now;
        self.place(now, client);
        if self.undelivered == 0 {
            return;
        }
        let busy: Vec<LaneKey> =
            self.lanes.iter().filter(|(_, lane)| lane.is_busy()).map(|(key, _)| key.clone()).collect();
        for key in &busy {
            self.expire(now, key);
            self.settle(key);
        }
        self.look_for_identity(now, client);
        for key in &busy {
            self.build(key);
            self.transmit(now, key, client);
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
        let Some(key) = self.calls.remove(&event.tag) else { return false };
        self.on_produced(now, client, &key, event);
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

    fn look_for_identity(&mut self, now: Monotonic, client: &mut Client) {
        let Identity::Wanted { not_before, attempt } = self.identity else { return };
        if now < not_before || self.undelivered == 0 {
            return;
        }
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
        };
        let timeout_ms = i64::from(self.config.request_timeout_ms);
        let tag = client.call(now, Destination::Any, RequestBody::InitProducerId(request), None, timeout_ms);
        self.identity = Identity::Asked(tag, attempt);
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

    /// Gives up what is older than `delivery.timeout.ms` and not under way.
    fn expire(&mut self, now: Monotonic, key: &LaneKey) {
        let is_late = |batch: &crate::lane::Batch| batch.call.is_none() && now >= batch.deadline;
        while self.lane(key).batches.front().is_some_and(is_late) {
            self.give_up_batch(key, 0, &DeliveryError::TimedOut);
        }
        while self.lane(key).queue.front().is_some_and(|queued| now >= queued.deadline) {
            let queued = self.lane(key).queue.pop_front().expect("there was one");
            self.give_up(&queued, Some(key.1), DeliveryError::TimedOut);
        }
    }

    /// After a batch was given up an idempotent producer starts over under a new id: whether the batch is in the log is
    /// not known, and so the next sequence is not either.
    fn settle(&mut self, key: &LaneKey) {
        let Some((id, epoch)) = self.lane(key).settle() else { return };
        if self.identity == Identity::Known(id, epoch) {
            self.identity = Identity::Wanted { not_before: Monotonic::ZERO, attempt: 0 };
        }
    }

    fn build(&mut self, key: &LaneKey) {
        let identity = match self.identity {
            Identity::None => None,
            Identity::Known(id, epoch) => Some((id, epoch)),
            Identity::Wanted { .. } | Identity::Asked(..) => return,
        };
        let recipe = Recipe { batch_bytes: self.config.batch_bytes, compression: self.config.compression };
        let lane = self.lanes.get_mut(key).expect("lanes are never removed");
        let mut failed = Vec::new();
        while !lane.queue.is_empty() && lane.batches.len() < self.config.in_flight_max && lane.may_build(identity) {
            failed.extend(lane.build(recipe, &mut self.compressor));
        }
        for (queued, reason) in failed {
            self.give_up(&queued, Some(key.1), DeliveryError::Build(reason));
        }
    }

    fn transmit(&mut self, now: Monotonic, key: &LaneKey, client: &mut Client) {
        let in_flight_max = self.config.in_flight_max;
        while let Some(position) = self.lane(key).next_to_send(in_flight_max) {
            let lane = self.lane(key);
            if now < lane.not_before {
                return;
            }
            let current_id = client.cluster().topic_id(&key.0);
            let batch = &mut lane.batches[position];
            if batch.attempts.made == 0 {
                batch.topic_id = current_id;
            } else if !current_id.is_zero() && batch.topic_id != current_id {
                let error = DeliveryError::Refused(ErrorCode::UnknownTopicId, None);
                self.give_up_batch(key, position, &error);
                continue;
            }
            let (topic_id, records) = (batch.topic_id, batch.records.clone());
            let partition_data = vec![PartitionProduceData { index: key.1.0, records }];
            let request = ProduceRequest {
                transactional_id: None,
                acks: self.config.acks,
                timeout_ms: self.config.request_timeout_ms,
                topic_data: vec![TopicProduceData { name: key.0.clone(), topic_id, partition_data }],
            };
            let version_cap = topic_id.is_zero().then_some(NAMES_UNTIL_VERSION);
            let destination = Destination::Leader(key.0.clone(), key.1);
            let timeout_ms = i64::from(self.config.request_timeout_ms).saturating_add(self.config.answer_grace_ms);
            let call = client.call(now, destination, RequestBody::Produce(request), version_cap, timeout_ms);
            self.lane(key).sent(position, call);
            self.calls.insert(call, key.clone());
        }
    }

    fn on_produced(&mut self, now: Monotonic, client: &mut Client, key: &LaneKey, event: &Event) {
        let outcome = self.outcome_of(key, &event.reply);
        let lane = self.lane(key);
        let position = lane.batches.iter().position(|batch| batch.call == Some(event.tag));
        let position = position.expect("a call has a batch");
        let batch = &mut lane.batches[position];
        batch.call = None;
        let setback = match outcome {
            Ok(base_offset) => return self.deliver_batch(key, position, base_offset),
            Err(setback) => setback,
        };
        batch.attempts.open |= setback.leaves_open();
        batch.attempts.last_error = setback.code().or(batch.attempts.last_error);
        match setback {
            Setback::Final(error) => self.give_up_batch(key, position, &error),
            Setback::OutOfOrder => match lane.on_out_of_order(position) {
                OutOfOrder::Waits => lane.pause(now, position),
                OutOfOrder::Rebuilt => {}
                OutOfOrder::Lost => {
                    let error = DeliveryError::Refused(ErrorCode::OutOfOrderSequenceNumber, None);
                    self.give_up_batch(key, position, &error);
                }
            },
            Setback::NotAnswered | Setback::Refused(_) => {
                lane.pause(now, position);
                client.forget_leader(now, &key.0, key.1);
            }
        }
    }

    fn outcome_of(&self, key: &LaneKey, reply: &Result<(i16, ResponseBody), CallError>) -> Result<Offset, Setback> {
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
            Err(error @ (CallError::Unsupported | CallError::Encode(_))) => {
                Err(Setback::Final(DeliveryError::Call(error.clone())))
            }
            Err(CallError::Refused(code)) => Err(Setback::Refused(*code)),
            Err(CallError::Overloaded) => Err(Setback::Refused(ErrorCode::BrokerNotAvailable)),
            Err(CallError::TimedOut | CallError::Disconnected) => Err(Setback::NotAnswered),
        }
    }

    fn deliver_batch(&mut self, key: &LaneKey, position: usize, base_offset: Offset) {
        let batch = self.lane(key).batches.remove(position).expect("only batches are delivered");
        self.undelivered -= batch.queued.len();
        for (position, queued) in (0_i64..).zip(&batch.queued) {
            let offset = if base_offset.0 < 0 { base_offset } else { base_offset.plus(position) };
            let (topic_id, attempts) = (batch.topic_id, batch.attempts);
            self.deliveries.push_back(delivery(queued, Some(key.1), Ok(offset), topic_id, attempts));
        }
    }

    fn give_up_batch(&mut self, key: &LaneKey, position: usize, error: &DeliveryError) {
        let batch = self.lane(key).give_up(position);
        self.undelivered -= batch.queued.len();
        for queued in &batch.queued {
            let result = Err(error.clone());
            self.deliveries.push_back(delivery(queued, Some(key.1), result, batch.topic_id, batch.attempts));
        }
    }

    fn give_up(&mut self, queued: &Queued, partition: Option<PartitionIndex>, error: DeliveryError) {
        self.undelivered -= 1;
        self.deliveries.push_back(delivery(queued, partition, Err(error), Uuid::ZERO, Attempts::default()));
    }

    fn lane(&mut self, key: &LaneKey) -> &mut Lane {
        self.lanes.get_mut(key).expect("lanes are never removed")
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("undelivered", &self.undelivered).finish_non_exhaustive()
    }
}

/// Why an attempt did not deliver its batch.
enum Setback {
    /// Nobody knows what became of it; it is made again.
    NotAnswered,
    /// Refused for now; it is made again.
    Refused(ErrorCode),
    /// The broker misses what comes before the batch.
    OutOfOrder,
    /// There is no use in trying again.
    Final(DeliveryError),
}

impl Setback {
    const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(code) | Self::Final(DeliveryError::Refused(code, _)) => Some(*code),
            Self::OutOfOrder => Some(ErrorCode::OutOfOrderSequenceNumber),
            Self::NotAnswered | Self::Final(_) => None,
        }
    }

    const fn leaves_open(&self) -> bool {
        match (self, self.code()) {
            (Self::NotAnswered, _) => true,
            (_, Some(code)) => leaves_open(code),
            (_, None) => false,
        }
    }
}

fn outcome_of(partition: &PartitionProduceResponse) -> Result<Offset, Setback> {
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    match code {
        // The broker has the batch already, from an attempt whose answer was lost.
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Ok(Offset(partition.base_offset)),
        ErrorCode::OutOfOrderSequenceNumber => Err(Setback::OutOfOrder),
        code if code.is_retriable() => Err(Setback::Refused(code)),
        code => Err(Setback::Final(DeliveryError::Refused(code, partition.error_message.clone()))),
    }
}

fn delivery(
    queued: &Queued,
    partition: Option<PartitionIndex>,
    result: Result<Offset, DeliveryError>,
    topic_id: Uuid,
    attempts: Attempts,
) -> Delivery {
    let topic = queued.record.topic.clone();
    Delivery { ordinal: queued.ordinal, topic, partition, result, topic_id, attempts }
}

/// Whether a record names a partition that its topic is known not to have.
fn lacks_partition(cluster: &Cluster, record: &RecordToSend) -> bool {
    let topic = cluster.topic(&record.topic);
    let chosen = record.partition.zip(topic);
    chosen.is_some_and(|(partition, topic)| !topic.partitions.contains_key(&partition))
}
