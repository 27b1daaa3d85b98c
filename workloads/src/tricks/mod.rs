//! What a raw client does to the broker, and what the broker must make of it. A trick fails only when the broker was seen
//! to break a promise; a broken connection or silence proves nothing, because the plan breaks and silences as well.

mod configured;
mod connection;
mod dropped;
mod epochs;
mod groups;
mod known;
mod managed;
mod members;
mod obeyed;
mod own;
mod producer;
mod reading;
mod wrong;

use std::time::Duration;

use barnabas_base::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use barnabas_client::{Address, leaves_open};
use barnabas_history::{Call, CallId, ClientLife, LogName, Outcome, Reply};
use barnabas_plan::{RawTrick, TopicName, WrongRequest};
use barnabas_wire::message::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use barnabas_wire::message::{InitProducerIdRequest, ProduceRequest};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, ProducerFields};
use barnabas_wire::{ErrorCode, Records, ResponseBody};
use bytes::Bytes;

use crate::record::{Draft, partition_index};
use crate::session::{Purpose, Session};
use crate::{NoAnswer, RawClient};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Produce and Fetch by topic id.
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 13;
const INIT_PRODUCER_ID_VERSION: i16 = 4;
/// `request.timeout.ms` of what is produced.
const TIMEOUT_MS: i32 = 10_000;
/// More than `max.message.bytes`, 1,048,588 as it ships.
const TOO_LARGE_BYTES: usize = 1_100_000;
/// Bytes of a payload.
const PAYLOAD_BYTES: u32 = 64;
/// Lives from here on are those of the producers that tricks are played with.
const RAW_LIVES: u32 = 0x8000;

/// Why a trick did not end well.
#[derive(Clone, Debug)]
enum Trouble {
    /// The broker broke a promise.
    Broken(String),
    /// The trick could not be played to its end, which proves nothing.
    Unclear(String),
}

impl From<NoAnswer> for Trouble {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Unreadable(_) => Self::Broken(error.to_string()),
            NoAnswer::Closed | NoAnswer::Broken(_) | NoAnswer::Silence => Self::Unclear(error.to_string()),
        }
    }
}

/// A trick on its way.
struct Stage<'a> {
    session: &'a mut Session,
    address: Address,
    log: LogName,
}

/// A batch of one record and the call that sends it.
struct Sent {
    call: CallId,
    batch: Bytes,
}

impl Session {
    /// Plays a trick on a partition.
    pub(crate) async fn play(&mut self, trick: RawTrick, topic: TopicName, partition: u32) {
        let call = self.call(Call::Raw { trick: trick.to_string() });
        let played = match self.stage(topic, partition).await {
            Ok(mut stage) => stage.play(trick).await,
            Err(trouble) => Err(trouble),
        };
        let outcome = match played {
            Ok(()) => Outcome::Ok(Reply::Done),
            Err(Trouble::Broken(what)) => Outcome::Failed(what),
            Err(Trouble::Unclear(why)) => Outcome::Unknown(why),
        };
        self.recorder.end(call, outcome);
    }

    /// Asks for what nobody can do.
    pub(crate) async fn ask_wrongly(&mut self, request: WrongRequest, topic: TopicName, partition: u32) {
        let call = self.call(Call::Wrong { request });
        let answered = match self.stage(topic, partition).await {
            Ok(stage) => stage.ask_wrongly(request).await,
            Err(trouble) => Err(trouble),
        };
        let outcome = match answered {
            Ok(ErrorCode::None) => Outcome::Ok(Reply::Done),
            Ok(code) => Outcome::Failed(code.name().to_owned()),
            Err(Trouble::Broken(what)) => Outcome::Failed(what),
            Err(Trouble::Unclear(why)) => Outcome::Unknown(why),
        };
        self.recorder.end(call, outcome);
    }

    async fn stage(&mut self, topic: TopicName, partition: u32) -> Result<Stage<'_>, Trouble> {
        let is_known = self.know(Purpose::Work, topic).await;
        let cluster = self.client(Purpose::Work).cluster();
        let leader = cluster.leader(&topic.to_string(), partition_index(partition));
        let address = leader.and_then(|leader| cluster.broker(leader)).map(|broker| broker.address.clone());
        let log = self.log(Purpose::Work, topic, partition);
        match address.filter(|_| is_known) {
            Some(address) => Ok(Stage { session: self, address, log }),
            None => Err(Trouble::Unclear("no leader is known".to_owned())),
        }
    }
}

