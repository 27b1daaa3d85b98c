//! [`Session`]: one life of one client: its connections, its producer, what it reads and where it is a member, all kept
//! going whatever the client waits for. `client` tells it what to do next.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Offset, TimestampMs, Uuid};
use barnabas_client::{
    CallError, Client, ClientConfig, Delivery, DeliveryError, Destination, Event, Producer, ProducerConfig, Tag,
    leaves_open,
};
use barnabas_history::{Call, CallId, ClientLife, Happening, LogName, Outcome, Reply, Value, What};
use barnabas_plan::TopicName;
use barnabas_runtime::{Either, Env, race};
use barnabas_wire::record::Compression;
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use crate::client::Script;
use crate::group::Member;
use crate::reading::Reader;
use crate::record::{Draft, log_name, partition_index};
use crate::{Driver, Recorder};

/// An idle client looks around this often, whatever happens.
const TICK: Duration = Duration::from_secs(5);
/// How long a question may take.
const ASK_TIMEOUT_MS: i64 = 5_000;
/// `batch.size` of the producers: small, so that several batches are under way.
const BATCH_BYTES: usize = 2_048;
/// `request.timeout.ms` of the producers, at most.
const REQUEST_TIMEOUT_MAX_MS: u64 = 10_000;
/// Bits of a value that count within one life, and bits that count lives; the client is above.
const COUNTER_BITS: u32 = 32;
const LIFE_BITS: u32 = 16;

/// What a connection is for. Kafka's clients have as many, so that a fetch that waits holds up no other answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Records to send, and every question.
    Work,
    /// Fetches.
    Read,
    /// The group's coordinator.
    Group,
}

/// A client of the core with its bytes.
struct Wire {
    client: Client,
    driver: Driver,
}

impl Wire {
    fn new(env: &Env, script: &Script) -> Self {
        let client = Client::new(ClientConfig {
            client_id: script.client.name.to_string(),
            bootstrap: script.bootstrap.clone(),
            auto_create_topics: false,
        });
        Self { client, driver: Driver::new(env) }
    }
}

/// A record that was given to the producer.
struct Sending {
    call: CallId,
    topic: TopicName,
    partition: u32,
}

/// What the client knows of a log from what it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    /// Behind the last record it has sent or read.
    pub(crate) end: Offset,
    /// Timestamps of the first and the last record it has sent.
    pub(crate) sent: Option<(TimestampMs, TimestampMs)>,
}

/// One life of one client.
pub(crate) struct Session {
    pub(crate) env: Env,
    pub(crate) script: Rc<Script>,
    pub(crate) by: ClientLife,
    pub(crate) recorder: Recorder,
    work: Wire,
    read: Wire,
    group: Wire,
    producer: Producer,
    acks: i16,
    idempotent: bool,
    sends: BTreeMap<u64, Sending>,
    next_value: u32,
    pub(crate) known: BTreeMap<(TopicName, u32), Known>,
    pub(crate) reader: Reader,
    pub(crate) member: Option<Member>,
    /// Whether records are fetched: only a poll does.
    pub(crate) is_reading: bool,
    /// Replies to questions, once they are there.
    /// By connection as well: each client numbers its calls by itself.
    replies: BTreeMap<(Purpose, Tag), Option<Answer>>,
}

/// What a question was answered.
pub(crate) type Answer = Result<(i16, ResponseBody), CallError>;

