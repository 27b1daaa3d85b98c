//! Raw tricks: what a client without manners does, each with what the broker has to make of it. A trick that the broker
//! took wrongly is recorded as failed, with what went wrong; one that could not be played to its end is unknown.

use barnabas_base::{ProducerEpoch, ProducerId, Sequence};
use barnabas_client::Destination;
use barnabas_history::{Call, Outcome, Payload, Reply};
use barnabas_plan::{RawTrick, TopicName};
use barnabas_wire::message::fetch::{FetchPartition, FetchTopic};
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::produce::{PartitionProduceData, TopicProduceData};
use barnabas_wire::message::{
    FetchRequest, InitProducerIdRequest, MetadataRequest, OffsetCommitRequest, ProduceRequest,
};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, ProducerFields};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::life::Life;
use crate::{NoAnswer, RawClient};

/// Produce and Fetch with names.
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
/// Connections of a flood.
const FLOOD: usize = 40;

/// The next answer of a connection, which is of this API.
macro_rules! answer {
    ($connection:expr, $api:ident) => {
        match $connection.receive().await? {
            ResponseBody::$api(response) => response,
            other => return Err(Stop::Wrong(format!("an answer to {} came", other.api_key().name()))),
        }
    };
}

/// Why a trick ended early.
enum Stop {
    /// The broker took it wrongly.
    Wrong(String),
    /// The connection or the broker went away.
    Gone(String),
}

impl From<NoAnswer> for Stop {
    fn from(error: NoAnswer) -> Self {
        Self::Gone(error.to_string())
    }
}

type Played = Result<(), Stop>;

/// Plays a trick and records how the broker took it.
pub(crate) async fn play(life: &mut Life, trick: RawTrick, topic: TopicName, partition: u32) {
    let call = life.recorder.call(life.by, Call::Raw { trick: trick.to_string() });
    let played = play_on(life, trick, topic, partition).await;
    let outcome = match played {
        Ok(()) => Outcome::Ok(Reply::Done),
        Err(Stop::Wrong(what)) => Outcome::Failed(what),
        Err(Stop::Gone(why)) => Outcome::Unknown(why),
    };
    life.recorder.end(call, outcome);
}

async fn play_on(life: &mut Life, trick: RawTrick, topic: TopicName, partition: u32) -> Played {
    let mut stage = Stage::new(life, topic, partition).await?;
    match trick {
        RawTrick::Garbage => stage.is_closed_after(&[0x00, 0x00, 0x00, 0x08, 0x7f, 0xff, 0x7f, 0xff, 1, 2, 3, 4]).await,
        RawTrick::HalfFrame => stage.half_frame().await,
        RawTrick::HugeFrame => stage.is_closed_after(&[0x7f, 0xff, 0xff, 0xff]).await,
        RawTrick::FlippedRequest => stage.flipped_request().await,
        RawTrick::WrongCrc => stage.wrong_crc().await,
        RawTrick::SendAndVanish => stage.send_and_vanish().await,
        RawTrick::TwiceAtOnce => stage.twice_at_once().await,
        RawTrick::ReplayOld => stage.replay_old().await,
        RawTrick::ZombieEpoch => stage.zombie_epoch().await,
        RawTrick::SequenceGap => stage.sequence_gap().await,
        RawTrick::SequenceWrap => stage.sequence_wrap().await,
        RawTrick::ParkedFetch => stage.parked_fetch().await,
        RawTrick::LostFetchAnswer => stage.lost_fetch_answer().await,
        RawTrick::StaleCommit => stage.stale_commit().await,
        RawTrick::StaticTwin => stage.old_versions().await,
        RawTrick::ConnectionFlood => stage.connection_flood().await,
        RawTrick::OldVersions => stage.old_versions().await,
    }
}

/// A connection to the leader and a place to write to.
struct Stage<'a> {
    life: &'a mut Life,
    topic: TopicName,
    partition: u32,
    address: barnabas_client::Address,
    connection: RawClient,
}

impl<'a> Stage<'a> {
    async fn new(life: &'a mut Life, topic: TopicName, partition: u32) -> Result<Self, Stop> {
        let known = life.client.cluster().brokers().next().map(|broker| broker.address.clone());
        let address = match known {
            Some(address) => address,
            None => {
                let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
                drop(life.ask(Destination::Any, RequestBody::Metadata(request), None).await);
                let known = life.client.cluster().brokers().next().map(|broker| broker.address.clone());
                known.ok_or_else(|| Stop::Gone("no broker is known".to_owned()))?
            }
        };
        let connection = connect(life, &address).await?;
        Ok(Self { life, topic, partition, address, connection })
    }