impl Stage<'_> {
    async fn play(&mut self, trick: RawTrick) -> Result<(), Trouble> {
        match trick {
            RawTrick::Garbage => self.garbage().await,
            RawTrick::HalfFrame => self.half_frame().await,
            RawTrick::HugeFrame => self.huge_frame().await,
            RawTrick::FlippedRequest => self.flipped_request().await,
            RawTrick::ConnectionFlood => self.connection_flood().await,
            RawTrick::OldVersions => self.old_versions().await,
            RawTrick::WrongCrc => self.wrong_crc().await,
            RawTrick::SendAndVanish => self.send_and_vanish().await,
            RawTrick::TwiceAtOnce => self.twice_at_once().await,
            RawTrick::ReplayOld => self.replay_old().await,
            RawTrick::ZombieEpoch => self.zombie_epoch().await,
            RawTrick::SequenceGap => self.sequence_gap().await,
            RawTrick::SequenceWrap => self.sequence_wrap().await,
            RawTrick::Pipelined => self.pipelined().await,
            RawTrick::ParkedFetch => self.parked_fetch().await,
            RawTrick::DeafReader => self.deaf_reader().await,
            RawTrick::LostFetchAnswer => self.lost_fetch_answer().await,
            RawTrick::StaleCommit => self.stale_commit().await,
            RawTrick::StaticTwin => self.static_twin().await,
            RawTrick::StaleSession => self.stale_session().await,
            RawTrick::BusyGroup => self.busy_group().await,
            RawTrick::HugeAssignment => self.huge_assignment().await,
            RawTrick::SyncTwice => self.sync_twice().await,
            RawTrick::LateSync => self.late_sync().await,
            RawTrick::CommitThenDrop => self.commit_then_drop().await,
            RawTrick::NoSuchVersion => self.no_such_version().await,
            RawTrick::StalledFrame => self.stalled_frame().await,
            RawTrick::Configured => self.configured().await,
            RawTrick::ManagedTopic => self.managed_topic().await,
            RawTrick::ObeyedSettings => self.obeyed_settings().await,
            RawTrick::EpochEnds => self.epoch_ends().await,
            RawTrick::KnownLog => self.known_log().await,
            RawTrick::LoneMember => self.lone_member().await,
            RawTrick::TwoMembers => self.two_members().await,
            RawTrick::AbsentMember => self.absent_member().await,
            RawTrick::LastingMember => self.lasting_member().await,
        }
    }

    /// A connection to the partition's leader.
    async fn connect(&self) -> Result<RawClient, Trouble> {
        self.connect_to(&self.address).await
    }

    async fn connect_to(&self, address: &Address) -> Result<RawClient, Trouble> {
        let env = self.session.env.clone();
        let deadline = env.now().after(ANSWER_MAX);
        match env.timeout_at(deadline, RawClient::connect(&env, address)).await {
            Some(Ok(client)) => Ok(client),
            Some(Err(error)) => Err(Trouble::Unclear(error.to_string())),
            None => Err(Trouble::Unclear("no connection in time".to_owned())),
        }
    }

    /// A fresh producer id and its epoch.
    async fn producer(&self, raw: &mut RawClient) -> Result<ProducerFields, Trouble> {
        raw.send(INIT_PRODUCER_ID_VERSION, init_producer_id()).await?;
        match raw.receive_within(ANSWER_MAX).await? {
            ResponseBody::InitProducerId(response) if response.error_code == 0 => Ok(ProducerFields {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
                base_sequence: Sequence(0),
            }),
            ResponseBody::InitProducerId(response) => Err(Trouble::Unclear(name_of(response.error_code))),
            other => Err(Trouble::Broken(format!("InitProducerId is answered by {:?}", other.api_key()))),
        }
    }

    /// Begins the send of one record.
    fn draft(&mut self, acks: i16, producer: Option<ProducerFields>) -> Sent {
        self.draft_of(acks, producer, PAYLOAD_BYTES)
    }

    /// Begins the send of one record of so many bytes.
    fn draft_of(&mut self, acks: i16, producer: Option<ProducerFields>, bytes: u32) -> Sent {
        let draft = Draft {
            topic: self.log.topic,
            partition: self.log.partition,
            value: self.session.next_value(),
            key: None,
            tombstone: false,
            bytes,
            timestamp: self.session.env.wall(),
        };
        // Another producer than the client's own, and in no order with it.
        let own = self.session.by;
        let by = ClientLife { life: own.life + RAW_LIVES, ..own };
        let call = self.session.record_send(by, &draft, acks, producer.is_some());
        let options = BatchOptions { producer, ..Default::default() };
        let batch = batch_of_one(options, draft.timestamp, &draft.payload());
        Sent { call, batch }
    }

    fn request(&self, acks: i16, batch: &Bytes) -> ProduceRequest {
        let index = partition_index(self.log.partition).0;
        let partition_data = vec![PartitionProduceData { index, records: Records::Bytes(batch.clone()) }];
        let topic_data =
            vec![TopicProduceData { name: self.log.topic.to_string(), topic_id: self.log.id, partition_data }];
        ProduceRequest { transactional_id: None, acks, timeout_ms: TIMEOUT_MS, topic_data }
    }

    /// Sends a batch and waits for its answer; the call's end is left to the caller.
    async fn produce(&self, raw: &mut RawClient, batch: &Bytes) -> Result<PartitionProduceResponse, NoAnswer> {
        raw.send(PRODUCE_VERSION, self.request(-1, batch)).await?;
        produced(raw.receive_within(ANSWER_MAX).await?)
    }

    /// Sends one record, ends its call and says what was answered.
    async fn send(
        &mut self,
        raw: &mut RawClient,
        producer: ProducerFields,
    ) -> Result<(Sent, ErrorCode, Offset), Trouble> {
        let sent = self.draft(-1, Some(producer));
        let answer = self.produce(raw, &sent.batch).await;
        self.end(&sent, std::slice::from_ref(&answer));
        let answer = answer?;
        Ok((sent, code_of(answer.error_code), Offset(answer.base_offset)))
    }

    /// Ends the call of a send after these attempts.
    fn end(&mut self, sent: &Sent, attempts: &[Result<PartitionProduceResponse, NoAnswer>]) {
        let done = attempts.iter().flatten().find(|answer| answer.error_code == 0);
        let open = attempts.iter().any(|attempt| match attempt {
            Ok(answer) => leaves_open(code_of(answer.error_code)),
            Err(_) => true,
        });
        let last = attempts.last().map_or_else(String::new, |attempt| match attempt {
            Ok(answer) => name_of(answer.error_code),
            Err(error) => error.to_string(),
        });
        let outcome = match (done, open) {
            (Some(answer), _) => {
                let offset = Offset(answer.base_offset);
                self.session.learn_end(self.log, offset.plus(1));
                Outcome::Ok(Reply::Sent { log: self.log, offset: (offset.0 >= 0).then_some(offset) })
            }
            (None, true) => Outcome::Unknown(last),
            (None, false) => Outcome::Failed(last),
        };
        self.session.recorder.end(sent.call, outcome);
    }
}