impl Session {
    pub(crate) fn new(env: Env, script: Rc<Script>, life: u32, recorder: Recorder) -> Self {
        let planned = &script.client;
        let idempotent = planned.idempotent && planned.acks == -1;
        let request_timeout_ms = (planned.delivery_timeout_ms / 3).clamp(1_000, REQUEST_TIMEOUT_MAX_MS);
        let config = ProducerConfig {
            acks: planned.acks,
            idempotent,
            in_flight_max: usize::try_from(planned.in_flight).expect("a few").clamp(1, 5),
            batch_bytes: BATCH_BYTES,
            compression: compression(&planned.compression),
            delivery_timeout_ms: i64::try_from(planned.delivery_timeout_ms).expect("plans are short"),
            request_timeout_ms: i32::try_from(request_timeout_ms).expect("clamped"),
            // Java's clients and librdkafka's: only the second hear of a broker that ran out of time.
            answer_grace_ms: if planned.name.0.is_multiple_of(2) { 0 } else { 2_000 },
        };
        Self {
            by: ClientLife { client: planned.name, life },
            recorder,
            work: Wire::new(&env, &script),
            read: Wire::new(&env, &script),
            group: Wire::new(&env, &script),
            acks: config.acks,
            idempotent,
            producer: Producer::new(config),
            sends: BTreeMap::new(),
            next_value: 0,
            known: BTreeMap::new(),
            reader: Reader::new(planned.fetch_bytes),
            member: None,
            is_reading: false,
            replies: BTreeMap::new(),
            env,
            script,
        }
    }

    /// A value that nobody else in the run sends.
    pub(crate) fn next_value(&mut self) -> Value {
        let counter = self.next_value;
        self.next_value = counter.checked_add(1).expect("a life sends fewer values than 2³²");
        let life = u64::from(self.by.life);
        assert!(life < 1 << LIFE_BITS, "a client has fewer lives than 2¹⁶");
        let client = u64::from(self.by.client.0);
        Value(client << (LIFE_BITS + COUNTER_BITS) | life << COUNTER_BITS | u64::from(counter))
    }

    /// Begins to send a record.
    pub(crate) fn send(&mut self, topic: TopicName, partition: u32, key: Option<u32>, bytes: Option<u32>) {
        let draft = Draft {
            topic,
            partition,
            value: self.next_value(),
            key,
            tombstone: bytes.is_none(),
            bytes: bytes.unwrap_or(0),
            timestamp: self.env.wall(),
        };
        let call = self.record_send(self.by, &draft, self.acks, self.idempotent);
        if !self.producer.has_room() {
            return self.recorder.end(call, Outcome::Failed("the producer is full".to_owned()));
        }
        let ordinal = self.producer.send(self.env.now(), draft.to_record());
        self.sends.insert(ordinal, Sending { call, topic, partition });
    }

    /// Writes down that a record is sent, by one of the client's producers.
    pub(crate) fn record_send(&mut self, by: ClientLife, draft: &Draft, acks: i16, idempotent: bool) -> CallId {
        let known = self.known(draft.topic, draft.partition);
        let first = known.sent.map_or(draft.timestamp, |(first, _)| first);
        known.sent = Some((first, draft.timestamp));
        let call = Call::Send {
            topic: draft.topic,
            partition: draft.partition,
            value: draft.value,
            key: draft.key,
            tombstone: draft.tombstone,
            acks,
            idempotent,
            timestamp: draft.timestamp,
        };
        self.recorder.call(by, call)
    }

    pub(crate) fn call(&self, call: Call) -> CallId {
        self.recorder.call(self.by, call)
    }

    /// Records that are neither delivered nor given up.
    pub(crate) const fn undelivered(&self) -> usize {
        self.producer.undelivered()
    }

    /// Lets everything go on until something happens or `until` is reached.
    pub(crate) async fn turn(&mut self, until: Monotonic) {
        let now = self.env.now();
        self.producer.poll(now, &mut self.work.client);
        if let Some(member) = &mut self.member {
            member.membership.poll(now, &mut self.group.client);
        }
        if self.is_reading {
            let client = &mut self.read.client;
            match &mut self.member {
                Some(member) => member.reader.consumer.poll(now, client),
                None => self.reader.consumer.poll(now, client),
            }
        }
        for wire in [&mut self.work, &mut self.read, &mut self.group] {
            wire.driver.perform(&mut wire.client);
        }
        // A request without an answer is replied to as it is sent.
        if self.take_events() {
            return;
        }
        let deadline = self.next_wakeup().map_or(until, |wakeup| wakeup.min(until)).min(now.after(TICK));
        self.wait(deadline.max(now.after_ms(1))).await;
        self.take_events();
    }

