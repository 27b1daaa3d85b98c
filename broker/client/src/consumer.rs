//! [`Consumer`]: positions of assigned partitions, fetches from their leaders, records in order of offset.
//!
//! Reads what is committed to the log, transactions included as they stand (`read_uncommitted`). Knows no group;
//! [`crate::Membership`] does. Driven through a [`Client`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use barnabas_base::{BrokerId, Monotonic, Offset, PartitionIndex, TimestampMs, Uuid};
use barnabas_wire::message::fetch::{FetchPartition, FetchTopic, PartitionData};
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::message::{FetchRequest, FetchResponse, ListOffsetsRequest};
use barnabas_wire::record::{Decompressor, RecordError, Tail, batches};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::CallError;
use crate::client::{Client, Destination, Event, Tag};
use crate::limits::{UNREAD_RECORDS_MAX, backoff_ms};

/// From this version on Fetch names topics by id.
const NAMES_UNTIL_VERSION: i16 = 12;
/// Most bytes one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// ListOffsets' names for the ends of a log.
const LATEST_TIMESTAMP: i64 = -1;
const EARLIEST_TIMESTAMP: i64 = -2;
/// The epoch of a fetch without a session (KIP-227).
const NO_SESSION_EPOCH: i32 = -1;
/// How much longer than the broker may wait, a fetch may take, in milliseconds.
const FETCH_GRACE_MS: i64 = 30_000;
const LIST_TIMEOUT_MS: i64 = 30_000;
/// So many attempts in vain, one after another, are worth a word: a new leader is found in fewer.
const SILENT_ATTEMPTS: u32 = 5;

/// Settings of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `fetch.max.wait.ms`.
    pub max_wait_ms: i32,
    /// `fetch.min.bytes`.
    pub min_bytes: i32,
    /// `fetch.max.bytes`.
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_max_bytes: i32,
    /// `auto.offset.reset`: where to go on when the position is not in the log any more; none reports an error.
    pub reset: Option<StartAt>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            reset: Some(StartAt::End),
        }
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record.
    Beginning,
    /// Behind the last record.
    End,
    /// Here.
    Offset(Offset),
    /// At the first record of this time or later; at the end if there is none.
    Timestamp(TimestampMs),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// The topic's incarnation; zero when the broker does not say.
    pub topic_id: Uuid,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What keeps a partition from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerError {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset that was wanted, once it was known.
    pub offset: Option<Offset>,
    /// The cluster's error; none when the records that came could not be read.
    pub code: Option<ErrorCode>,
    /// Why.
    pub reason: String,
    /// Whether the partition is read no more. Otherwise it is tried again, and was in vain so often that a person should
    /// know.
    pub is_final: bool,
}

impl fmt::Display for ConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.reason)?;
        if self.is_final { Ok(()) } else { f.write_str(", trying again") }
    }
}

impl std::error::Error for ConsumerError {}

type Key = (String, PartitionIndex);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Wanted(StartAt),
    At(Offset),
    /// Reading it failed for good.
    Failed,
}

#[derive(Debug)]
struct Slot {
    position: Position,
    /// The log's end for readers, as of the last fetch.
    high_watermark: Option<Offset>,
    call: Option<Tag>,
    not_before: Monotonic,
    attempt: u32,
}

/// The consumer.
pub struct Consumer {
    config: ConsumerConfig,
    slots: BTreeMap<Key, Slot>,
    /// Fetches under way, one a broker.
    fetches: BTreeMap<BrokerId, Tag>,
    received: VecDeque<Received>,
    errors: VecDeque<ConsumerError>,
    decompressor: Decompressor,
    polled_at: Monotonic,
}

