//! Pitfall 34, and what tools ask for: topics, configuration, directories, quorum, elections, ACLs.

use barnabas_sim_world::{RawClient, play, requests, with_broker};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::create_partitions::CreatePartitionsTopic;
use barnabas_wire::message::create_topics::{CreatableReplicaAssignment, CreatableTopicConfig, CreatableTopicResult};
use barnabas_wire::message::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use barnabas_wire::message::describe_log_dirs::DescribableLogDirTopic;
use barnabas_wire::message::describe_quorum::{RequestPartitionData, RequestTopicData};
use barnabas_wire::message::elect_leaders::TopicPartitions;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::*;

use crate::{append, is, topic};

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
const LOGGER_RESOURCE: i8 = 8;
const GROUP_RESOURCE: i8 = 32;

async fn created(client: &mut RawClient, version: i16, request: CreateTopicsRequest) -> CreatableTopicResult {
    let mut response = client.call(version, request).await;
    assert_eq!(response.topics.len(), 1, "{response:?}");
    response.topics.remove(0)
}

fn with_config(name: &str, key: &str, value: Option<&str>) -> CreateTopicsRequest {
    let mut request = requests::create_topic(name, 1);
    request.topics[0].configs = vec![CreatableTopicConfig { name: key.to_owned(), value: value.map(str::to_owned) }];
    request
}

#[test]
fn pitfall_34_defaults_and_what_was_made_of_them() {
    with_broker(1, &[("num.partitions", "3")], async |_, mut client| {
        let made = created(&mut client, 7, requests::create_topic("t", -1)).await;
        assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (0, 3, 1), "{made:?}");
        let configs = made.configs.expect("version 5 and later tell the configuration");
        let retention = configs.iter().find(|config| config.name == "retention.ms").expect("retention.ms is told");
        assert_eq!(retention.value.as_deref(), Some("604800000"));
        let again = created(&mut client, 7, requests::create_topic("t", -1)).await;
        assert!(is(again.error_code, ErrorCode::TopicAlreadyExists), "{again:?}");
        assert!(again.error_message.is_some());
    });
}

#[test]
fn pitfall_34_validation_alone_creates_nothing() {
    with_broker(2, &[], async |_, mut client| {
        for _ in 0..2 {
            let request = CreateTopicsRequest { validate_only: true, ..requests::create_topic("t", 2) };
            assert_eq!(created(&mut client, 7, request).await.error_code, 0);
        }
        let about = MetadataRequest { topics: None, ..MetadataRequest::default() };
        assert!(client.call(9, about).await.topics.is_empty());
    });
}

#[test]
fn pitfall_34_what_cannot_be_created() {
    with_broker(3, &[], async |_, mut client| {
        topic(&mut client, "a.b", 1).await;
        let mut replicated = requests::create_topic("t", 1);
        replicated.topics[0].replication_factor = 2;
        let mut misassigned = requests::create_topic("t", -1);
        misassigned.topics[0].assignments =
            vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![9] }];
        let mut twice = requests::create_topic("t", 1);
        twice.topics.push(twice.topics[0].clone());
        for (request, code) in [
            (requests::create_topic("t", 0), ErrorCode::InvalidPartitions),
            (requests::create_topic("t", -2), ErrorCode::InvalidPartitions),
            (replicated, ErrorCode::InvalidReplicationFactor),
            (misassigned, ErrorCode::InvalidReplicaAssignment),
            (twice, ErrorCode::InvalidRequest),
            (requests::create_topic("", 1), ErrorCode::InvalidTopicException),
            (requests::create_topic("..", 1), ErrorCode::InvalidTopicException),
            (requests::create_topic("sp ace", 1), ErrorCode::InvalidTopicException),
            (requests::create_topic(&"x".repeat(250), 1), ErrorCode::InvalidTopicException),
            (requests::create_topic("a_b", 1), ErrorCode::InvalidTopicException),
            (with_config("t", "no.such.key", Some("1")), ErrorCode::InvalidConfig),
            (with_config("t", "retention.ms", Some("soon")), ErrorCode::InvalidConfig),
            (with_config("t", "retention.ms", None), ErrorCode::InvalidConfig),
        ] {
            for version in [2, 4, 5, 7] {
                let answer = created(&mut client, version, request.clone()).await;
                assert!(is(answer.error_code, code), "v{version} {request:?}: {answer:?}");
            }
        }
    });
}

