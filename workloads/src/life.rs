//! [`Life`]: one life of a client: its connections, its producer, its consumer and its membership, moved along together.
//! The operations of the workloads are carried out on it; it records what comes back by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Offset, PartitionIndex};
use barnabas_client::{
    Address, CallError, Client, ClientConfig, Consumer, ConsumerConfig, Delivery, DeliveryError, Destination, Event,
    MemberEvent, Membership, Producer, ProducerConfig, Received, StartAt,
};
use barnabas_history::{
    CallId, ClientLife, Content, LogName, Membership as Change, Outcome, Payload, Reply, Seen, Value, What,
};
use barnabas_plan::{GroupName, PlannedClient, TopicName};
use barnabas_runtime::Env;
use barnabas_wire::record::Compression;
use barnabas_wire::{RequestBody, ResponseBody};

use crate::{Driver, Recorder};

/// How often an idle client looks around, whatever happens.
const TICK: Duration = Duration::from_secs(5);
/// Header in which a tombstone carries its payload.
pub(crate) const TOMBSTONE_HEADER: &[u8] = b"payload";
/// Bits of a value that count within one life.
const COUNTER_BITS: u32 = 32;
/// Bits of a value that count lives.
const LIFE_BITS: u32 = 16;

/// The group that a client reads as a member of.
pub(crate) struct Joined {
    pub(crate) group: GroupName,
    pub(crate) topic: TopicName,
    pub(crate) membership: Membership,
    /// Commits that wait for their answer, oldest first.
    pub(crate) commits: Vec<CallId>,
    /// The call that joins, until it is answered by an assignment.
    pub(crate) joining: Option<CallId>,
    pub(crate) leaving: Option<CallId>,
    /// Whether it owns its partitions.
    pub(crate) is_assigned: bool,
    /// Whether the group refuses it, or it has left.
    pub(crate) is_over: bool,
}

/// A client between two crashes.
pub(crate) struct Life {
    pub(crate) env: Env,
    pub(crate) by: ClientLife,
    pub(crate) planned: PlannedClient,
    pub(crate) recorder: Recorder,
    pub(crate) client: Client,
    pub(crate) producer: Producer,
    pub(crate) consumer: Consumer,
    pub(crate) joined: Option<Joined>,
    driver: Driver,
    /// The call of each record on its way, by the producer's number.
    pub(crate) sends: BTreeMap<u64, (CallId, TopicName, u32)>,
    /// Answers that somebody waits for.
    answers: Vec<Event>,
    next_value: u32,
    pub(crate) records: Rc<RefCell<Vec<Received>>>,
}

impl Life {
    pub(crate) fn new(
        env: &Env,
        planned: &PlannedClient,
        bootstrap: &[Address],
        life: u32,
        recorder: Recorder,
    ) -> Self {
        let by = ClientLife { client: planned.name, life };
        let producer = ProducerConfig {
            acks: planned.acks,
            idempotent: planned.idempotent,
            compression: compression(&planned.compression),
            delivery_timeout_ms: i64::try_from(planned.delivery_timeout_ms).unwrap_or(i64::MAX),
            request_timeout_ms: 10_000,
            in_flight_max: usize::try_from(planned.in_flight).unwrap_or(1),
            batch_bytes: 4_096,
        };
        let consumer = ConsumerConfig {
            partition_max_bytes: i32::try_from(planned.fetch_bytes).unwrap_or(i32::MAX),
            reset: Some(StartAt::Beginning),
            ..ConsumerConfig::default()
        };
        Self {
            env: env.clone(),
            by,
            planned: planned.clone(),
            recorder,
            client: Client::new(ClientConfig {
                client_id: format!("{}.{life}", planned.name),
                bootstrap: bootstrap.to_vec(),
                auto_create_topics: false,
            }),
            producer: Producer::new(producer),
            consumer: Consumer::new(consumer),
            joined: None,
            driver: Driver::new(env),
            sends: BTreeMap::new(),
            answers: Vec::new(),
            next_value: 0,
            records: Rc::default(),
        }
    }

    /// A value that no other send of the run has.
    pub(crate) fn next_value(&mut self) -> Value {
        self.next_value += 1;
        let life = u64::from(self.by.life) << COUNTER_BITS;
        Value(u64::from(self.by.client.0) << (COUNTER_BITS + LIFE_BITS) | life | u64::from(self.next_value))
    }

    /// The log of a topic's partition, as far as the client knows its incarnation.
    pub(crate) fn log(&self, topic: TopicName, partition: u32) -> LogName {
        let id = self.client.cluster().topic_id(&topic.to_string());
        LogName { topic, id, partition }
    }

