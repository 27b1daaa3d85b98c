//! Two brokers of lists and maps that answer real bytes, and a network that the test holds in its hand.

use std::collections::{BTreeMap, VecDeque};

use barnabas_base::{Monotonic, Uuid};
use barnabas_client::{Address, Client, ClientConfig, Event, LinkId, Transmit};
use barnabas_wire::framing::split_frame;
use barnabas_wire::message::api_versions::ApiVersion;
use barnabas_wire::message::fetch::{FetchableTopicResponse, PartitionData};
use barnabas_wire::message::join_group::JoinGroupResponseMember;
use barnabas_wire::message::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use barnabas_wire::message::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use barnabas_wire::message::offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use barnabas_wire::message::offset_fetch::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use barnabas_wire::message::produce::{PartitionProduceResponse, TopicProduceResponse};
use barnabas_wire::message::*;
use barnabas_wire::record::{Tail, batches, stamp};
use barnabas_wire::{ApiKey, ErrorCode, RequestBody, ResponseBody, Segment};
use bytes::{Bytes, BytesMut};

pub(crate) const TOPIC: &str = "t";
pub(crate) const TOPIC_ID: Uuid = Uuid([7; 16]);
pub(crate) const PARTITIONS: i32 = 2;

/// What the cluster is and what it will do wrong.
pub(crate) struct Fake {
    /// Leader of each partition.
    pub(crate) leaders: Vec<i32>,
    /// What metadata says of the leaders, when that lags behind.
    pub(crate) rumoured_leaders: Option<Vec<i32>>,
    /// Batches of each partition.
    pub(crate) logs: Vec<Vec<Bytes>>,
    pub(crate) ends: Vec<i64>,
    pub(crate) committed: BTreeMap<i32, i64>,
    pub(crate) topic_exists: bool,
    /// Errors for the next requests of an API, instead of doing what they ask.
    pub(crate) refusals: BTreeMap<ApiKey, VecDeque<ErrorCode>>,
    /// The next answers of an API are lost together with their connection, after the work is done.
    pub(crate) lost_answers: BTreeMap<ApiKey, u32>,
    /// APIs whose answers never come.
    pub(crate) silent: Vec<ApiKey>,
    /// Requests seen, by broker.
    pub(crate) seen: Vec<(i32, ApiKey)>,
    next_producer_id: i64,
    generation: i32,
    subscription: Bytes,
    assignment: Bytes,
    highest_versions: BTreeMap<ApiKey, i16>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            leaders: vec![1, 2],
            rumoured_leaders: None,
            logs: vec![Vec::new(), Vec::new()],
            ends: vec![0, 0],
            committed: BTreeMap::new(),
            topic_exists: true,
            refusals: BTreeMap::new(),
            lost_answers: BTreeMap::new(),
            silent: Vec::new(),
            seen: Vec::new(),
            next_producer_id: 100,
            generation: 0,
            subscription: Bytes::new(),
            assignment: Bytes::new(),
            highest_versions: BTreeMap::new(),
        }
    }

    pub(crate) fn cap(&mut self, api: ApiKey, version: i16) {
        self.highest_versions.insert(api, version);
    }

    pub(crate) fn refuse(&mut self, api: ApiKey, code: ErrorCode) {
        self.refusals.entry(api).or_default().push_back(code);
    }

    fn refusal(&mut self, api: ApiKey) -> i16 {
        self.refusals.get_mut(&api).and_then(VecDeque::pop_front).map_or(0, ErrorCode::code)
    }

    /// The answer of one broker.
    fn answer(&mut self, broker: i32, request: RequestBody) -> ResponseBody {
        match request {
            RequestBody::ApiVersions(_) => self.api_versions(),
            RequestBody::Metadata(request) => self.metadata(&request),
            RequestBody::Produce(request) => self.produce(broker, &request),
            RequestBody::Fetch(request) => self.fetch(broker, &request),
            RequestBody::ListOffsets(request) => self.list_offsets(&request),
            RequestBody::InitProducerId(_) => {
                self.next_producer_id += 1;
                let error_code = self.refusal(ApiKey::InitProducerId);
                let producer_id = self.next_producer_id;
                ResponseBody::InitProducerId(InitProducerIdResponse {
                    error_code,
                    producer_id,
                    producer_epoch: 0,
                    ..Default::default()
                })
            }
            RequestBody::FindCoordinator(_) => ResponseBody::FindCoordinator(FindCoordinatorResponse {
                error_code: self.refusal(ApiKey::FindCoordinator),
                node_id: 2,
                host: "b2".to_owned(),
                port: 9092,
                ..Default::default()
            }),
            RequestBody::JoinGroup(request) => self.join(request),
            RequestBody::SyncGroup(request) => {
                let error_code = self.refusal(ApiKey::SyncGroup);
                if let Some(assigned) = request.assignments.first() {
                    self.assignment = assigned.assignment.clone();
                }
                let assignment = self.assignment.clone();
                ResponseBody::SyncGroup(SyncGroupResponse { error_code, assignment, ..Default::default() })
            }
            RequestBody::Heartbeat(_) => {
                let error_code = self.refusal(ApiKey::Heartbeat);
                ResponseBody::Heartbeat(HeartbeatResponse { error_code, ..Default::default() })
            }
            RequestBody::LeaveGroup(_) => ResponseBody::LeaveGroup(LeaveGroupResponse::default()),
            RequestBody::OffsetCommit(request) => self.commit(&request),
            RequestBody::OffsetFetch(request) => self.offset_fetch(&request),
            other => panic!("this cluster does not know {:?}", other.api_key()),
        }
    }

    fn api_versions(&self) -> ResponseBody {
        let api_keys = RequestBody::APIS.iter().map(|api| {
            let advertised = RequestBody::advertised(*api).expect("implemented");
            let cap = self.highest_versions.get(api).copied().unwrap_or(i16::MAX);
            let (min_version, max_version) = (*advertised.start(), (*advertised.end()).min(cap));
            ApiVersion { api_key: api.code(), min_version, max_version }
        });
        ResponseBody::ApiVersions(ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() })
    }

    fn metadata(&self, request: &MetadataRequest) -> ResponseBody {
        let leaders = self.rumoured_leaders.as_ref().unwrap_or(&self.leaders);
        let partitions = (0..).zip(leaders).map(|(partition_index, leader_id)| MetadataResponsePartition {
            partition_index,
            leader_id: *leader_id,
            leader_epoch: 0,
            ..Default::default()
        });
        let partitions: Vec<_> = partitions.collect();
        let topics = request.topics.iter().flatten().map(|topic| {
            let exists = self.topic_exists && topic.name.as_deref() == Some(TOPIC);
            let code = if exists { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            MetadataResponseTopic {
                error_code: code.code(),
                name: topic.name.clone(),
                topic_id: if exists { TOPIC_ID } else { Uuid::ZERO },
                partitions: if exists { partitions.clone() } else { Vec::new() },
                ..Default::default()
            }
        });
        let broker = |node_id: i32| MetadataResponseBroker {
            node_id,
            host: format!("b{node_id}"),
            port: 9092,
            ..Default::default()
        };
        ResponseBody::Metadata(MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            controller_id: 1,
            topics: topics.collect(),
            ..Default::default()
        })
    }

    fn produce(&mut self, broker: i32, request: &ProduceRequest) -> ResponseBody {
        let data = &request.topic_data[0].partition_data[0];
        let index = usize::try_from(data.index).expect("a partition");
        let mut error_code = self.refusal(ApiKey::Produce);
        if self.leaders[index] != broker {
            error_code = ErrorCode::NotLeaderOrFollower.code();
        }
        let mut base_offset = -1;
        let records = data.records.bytes().expect("records");
        if error_code == 0 && !self.is_in_sequence(index, records) {
            error_code = ErrorCode::OutOfOrderSequenceNumber.code();
        }
        if error_code == 0 {
            base_offset = self.append(index, records);
        }
        let response = PartitionProduceResponse { index: data.index, error_code, base_offset, ..Default::default() };
        let topic = TopicProduceResponse {
            name: request.topic_data[0].name.clone(),
            topic_id: request.topic_data[0].topic_id,
            partition_responses: vec![response],
        };
        ResponseBody::Produce(ProduceResponse { responses: vec![topic], ..Default::default() })
    }

    /// Whether a batch is the first of its producer, follows the last one, or is in the log already.
    fn is_in_sequence(&self, partition: usize, records: &Bytes) -> bool {
        let parse = |bytes: &Bytes| barnabas_wire::record::BatchHeader::parse(bytes).expect("a batch");
        let header = parse(records);
        let own = self.logs[partition].iter().map(parse).filter(|one| one.producer_id == header.producer_id);
        let expected = own.map(|one| one.base_sequence.0 + one.record_count).last();
        !header.has_producer() || header.base_sequence.0 <= expected.unwrap_or(0)
    }

    /// Appends a batch, once a producer and sequence.
    fn append(&mut self, partition: usize, records: &Bytes) -> i64 {
        let batch = batches(records, Tail::MustBeWhole).next().expect("one batch").expect("a good one");
        batch.check_crc().expect("whole");
        let header = *batch.header();
        let identity = |bytes: &Bytes| {
            let header = barnabas_wire::record::BatchHeader::parse(bytes).expect("a batch");
            (header.producer_id, header.base_sequence, header.base_offset)
        };
        let twin = self.logs[partition].iter().map(identity).find(|(producer, sequence, _)| {
            header.has_producer() && (*producer, *sequence) == (header.producer_id, header.base_sequence)
        });
        if let Some((_, _, base_offset)) = twin {
            return base_offset.0;
        }
        self.append_copy(partition, records)
    }

    /// Appends a batch, whoever sent it.
    pub(crate) fn append_copy(&mut self, partition: usize, records: &Bytes) -> i64 {
        let header = barnabas_wire::record::BatchHeader::parse(records).expect("a batch");
        let base_offset = self.ends[partition];
        let mut bytes = records.to_vec();
        stamp(&mut bytes, barnabas_base::Offset(base_offset), barnabas_base::LeaderEpoch(0));
        self.logs[partition].push(bytes.into());
        self.ends[partition] = base_offset + i64::from(header.record_count);
        base_offset
    }

    fn fetch(&mut self, broker: i32, request: &FetchRequest) -> ResponseBody {
        let refusal = self.refusal(ApiKey::Fetch);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let index = usize::try_from(asked.partition).expect("a partition");
                let error_code = match () {
                    () if refusal != 0 => refusal,
                    () if self.leaders[index] != broker => ErrorCode::NotLeaderOrFollower.code(),
                    () if asked.fetch_offset > self.ends[index] => ErrorCode::OffsetOutOfRange.code(),
                    () => 0,
                };
                let wanted = |bytes: &&Bytes| {
                    let header = barnabas_wire::record::BatchHeader::parse(bytes).expect("a batch");
                    header.end_offset().0 > asked.fetch_offset
                };
                let records: Vec<u8> = if error_code == 0 {
                    self.logs[index].iter().filter(wanted).flat_map(|bytes| bytes.to_vec()).collect()
                } else {
                    Vec::new()
                };
                PartitionData {
                    partition_index: asked.partition,
                    error_code,
                    high_watermark: self.ends[index],
                    records: Bytes::from(records).into(),
                    ..Default::default()
                }
            });
            FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        ResponseBody::Fetch(FetchResponse { responses: topics.collect(), ..Default::default() })
    }

    fn list_offsets(&mut self, request: &ListOffsetsRequest) -> ResponseBody {
        let error_code = self.refusal(ApiKey::ListOffsets);
        let asked = request.topics[0].partitions[0];
        let index = usize::try_from(asked.partition_index).expect("a partition");
        let offset = if asked.timestamp == -1 { self.ends[index] } else { 0 };
        let partition = ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            error_code,
            offset,
            ..Default::default()
        };
        let topic = ListOffsetsTopicResponse { name: request.topics[0].name.clone(), partitions: vec![partition] };
        ResponseBody::ListOffsets(ListOffsetsResponse { topics: vec![topic], ..Default::default() })
    }

    fn join(&mut self, request: JoinGroupRequest) -> ResponseBody {
        let error_code = self.refusal(ApiKey::JoinGroup);
        let mut response = JoinGroupResponse { error_code, member_id: request.member_id, ..Default::default() };
        if error_code == 0 && response.member_id.is_empty() {
            response.error_code = ErrorCode::MemberIdRequired.code();
            response.member_id = "member".to_owned();
        } else if error_code == 0 {
            self.generation += 1;
            self.subscription = request.protocols[0].metadata.clone();
            response.generation_id = self.generation;
            response.leader = response.member_id.clone();
            response.protocol_name = Some(request.protocols[0].name.clone());
            let metadata = self.subscription.clone();
            let member_id = response.member_id.clone();
            response.members = vec![JoinGroupResponseMember { member_id, metadata, ..Default::default() }];
        }
        ResponseBody::JoinGroup(response)
    }

    fn commit(&mut self, request: &OffsetCommitRequest) -> ResponseBody {
        let error_code = self.refusal(ApiKey::OffsetCommit);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let partition_index = partition.partition_index;
                if error_code == 0 {
                    self.committed.insert(partition_index, partition.committed_offset);
                }
                OffsetCommitResponsePartition { partition_index, error_code }
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
        });
        ResponseBody::OffsetCommit(OffsetCommitResponse { topics: topics.collect(), ..Default::default() })
    }

    fn offset_fetch(&mut self, request: &OffsetFetchRequest) -> ResponseBody {
        let topics = request.topics.iter().flatten().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartition {
                partition_index: *index,
                committed_offset: self.committed.get(index).copied().unwrap_or(-1),
                ..Default::default()
            });
            OffsetFetchResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        ResponseBody::OffsetFetch(OffsetFetchResponse { topics: topics.collect(), ..Default::default() })
    }
}