#[test]
fn what_is_wrong_is_said_before_that_there_is_no_room() {
    play(15, &[], |scene| {
        scene.visit(async |visitor| {
            topic(&mut visitor.connect().await, "t", 2).await;
        });
        scene.broker().machine().set_disk_bytes(1);
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            for (name, partitions, code) in [
                ("t", 1, ErrorCode::TopicAlreadyExists),
                ("sp ace", 1, ErrorCode::InvalidTopicException),
                ("u", 0, ErrorCode::InvalidPartitions),
                ("u", 1_000_000_000, ErrorCode::PolicyViolation),
                ("u", 1, ErrorCode::KafkaStorageError),
            ] {
                let answer = created(&mut client, 7, requests::create_topic(name, partitions)).await;
                assert!(is(answer.error_code, code), "{name} of {partitions}: {answer:?}");
                assert!(answer.error_message.is_some(), "{answer:?}");
            }
            for (name, count, code) in [
                ("nowhere", 3, ErrorCode::UnknownTopicOrPartition),
                ("t", 2, ErrorCode::InvalidPartitions),
                ("t", 3, ErrorCode::KafkaStorageError),
            ] {
                let topics = vec![CreatePartitionsTopic { name: name.to_owned(), count, assignments: None }];
                let request = CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only: false };
                let answer = client.call(3, request).await;
                assert!(is(answer.results[0].error_code, code), "{name} to {count}: {answer:?}");
            }
        });
    });
}

#[test]
fn partitions_are_added_never_taken() {
    with_broker(4, &[], async |_, mut client| {
        topic(&mut client, "t", 2).await;
        let mut grown = async |name: &str, count, validate_only| {
            let topics = vec![CreatePartitionsTopic { name: name.to_owned(), count, assignments: None }];
            let request = CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only };
            client.call(3, request).await.results[0].error_code
        };
        assert_eq!(grown("t", 4, true).await, 0);
        assert_eq!(grown("t", 3, false).await, 0);
        for count in [3, 1, 0, -1] {
            assert!(is(grown("t", count, false).await, ErrorCode::InvalidPartitions), "{count}");
        }
        assert!(is(grown("nowhere", 3, false).await, ErrorCode::UnknownTopicOrPartition));
        let batch = requests::batch(barnabas_wire::record::BatchOptions::default(), &[b"a"]);
        let response = client.call(9, requests::produce("t", 2, -1, batch)).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "the new partition takes records");
    });
}

async fn described(
    client: &mut RawClient,
    resource_type: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
    let resource = DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys: keys };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: true };
    client.call(4, request).await.results.remove(0)
}

#[test]
fn configuration_is_described_with_where_it_comes_from() {
    with_broker(5, &[("log.retention.ms", "7200000")], async |_, mut client| {
        assert_eq!(created(&mut client, 7, with_config("t", "max.message.bytes", Some("2000"))).await.error_code, 0);
        let keys = ["max.message.bytes", "retention.ms", "cleanup.policy"];
        let result = described(&mut client, TOPIC_RESOURCE, "t", Some(&keys)).await;
        let mut told: Vec<_> = result
            .configs
            .iter()
            .map(|config| (config.name.as_str(), config.value.as_deref(), config.config_source))
            .collect();
        told.sort_unstable();
        // Sources: 1 topic, 4 static broker, 5 default.
        let due = [
            ("cleanup.policy", Some("delete"), 5),
            ("max.message.bytes", Some("2000"), 1),
            ("retention.ms", Some("7200000"), 4),
        ];
        assert_eq!(told, due);
        assert!(result.configs.iter().all(|config| config.config_type != 0 && config.documentation.is_some()));
        let all = described(&mut client, TOPIC_RESOURCE, "t", None).await;
        assert!(all.configs.len() >= 25, "{} keys", all.configs.len());
        let unknown = described(&mut client, TOPIC_RESOURCE, "nowhere", None).await;
        assert!(is(unknown.error_code, ErrorCode::UnknownTopicOrPartition), "{unknown:?}");
        let broker = described(&mut client, BROKER_RESOURCE, "1", Some(&["log.dirs"])).await;
        assert_eq!((broker.error_code, broker.configs[0].read_only), (0, true), "{broker:?}");
        let stranger = described(&mut client, BROKER_RESOURCE, "9", None).await;
        assert!(is(stranger.error_code, ErrorCode::InvalidRequest), "{stranger:?}");
    });
}