    /// Everything moves once: what is due is done, then it waits for something to happen, at most until `deadline`.
    pub(crate) async fn turn(&mut self, deadline: Monotonic) {
        let now = self.env.now();
        self.producer.poll(now, &mut self.client);
        if self.is_reading() {
            self.consumer.poll(now, &mut self.client);
        }
        if let Some(joined) = &mut self.joined {
            joined.membership.poll(now, &mut self.client);
        }
        self.driver.perform(&mut self.client);
        let wakeups = [
            self.producer.next_wakeup(),
            self.is_reading().then(|| self.consumer.next_wakeup()).flatten(),
            self.joined.as_ref().and_then(|joined| joined.membership.next_wakeup()),
            Some(now.after(TICK)),
        ];
        let deadline = wakeups.into_iter().flatten().fold(deadline, Monotonic::min);
        self.driver.wait(&mut self.client, deadline).await;
        self.take_events();
    }

    /// A member that owns nothing reads nothing.
    fn is_reading(&self) -> bool {
        self.joined.as_ref().is_none_or(|joined| joined.is_assigned)
    }

    fn take_events(&mut self) {
        let now = self.env.now();
        while let Some(event) = self.client.poll_event() {
            let taken = self.producer.on_event(now, &mut self.client, &event)
                || self.consumer.on_event(now, &mut self.client, &event)
                || match &mut self.joined {
                    Some(joined) => joined.membership.on_event(now, &mut self.client, &event),
                    None => false,
                };
            if !taken {
                self.answers.push(event);
            }
        }
        while let Some(delivery) = self.producer.poll_delivery() {
            self.on_delivery(&delivery);
        }
        self.take_member_events();
        while let Some(record) = self.consumer.poll_record() {
            self.records.borrow_mut().push(record);
        }
    }

    fn on_delivery(&mut self, delivery: &Delivery) {
        let Some((call, topic, partition)) = self.sends.remove(&delivery.ordinal) else { return };
        let outcome = match &delivery.result {
            Ok(offset) => {
                let offset = (offset.0 >= 0).then_some(*offset);
                Outcome::Ok(Reply::Sent { log: self.log(topic, partition), offset })
            }
            Err(error) if is_definite(error, delivery.in_doubt) => Outcome::Failed(error.to_string()),
            Err(error) => Outcome::Unknown(error.to_string()),
        };
        self.recorder.end(call, outcome);
    }

    fn take_member_events(&mut self) {
        while let Some(event) = self.joined.as_mut().and_then(|joined| joined.membership.poll_event()) {
            self.on_member_event(event);
        }
    }

    fn on_member_event(&mut self, event: MemberEvent) {
        let Some(joined) = &mut self.joined else { return };
        let (group, topic) = (joined.group, joined.topic);
        match event {
            MemberEvent::Assigned(partitions) => {
                joined.is_assigned = true;
                if let Some(call) = joined.joining.take() {
                    self.recorder.end(call, Outcome::Ok(Reply::Done));
                }
                let (generation, member) = (joined.membership.generation(), joined.membership.member_id().to_owned());
                self.on_assigned(group, topic, (generation, member), &partitions);
            }
            MemberEvent::Revoked { lost } => {
                joined.is_assigned = false;
                self.on_revoked(group, if lost { "lost" } else { "rebalance" });
            }
            MemberEvent::Committed(result) => {
                if joined.commits.is_empty() {
                    return;
                }
                let call = joined.commits.remove(0);
                self.recorder.end(call, commit_outcome(result));
            }
            MemberEvent::Left => {
                joined.is_over = true;
                joined.is_assigned = false;
                let left = joined.leaving.take();
                self.on_revoked(group, "left");
                if let Some(call) = left {
                    self.recorder.end(call, Outcome::Ok(Reply::Done));
                }
            }
            MemberEvent::Failed(code) => {
                joined.is_over = true;
                joined.is_assigned = false;
                let waiting = joined.joining.take().into_iter().chain(joined.leaving.take()).collect::<Vec<_>>();
                self.on_revoked(group, code.name());
                for call in waiting {
                    self.recorder.end(call, Outcome::Failed(code.name().to_owned()));
                }
            }
        }
    }

    fn on_assigned(
        &mut self,
        group: GroupName,
        topic: TopicName,
        (generation, member): (i32, String),
        partitions: &BTreeMap<(String, PartitionIndex), Option<Offset>>,
    ) {
        let mut logs = Vec::new();
        let mut positions = Vec::new();
        self.records.borrow_mut().clear();
        for ((name, partition), committed) in partitions {
            let log = self.log(topic, partition.0.unsigned_abs());
            logs.push(log);
            positions.extend(committed.map(|offset| (log, offset)));
            let start = committed.map_or(StartAt::Beginning, StartAt::Offset);
            self.consumer.assign(name, *partition, start);
        }
        let change = Change::Assigned { group, generation, member, logs, positions };
        self.recorder.push(What::Member { by: self.by, change });
    }

