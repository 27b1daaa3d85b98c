//! Requests that nobody can carry out: each is sent in a version that can say it, and changes nothing should it be
//! carried out after all, where the protocol has a way to ask for that.

use barnabas_base::{ProducerEpoch, ProducerId, Sequence, Uuid};
use barnabas_plan::WrongRequest;
use barnabas_wire::message::create_partitions::CreatePartitionsTopic;
use barnabas_wire::message::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use barnabas_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use barnabas_wire::message::delete_topics::DeleteTopicState;
use barnabas_wire::message::describe_configs::DescribeConfigsResource;
use barnabas_wire::message::elect_leaders::TopicPartitions;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::metadata::MetadataRequestTopic;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::produce::{PartitionProduceData, TopicProduceData};
use barnabas_wire::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeAclsRequest, DescribeClusterRequest, DescribeConfigsRequest, ElectLeadersRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, MetadataRequest, OffsetCommitRequest,
    ProduceRequest,
};
use barnabas_wire::record::{BatchOptions, Compression, ProducerFields};
use barnabas_wire::{ApiKey, ErrorCode, Records, RequestBody};
use bytes::Bytes;

use super::groups::{COMMIT_VERSION, DELETE_GROUPS_VERSION, FIND_COORDINATOR_VERSION, JOIN_VERSION, SESSION_MS};
use super::{
    ANSWER_MAX, INIT_PRODUCER_ID_VERSION, PRODUCE_VERSION, Stage, TIMEOUT_MS, TOO_LARGE_BYTES, Trouble, batch_of_one,
    init_producer_id, refusal_in,
};
use crate::record::partition_index;

/// The last Produce without zstd, the last that knows nothing of transactions begun by it (KIP-890), and the last that
/// names its topics.
const PRODUCE_WITHOUT_ZSTD: i16 = 6;
const PRODUCE_BEFORE_IMPLICIT_TRANSACTIONS: i16 = 11;
const PRODUCE_BY_NAME: i16 = 12;
pub(super) const CREATE_TOPICS_VERSION: i16 = 7;
const CREATE_PARTITIONS_VERSION: i16 = 3;
pub(super) const DELETE_TOPICS_VERSION: i16 = 6;
const ALTER_CONFIGS_VERSION: i16 = 1;
const DESCRIBE_CONFIGS_VERSION: i16 = 4;
const DESCRIBE_CLUSTER_VERSION: i16 = 1;
const ELECT_LEADERS_VERSION: i16 = 2;
const DELETE_RECORDS_VERSION: i16 = 2;
/// Has room for topic ids, and no meaning for them.
const METADATA_WITH_UNKNOWN_IDS: i16 = 10;
const DESCRIBE_ACLS_VERSION: i16 = 2;

/// The group, transactional id, topic and key of nobody.
const NOBODY: &str = "nobody";
const INTERNAL_TOPIC: &str = "__consumer_offsets";
/// Codes of resources: a topic, and none.
const TOPIC_RESOURCE: i8 = 2;
const NO_RESOURCE: i8 = 77;
/// Kinds of endpoints: controllers, and none.
const CONTROLLERS: i8 = 2;
const NO_ENDPOINT: i8 = 7;
/// A kind of key for which nobody coordinates anything.
const NO_KEY_TYPE: i8 = 7;
const PREFERRED: i8 = 0;
const NO_BROKER: i32 = 999_999;
/// More than Kafka decides on at once: 10,000.
const PARTITIONS_TOO_MANY: i32 = 100_000;
const PAYLOAD_BYTES: usize = 64;
/// More than `offset.metadata.max.bytes`, 4,096 as it ships.
const METADATA_BYTES: usize = 5_000;

