//! What clients are told of a small cluster.

use std::sync::LazyLock;

use barnabas_base::{BrokerId, ClusterId, LeaderEpoch, PartitionIndex, TopicId, Uuid};
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::{ConfigRecord, FeatureLevelRecord, TopicRecord};
use barnabas_wire::internal::node_schema::{BrokerEndpoint, RegisterBrokerRecord};
use barnabas_wire::message::describe_configs::DescribeConfigsResource;
use barnabas_wire::message::describe_topic_partitions::{Cursor, TopicRequest};
use barnabas_wire::message::metadata::MetadataRequestTopic;
use barnabas_wire::message::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeTopicPartitionsRequest, ListConfigResourcesRequest,
    MetadataRequest,
};
use barnabas_wire::{ErrorCode, Message};

use super::*;
use crate::config::{BrokerConfig, ConfigSources};
use crate::image::PartitionImage;

fn topic_id(number: u8) -> TopicId {
    TopicId(Uuid([number; 16]))
}

/// Broker 1 asks and answers, broker 2 has no such listener, broker 3 is fenced. Topic `a` has 3 partitions, led by each
/// of them in turn; `__consumer_offsets` has one, `b` two.
fn cluster() -> ClusterImage {
    let mut records: Vec<MetadataRecord> = vec![
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30 }.into(),
        FeatureLevelRecord { name: "transaction.version".to_owned(), feature_level: 2 }.into(),
    ];
    for id in 1..=3 {
        let name = if id == 2 { "INTERNAL" } else { "PLAINTEXT" }.to_owned();
        let end_points = vec![BrokerEndpoint { name, host: format!("host{id}"), port: 9092, security_protocol: 0 }];
        let broker =
            RegisterBrokerRecord { broker_id: id, end_points, fenced: id == 3, rack: None, ..Default::default() };
        records.push(broker.into());
    }
    for (number, name, partitions) in [(1, "a", 3), (2, "__consumer_offsets", 1), (3, "b", 2)] {
        records.push(TopicRecord { name: name.to_owned(), topic_id: topic_id(number).0 }.into());
        for index in 0..partitions {
            let leader = BrokerId(index % 3 + 1);
            let partition = PartitionImage {
                replicas: vec![leader, BrokerId(1)],
                isr: vec![leader],
                leader,
                leader_epoch: LeaderEpoch(7),
                ..PartitionImage::default()
            };
            records.push(partition.to_record(topic_id(number), PartitionIndex(index)).into());
        }
    }
    let config = |resource_type, resource_name: &str, name: &str, value: &str| ConfigRecord {
        resource_type,
        resource_name: resource_name.to_owned(),
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    records.push(config(2, "a", "retention.ms", "5").into());
    records.push(config(4, "", "message.max.bytes", "9000").into());
    ClusterImage::default().apply(&records).expect("the records fit").0
}

static CLUSTER: LazyLock<ClusterId> = LazyLock::new(|| Uuid([8; 16]).into());

fn view(image: &ClusterImage) -> View<'_> {
    View {
        image,
        cluster_id: &CLUSTER,
        listener: "PLAINTEXT",
        own_id: BrokerId(1),
        own_endpoint: ("localhost", 19_092),
    }
}

fn named(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), topic_id: Uuid::ZERO };
    MetadataRequest { topics: Some(names.iter().map(topic).collect()), ..MetadataRequest::default() }
}

fn names(answer: &MetadataAnswer) -> Vec<&str> {
    answer.response.topics.iter().filter_map(|topic| topic.name.as_deref()).collect()
}

#[test]
fn pitfall_8_null_empty_and_named_topics() {
    let image = cluster();
    let all = ["__consumer_offsets", "a", "b"];
    let null = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert_eq!(names(&view(&image).metadata(1, &null)), all);
    assert_eq!(names(&view(&image).metadata(0, &named(&[]))), all);
    assert_eq!(names(&view(&image).metadata(1, &named(&[]))), [""; 0]);
    let some = view(&image).metadata(12, &named(&["b", "missing", "b"]));
    assert_eq!(names(&some), ["b"]);
    assert_eq!(some.missing, ["missing"]);
}