#[test]
fn configuration_changes_step_by_step_and_takes_effect() {
    with_broker(6, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let mut alter = async |name: &str, key: &str, config_operation, value: Option<&str>| {
            let config = AlterableConfig { name: key.to_owned(), config_operation, value: value.map(str::to_owned) };
            let resource = AlterConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: name.to_owned(),
                configs: vec![config],
            };
            let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
            client.call(1, request).await.responses[0].error_code
        };
        assert_eq!(alter("t", "max.message.bytes", 0, Some("100")).await, 0);
        assert_eq!(alter("t", "cleanup.policy", 2, Some("compact")).await, 0);
        for (name, key, operation, value, code) in [
            ("t", "no.such.key", 0, Some("1"), ErrorCode::InvalidConfig),
            ("t", "retention.ms", 0, None, ErrorCode::InvalidRequest),
            ("t", "retention.ms", 2, Some("1"), ErrorCode::InvalidConfig),
            ("t", "retention.ms", 9, Some("1"), ErrorCode::InvalidRequest),
            ("nowhere", "retention.ms", 0, Some("1"), ErrorCode::UnknownTopicOrPartition),
        ] {
            let got = alter(name, key, operation, value).await;
            assert!(is(got, code), "{name} {key} {operation}: {} is due, not {got}", code.name());
        }
        let policy = described(&mut client, TOPIC_RESOURCE, "t", Some(&["cleanup.policy"])).await;
        assert_eq!(policy.configs[0].value.as_deref(), Some("delete,compact"));
        let large = requests::batch(barnabas_wire::record::BatchOptions::default(), &[&[b'x'; 200]]);
        let response = client.call(9, requests::produce("t", 0, -1, large)).await;
        let code = response.responses[0].partition_responses[0].error_code;
        assert!(is(code, ErrorCode::MessageTooLarge), "{response:?}");
    });
}

#[test]
fn directories_are_described_with_what_lies_in_them() {
    with_broker(7, &[], async |_, mut client| {
        topic(&mut client, "t", 2).await;
        append(&mut client, "t", &[b'x'; 500]).await;
        let all = client.call(4, DescribeLogDirsRequest { topics: None }).await;
        assert_eq!((all.error_code, all.results.len()), (0, 1), "{all:?}");
        let directory = &all.results[0];
        assert_eq!((directory.error_code, directory.log_dir.as_str()), (0, "/data"));
        assert!(directory.total_bytes > directory.usable_bytes && directory.usable_bytes > 0, "{directory:?}");
        let topic = directory.topics.iter().find(|topic| topic.name == "t").expect("the topic is there");
        let mut sizes: Vec<_> =
            topic.partitions.iter().map(|partition| (partition.partition_index, partition.partition_size)).collect();
        sizes.sort_unstable();
        assert_eq!((sizes.len(), sizes[1]), (2, (1, 0)), "{sizes:?}");
        assert!(sizes[0].1 > 500, "{sizes:?}");
        let asked = DescribableLogDirTopic { topic: "t".to_owned(), partitions: vec![1, 7] };
        let some = client.call(4, DescribeLogDirsRequest { topics: Some(vec![asked]) }).await;
        assert_eq!(some.results[0].topics[0].partitions.len(), 1, "{some:?}");
    });
}