impl Stage<'_> {
    /// Sends one of them. The code of the answer, [`ErrorCode::None`] if it was carried out.
    pub(super) async fn ask_wrongly(&self, request: WrongRequest) -> Result<ErrorCode, Trouble> {
        let (version, body) = self.wrong(request);
        let is_of_a_group = matches!(body.api_key(), ApiKey::JoinGroup | ApiKey::OffsetCommit | ApiKey::DeleteGroups);
        let mut raw = if is_of_a_group { self.coordinator_of(NOBODY).await? } else { self.connect().await? };
        raw.send(version, body).await?;
        Ok(refusal_in(&raw.receive_within(ANSWER_MAX).await?))
    }

    /// The request and its version.
    fn wrong(&self, request: WrongRequest) -> (i16, RequestBody) {
        match request {
            WrongRequest::ProduceAcksTwo => (PRODUCE_VERSION, self.request(2, &self.batch(plain())).into()),
            WrongRequest::ProduceTwoBatches => self.produce_two_batches(),
            WrongRequest::ProduceTooLarge => {
                (PRODUCE_VERSION, self.request(-1, &self.batch_of(plain(), TOO_LARGE_BYTES)).into())
            }
            WrongRequest::ProduceOldZstd => {
                let zstd = BatchOptions { compression: Compression::Zstd, ..plain() };
                (PRODUCE_WITHOUT_ZSTD, self.request(-1, &self.batch(zstd)).into())
            }
            WrongRequest::ProduceUnnamedTransaction => {
                (PRODUCE_VERSION, self.request(-1, &self.batch(transactional())).into())
            }
            WrongRequest::ProduceUnknownTransaction => {
                let request = self.request(-1, &self.batch(transactional()));
                let named = ProduceRequest { transactional_id: Some(NOBODY.to_owned()), ..request };
                (PRODUCE_BEFORE_IMPLICIT_TRANSACTIONS, named.into())
            }
            WrongRequest::ProduceInternal => self.produce_internal(),
            WrongRequest::CreateBadName => create(CreatableTopic { name: "no/name".to_owned(), ..topic(1, 1) }),
            WrongRequest::CreateNoPartitions => create(topic(0, 1)),
            WrongRequest::CreateManyReplicas => create(topic(1, 3)),
            WrongRequest::CreateOnStrangers => create(on_strangers()),
            WrongRequest::CreateUnknownConfig => create(with_unknown_config()),
            WrongRequest::CreateTooMany => create(topic(PARTITIONS_TOO_MANY, 1)),
            WrongRequest::GrowToOne => self.grow_to_one(),
            WrongRequest::DeleteNothing => delete_nothing(),
            WrongRequest::AlterUnknownConfig => self.alter("no.such.key", "1"),
            WrongRequest::AlterBadValue => self.alter("retention.ms", "soon"),
            WrongRequest::DescribeUnknownResource => describe_unknown_resource(),
            WrongRequest::DescribeControllers => describe_cluster(CONTROLLERS),
            WrongRequest::DescribeUnknownEndpoint => describe_cluster(NO_ENDPOINT),
            WrongRequest::ElectPreferred => self.elect_preferred(),
            WrongRequest::TrimInternal => trim_internal(),
            WrongRequest::MetadataOldId => {
                let topics = Some(vec![MetadataRequestTopic { topic_id: self.log.id, name: None }]);
                (METADATA_WITH_UNKNOWN_IDS, MetadataRequest { topics, ..Default::default() }.into())
            }
            WrongRequest::DescribeAcls => describe_acls(),
            WrongRequest::JoinNoGroup => (JOIN_VERSION, JoinGroupRequest { group_id: String::new(), ..join() }.into()),
            WrongRequest::JoinShortSession => {
                (JOIN_VERSION, JoinGroupRequest { session_timeout_ms: 1, ..join() }.into())
            }
            WrongRequest::JoinNoProtocol => (JOIN_VERSION, JoinGroupRequest { protocols: Vec::new(), ..join() }.into()),
            WrongRequest::CommitLongMetadata => (COMMIT_VERSION, self.commit_with("m".repeat(METADATA_BYTES)).into()),
            WrongRequest::DeleteNoGroup => {
                (DELETE_GROUPS_VERSION, DeleteGroupsRequest { groups_names: vec![NOBODY.to_owned()] }.into())
            }
            WrongRequest::FindUnknownKind => find_unknown_kind(),
            WrongRequest::InitUnnamedTransaction => init_unnamed_transaction(),
        }
    }

    fn produce_two_batches(&self) -> (i16, RequestBody) {
        let batch = self.batch(plain());
        (PRODUCE_VERSION, self.request(-1, &[&batch[..], &batch[..]].concat().into()).into())
    }

    fn produce_internal(&self) -> (i16, RequestBody) {
        let partition_data = vec![PartitionProduceData { index: 0, records: Records::Bytes(self.batch(plain())) }];
        let topic_data =
            vec![TopicProduceData { name: INTERNAL_TOPIC.to_owned(), topic_id: Uuid::ZERO, partition_data }];
        let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: TIMEOUT_MS, topic_data };
        (PRODUCE_BY_NAME, request.into())
    }

    fn grow_to_one(&self) -> (i16, RequestBody) {
        let topics = vec![CreatePartitionsTopic { name: self.log.topic.to_string(), count: 1, assignments: None }];
        let request = CreatePartitionsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: true };
        (CREATE_PARTITIONS_VERSION, request.into())
    }

    fn elect_preferred(&self) -> (i16, RequestBody) {
        let partitions = vec![partition_index(self.log.partition).0];
        let topic_partitions = Some(vec![TopicPartitions { topic: self.log.topic.to_string(), partitions }]);
        let request = ElectLeadersRequest { election_type: PREFERRED, topic_partitions, timeout_ms: TIMEOUT_MS };
        (ELECT_LEADERS_VERSION, request.into())
    }

    fn batch(&self, options: BatchOptions) -> Bytes {
        self.batch_of(options, PAYLOAD_BYTES)
    }

    /// A batch of one record, which has no business in any log.
    fn batch_of(&self, options: BatchOptions, bytes: usize) -> Bytes {
        batch_of_one(options, self.session.env.wall(), &vec![0; bytes])
    }

    fn alter(&self, name: &str, value: &str) -> (i16, RequestBody) {
        let config = AlterableConfig { name: name.to_owned(), config_operation: 0, value: Some(value.to_owned()) };
        let resource = AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: self.log.topic.to_string(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true };
        (ALTER_CONFIGS_VERSION, request.into())
    }

    /// A commit of somebody who is no member.
    fn commit_with(&self, metadata: String) -> OffsetCommitRequest {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition_index(self.log.partition).0,
            committed_offset: 0,
            committed_metadata: Some(metadata),
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.log.topic.to_string(),
            partitions: vec![partition],
            ..Default::default()
        };
        OffsetCommitRequest { group_id: NOBODY.to_owned(), topics: vec![topic], ..Default::default() }
    }
}