/// A batch of one record without a key.
fn batch_of_one(options: BatchOptions, timestamp: TimestampMs, value: &[u8]) -> Bytes {
    batch_of(options, timestamp, &[value])
}

/// A batch of a few records without keys.
fn batch_of(options: BatchOptions, timestamp: TimestampMs, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let appended = builder.append(timestamp, None, Some(value), std::iter::empty());
        appended.expect("a few records fit a batch");
    }
    builder.build(&mut Compressor::new()).expect("a codec takes any bytes")
}

/// For a producer that has no id yet and no transactions.
const fn init_producer_id() -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: ProducerId::NONE.0,
        producer_epoch: ProducerEpoch::NONE.0,
    }
}

fn produced(body: ResponseBody) -> Result<PartitionProduceResponse, NoAnswer> {
    let ResponseBody::Produce(response) = body else {
        return Err(NoAnswer::Unreadable("Produce is answered by something else".to_owned()));
    };
    let mut partitions = response.responses.into_iter().flat_map(|topic| topic.partition_responses);
    partitions.next().ok_or_else(|| NoAnswer::Unreadable("Produce is answered without its partition".to_owned()))
}

fn code_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn name_of(code: i16) -> String {
    code_of(code).name().to_owned()
}

/// The first error code of an answer, of whatever part of it.
fn refusal_in(answer: &ResponseBody) -> ErrorCode {
    let mut first = ErrorCode::None;
    answer.error_codes(&mut |code| {
        if first == ErrorCode::None {
            first = code_of(code);
        }
    });
    first
}

/// What must be refused: an acceptance breaks a promise, an error of another kind proves nothing.
fn must_be_refused(what: &str, code: ErrorCode, expected: &[ErrorCode]) -> Result<(), Trouble> {
    match code {
        ErrorCode::None => Err(Trouble::Broken(format!("{what} was accepted"))),
        code if expected.contains(&code) => Ok(()),
        code => Err(Trouble::Unclear(format!("{what}: {}", code.name()))),
    }
}

/// What must be accepted: only an error that lasts breaks a promise.
fn must_be_accepted(what: &str, code: ErrorCode) -> Result<(), Trouble> {
    match code {
        ErrorCode::None => Ok(()),
        code if code.is_retriable() || leaves_open(code) => Err(Trouble::Unclear(format!("{what}: {}", code.name()))),
        code => Err(Trouble::Broken(format!("{what} was refused: {}", code.name()))),
    }
}

const _: () = assert!(PAYLOAD_BYTES as usize >= barnabas_history::PAYLOAD_BYTES_MIN);
