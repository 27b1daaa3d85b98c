//! One blocking connection to a broker with the few requests the checks send. Requests may be pipelined: sending and
//! receiving are separate steps. Driven by readiness probes, the durability checks and the load client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::batch::{self, Batch};
use super::bytes::{Reader, Writer};
use crate::process;

/// An answer that takes longer means that the broker is gone or stuck.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// What a broker may sensibly answer to what the checks ask.
const ANSWER_LEN_MAX: usize = 128 << 20;

/// The header of a request: key and version, by which the answer is read.
#[derive(Clone, Copy)]
struct Api {
    key: i16,
    version: i16,
}

const PRODUCE: Api = Api { key: 0, version: 7 };
const FETCH: Api = Api { key: 1, version: 4 };
const LIST_OFFSETS: Api = Api { key: 2, version: 1 };
const METADATA: Api = Api { key: 3, version: 4 };
const API_VERSIONS: Api = Api { key: 18, version: 0 };
const CREATE_TOPICS: Api = Api { key: 19, version: 2 };
const OFFSET_COMMIT: Api = Api { key: 8, version: 2 };
const OFFSET_FETCH: Api = Api { key: 9, version: 1 };
const FIND_COORDINATOR: Api = Api { key: 10, version: 0 };
const DESCRIBE_GROUPS: Api = Api { key: 15, version: 0 };
const DELETE_TOPICS: Api = Api { key: 20, version: 1 };
const DELETE_RECORDS: Api = Api { key: 21, version: 0 };
const INCREMENTAL_ALTER_CONFIGS: Api = Api { key: 44, version: 0 };
const INIT_PRODUCER_ID: Api = Api { key: 22, version: 0 };

/// How long a check waits before it asks again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const LEADER_NOT_AVAILABLE: i16 = 5;
/// TOPIC_ALREADY_EXISTS, which a check that starts over may meet.
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// The answer to one Produce of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProduceAnswer {
    /// Which request it answers.
    pub(crate) correlation_id: i32,
    /// Kafka's error code; 0 is success.
    pub(crate) error_code: i16,
    /// The offset of the first record.
    pub(crate) base_offset: i64,
}

/// A consumer group from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupDescription {
    /// Kafka's error code; a coordinator that still loads answers one.
    pub(crate) error_code: i16,
    /// Kafka's name of the state.
    pub(crate) state: String,
    /// The partitions of each member, whichever topic they are of.
    pub(crate) assignments: Vec<Vec<i32>>,
}

/// A connection with its counter of requests.
pub(crate) struct Connection {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Connection {
    /// Connects to a broker on this machine.
    pub(crate) fn open(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        Ok(Connection { stream, next_correlation_id: 1 })
    }

    /// A second handle on the same connection, so that one thread sends while another receives.
    pub(crate) fn split(&self) -> Result<Self> {
        Ok(Connection { stream: self.stream.try_clone()?, next_correlation_id: self.next_correlation_id })
    }

    /// Numbers requests from here on; distinct ranges tell connections apart in a trace of system calls.
    pub(crate) fn number_from(&mut self, correlation_id: i32) {
        self.next_correlation_id = correlation_id;
    }

    /// The number of the next request.
    pub(crate) fn next_correlation_id(&self) -> i32 {
        self.next_correlation_id
    }

    /// The keys a broker says it serves.
    pub(crate) fn api_versions(&mut self) -> Result<Vec<i16>> {
        let answer = self.call(API_VERSIONS, &[])?;
        let mut reader = Reader::new(&answer);
        let error_code = reader.i16()?;
        ensure!(error_code == 0, "ApiVersions answered error {error_code}");
        let mut keys = Vec::new();
        for _ in 0..reader.count()? {
            keys.push(reader.i16()?);
            let _range = (reader.i16()?, reader.i16()?);
        }
        Ok(keys)
    }

    /// Creates a topic; one that exists is taken as it is.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        let error_code = self.ask_for_topic(name, partitions, configs)?;
        ensure!(error_code == 0 || error_code == TOPIC_ALREADY_EXISTS, "CreateTopics answered error {error_code}");
        Ok(())
    }