    fn next_wakeup(&self) -> Option<Monotonic> {
        let reader = self.member.as_ref().map_or(&self.reader, |member| &member.reader);
        let reading = self.is_reading.then(|| reader.consumer.next_wakeup()).flatten();
        let member = self.member.as_ref().and_then(|member| member.membership.next_wakeup());
        let wires = [&self.work, &self.read, &self.group].map(|wire| wire.client.next_wakeup());
        [self.producer.next_wakeup(), reading, member].into_iter().chain(wires).flatten().min()
    }

    async fn wait(&mut self, deadline: Monotonic) {
        let (work, read, group) = (&mut self.work, &mut self.read, &mut self.group);
        let news = race(work.driver.next_news(), race(read.driver.next_news(), group.driver.next_news()));
        match self.env.timeout_at(deadline, news).await {
            None => {}
            Some(Either::First(news)) => work.driver.take_news(&mut work.client, news),
            Some(Either::Second(Either::First(news))) => read.driver.take_news(&mut read.client, news),
            Some(Either::Second(Either::Second(news))) => group.driver.take_news(&mut group.client, news),
        }
        let now = self.env.now();
        for wire in [work, read, group] {
            wire.client.on_timeout(now);
        }
    }

    /// Takes the replies that are there. Says whether there were any.
    fn take_events(&mut self) -> bool {
        let now = self.env.now();
        let mut any = false;
        while let Some(event) = self.work.client.poll_event() {
            any = true;
            if !self.take_reply(Purpose::Work, &event) {
                self.producer.on_event(now, &mut self.work.client, &event);
            }
        }
        while let Some(event) = self.read.client.poll_event() {
            any = true;
            let member = self.member.as_mut().map(|member| &mut member.reader);
            let readers = [member, Some(&mut self.reader)].into_iter().flatten();
            let client = &mut self.read.client;
            for reader in readers {
                if reader.consumer.on_event(now, client, &event) {
                    break;
                }
            }
        }
        while let Some(event) = self.group.client.poll_event() {
            any = true;
            if !self.take_reply(Purpose::Group, &event)
                && let Some(member) = &mut self.member
            {
                member.membership.on_event(now, &mut self.group.client, &event);
            }
        }
        for wire in [&mut self.work, &mut self.read, &mut self.group] {
            while let Some(error) = wire.client.poll_misanswer() {
                let misanswered = Happening::Misanswered { by: self.by, what: error.to_string() };
                self.recorder.push(What::Happened(misanswered));
            }
        }
        while let Some(delivery) = self.producer.poll_delivery() {
            self.record_delivery(&delivery);
        }
        self.take_member_events();
        any
    }

    fn take_reply(&mut self, purpose: Purpose, event: &Event) -> bool {
        let Some(reply) = self.replies.get_mut(&(purpose, event.tag)) else { return false };
        *reply = Some(event.reply.clone());
        true
    }

    fn record_delivery(&mut self, delivery: &Delivery) {
        let sending = self.sends.remove(&delivery.ordinal).expect("every record is delivered once");
        let (topic, partition) = (sending.topic, sending.partition);
        let outcome = match &delivery.result {
            Ok(offset) => {
                let log = log_name(topic, delivery.topic_id, partition_index(partition));
                self.learn_end(log, offset.plus(1));
                Outcome::Ok(Reply::Sent { log, offset: (offset.0 >= 0).then_some(*offset) })
            }
            Err(error) => failed_send(delivery, error),
        };
        self.recorder.end(sending.call, outcome);
    }

    /// What the client knows of a log.
    pub(crate) fn known(&mut self, topic: TopicName, partition: u32) -> &mut Known {
        let nothing = Known { id: Uuid::ZERO, end: Offset(0), sent: None };
        self.known.entry((topic, partition)).or_insert(nothing)
    }

    /// Notes how far a log goes; another incarnation begins anew.
    pub(crate) fn learn_end(&mut self, log: LogName, end: Offset) {
        let known = self.known(log.topic, log.partition);
        let before = if known.id == log.id { known.end } else { Offset(0) };
        (known.id, known.end) = (log.id, before.max(end));
    }

    /// Asks a question and waits for its answer, while everything else goes on.
    pub(crate) async fn ask(&mut self, destination: Destination, request: impl Into<RequestBody>) -> Answer {
        self.ask_as(Purpose::Work, destination, request, None).await
    }

