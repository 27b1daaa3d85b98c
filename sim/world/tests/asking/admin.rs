//! What to ask about topics, configuration, and the cluster.

use barnabas_base::Uuid;
use barnabas_wire::message::*;
use barnabas_wire::{ApiKey, RequestBody};

use super::{Stage, TOPIC, UNKNOWN};

pub(super) fn sensible(api: ApiKey, version: i16, _: &Stage) -> Vec<RequestBody> {
    match api {
        ApiKey::CreateTopics => create_topics(version),
        ApiKey::DeleteTopics => delete_topics(version),
        ApiKey::CreatePartitions => create_partitions(version),
        ApiKey::DeleteRecords => delete_records(),
        ApiKey::DescribeConfigs => describe_configs(version),
        ApiKey::AlterConfigs => alter_configs(),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs(),
        ApiKey::ListConfigResources => list_config_resources(version),
        ApiKey::DescribeLogDirs => describe_log_dirs(),
        ApiKey::ElectLeaders => elect_leaders(version),
        ApiKey::DescribeQuorum => describe_quorum(),
        ApiKey::DescribeCluster => describe_cluster(version),
        ApiKey::DescribeProducers => describe_producers(),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions(),
        ApiKey::DescribeAcls => vec![DescribeAclsRequest { resource_name_filter: None, ..Default::default() }.into()],
        ApiKey::CreateAcls => {
            let creations = vec![create_acls::AclCreation { resource_pattern_type: 3, ..Default::default() }; 2];
            vec![CreateAclsRequest { creations }.into()]
        }
        ApiKey::DeleteAcls => {
            let filter = delete_acls::DeleteAclsFilter { host_filter: None, ..Default::default() };
            vec![DeleteAclsRequest { filters: vec![filter; 2] }.into()]
        }
        other => panic!("nothing to ask of {}", other.name()),
    }
}

fn create_topics(version: i16) -> Vec<RequestBody> {
    use create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let config = |name: &str, value: Option<&str>| CreatableTopicConfig {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let assignment = |broker_ids: Vec<i32>| CreatableReplicaAssignment { partition_index: 0, broker_ids };
    let topic = |name: &str| CreatableTopic {
        name: format!("{name}-{version}"),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let assigned = |name: &str, ids| CreatableTopic {
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment(ids)],
        ..topic(name)
    };
    let topics = vec![
        topic("plain"),
        topic("twice"),
        topic("twice"),
        topic("not a name"),
        CreatableTopic { name: TOPIC.to_owned(), ..topic("") },
        CreatableTopic { num_partitions: 0, ..topic("none") },
        CreatableTopic { replication_factor: 3, ..topic("many") },
        CreatableTopic { configs: vec![config("retention.ms", Some("7"))], ..topic("configured") },
        CreatableTopic { configs: vec![config("no.such.key", Some("7"))], ..topic("misconfigured") },
        CreatableTopic { configs: vec![config("retention.ms", None)], ..topic("null") },
        assigned("assigned", vec![1]),
        assigned("misassigned", vec![99]),
    ];
    let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false };
    vec![
        CreateTopicsRequest { validate_only: true, ..request.clone() }.into(),
        request.into(),
        CreateTopicsRequest::default().into(),
    ]
}

fn delete_topics(version: i16) -> Vec<RequestBody> {
    use delete_topics::DeleteTopicState;
    let names = [format!("plain-{version}"), UNKNOWN.to_owned(), String::new()];
    if version < 6 {
        return vec![
            DeleteTopicsRequest { topic_names: names.to_vec(), timeout_ms: 30_000, ..Default::default() }.into(),
            DeleteTopicsRequest::default().into(),
        ];
    }
    let mut topics: Vec<_> =
        names.into_iter().map(|name| DeleteTopicState { name: Some(name), ..DeleteTopicState::default() }).collect();
    topics.push(DeleteTopicState { name: None, topic_id: Uuid([9; 16]) });
    topics.push(DeleteTopicState { name: None, topic_id: Uuid::ZERO });
    topics.push(DeleteTopicState { name: Some(UNKNOWN.to_owned()), topic_id: Uuid([9; 16]) });
    vec![
        DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() }.into(),
        DeleteTopicsRequest::default().into(),
    ]
}