#[test]
fn every_answer_fits_every_version() {
    let image = cluster();
    for version in barnabas_wire::message::MetadataResponse::VERSIONS {
        let mut request = named(&["a"]);
        request.include_topic_authorized_operations = version >= 8;
        request.include_cluster_authorized_operations = (8..=10).contains(&version);
        let answer = view(&image).metadata(version, &request);
        answer.response.to_bytes(version).unwrap_or_else(|error| panic!("version {version}: {error}"));
    }
}

#[test]
fn leaders_that_nobody_reaches_are_not_named() {
    let image = cluster();
    let answer = view(&image).metadata(12, &named(&["a"]));
    let partitions = &answer.response.topics[0].partitions;
    let seen: Vec<_> = partitions.iter().map(|one| (one.leader_id, one.error_code, one.leader_epoch)).collect();
    let unreachable = ErrorCode::ListenerNotFound.code();
    assert_eq!(seen, [(1, 0, 7), (-1, unreachable, 7), (-1, unreachable, 7)]);
    assert_eq!(partitions[1].offline_replicas, [2]);
    assert!(answer.response.topics[0].topic_id == topic_id(1).0, "pitfall 10: the id is in every answer");
    assert_eq!(answer.response.topics[0].topic_authorized_operations, i32::MIN);
    let old = view(&image).metadata(5, &named(&["a"]));
    assert_eq!(old.response.topics[0].partitions[1].error_code, ErrorCode::LeaderNotAvailable.code());
}

#[test]
fn pitfall_12_brokers_are_those_of_the_listener_under_the_address_the_client_used() {
    let image = cluster();
    let brokers = view(&image).metadata(12, &named(&[])).response.brokers;
    let seen: Vec<_> = brokers.iter().map(|one| (one.node_id, one.host.as_str(), one.port)).collect();
    assert_eq!(seen, [(1, "localhost", 19_092)]);
}

#[test]
fn topics_are_found_by_id_whatever_name_stands_beside_it() {
    let image = cluster();
    // Java's client sends an empty name with an id, others none.
    for name in [None, Some(String::new()), Some("b".to_owned())] {
        let by_id = |id| MetadataRequestTopic { name: name.clone(), topic_id: id };
        let request = MetadataRequest {
            topics: Some(vec![by_id(topic_id(1).0), by_id(Uuid([99; 16]))]),
            ..MetadataRequest::default()
        };
        let answer = view(&image).metadata(12, &request);
        assert_eq!(answer.response.topics[0].name.as_deref(), Some("a"));
        assert_eq!(answer.response.topics[1].error_code, ErrorCode::UnknownTopicId.code());
        assert_eq!(answer.response.topics[1].name, None);
        assert_eq!(answer.missing, Vec::<String>::new());
    }
}

fn pages(image: &ClusterImage, topics: &[&str], limit: i32) -> Vec<Vec<(String, Vec<i32>)>> {
    let mut request = DescribeTopicPartitionsRequest {
        topics: topics.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
        response_partition_limit: limit,
        cursor: None,
    };
    let mut pages = Vec::new();
    for _ in 0..20 {
        let response = view(image).describe_topic_partitions(&request, 100);
        response.to_bytes(0).expect("the answer encodes");
        let page = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|one| one.partition_index).collect();
            (topic.name.clone().unwrap_or_default(), partitions)
        });
        pages.push(page.collect());
        request.cursor = response.next_cursor;
        if request.cursor.is_none() {
            return pages;
        }
    }
    panic!("pages come to an end");
}

#[test]
fn partitions_are_described_page_by_page() {
    let image = cluster();
    let page = |topics: &[(&str, &[i32])]| -> Vec<(String, Vec<i32>)> {
        topics.iter().map(|(name, partitions)| ((*name).to_owned(), partitions.to_vec())).collect()
    };
    let expected =
        [page(&[("__consumer_offsets", &[0]), ("a", &[0])]), page(&[("a", &[1, 2])]), page(&[("b", &[0, 1])])];
    assert_eq!(pages(&image, &[], 2), expected);
    assert_eq!(pages(&image, &["b", "a"], 3), [page(&[("a", &[0, 1, 2])]), page(&[("b", &[0, 1])])]);
    assert_eq!(pages(&image, &[], 1_000).len(), 1);
    assert_eq!(pages(&image, &[], -5).len(), 6);
}