    async fn another(&self) -> Result<RawClient, Stop> {
        connect(self.life, &self.address).await
    }

    /// Bytes after which the broker has to close the connection, and nothing else.
    async fn is_closed_after(&mut self, bytes: &'static [u8]) -> Played {
        self.connection.send_bytes(Bytes::from_static(bytes)).await?;
        match self.connection.frame().await {
            Err(NoAnswer::Closed | NoAnswer::Broken(_)) => Ok(()),
            Err(NoAnswer::Silence) => Err(Stop::Wrong("a connection with garbage stays open".to_owned())),
            Err(NoAnswer::Unreadable(_)) | Ok(_) => Err(Stop::Wrong("garbage was answered".to_owned())),
        }
    }

    /// A frame that never comes whole must not hold up anybody else.
    async fn half_frame(&mut self) -> Played {
        self.connection.send_bytes(Bytes::from_static(&[0, 0, 1, 0, 0, 3])).await?;
        let mut other = self.another().await?;
        let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        other.send(8, RequestBody::Metadata(request)).await?;
        other.frame().await?;
        Ok(())
    }

    async fn flipped_request(&mut self) -> Played {
        let mut bytes = vec![0, 0, 0, 40, 0, 1, 0, 12];
        let noise = self.life.next_value().0;
        bytes.extend((0..36_u64).map(|index| noise.wrapping_mul(index | 1).to_le_bytes()[3]));
        self.connection.send_bytes(Bytes::from(bytes)).await?;
        match self.connection.frame().await {
            Err(NoAnswer::Silence) => Err(Stop::Wrong("a broken request is never answered".to_owned())),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn wrong_crc(&mut self) -> Played {
        let mut batch = self.batch(None)?.to_vec();
        let last = batch.len() - 1;
        batch[last] ^= 0x40;
        match self.produce(Bytes::from(batch), -1).await? {
            (ErrorCode::CorruptMessage | ErrorCode::InvalidRecord, _) => Ok(()),
            (code, _) => Err(Stop::Wrong(format!("a batch with a wrong CRC was answered with {}", code.name()))),
        }
    }

    async fn send_and_vanish(&mut self) -> Played {
        let records = self.batch(None)?;
        let request = self.request(records, 0);
        self.connection.send_unanswered(PRODUCE_VERSION, &RequestBody::Produce(request)).await?;
        Ok(())
    }

    /// The same batch on two connections at once: one place in the log.
    async fn twice_at_once(&mut self) -> Played {
        let batch = self.idempotent_batch(0).await?;
        let mut other = self.another().await?;
        let request = RequestBody::Produce(self.request(batch, -1));
        self.connection.send(PRODUCE_VERSION, request.clone()).await?;
        other.send(PRODUCE_VERSION, request).await?;
        let first = produced(answer!(self.connection, Produce))?;
        let second = produced(answer!(other, Produce))?;
        agree(first, second)
    }

    async fn replay_old(&mut self) -> Played {
        let batch = self.idempotent_batch(0).await?;
        let first = self.produce(batch.clone(), -1).await?;
        if first.0 != ErrorCode::None {
            return Err(Stop::Gone(first.0.name().to_owned()));
        }
        let mut other = self.another().await?;
        other.send(PRODUCE_VERSION, RequestBody::Produce(self.request(batch, -1))).await?;
        let second = produced(answer!(other, Produce))?;
        agree(first, second)
    }

    async fn zombie_epoch(&mut self) -> Played {
        let id = self.producer_id().await?;
        let fields =
            |epoch, sequence| ProducerFields { id, epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence) };
        let newer = self.batch(Some(fields(1, 0)))?;
        if self.produce(newer, -1).await?.0 != ErrorCode::None {
            return Err(Stop::Gone("the newer epoch was not taken".to_owned()));
        }
        let zombie = self.batch(Some(fields(0, 0)))?;
        match self.produce(zombie, -1).await?.0 {
            ErrorCode::None => Err(Stop::Wrong("a batch of an older epoch was appended".to_owned())),
            _ => Ok(()),
        }
    }

    async fn sequence_gap(&mut self) -> Played {
        let id = self.producer_id().await?;
        let fields = |sequence| ProducerFields { id, epoch: ProducerEpoch(0), base_sequence: Sequence(sequence) };
        let first = self.batch(Some(fields(0)))?;
        if self.produce(first, -1).await?.0 != ErrorCode::None {
            return Err(Stop::Gone("the first batch was not taken".to_owned()));
        }
        let gap = self.batch(Some(fields(7)))?;
        match self.produce(gap, -1).await?.0 {
            ErrorCode::None => Err(Stop::Wrong("a batch behind a gap was appended".to_owned())),
            _ => Ok(()),
        }
    }

    /// After 2^31 − 1 comes 0.
    async fn sequence_wrap(&mut self) -> Played {
        let id = self.producer_id().await?;
        for sequence in [i32::MAX, 0, 1] {
            let fields = ProducerFields { id, epoch: ProducerEpoch(0), base_sequence: Sequence(sequence) };
            let batch = self.batch(Some(fields))?;
            match self.produce(batch, -1).await?.0 {
                ErrorCode::None => {}
                code @ (ErrorCode::OutOfOrderSequenceNumber | ErrorCode::InvalidRecord) => {
                    return Err(Stop::Wrong(format!("sequence {sequence} was answered with {}", code.name())));
                }
                code => return Err(Stop::Gone(code.name().to_owned())),
            }
        }
        Ok(())
    }

    /// A long poll in front of another request: answers keep their order.
    async fn parked_fetch(&mut self) -> Played {
        let fetch = self.fetch(0, -1, i64::MAX - 1);
        let first = self.connection.send(FETCH_VERSION, RequestBody::Fetch(fetch)).await?;
        let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        let second = self.connection.send(8, RequestBody::Metadata(request)).await?;
        for expected in [first, second] {
            let frame = self.connection.frame().await?;
            let found = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
            if found != Some(expected) {
                return Err(Stop::Wrong(format!("answer {found:?} came where {expected} was due")));
            }
        }
        Ok(())
    }

    /// An answer of a fetch session that was lost is asked for again: nothing may be skipped (KIP-227, H38).
    async fn lost_fetch_answer(&mut self) -> Played {
        let opened = self.fetched(self.fetch(0, 0, 0)).await?;
        if opened.0 == 0 {
            return Ok(());
        }
        let (session, first) = opened;
        let mut other = self.another().await?;
        let mut again = self.fetch(session, 1, 0);
        again.topics.clear();
        other.send(FETCH_VERSION, RequestBody::Fetch(again.clone())).await?;
        let answered = fetched(&answer!(other, Fetch))?;
        let mut third = self.another().await?;
        third.send(FETCH_VERSION, RequestBody::Fetch(again)).await?;
        match fetched(&answer!(third, Fetch)) {
            Ok((0, _)) | Err(_) => Ok(()),
            Ok((_, offsets)) if offsets == answered.1 || offsets == first => Ok(()),
            Ok((_, offsets)) => Err(Stop::Wrong(format!(
                "a lost answer that began at {:?} was followed by one that begins at {offsets:?}",
                answered.1
            ))),
        }
    }

    async fn stale_commit(&mut self) -> Played {
        let partition = OffsetCommitRequestPartition {
            partition_index: i32::try_from(self.partition).unwrap_or(0),
            committed_offset: 0,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.topic.to_string(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: "g0".to_owned(),
            generation_id_or_member_epoch: 1_000_000,
            member_id: "nobody".to_owned(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        self.connection.send(8, RequestBody::OffsetCommit(request)).await?;
        let answer = answer!(self.connection, OffsetCommit);
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        if codes.into_iter().any(|code| code == 0) {
            return Err(Stop::Wrong("a commit of a generation that never was has been accepted".to_owned()));
        }
        Ok(())
    }

    async fn connection_flood(&mut self) -> Played {
        let mut idle = Vec::new();
        for _ in 0..FLOOD {
            idle.push(self.another().await?);
        }
        let mut last = self.another().await?;
        let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        last.send(8, RequestBody::Metadata(request)).await?;
        last.frame().await?;
        drop(idle);
        Ok(())
    }

    /// The oldest versions that old librdkafka speaks.
    async fn old_versions(&mut self) -> Played {
        let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        self.connection.send(1, RequestBody::Metadata(request)).await?;
        self.connection.frame().await?;
        let fetch = self.fetch(0, -1, 0);
        self.connection.send(4, RequestBody::Fetch(fetch)).await?;
        self.connection.frame().await?;
        Ok(())
    }

    /// One batch of one record that the history knows of.
    fn batch(&mut self, producer: Option<ProducerFields>) -> Result<Bytes, Stop> {
        let value = self.life.next_value();
        let (topic, partition) = (self.topic, self.partition);
        let timestamp = self.life.env.wall();
        let call = Call::Send {
            topic,
            partition,
            value,
            key: None,
            tombstone: false,
            acks: 1,
            idempotent: producer.is_some(),
            timestamp,
        };
        // Its answer is the trick's, so that it stays open: whether it is in the log, nobody promises.
        self.life.recorder.call(self.life.by, call);
        let payload = Payload { value, topic, partition }.encode(60);
        let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
        let built = builder.append(timestamp, None, Some(&payload), std::iter::empty());
        built.map_err(|error| Stop::Gone(error.to_string()))?;
        builder.build(&mut Compressor::new()).map(Bytes::from).map_err(|error| Stop::Gone(error.to_string()))
    }

    async fn idempotent_batch(&mut self, sequence: i32) -> Result<Bytes, Stop> {
        let id = self.producer_id().await?;
        self.batch(Some(ProducerFields { id, epoch: ProducerEpoch(0), base_sequence: Sequence(sequence) }))
    }

    async fn producer_id(&mut self) -> Result<ProducerId, Stop> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        self.connection.send(4, RequestBody::InitProducerId(request)).await?;
        let answer = answer!(self.connection, InitProducerId);
        match answer.error_code {
            0 => Ok(ProducerId(answer.producer_id)),
            code => Err(Stop::Gone(format!("no producer id: error {code}"))),
        }
    }

    fn request(&self, records: Bytes, acks: i16) -> ProduceRequest {
        let partition_data =
            vec![PartitionProduceData { index: i32::try_from(self.partition).unwrap_or(0), records: records.into() }];
        let topic = TopicProduceData { name: self.topic.to_string(), partition_data, ..TopicProduceData::default() };
        ProduceRequest { transactional_id: None, acks, timeout_ms: 10_000, topic_data: vec![topic] }
    }

    async fn produce(&mut self, records: Bytes, acks: i16) -> Result<(ErrorCode, i64), Stop> {
        let request = RequestBody::Produce(self.request(records, acks));
        self.connection.send(PRODUCE_VERSION, request).await?;
        produced(answer!(self.connection, Produce))
    }

    fn fetch(&self, session_id: i32, session_epoch: i32, offset: i64) -> FetchRequest {
        let partition = FetchPartition {
            partition: i32::try_from(self.partition).unwrap_or(0),
            fetch_offset: offset,
            partition_max_bytes: 500,
            ..FetchPartition::default()
        };
        let topic = FetchTopic { topic: self.topic.to_string(), partitions: vec![partition], ..FetchTopic::default() };
        FetchRequest {
            max_wait_ms: 200,
            min_bytes: 1,
            max_bytes: 1_000_000,
            session_id,
            session_epoch,
            topics: vec![topic],
            ..FetchRequest::default()
        }
    }

    async fn fetched(&mut self, request: FetchRequest) -> Result<(i32, Vec<i64>), Stop> {
        self.connection.send(FETCH_VERSION, RequestBody::Fetch(request)).await?;
        fetched(&answer!(self.connection, Fetch))
    }
}

async fn connect(life: &Life, address: &barnabas_client::Address) -> Result<RawClient, Stop> {
    RawClient::connect(&life.env, address).await.map_err(|error| Stop::Gone(error.to_string()))
}

fn produced(response: barnabas_wire::message::ProduceResponse) -> Result<(ErrorCode, i64), Stop> {
    let partitions = response.responses.first().and_then(|topic| topic.partition_responses.first());
    let partition = partitions.ok_or_else(|| Stop::Wrong("an answer without the partition".to_owned()))?;
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    Ok((code, partition.base_offset))
}

/// Session and base offsets of the batches of a fetch's only partition.
fn fetched(response: &barnabas_wire::message::FetchResponse) -> Result<(i32, Vec<i64>), Stop> {
    if response.error_code != 0 {
        return Err(Stop::Gone(format!("a fetch was answered with {}", response.error_code)));
    }
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let offsets = partitions.filter_map(|partition| {
        let bytes = partition.records.bytes()?;
        bytes.first_chunk().map(|chunk| i64::from_be_bytes(*chunk))
    });
    Ok((response.session_id, offsets.collect()))
}

/// Two answers to one idempotent batch speak of one place in the log.
fn agree(first: (ErrorCode, i64), second: (ErrorCode, i64)) -> Played {
    match (first, second) {
        ((ErrorCode::None, one), (ErrorCode::None, other)) if one != other => {
            Err(Stop::Wrong(format!("one idempotent batch was answered with offsets {one} and {other}")))
        }
        _ => Ok(()),
    }
}