fn create_partitions(version: i16) -> Vec<RequestBody> {
    use create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let topic = |name: &str, count| CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
    let assignment = CreatePartitionsAssignment { broker_ids: vec![99] };
    let topics = vec![
        topic(TOPIC, 4 + i32::from(version)),
        topic(UNKNOWN, 4),
        topic("", -1),
        CreatePartitionsTopic { assignments: Some(vec![assignment]), ..topic("__consumer_offsets", 3) },
    ];
    vec![CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only: false }.into()]
}

fn delete_records() -> Vec<RequestBody> {
    use delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = |partition_index, offset| DeleteRecordsPartition { partition_index, offset };
    let topic = |name: &str, partitions| DeleteRecordsTopic { name: name.to_owned(), partitions };
    let topics = vec![
        topic(TOPIC, vec![partition(1, -1), partition(0, 1_000_000), partition(99, 0)]),
        topic(UNKNOWN, vec![partition(0, 0)]),
        topic("__consumer_offsets", vec![partition(0, 0)]),
    ];
    vec![DeleteRecordsRequest { topics, timeout_ms: 30_000 }.into(), DeleteRecordsRequest::default().into()]
}

/// Resource types: 0 unknown, 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group, 77 none.
const RESOURCES: [(i8, &str); 11] = [
    (2, TOPIC),
    (2, UNKNOWN),
    (2, ""),
    (4, "1"),
    (4, ""),
    (4, "99"),
    (4, "no number"),
    (8, "1"),
    (16, "metrics"),
    (32, "readers"),
    (77, "x"),
];

fn describe_configs(version: i16) -> Vec<RequestBody> {
    use describe_configs::DescribeConfigsResource;
    let all = |(resource_type, name): (i8, &str)| DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let keyed = |resource| DescribeConfigsResource {
        configuration_keys: Some(vec!["retention.ms".to_owned(), "no.such.key".to_owned()]),
        ..all(resource)
    };
    let of = |resources, include_synonyms| DescribeConfigsRequest {
        resources,
        include_synonyms,
        include_documentation: version >= 3,
    };
    vec![
        of(RESOURCES.map(all).to_vec(), false).into(),
        of(RESOURCES.map(keyed).to_vec(), true).into(),
        DescribeConfigsRequest::default().into(),
    ]
}

fn alter_configs() -> Vec<RequestBody> {
    use alter_configs::{AlterConfigsResource, AlterableConfig};
    let mut asked = Vec::new();
    for (name, value) in [("retention.ms", Some("1000000")), ("no.such.key", Some("1")), ("retention.ms", None)] {
        let config = AlterableConfig { name: name.to_owned(), value: value.map(str::to_owned) };
        let resource = |(resource_type, name): (i8, &str)| AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![config.clone()],
        };
        for validate_only in [true, false] {
            asked.push(AlterConfigsRequest { resources: RESOURCES.map(resource).to_vec(), validate_only }.into());
        }
    }
    asked
}

fn incremental_alter_configs() -> Vec<RequestBody> {
    use incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
    let mut asked = Vec::new();
    for (name, value) in [("retention.ms", Some("1000000")), ("no.such.key", Some("1")), ("cleanup.policy", None)] {
        for config_operation in [0, 1, 2, 3, 9] {
            let config = AlterableConfig { name: name.to_owned(), config_operation, value: value.map(str::to_owned) };
            let resource = |(resource_type, name): (i8, &str)| AlterConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configs: vec![config.clone()],
            };
            let resources = RESOURCES.map(resource).to_vec();
            asked.push(IncrementalAlterConfigsRequest { resources, validate_only: false }.into());
        }
    }
    asked
}