/// The client, the cluster and the bytes between them.
pub(crate) struct Net {
    pub(crate) client: Client,
    pub(crate) cluster: Fake,
    pub(crate) now: Monotonic,
    /// Brokers that do not accept connections.
    pub(crate) down: Vec<i32>,
    /// Counts what the client asked for, to see whether anything is going on.
    pub(crate) activity: u64,
    links: BTreeMap<LinkId, (i32, BytesMut)>,
}

impl Net {
    pub(crate) fn new() -> Self {
        let config = ClientConfig {
            client_id: "test".to_owned(),
            bootstrap: vec!["b1:9092".parse().expect("an address"), "b2:9092".parse().expect("an address")],
            auto_create_topics: false,
        };
        Self {
            client: Client::new(config),
            cluster: Fake::new(),
            now: Monotonic::ZERO,
            down: Vec::new(),
            activity: 0,
            links: BTreeMap::new(),
        }
    }

    /// Moves bytes until nobody has any, and returns the replies.
    pub(crate) fn settle(&mut self) -> Vec<Event> {
        while let Some(transmit) = self.client.poll_transmit() {
            self.activity += 1;
            match transmit {
                Transmit::Connect(link, address) => self.connect(link, &address),
                Transmit::Send(link, bytes) => self.deliver(link, &bytes),
                Transmit::Close(link) => {
                    self.links.remove(&link);
                }
            }
        }
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// All brokers die, and with them every connection.
    pub(crate) fn crash(&mut self) {
        self.down = vec![1, 2];
        for (link, _) in std::mem::take(&mut self.links) {
            self.client.on_closed(self.now, link, "reset");
        }
    }

    /// Lets time pass to the client's next wake-up, at most to `limit`.
    pub(crate) fn wake(&mut self, own: Option<Monotonic>, limit: Monotonic) {
        let next = self.client.next_wakeup().into_iter().chain(own).min().unwrap_or(limit);
        self.now = self.now.max(next.min(limit));
        self.client.on_timeout(self.now);
    }

    fn connect(&mut self, link: LinkId, address: &Address) {
        let broker: i32 = address.host.trim_start_matches('b').parse().expect("a broker");
        if self.down.contains(&broker) {
            self.client.on_closed(self.now, link, "refused");
            return;
        }
        self.links.insert(link, (broker, BytesMut::new()));
        self.client.on_connected(self.now, link);
    }

    fn deliver(&mut self, link: LinkId, bytes: &Bytes) {
        let Some((broker, arrived)) = self.links.get_mut(&link) else { return };
        let broker = *broker;
        arrived.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = split_frame(arrived, 1 << 30).expect("a frame") {
            frames.push(frame);
        }
        for frame in frames {
            let (header, request) = RequestBody::from_frame(frame).expect("a request");
            let api = header.api_key;
            self.cluster.seen.push((broker, api));
            let expects_answer = !matches!(&request, RequestBody::Produce(produce) if produce.acks == 0);
            let response = self.cluster.answer(broker, request);
            if self.cluster.silent.contains(&api) || !expects_answer {
                continue;
            }
            let lost = self.cluster.lost_answers.entry(api).or_default();
            if *lost > 0 {
                *lost -= 1;
                self.links.remove(&link);
                self.client.on_closed(self.now, link, "reset");
                return;
            }
            let segments = response.to_frame(header.api_version, header.correlation_id).expect("encodes");
            for segment in segments {
                let Segment::Bytes(bytes) = segment else { panic!("no files here") };
                self.client.on_bytes(self.now, link, &bytes);
            }
        }
    }
}