#[test]
fn the_quorum_is_described_in_every_version() {
    with_broker(8, &[], async |_, mut client| {
        let partitions = |partition_index| vec![RequestPartitionData { partition_index }];
        let about = |name: &str, index| RequestTopicData { topic_name: name.to_owned(), partitions: partitions(index) };
        for version in 0..=2 {
            let request = DescribeQuorumRequest { topics: vec![about("__cluster_metadata", 0)] };
            let answer = client.call(version, request).await;
            assert_eq!(answer.error_code, 0, "v{version}");
            let quorum = &answer.topics[0].partitions[0];
            assert_eq!((quorum.error_code, quorum.leader_id), (0, 1), "v{version}");
            assert!(quorum.high_watermark > 0 && quorum.leader_epoch > 0, "v{version}: {quorum:?}");
            assert_eq!((quorum.current_voters.len(), quorum.observers.len()), (1, 0), "v{version}");
            assert_eq!(quorum.current_voters[0].log_end_offset, quorum.high_watermark, "v{version}");
            let voter = &quorum.current_voters[0];
            assert_eq!(voter.last_caught_up_timestamp > 0, version >= 1, "v{version}: {voter:?}");
            assert_eq!(answer.nodes.len(), usize::from(version >= 2), "v{version}");
        }
    });
}

#[test]
fn elections_that_are_not_needed_are_not_held() {
    with_broker(9, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        for version in 0..=2 {
            let asked = |name: &str| TopicPartitions { topic: name.to_owned(), partitions: vec![0, 5] };
            let topic_partitions = Some(vec![asked("t"), asked("nowhere")]);
            let request = ElectLeadersRequest { election_type: 0, topic_partitions, timeout_ms: 30_000 };
            let answer = client.call(version, request).await;
            let mut codes: Vec<_> = answer
                .replica_election_results
                .iter()
                .flat_map(|topic| {
                    topic.partition_result.iter().map(|one| (topic.topic.as_str(), one.partition_id, one.error_code))
                })
                .collect();
            codes.sort_unstable();
            let (needless, unknown) = (ErrorCode::ElectionNotNeeded.code(), ErrorCode::UnknownTopicOrPartition.code());
            let due = [("nowhere", 0, unknown), ("nowhere", 5, unknown), ("t", 0, needless), ("t", 5, unknown)];
            assert_eq!(codes, due, "v{version}");
        }
    });
}

/// Version 0 has no place for an error but at each partition.
#[test]
fn an_unknown_kind_of_election_is_refused_everywhere() {
    with_broker(12, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let asked = TopicPartitions { topic: "t".to_owned(), partitions: vec![0] };
        let request = ElectLeadersRequest { election_type: 7, topic_partitions: Some(vec![asked]), timeout_ms: 30_000 };
        for version in 1..=2 {
            let answer = client.call(version, request.clone()).await;
            assert!(is(answer.error_code, ErrorCode::InvalidRequest), "{answer:?}");
            let partition = &answer.replica_election_results[0].partition_result[0];
            assert!(is(partition.error_code, ErrorCode::InvalidRequest), "{answer:?}");
            assert_eq!(partition.error_message.as_deref(), Some("Unknown election type 7"));
        }
    });
}

#[test]
fn loggers_and_groups_are_described() {
    with_broker(13, &[], async |_, mut client| {
        let loggers = described(&mut client, LOGGER_RESOURCE, "1", None).await;
        assert_eq!(loggers.error_code, 0, "{loggers:?}");
        let root = loggers.configs.iter().find(|config| config.name == "root").expect("Kafka lists root");
        // Source 6: the level of a logger.
        assert_eq!((root.config_source, root.is_sensitive, root.value.is_some()), (6, false, true), "{root:?}");
        let one = described(&mut client, LOGGER_RESOURCE, "1", Some(&["SocketServer"])).await;
        assert_eq!(one.configs.len(), 1, "{one:?}");
        let group = described(&mut client, GROUP_RESOURCE, "g", None).await;
        assert_eq!((group.error_code, group.configs.len()), (0, 17), "{group:?}");
        assert!(group.configs.iter().all(|config| config.config_source == 5), "{group:?}");
        for (kind, name, message) in [
            (LOGGER_RESOURCE, "", "Broker id must not be empty"),
            (LOGGER_RESOURCE, "9", "Unexpected broker id, expected 1 but received 9"),
            (GROUP_RESOURCE, "", "Group name must not be empty"),
        ] {
            let refused = described(&mut client, kind, name, None).await;
            assert!(is(refused.error_code, ErrorCode::InvalidRequest), "{refused:?}");
            assert_eq!(refused.error_message.as_deref(), Some(message));
        }
    });
}