fn list_config_resources(version: i16) -> Vec<RequestBody> {
    let types: &[&[i8]] = if version >= 1 { &[&[], &[2, 4], &[16, 32, 8], &[77]] } else { &[&[]] };
    types.iter().map(|types| ListConfigResourcesRequest { resource_types: types.to_vec() }.into()).collect()
}

fn describe_log_dirs() -> Vec<RequestBody> {
    use describe_log_dirs::DescribableLogDirTopic;
    let topic = |name: &str| DescribableLogDirTopic { topic: name.to_owned(), partitions: vec![0, 99] };
    let topics = [None, Some(Vec::new()), Some(vec![topic(TOPIC), topic(UNKNOWN)])];
    topics.into_iter().map(|topics| DescribeLogDirsRequest { topics }.into()).collect()
}

fn elect_leaders(version: i16) -> Vec<RequestBody> {
    use elect_leaders::TopicPartitions;
    let topic = |name: &str| TopicPartitions { topic: name.to_owned(), partitions: vec![0, 99] };
    let types: &[i8] = if version >= 1 { &[0, 1, 9] } else { &[0] };
    let mut asked = Vec::new();
    for election_type in types {
        for topic_partitions in [None, Some(Vec::new()), Some(vec![topic(TOPIC), topic(UNKNOWN)])] {
            let election_type = *election_type;
            asked.push(ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 30_000 }.into());
        }
    }
    asked
}

fn describe_quorum() -> Vec<RequestBody> {
    use describe_quorum::{RequestPartitionData, RequestTopicData};
    let topic = |topic_name: &str, partition_index| RequestTopicData {
        topic_name: topic_name.to_owned(),
        partitions: vec![RequestPartitionData { partition_index }],
    };
    let topics = [vec![topic("__cluster_metadata", 0)], vec![topic("__cluster_metadata", 1), topic(TOPIC, 0)]];
    topics.into_iter().map(|topics| DescribeQuorumRequest { topics }.into()).collect()
}

fn describe_cluster(version: i16) -> Vec<RequestBody> {
    let mut asked = vec![
        DescribeClusterRequest::default(),
        DescribeClusterRequest { include_cluster_authorized_operations: true, ..DescribeClusterRequest::default() },
    ];
    if version >= 1 {
        asked.push(DescribeClusterRequest { endpoint_type: 2, ..DescribeClusterRequest::default() });
        asked.push(DescribeClusterRequest { endpoint_type: 9, ..DescribeClusterRequest::default() });
    }
    if version >= 2 {
        asked.push(DescribeClusterRequest { include_fenced_brokers: true, ..DescribeClusterRequest::default() });
    }
    asked.into_iter().map(Into::into).collect()
}

fn describe_producers() -> Vec<RequestBody> {
    use describe_producers::TopicRequest;
    let topic = |name: &str| TopicRequest { name: name.to_owned(), partition_indexes: vec![0, 99] };
    vec![DescribeProducersRequest { topics: vec![topic(TOPIC), topic(UNKNOWN)] }.into()]
}

fn describe_topic_partitions() -> Vec<RequestBody> {
    use describe_topic_partitions::{Cursor, TopicRequest};
    let topic = |name: &str| TopicRequest { name: name.to_owned() };
    let cursor = |topic: &str, partition_index| Some(Cursor { topic_name: topic.to_owned(), partition_index });
    let mut asked = Vec::new();
    for topics in [Vec::new(), vec![topic(TOPIC), topic(UNKNOWN), topic("no/name")]] {
        for cursor in [None, cursor(TOPIC, 1), cursor(TOPIC, -1), cursor("zzz", 0)] {
            for response_partition_limit in [2, 0, -1, 2_000] {
                let (topics, cursor) = (topics.clone(), cursor.clone());
                asked.push(DescribeTopicPartitionsRequest { topics, response_partition_limit, cursor }.into());
            }
        }
    }
    asked
}