fn plain() -> BatchOptions {
    BatchOptions::default()
}

fn transactional() -> BatchOptions {
    let producer = ProducerFields { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: Sequence(0) };
    BatchOptions { producer: Some(producer), is_transactional: true, ..plain() }
}

fn topic(num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: NOBODY.to_owned(), num_partitions, replication_factor, ..Default::default() }
}

fn create(topic: CreatableTopic) -> (i16, RequestBody) {
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: true };
    (CREATE_TOPICS_VERSION, request.into())
}

fn on_strangers() -> CreatableTopic {
    let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![NO_BROKER] };
    CreatableTopic { assignments: vec![assignment], ..topic(-1, -1) }
}

fn with_unknown_config() -> CreatableTopic {
    let config = CreatableTopicConfig { name: "no.such.key".to_owned(), value: Some("1".to_owned()) };
    CreatableTopic { configs: vec![config], ..topic(1, 1) }
}

fn delete_nothing() -> (i16, RequestBody) {
    let topics = vec![DeleteTopicState { name: None, topic_id: Uuid::ZERO }];
    let request = DeleteTopicsRequest { topics, timeout_ms: TIMEOUT_MS, ..Default::default() };
    (DELETE_TOPICS_VERSION, request.into())
}

fn describe_unknown_resource() -> (i16, RequestBody) {
    let resource_name = NOBODY.to_owned();
    let resource = DescribeConfigsResource { resource_type: NO_RESOURCE, resource_name, configuration_keys: None };
    (DESCRIBE_CONFIGS_VERSION, DescribeConfigsRequest { resources: vec![resource], ..Default::default() }.into())
}

fn trim_internal() -> (i16, RequestBody) {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 0 }];
    let topics = vec![DeleteRecordsTopic { name: INTERNAL_TOPIC.to_owned(), partitions }];
    (DELETE_RECORDS_VERSION, DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS }.into())
}

/// For any resource, pattern, operation and permission.
fn describe_acls() -> (i16, RequestBody) {
    const ANY: i8 = 1;
    let request = DescribeAclsRequest {
        resource_type_filter: ANY,
        resource_name_filter: None,
        pattern_type_filter: ANY,
        principal_filter: None,
        host_filter: None,
        operation: ANY,
        permission_type: ANY,
    };
    (DESCRIBE_ACLS_VERSION, request.into())
}

fn find_unknown_kind() -> (i16, RequestBody) {
    let key = NOBODY.to_owned();
    let request = FindCoordinatorRequest { key, key_type: NO_KEY_TYPE, ..Default::default() };
    (FIND_COORDINATOR_VERSION, request.into())
}

fn init_unnamed_transaction() -> (i16, RequestBody) {
    let request = InitProducerIdRequest {
        transactional_id: Some(String::new()),
        transaction_timeout_ms: TIMEOUT_MS,
        ..init_producer_id()
    };
    (INIT_PRODUCER_ID_VERSION, request.into())
}

fn describe_cluster(endpoint_type: i8) -> (i16, RequestBody) {
    (DESCRIBE_CLUSTER_VERSION, DescribeClusterRequest { endpoint_type, ..Default::default() }.into())
}

fn join() -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: NOBODY.to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: SESSION_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() }],
        ..Default::default()
    }
}