    /// The same over the connections of a purpose, in a version up to `version_max`.
    pub(crate) async fn ask_as(
        &mut self,
        purpose: Purpose,
        destination: Destination,
        request: impl Into<RequestBody>,
        version_max: Option<i16>,
    ) -> Answer {
        let now = self.env.now();
        let tag = self.client_mut(purpose).call(now, destination, request.into(), version_max, ASK_TIMEOUT_MS);
        self.replies.insert((purpose, tag), None);
        loop {
            if let Some(answer) = self.replies.get_mut(&(purpose, tag)).and_then(Option::take) {
                self.replies.remove(&(purpose, tag));
                return answer;
            }
            self.turn(Monotonic::NEVER).await;
        }
    }

    /// Waits until `topic` is known, or known not to be there. Says whether it is.
    pub(crate) async fn know(&mut self, purpose: Purpose, topic: TopicName) -> bool {
        let (name, now) = (topic.to_string(), self.env.now());
        let deadline = now.after_ms(ASK_TIMEOUT_MS);
        self.client_mut(purpose).want_topic(now, &name);
        loop {
            let cluster = self.client(purpose).cluster();
            if cluster.topic(&name).is_some() {
                return true;
            }
            if cluster.refusal(&name).is_some() || self.env.now() >= deadline {
                return false;
            }
            self.turn(deadline).await;
        }
    }

    pub(crate) const fn client(&self, purpose: Purpose) -> &Client {
        match purpose {
            Purpose::Work => &self.work.client,
            Purpose::Read => &self.read.client,
            Purpose::Group => &self.group.client,
        }
    }

    pub(crate) const fn client_mut(&mut self, purpose: Purpose) -> &mut Client {
        match purpose {
            Purpose::Work => &mut self.work.client,
            Purpose::Read => &mut self.read.client,
            Purpose::Group => &mut self.group.client,
        }
    }

    /// The membership together with the client it uses.
    pub(crate) const fn member_and_client(&mut self) -> (&mut Option<Member>, &mut Client) {
        (&mut self.member, &mut self.group.client)
    }

    /// The log of that name as the client's metadata has it at this time.
    pub(crate) fn log(&self, purpose: Purpose, topic: TopicName, partition: u32) -> LogName {
        let id = self.client(purpose).cluster().topic_id(&topic.to_string());
        LogName { topic, id, partition }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("by", &self.by).finish_non_exhaustive()
    }
}

/// Definite only when every attempt was answered so.
fn failed_send(delivery: &Delivery, error: &DeliveryError) -> Outcome {
    let last = delivery.attempts.last_error.map_or(String::new(), |code| format!(", last {}", code.name()));
    let reason = format!("{error} after {} attempts{last}", delivery.attempts.made);
    if delivery.attempts.open { Outcome::Unknown(reason) } else { Outcome::Failed(reason) }
}

/// How a call that was refused, or not answered, ended.
pub(crate) fn refused(code: ErrorCode) -> Outcome {
    let name = code.name().to_owned();
    if leaves_open(code) { Outcome::Unknown(name) } else { Outcome::Failed(name) }
}

/// The error of an answer, by its code.
pub(crate) fn error_of(code: i16) -> Result<(), Outcome> {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        code => Err(refused(code)),
    }
}

/// How a call without the answer it needs ended.
pub(crate) fn unanswered(answer: &Answer) -> Outcome {
    match answer {
        Err(CallError::Refused(code)) => Outcome::Failed(code.name().to_owned()),
        Err(error @ (CallError::Unsupported | CallError::Encode(_) | CallError::Overloaded)) => {
            Outcome::Failed(error.to_string())
        }
        Err(error @ (CallError::TimedOut | CallError::Disconnected)) => Outcome::Unknown(error.to_string()),
        Ok(_) => Outcome::Unknown("an answer without what was asked for".to_owned()),
    }
}

/// The codec of Kafka's name.
fn compression(name: &str) -> Compression {
    match name {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => panic!("a plan names a codec of Kafka's, not {other}"),
    }
}