#[test]
fn cursors_that_make_no_sense_are_refused() {
    let image = cluster();
    let ask = |names: &[&str], topic_name: &str, partition_index| {
        let request = DescribeTopicPartitionsRequest {
            topics: names.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
            response_partition_limit: 10,
            cursor: Some(Cursor { topic_name: topic_name.to_owned(), partition_index }),
        };
        let response = view(&image).describe_topic_partitions(&request, 100);
        response.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>()
    };
    let refused = ErrorCode::InvalidRequest.code();
    assert_eq!(ask(&["a"], "b", 0), [refused]);
    assert_eq!(ask(&["a", "b"], "a", -1), [refused, refused]);
    assert_eq!(ask(&["a", "b"], "b", 1), [0]);
    assert_eq!(ask(&["missing", "no/name"], "missing", 0), [3, 17]);
}

#[test]
fn the_cluster_is_described() {
    let image = cluster();
    let ask = |request: &DescribeClusterRequest| view(&image).describe_cluster(request);
    let request = DescribeClusterRequest::default();
    let response = ask(&request);
    assert_eq!((response.error_code, response.error_message.as_deref()), (0, None));
    assert_eq!(response.brokers.len(), 1);
    assert_eq!(ask(&DescribeClusterRequest { include_fenced_brokers: true, ..request.clone() }).brokers.len(), 2);
    let controllers = ask(&DescribeClusterRequest { endpoint_type: 2, ..request });
    assert_eq!(controllers.error_code, ErrorCode::MismatchedEndpointType.code());
}

fn broker_config() -> BrokerConfig {
    let file = Some(("f".to_owned(), "num.partitions=3\n".to_owned()));
    BrokerConfig::from_sources(&ConfigSources { file, ..ConfigSources::default() }).expect("valid").0
}

#[test]
fn configs_are_described_and_filtered() {
    let image = cluster();
    let ask = |kind, name: &str, keys: Option<&[&str]>| {
        let configuration_keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: kind,
                resource_name: name.to_owned(),
                configuration_keys,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        let mut response = describe_configs(&image, &broker_config(), &[], &request);
        for version in barnabas_wire::message::DescribeConfigsResponse::VERSIONS {
            response.to_bytes(version).expect("the answer encodes");
        }
        response.results.remove(0)
    };
    let retention = ask(2, "a", Some(&["retention.ms"]));
    assert_eq!(retention.configs.len(), 1);
    assert_eq!((retention.configs[0].value.as_deref(), retention.configs[0].config_source), (Some("5"), 1));
    assert!(retention.configs[0].documentation.is_some());
    assert_eq!(ask(2, "a", Some(&[])).configs.len(), ask(2, "a", None).configs.len());
    let max_bytes = ask(2, "a", Some(&["max.message.bytes"]));
    assert_eq!((max_bytes.configs[0].value.as_deref(), max_bytes.configs[0].config_source), (Some("9000"), 3));
    assert_eq!(ask(4, "1", Some(&["num.partitions"])).configs[0].value.as_deref(), Some("3"));
    for name_of_id in ["node.id", "broker.id"] {
        assert_eq!(ask(4, "1", Some(&[name_of_id])).configs[0].value.as_deref(), Some("1"));
    }
    assert_eq!(ask(4, "", None).configs.len(), 1);
    for (kind, name, code) in [
        (2, "missing", ErrorCode::UnknownTopicOrPartition),
        (2, "no/name", ErrorCode::InvalidTopicException),
        (4, "2", ErrorCode::InvalidRequest),
        (4, "x", ErrorCode::InvalidRequest),
        (8, "", ErrorCode::InvalidRequest),
        (32, "", ErrorCode::InvalidRequest),
        (77, "a", ErrorCode::InvalidRequest),
    ] {
        let refused = ask(kind, name, None);
        assert_eq!(refused.error_code, code.code(), "{kind} {name}");
        assert_eq!(refused.configs, []);
    }
}