    /// Asks for a topic; Kafka's error code, 0 for success.
    pub(crate) fn ask_for_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<i16> {
        let mut body = Writer::default();
        body.count(1).string(name).i32(partitions).i16(1).count(0).count(configs.len());
        for (key, value) in configs {
            body.string(key).string(value);
        }
        body.i32(10_000).u8(0);
        let answer = self.call(CREATE_TOPICS, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        ensure!(reader.count()? == 1, "CreateTopics answered for another number of topics");
        let _name = reader.string()?;
        reader.i16()
    }

    /// Moves the start of a partition; the new start.
    pub(crate) fn delete_records(&mut self, topic: &str, partition: i32, before: i64) -> Result<i64> {
        let mut body = Writer::default();
        body.count(1).string(topic).count(1).i32(partition).i64(before).i32(10_000);
        let answer = self.call(DELETE_RECORDS, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        ensure!(reader.count()? == 1, "DeleteRecords answered for another number of topics");
        let _name = reader.string()?;
        ensure!(reader.count()? == 1, "DeleteRecords answered for another number of partitions");
        let _partition = reader.i32()?;
        let low_watermark = reader.i64()?;
        let error_code = reader.i16()?;
        ensure!(error_code == 0, "DeleteRecords answered error {error_code}");
        Ok(low_watermark)
    }

    /// Sets one configuration of a topic.
    pub(crate) fn set_topic_config(&mut self, topic: &str, key: &str, value: &str) -> Result<()> {
        let mut body = Writer::default();
        body.count(1).u8(2).string(topic).count(1).string(key).u8(0).string(value).u8(0);
        let answer = self.call(INCREMENTAL_ALTER_CONFIGS, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        ensure!(reader.count()? == 1, "IncrementalAlterConfigs answered for another number of resources");
        let error_code = reader.i16()?;
        ensure!(error_code == 0, "IncrementalAlterConfigs answered error {error_code}");
        Ok(())
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<()> {
        let mut body = Writer::default();
        body.count(1).string(name).i32(10_000);
        let answer = self.call(DELETE_TOPICS, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        ensure!(reader.count()? == 1, "DeleteTopics answered for another number of topics");
        let _name = reader.string()?;
        let error_code = reader.i16()?;
        ensure!(error_code == 0, "DeleteTopics answered error {error_code}");
        Ok(())
    }

    /// How many partitions of a topic have a leader; the broker may answer before a new topic is everywhere.
    pub(crate) fn partitions_with_leader(&mut self, topic: &str) -> Result<usize> {
        let mut body = Writer::default();
        body.count(1).string(topic).u8(0);
        let answer = self.call(METADATA, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        for _ in 0..reader.count()? {
            let _node_id = reader.i32()?;
            let _host = reader.string()?;
            let _port = reader.i32()?;
            let _rack = reader.string()?;
        }
        let _cluster_id = reader.string()?;
        let _controller_id = reader.i32()?;
        ensure!(reader.count()? == 1, "Metadata answered for another number of topics");
        let _error_code = reader.i16()?;
        let _name = reader.string()?;
        let _is_internal = reader.u8()?;
        let mut led = 0;
        for _ in 0..reader.count()? {
            let error_code = reader.i16()?;
            let _index = reader.i32()?;
            let leader_id = reader.i32()?;
            for _ in 0..2 {
                let replicas = reader.count()?;
                reader.take(replicas * 4)?;
            }
            led += usize::from(error_code == 0 && leader_id >= 0);
        }
        Ok(led)
    }

    /// A producer id and its epoch, for an idempotent producer.
    pub(crate) fn init_producer_id(&mut self) -> Result<(i64, i16)> {
        let mut body = Writer::default();
        body.null_string().i32(60_000);
        let body = body.finish();
        let identity = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            let answer = self.call(INIT_PRODUCER_ID, &body)?;
            let mut reader = Reader::new(&answer);
            let _throttle_time_ms = reader.i32()?;
            match reader.i16()? {
                0 => Ok(Some((reader.i64()?, reader.i16()?))),
                COORDINATOR_LOAD_IN_PROGRESS => Ok(None),
                error_code => bail!("InitProducerId answered error {error_code}"),
            }
        })?;
        identity.context("the broker has no producer ids to give")
    }

    /// Sends one batch and does not wait; the correlation id of the request.
    pub(crate) fn send_produce(&mut self, topic: &str, partition: i32, acks: i16, batch: &[u8]) -> Result<i32> {
        let mut body = Writer::default();
        body.null_string().i16(acks).i32(30_000).count(1).string(topic).count(1);
        body.i32(partition).bytes(batch);
        self.send(PRODUCE, &body.finish())
    }

    /// The next answer to a Produce.
    pub(crate) fn receive_produce(&mut self) -> Result<ProduceAnswer> {
        let (correlation_id, answer) = self.receive()?;
        let mut reader = Reader::new(&answer);
        ensure!(reader.count()? == 1, "Produce answered for another number of topics");
        let _name = reader.string()?;
        ensure!(reader.count()? == 1, "Produce answered for another number of partitions");
        let _index = reader.i32()?;
        Ok(ProduceAnswer { correlation_id, error_code: reader.i16()?, base_offset: reader.i64()? })
    }

    /// Appends one batch with acks=all and asks again while a new topic is not known everywhere; its base offset.
    pub(crate) fn append(&mut self, topic: &str, partition: i32, batch: &[u8]) -> Result<i64> {
        let appended = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            self.send_produce(topic, partition, -1, batch)?;
            let answer = self.receive_produce()?;
            match answer.error_code {
                0 => Ok(Some(answer.base_offset)),
                UNKNOWN_TOPIC_OR_PARTITION | NOT_LEADER_OR_FOLLOWER => Ok(None),
                error_code => bail!("Produce answered error {error_code}"),
            }
        })?;
        appended.with_context(|| format!("{topic}-{partition} did not become writable"))
    }

    /// The offset a special timestamp stands for: -1 is the end of the log, -2 its start.
    pub(crate) fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let mut body = Writer::default();
        body.i32(-1).count(1).string(topic).count(1).i32(partition).i64(timestamp);
        let body = body.finish();
        // Right after a start the partition may not have a leader yet.
        let offset = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            let answer = self.call(LIST_OFFSETS, &body)?;
            sum_of_offsets(&mut Reader::new(&answer))
        })?;
        offset.with_context(|| format!("{topic}-{partition} has no leader"))
    }

    /// The end of every partition of a topic added up, by one request.
    pub(crate) fn end_of_topic(&mut self, topic: &str, partitions: i32) -> Result<i64> {
        let mut body = Writer::default();
        body.i32(-1).count(1).string(topic).i32(partitions);
        for partition in 0..partitions {
            body.i32(partition).i64(-1);
        }
        let body = body.finish();
        let end = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            let answer = self.call(LIST_OFFSETS, &body)?;
            sum_of_offsets(&mut Reader::new(&answer))
        })?;
        end.with_context(|| format!("a partition of {topic} has no leader"))
    }

    /// Reads a partition from `from` to `end`.
    pub(crate) fn read_partition(&mut self, topic: &str, partition: i32, from: i64, end: i64) -> Result<Vec<Batch>> {
        let mut batches = Vec::new();
        let mut next_offset = from;
        while next_offset < end {
            let fetched = self.fetch(topic, partition, next_offset)?;
            ensure!(!fetched.is_empty(), "nothing at offset {next_offset} of {topic}-{partition}, which ends at {end}");
            for batch in fetched {
                let last_offset = batch.records.last().map_or(batch.base_offset, |record| record.0);
                ensure!(last_offset >= next_offset, "offset {last_offset} was answered to a fetch from {next_offset}");
                next_offset = last_offset + 1;
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    /// Waits until the group has a coordinator; the first question may create the topic of committed offsets.
    pub(crate) fn find_coordinator(&mut self, group: &str) -> Result<()> {
        let mut body = Writer::default();
        body.string(group);
        let body = body.finish();
        let found = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            let answer = self.call(FIND_COORDINATOR, &body)?;
            match Reader::new(&answer).i16()? {
                0 => Ok(Some(())),
                COORDINATOR_NOT_AVAILABLE => Ok(None),
                error_code => bail!("FindCoordinator answered error {error_code}"),
            }
        })?;
        found.context("the group got no coordinator")
    }

    /// Commits an offset as a consumer outside of any group does; the correlation id of the request that succeeded.
    pub(crate) fn commit_offset(&mut self, group: &str, topic: &str, partition: i32, offset: i64) -> Result<i32> {
        let mut body = Writer::default();
        body.string(group).i32(-1).string("").i64(-1).count(1).string(topic);
        body.count(1).i32(partition).i64(offset).string("");
        let body = body.finish();
        let committed = process::poll_until(ANSWER_DEADLINE, RETRY_INTERVAL, || {
            let correlation_id = self.next_correlation_id();
            let answer = self.call(OFFSET_COMMIT, &body)?;
            let mut reader = Reader::new(&answer);
            ensure!(reader.count()? == 1, "OffsetCommit answered for another number of topics");
            let _name = reader.string()?;
            ensure!(reader.count()? == 1, "OffsetCommit answered for another number of partitions");
            let _partition = reader.i32()?;
            match reader.i16()? {
                0 => Ok(Some(correlation_id)),
                COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR => Ok(None),
                error_code => bail!("OffsetCommit answered error {error_code}"),
            }
        })?;
        committed.context("the coordinator did not become ready")
    }

    /// Sends one commit of `offset` for every partition of a topic, as a consumer outside of any group does, and does not
    /// wait.
    pub(crate) fn send_commits(&mut self, group: &str, topic: &str, partitions: i32, offset: i64) -> Result<i32> {
        let mut body = Writer::default();
        body.string(group).i32(-1).string("").i64(-1).count(1).string(topic).i32(partitions);
        for partition in 0..partitions {
            body.i32(partition).i64(offset).string("");
        }
        self.send(OFFSET_COMMIT, &body.finish())
    }

    /// The next answer to such a commit, which must be success for every partition.
    pub(crate) fn receive_commits(&mut self, partitions: i32) -> Result<()> {
        let (_, answer) = self.receive()?;
        let mut reader = Reader::new(&answer);
        ensure!(reader.count()? == 1, "OffsetCommit answered for another number of topics");
        let _name = reader.string()?;
        let answered = reader.i32()?;
        ensure!(answered == partitions, "OffsetCommit answered for {answered} partitions");
        for _ in 0..partitions {
            let partition = reader.i32()?;
            let error_code = reader.i16()?;
            ensure!(error_code == 0, "OffsetCommit answered error {error_code} for partition {partition}");
        }
        Ok(())
    }

    /// The committed offset of each partition, -1 where none is committed.
    pub(crate) fn committed_offsets(&mut self, group: &str, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let offsets = self.loaded_offsets(group, topic, partitions)?;
        offsets.context("the coordinator is not ready")
    }

    /// The committed offset of each partition, -1 where none is committed; none while the coordinator does not answer.
    pub(crate) fn loaded_offsets(&mut self, group: &str, topic: &str, partitions: i32) -> Result<Option<Vec<i64>>> {
        let mut body = Writer::default();
        body.string(group).count(1).string(topic).i32(partitions);
        for partition in 0..partitions {
            body.i32(partition);
        }
        let answer = self.call(OFFSET_FETCH, &body.finish())?;
        let mut reader = Reader::new(&answer);
        ensure!(reader.count()? == 1, "OffsetFetch answered for another number of topics");
        let _name = reader.string()?;
        let mut offsets = vec![-1; usize::try_from(partitions)?];
        for _ in 0..reader.count()? {
            let partition = usize::try_from(reader.i32()?)?;
            let offset = reader.i64()?;
            let _metadata = reader.string()?;
            match reader.i16()? {
                0 => *offsets.get_mut(partition).context("a partition nobody asked for")? = offset,
                COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR => return Ok(None),
                error_code => bail!("OffsetFetch answered error {error_code}"),
            }
        }
        Ok(Some(offsets))
    }

    /// The state of a group and the partitions of one topic that each member is assigned.
    pub(crate) fn describe_group(&mut self, group: &str) -> Result<GroupDescription> {
        let mut body = Writer::default();
        body.count(1).string(group);
        let answer = self.call(DESCRIBE_GROUPS, &body.finish())?;
        let mut reader = Reader::new(&answer);
        ensure!(reader.count()? == 1, "DescribeGroups answered for another number of groups");
        let error_code = reader.i16()?;
        let _group_id = reader.string()?;
        let state = reader.string()?;
        let _protocol_type = reader.string()?;
        let _protocol = reader.string()?;
        let mut assignments = Vec::new();
        for _ in 0..reader.count()? {
            let _names = (reader.string()?, reader.string()?, reader.string()?);
            let _subscription = reader.bytes()?;
            assignments.push(assigned_partitions(reader.bytes()?)?);
        }
        Ok(GroupDescription { error_code, state, assignments })
    }

    fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Vec<Batch>> {
        let mut body = Writer::default();
        body.i32(-1).i32(500).i32(1).i32(4 << 20).u8(0);
        body.count(1).string(topic).count(1);
        body.i32(partition).i64(offset).i32(4 << 20);
        let answer = self.call(FETCH, &body.finish())?;
        let mut reader = Reader::new(&answer);
        let _throttle_time_ms = reader.i32()?;
        ensure!(reader.count()? == 1, "Fetch answered for another number of topics");
        let _name = reader.string()?;
        ensure!(reader.count()? == 1, "Fetch answered for another number of partitions");
        let _index = reader.i32()?;
        let error_code = reader.i16()?;
        ensure!(error_code == 0, "Fetch answered error {error_code} at offset {offset}");
        let _high_watermark = reader.i64()?;
        let _last_stable_offset = reader.i64()?;
        let aborted = reader.count()?;
        reader.take(aborted * 16)?;
        batch::parse_all(reader.bytes()?)
    }

    fn call(&mut self, api: Api, body: &[u8]) -> Result<Vec<u8>> {
        let sent = self.send(api, body)?;
        let (received, answer) = self.receive()?;
        ensure!(sent == received, "the answer to request {received} came for request {sent}");
        Ok(answer)
    }

    fn send(&mut self, api: Api, body: &[u8]) -> Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let mut header = Writer::default();
        header.i16(api.key).i16(api.version).i32(correlation_id).string("barnabas-ci");
        let header = header.finish();
        let mut frame = Writer::default();
        frame.count(header.len() + body.len()).raw(&header).raw(body);
        self.stream.write_all(&frame.finish()).context("sending a request")?;
        Ok(correlation_id)
    }

    fn receive(&mut self) -> Result<(i32, Vec<u8>)> {
        let mut prefix = [0; 8];
        self.stream.read_exact(&mut prefix).context("waiting for an answer")?;
        let mut reader = Reader::new(&prefix);
        let len = reader.i32()?;
        let correlation_id = reader.i32()?;
        let Some(body_len) = usize::try_from(len).ok().and_then(|len| len.checked_sub(4)) else {
            bail!("an answer of {len} bytes");
        };
        ensure!(body_len <= ANSWER_LEN_MAX, "an answer of {len} bytes");
        let mut body = vec![0; body_len];
        self.stream.read_exact(&mut body).context("reading an answer")?;
        Ok((correlation_id, body))
    }
}