/// Sets a key of all brokers.
async fn set_for_all_brokers(client: &mut RawClient, key: &str, value: &str) {
    let config = AlterableConfig { name: key.to_owned(), config_operation: 0, value: Some(value.to_owned()) };
    let resource =
        AlterConfigsResource { resource_type: BROKER_RESOURCE, resource_name: String::new(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = client.call(1, request).await;
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

#[test]
fn what_brokers_are_told_while_they_run_takes_effect_at_once() {
    with_broker(14, &[], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        set_for_all_brokers(&mut client, "message.max.bytes", "100").await;
        let large = requests::batch(barnabas_wire::record::BatchOptions::default(), &[&[b'x'; 200]]);
        let response = client.call(9, requests::produce("t", 0, -1, large)).await;
        let code = response.responses[0].partition_responses[0].error_code;
        assert!(is(code, ErrorCode::MessageTooLarge), "{response:?}");
        // A broker that is full lets nobody in, and those that are there stay.
        set_for_all_brokers(&mut client, "max.connections", "1").await;
        let mut refused = visitor.connect().await;
        assert!(refused.ask(0, ApiVersionsRequest::default()).await.is_err(), "max.connections is 1");
        set_for_all_brokers(&mut client, "max.connections", "10").await;
        set_for_all_brokers(&mut client, "max.connections.per.ip", "2").await;
        let mut second = visitor.connect().await;
        assert!(second.ask(0, ApiVersionsRequest::default()).await.is_ok());
        let mut third = visitor.connect().await;
        assert!(third.ask(0, ApiVersionsRequest::default()).await.is_err(), "max.connections.per.ip is 2");
    });
}

#[test]
fn without_an_authorizer_acls_are_disabled() {
    with_broker(10, &[], async |_, mut client| {
        let refused = |code| is(code, ErrorCode::SecurityDisabled);
        for version in 1..=3 {
            assert!(refused(client.call(version, DescribeAclsRequest::default()).await.error_code));
            let creations = vec![create_acls::AclCreation::default(); 2];
            let answer = client.call(version, CreateAclsRequest { creations }).await;
            assert_eq!(answer.results.len(), 2);
            assert!(answer.results.iter().all(|result| refused(result.error_code)));
            let filters = vec![delete_acls::DeleteAclsFilter::default(); 2];
            let answer = client.call(version, DeleteAclsRequest { filters }).await;
            assert!(answer.filter_results.iter().all(|result| refused(result.error_code)));
        }
    });
}

#[test]
fn the_cluster_is_described() {
    with_broker(11, &[], async |visitor, mut client| {
        for version in 0..=2 {
            let answer = client.call(version, DescribeClusterRequest::default()).await;
            assert_eq!((answer.error_code, answer.controller_id, answer.brokers.len()), (0, 1, 1), "v{version}");
            assert_eq!(answer.brokers[0].host, visitor.address.host);
            assert_eq!(answer.cluster_authorized_operations, i32::MIN);
        }
        for (endpoint_type, code) in [(2, ErrorCode::MismatchedEndpointType), (9, ErrorCode::UnsupportedEndpointType)] {
            let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
            let answer = client.call(1, request).await;
            assert!(is(answer.error_code, code), "{endpoint_type}: {answer:?}");
        }
    });
}