impl Consumer {
    /// A consumer of nothing.
    #[must_use]
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            fetches: BTreeMap::new(),
            received: VecDeque::new(),
            errors: VecDeque::new(),
            decompressor: Decompressor::new(),
            polled_at: Monotonic::ZERO,
        }
    }

    /// Reads a partition from here on. What was fetched of it before is forgotten.
    pub fn assign(&mut self, topic: &str, partition: PartitionIndex, start: StartAt) {
        self.unassign(topic, partition);
        let position = match start {
            StartAt::Offset(offset) => Position::At(offset),
            other => Position::Wanted(other),
        };
        let slot = Slot { position, high_watermark: None, call: None, not_before: Monotonic::ZERO, attempt: 0 };
        self.slots.insert((topic.to_owned(), partition), slot);
    }

    /// Reads a partition no more.
    pub fn unassign(&mut self, topic: &str, partition: PartitionIndex) {
        self.slots.remove(&(topic.to_owned(), partition));
        self.received.retain(|record| record.topic != topic || record.partition != partition);
    }

    /// Partitions that are read.
    pub fn assigned(&self) -> impl Iterator<Item = (&str, PartitionIndex)> {
        self.slots.keys().map(|(topic, partition)| (topic.as_str(), *partition))
    }

    /// Behind the last record that was taken or skipped: what a group commits once all records are taken.
    #[must_use]
    pub fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        let key = (topic.to_owned(), partition);
        let fetched = match self.slots.get(&key)?.position {
            Position::At(offset) => offset,
            Position::Wanted(_) | Position::Failed => return None,
        };
        let unread = self.received.iter().find(|record| record.topic == topic && record.partition == partition);
        Some(unread.map_or(fetched, |record| record.offset))
    }

    /// Whether every partition was read up to where its log ended at the last fetch.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.received.is_empty() && self.unfinished().next().is_none()
    }

    /// Partitions that are not read up to where their logs ended at the last fetch.
    pub fn unfinished(&self) -> impl Iterator<Item = (&str, PartitionIndex)> {
        let at_end = |slot: &Slot| match (slot.position, slot.high_watermark) {
            (Position::At(offset), Some(high_watermark)) => offset >= high_watermark,
            (Position::Failed, _) => true,
            (Position::At(_), None) | (Position::Wanted(_), _) => false,
        };
        let unfinished = self.slots.iter().filter(move |(_, slot)| !at_end(slot));
        unfinished.map(|((topic, partition), _)| (topic.as_str(), *partition))
    }

    /// The next record.
    pub fn poll_record(&mut self) -> Option<Received> {
        self.received.pop_front()
    }

    /// The next partition that cannot be read, for good or for so long that it should be known.
    pub fn poll_error(&mut self) -> Option<ConsumerError> {
        self.errors.pop_front()
    }

    /// When [`poll`](Self::poll) is due, if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        // A pause that is over was used by the last poll; what is missing since then is metadata.
        let paused = |slot: &&Slot| slot.call.is_none() && slot.not_before > self.polled_at;
        self.slots.values().filter(paused).map(|slot| slot.not_before).min()
    }

    /// Asks for what can be asked for.
    pub fn poll(&mut self, now: Monotonic, client: &mut Client) {
        self.polled_at = now;
        self.look_up_positions(now, client);
        if self.received.len() < UNREAD_RECORDS_MAX {
            self.fetch(now, client);
        }
    }

    /// Takes a reply of the client; says whether it was one of ours.
    pub fn on_event(&mut self, now: Monotonic, client: &mut Client, event: &Event) -> bool {
        let fetched = self.fetches.iter().find(|(_, tag)| **tag == event.tag).map(|(broker, _)| *broker);
        if let Some(broker) = fetched {
            self.fetches.remove(&broker);
            self.on_fetched(now, client, event);
            return true;
        }
        let Some(key) = self.slots.iter().find(|(_, slot)| slot.call == Some(event.tag)).map(|(key, _)| key.clone())
        else {
            return false;
        };
        self.on_position(now, client, &key, &event.reply);
        true
    }

    fn look_up_positions(&mut self, now: Monotonic, client: &mut Client) {
        for ((topic, partition), slot) in &mut self.slots {
            let Position::Wanted(start) = slot.position else { continue };
            if slot.call.is_some() || now < slot.not_before {
                continue;
            }
            let timestamp = match start {
                StartAt::Beginning => EARLIEST_TIMESTAMP,
                StartAt::End => LATEST_TIMESTAMP,
                StartAt::Timestamp(timestamp) => timestamp.0,
                StartAt::Offset(offset) => {
                    slot.position = Position::At(offset);
                    continue;
                }
            };
            let request = list_offsets(topic, *partition, timestamp);
            let destination = Destination::Leader(topic.clone(), *partition);
            slot.call = Some(client.call(now, destination, request, None, LIST_TIMEOUT_MS));
        }
    }

    fn on_position(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        key: &Key,
        reply: &Result<(i16, ResponseBody), CallError>,
    ) {
        let slot = self.slots.get_mut(key).expect("the slot was found by its call");
        slot.call = None;
        let answer = match reply {
            Ok((_, ResponseBody::ListOffsets(response))) => {
                let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.find(|partition| partition.partition_index == key.1.0)
            }
            Ok(_) | Err(_) => None,
        };
        let code = answer.map_or(code_of(reply), |answer| known_code(answer.error_code));
        match (answer, code) {
            (Some(answer), ErrorCode::None) => {
                slot.attempt = 0;
                // No record of that time or later: offset −1. Kafka's tools go to the end then.
                slot.position = match answer.offset {
                    -1 => Position::Wanted(StartAt::End),
                    offset => Position::At(Offset(offset)),
                };
            }
            (_, code) => self.set_back(now, client, key, code),
        }
    }

    /// One fetch for each leader that none is under way to, for all its partitions that wait for nothing else.
    fn fetch(&mut self, now: Monotonic, client: &mut Client) {
        let mut by_leader: BTreeMap<BrokerId, Vec<(Key, Offset)>> = BTreeMap::new();
        for (key, slot) in &self.slots {
            let Position::At(offset) = slot.position else { continue };
            if slot.call.is_some() || now < slot.not_before {
                continue;
            }
            match client.cluster().leader(&key.0, key.1) {
                Some(leader) if !self.fetches.contains_key(&leader) => {
                    by_leader.entry(leader).or_default().push((key.clone(), offset));
                }
                Some(_) => {}
                None => client.want_topic(now, &key.0),
            }
        }
        for (leader, partitions) in by_leader {
            let tag = self.fetch_from(now, client, leader, &partitions);
            self.fetches.insert(leader, tag);
            for (key, _) in partitions {
                self.slots.get_mut(&key).expect("the key is of a slot").call = Some(tag);
            }
        }
    }

    fn fetch_from(&self, now: Monotonic, client: &mut Client, leader: BrokerId, partitions: &[(Key, Offset)]) -> Tag {
        let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in partitions {
            topics.entry(topic).or_default().push(FetchPartition {
                partition: partition.0,
                fetch_offset: offset.0,
                partition_max_bytes: self.config.partition_max_bytes,
                ..Default::default()
            });
        }
        let cluster = client.cluster();
        let knows_ids = topics.keys().all(|topic| !cluster.topic_id(topic).is_zero());
        let topics = topics.into_iter().map(|(topic, partitions)| FetchTopic {
            topic: topic.to_owned(),
            topic_id: cluster.topic_id(topic),
            partitions,
        });
        let request = FetchRequest {
            max_wait_ms: self.config.max_wait_ms,
            min_bytes: self.config.min_bytes,
            max_bytes: self.config.max_bytes,
            session_epoch: NO_SESSION_EPOCH,
            topics: topics.collect(),
            ..Default::default()
        };
        let version_cap = (!knows_ids).then_some(NAMES_UNTIL_VERSION);
        let timeout_ms = i64::from(self.config.max_wait_ms) + FETCH_GRACE_MS;
        client.call(now, Destination::Broker(leader), RequestBody::Fetch(request), version_cap, timeout_ms)
    }

    fn on_fetched(&mut self, now: Monotonic, client: &mut Client, event: &Event) {
        let asked = |slot: &Slot| slot.call == Some(event.tag);
        let keys: Vec<Key> = self.slots.iter().filter(|(_, slot)| asked(slot)).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.slots.get_mut(key).expect("the key is of a slot").call = None;
        }
        let code = match &event.reply {
            Ok((_, ResponseBody::Fetch(response))) => known_code(response.error_code),
            other => code_of(other),
        };
        match &event.reply {
            Ok((version, ResponseBody::Fetch(response))) if code == ErrorCode::None => {
                self.on_fetch_response(now, client, *version, response, &keys);
            }
            _ => {
                for key in keys {
                    self.set_back(now, client, &key, code);
                }
            }
        }
    }

    fn on_fetch_response(
        &mut self,
        now: Monotonic,
        client: &mut Client,
        version: i16,
        response: &FetchResponse,
        keys: &[Key],
    ) {
        for topic in &response.responses {
            let by_id = version > NAMES_UNTIL_VERSION;
            let name = if by_id { client.cluster().topic_name(topic.topic_id) } else { Some(topic.topic.as_str()) };
            let Some(name) = name.map(str::to_owned) else { continue };
            let topic_id = client.cluster().topic_id(&name);
            for data in &topic.partitions {
                let key = (name.clone(), PartitionIndex(data.partition_index));
                // A partition that was unassigned meanwhile, or one that nobody asked for.
                if keys.contains(&key) {
                    self.on_partition(now, client, &key, topic_id, data);
                }
            }
        }
    }

    fn on_partition(&mut self, now: Monotonic, client: &mut Client, key: &Key, topic_id: Uuid, data: &PartitionData) {
        let code = known_code(data.error_code);
        let slot = self.slots.get_mut(key).expect("the key is of a slot");
        match code {
            ErrorCode::None => {
                slot.attempt = 0;
                slot.high_watermark = Some(Offset(data.high_watermark));
                let bytes = data.records.bytes().cloned().unwrap_or_default();
                if let Err(error) = self.read(key, topic_id, &bytes) {
                    self.fail(key, None, error.to_string());
                }
            }
            ErrorCode::OffsetOutOfRange => match self.config.reset {
                Some(start) => slot.position = Position::Wanted(start),
                None => self.fail(key, Some(code), code.name().to_owned()),
            },
            // The broker has found damage there: asking again finds it again. Kafka's consumers end on it as well.
            ErrorCode::CorruptMessage => self.fail(key, Some(code), code.name().to_owned()),
            code => self.set_back(now, client, key, code),
        }
    }

    /// Takes the records of a fetch at and behind the position.
    fn read(&mut self, key: &Key, topic_id: Uuid, bytes: &Bytes) -> Result<(), RecordError> {
        let slot = self.slots.get_mut(key).expect("the key is of a slot");
        let Position::At(mut position) = slot.position else { return Ok(()) };
        let outcome = self.take_batches(key, topic_id, bytes, &mut position);
        // Also before a batch that does not read: the error has to name where it stands.
        self.slots.get_mut(key).expect("the key is of a slot").position = Position::At(position);
        outcome
    }

    /// Takes batches up to the first that does not read, and moves the position behind what was taken.
    fn take_batches(
        &mut self,
        key: &Key,
        topic_id: Uuid,
        bytes: &Bytes,
        position: &mut Offset,
    ) -> Result<(), RecordError> {
        for batch in batches(bytes, Tail::MayBeCut) {
            let batch = batch?;
            batch.check_crc()?;
            let end_offset = batch.header().end_offset();
            if !batch.header().attributes.is_control() {
                let payload = batch.payload(&mut self.decompressor, DECOMPRESSED_BYTES_MAX)?;
                for record in payload.records() {
                    let record = record?;
                    if record.offset < *position {
                        continue;
                    }
                    *position = record.offset.plus(1);
                    let share = |field: &[u8]| payload.share(field);
                    self.received.push_back(Received {
                        topic: key.0.clone(),
                        topic_id,
                        partition: key.1,
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key.map(share),
                        value: record.value.map(share),
                        headers: record.headers.iter().map(|one| (share(one.key), one.value.map(share))).collect(),
                    });
                }
            }
            // Compaction leaves gaps: the position follows the batch, not its last record.
            *position = (*position).max(end_offset);
        }
        Ok(())
    }

    /// Something went wrong: again after a pause if that can help, else the partition is given up.
    fn set_back(&mut self, now: Monotonic, client: &mut Client, key: &Key, code: ErrorCode) {
        if !code.is_retriable() {
            self.fail(key, Some(code), code.name().to_owned());
            return;
        }
        let slot = self.slots.get_mut(key).expect("the key is of a slot");
        slot.not_before = now.after_ms(backoff_ms(slot.attempt));
        slot.attempt += 1;
        if slot.attempt == SILENT_ATTEMPTS {
            let error = error_of(key, slot.position, Some(code), code.name().to_owned());
            self.errors.push_back(ConsumerError { is_final: false, ..error });
        }
        client.forget_leader(now, &key.0, key.1);
    }

    fn fail(&mut self, key: &Key, code: Option<ErrorCode>, reason: String) {
        let slot = self.slots.get_mut(key).expect("the key is of a slot");
        self.errors.push_back(error_of(key, slot.position, code, reason));
        slot.position = Position::Failed;
        slot.attempt = 0;
    }
}

fn error_of(key: &Key, position: Position, code: Option<ErrorCode>, reason: String) -> ConsumerError {
    let offset = match position {
        Position::At(offset) => Some(offset),
        Position::Wanted(_) | Position::Failed => None,
    };
    ConsumerError { topic: key.0.clone(), partition: key.1, offset, code, reason, is_final: true }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("slots", &self.slots).finish_non_exhaustive()
    }
}

fn known_code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// What a call without an answer amounts to: something worth another try, unless the cluster has refused it.
fn code_of(reply: &Result<(i16, ResponseBody), CallError>) -> ErrorCode {
    match reply {
        Err(CallError::Refused(code)) => *code,
        Err(CallError::Unsupported | CallError::Encode(_)) => ErrorCode::UnsupportedVersion,
        Err(CallError::TimedOut | CallError::Disconnected | CallError::Overloaded) => ErrorCode::NetworkException,
        Ok(_) => ErrorCode::UnknownServerError,
    }
}

fn list_offsets(topic: &str, partition: PartitionIndex, timestamp: i64) -> RequestBody {
    let partitions = vec![ListOffsetsPartition { partition_index: partition.0, timestamp, ..Default::default() }];
    RequestBody::ListOffsets(ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions }],
        ..Default::default()
    })
}