#[test]
fn resources_are_listed() {
    let image = cluster();
    let ask = |version, kinds: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: kinds.to_vec() };
        let response = list_config_resources(&image, version, &request);
        response.to_bytes(version).expect("the answer encodes");
        let names = response.config_resources.iter().map(|one| format!("{}:{}", one.resource_type, one.resource_name));
        (response.error_code, names.collect::<Vec<_>>())
    };
    assert_eq!(ask(0, &[]), (0, Vec::new()));
    assert_eq!(ask(1, &[2]).1, ["2:__consumer_offsets", "2:a", "2:b"]);
    assert_eq!(ask(1, &[4]).1, ["4:1", "4:2", "4:3"]);
    assert_eq!(ask(1, &[99]).0, ErrorCode::UnsupportedVersion.code());
    assert_eq!(ask(1, &[32]), (0, Vec::new()));
}

/// Naming a resource again costs a few bytes, and describing it thousands.
#[test]
fn what_is_named_again_is_answered_once() {
    let ask = |resources: &[(i8, &str, Option<&[&str]>)]| {
        let resources = resources.iter().map(|(resource_type, name, keys)| DescribeConfigsResource {
            resource_type: *resource_type,
            resource_name: (*name).to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        });
        let request = DescribeConfigsRequest { resources: resources.collect(), ..DescribeConfigsRequest::default() };
        let response = describe_configs(&cluster(), &broker_config(), &[], &request);
        let results = response.results.into_iter().map(|one| (one.resource_name, one.configs.len()));
        results.collect::<Vec<_>>()
    };
    let named = |names: &[(&str, usize)]| names.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let one: Option<&[&str]> = Some(&["retention.ms"]);
    let other: Option<&[&str]> = Some(&["segment.ms", "retention.ms"]);
    let all = ask(&[(2, "a", None)])[0].1;
    let expected: Vec<_> = named(&[("b", 2), ("a", all)]);
    assert_eq!(ask(&[(2, "b", one), (2, "a", one), (2, "b", other), (2, "a", None), (2, "a", other)]), expected);
    let expected: Vec<_> = named(&[("01", 1)]);
    assert_eq!(ask(&[(4, "01", Some(&["node.id"])), (4, "1", Some(&["node.id"])), (4, "+1", Some(&["x"]))]), expected);
    let request = ListConfigResourcesRequest { resource_types: vec![4, 2, 4, 2] };
    let listed = list_config_resources(&cluster(), 1, &request).config_resources;
    let kinds: Vec<i8> = listed.iter().map(|one| one.resource_type).collect();
    assert_eq!(kinds, [4, 4, 4, 2, 2, 2]);
}

/// Groups are listed while something is set on them, whether they exist or not.
#[test]
fn groups_with_settings_are_listed() {
    let set = |value: Option<&str>| -> MetadataRecord {
        ConfigRecord {
            resource_type: 32,
            resource_name: "g".to_owned(),
            name: "consumer.session.timeout.ms".to_owned(),
            value: value.map(str::to_owned),
        }
        .into()
    };
    let listed = |image: &ClusterImage, kinds: &[i8]| -> Vec<String> {
        let request = ListConfigResourcesRequest { resource_types: kinds.to_vec() };
        let response = list_config_resources(image, 1, &request);
        let groups = response.config_resources.into_iter().filter(|one| one.resource_type == 32);
        groups.map(|one| one.resource_name).collect()
    };
    let (image, _) = cluster().apply(&[set(Some("46000"))]).expect("a setting applies");
    assert_eq!(listed(&image, &[32]), ["g"]);
    assert_eq!(listed(&image, &[]), ["g"], "asking for nothing asks for all");
    let (image, _) = image.apply(&[set(None)]).expect("so does its removal");
    assert_eq!(listed(&image, &[]), [""; 0]);
}

#[test]
fn only_features_that_are_served_are_named() {
    let names: Vec<_> =
        finalized_features(&cluster()).into_iter().map(|one| (one.name, one.max_version_level)).collect();
    assert_eq!(names, [("metadata.version".to_owned(), 30)]);
}