    fn on_revoked(&mut self, group: GroupName, reason: &str) {
        self.read_nothing();
        let change = Change::Revoked { group, reason: reason.to_owned() };
        self.recorder.push(What::Member { by: self.by, change });
    }

    /// Gives up every assignment and what was read and not taken.
    pub(crate) fn read_nothing(&mut self) {
        let assigned: Vec<(String, PartitionIndex)> =
            self.consumer.assigned().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
        for (topic, partition) in assigned {
            self.consumer.unassign(&topic, partition);
        }
        self.records.borrow_mut().clear();
    }

    /// Makes a call and moves along until it is answered.
    pub(crate) async fn ask(
        &mut self,
        destination: Destination,
        request: RequestBody,
        version_cap: Option<i16>,
    ) -> Result<(i16, ResponseBody), CallError> {
        const PATIENCE_MS: i64 = 10_000;
        let now = self.env.now();
        let tag = self.client.call(now, destination, request, version_cap, PATIENCE_MS);
        loop {
            if let Some(index) = self.answers.iter().position(|event| event.tag == tag) {
                return self.answers.swap_remove(index).reply;
            }
            let deadline = self.env.now().after(TICK);
            self.turn(deadline).await;
        }
    }

    /// The next offset to hand out of a log: behind what was taken.
    pub(crate) fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        let waiting = self.records.borrow();
        let untaken = waiting.iter().find(|record| record.topic == topic && record.partition == partition);
        untaken.map(|record| record.offset).or_else(|| self.consumer.position(topic, partition))
    }
}

/// Whether a record that was given up is certainly not in the log.
fn is_definite(error: &DeliveryError, in_doubt: bool) -> bool {
    match error {
        DeliveryError::Build(_) => true,
        DeliveryError::Refused(code, _) => !in_doubt && *code != barnabas_wire::ErrorCode::UnknownServerError,
        DeliveryError::TimedOut | DeliveryError::Call(_) => false,
    }
}

fn commit_outcome(result: Result<(), barnabas_wire::ErrorCode>) -> Outcome {
    use barnabas_wire::ErrorCode;
    match result {
        Ok(()) => Outcome::Ok(Reply::Done),
        // What the client core makes of an attempt without an answer.
        Err(code @ (ErrorCode::RequestTimedOut | ErrorCode::NetworkException | ErrorCode::UnknownServerError)) => {
            Outcome::Unknown(code.name().to_owned())
        }
        Err(code) if code.is_retriable() => Outcome::Unknown(code.name().to_owned()),
        Err(code) => Outcome::Failed(code.name().to_owned()),
    }
}

/// The codec of that name; none for an unknown one.
fn compression(name: &str) -> Compression {
    match name {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    }
}

/// What a record shows of itself.
pub(crate) fn seen(record: &Received, topic: TopicName) -> Seen {
    let partition = record.partition.0.unsigned_abs();
    let is_tombstone = record.value.is_none();
    let header = record.headers.iter().find(|(name, _)| name.as_ref() == TOMBSTONE_HEADER);
    let bytes = record.value.as_ref().or_else(|| header.and_then(|(_, value)| value.as_ref()));
    let content = match bytes.and_then(|bytes| Payload::decode(bytes)) {
        None => Content::Mutated,
        Some(payload) if payload.topic != topic || payload.partition != partition => Content::Stray(payload.value),
        Some(payload) if is_tombstone => Content::Tombstone(payload.value),
        Some(payload) => Content::Value(payload.value),
    };
    let key = record.key.as_ref().and_then(|key| {
        let digits = key.strip_prefix(b"key-")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    });
    Seen { offset: record.offset, timestamp: record.timestamp, key, content }
}

/// Groups records into one poll's logs, in the order in which they came.
pub(crate) fn polled(records: Vec<Received>, log: impl Fn(TopicName, u32) -> LogName) -> Vec<(LogName, Vec<Seen>)> {
    let mut logs: BTreeMap<LogName, Vec<Seen>> = BTreeMap::new();
    for record in records {
        let Ok(topic) = record.topic.parse::<TopicName>() else { continue };
        let log = log(topic, record.partition.0.unsigned_abs());
        logs.entry(log).or_default().push(seen(&record, topic));
    }
    logs.into_iter().collect()
}