/// The offsets of a ListOffsets answer for one topic added up; none while a partition has no leader.
fn sum_of_offsets(reader: &mut Reader<'_>) -> Result<Option<i64>> {
    ensure!(reader.count()? == 1, "ListOffsets answered for another number of topics");
    let _name = reader.string()?;
    let mut sum = 0;
    for _ in 0..reader.count()? {
        let _index = reader.i32()?;
        let error_code = reader.i16()?;
        let _timestamp = reader.i64()?;
        sum += reader.i64()?;
        match error_code {
            0 => {}
            UNKNOWN_TOPIC_OR_PARTITION | LEADER_NOT_AVAILABLE | NOT_LEADER_OR_FOLLOWER => return Ok(None),
            error_code => bail!("ListOffsets answered error {error_code}"),
        }
    }
    Ok(Some(sum))
}

/// The partitions in a member's assignment, which is the consumers' own format: version, topics, user data.
fn assigned_partitions(assignment: &[u8]) -> Result<Vec<i32>> {
    let mut partitions = Vec::new();
    if assignment.is_empty() {
        return Ok(partitions);
    }
    let mut reader = Reader::new(assignment);
    let _version = reader.i16()?;
    for _ in 0..reader.count()? {
        let _topic = reader.string()?;
        for _ in 0..reader.count()? {
            partitions.push(reader.i32()?);
        }
    }
    Ok(partitions)
}
