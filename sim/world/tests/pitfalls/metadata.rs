//! Pitfalls 8 to 12: what Metadata says.

use barnabas_base::Uuid;
use barnabas_sim_world::{RawClient, play, requests, with_broker};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_topics::DeleteTopicState;
use barnabas_wire::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use barnabas_wire::message::*;

use crate::{append, is, topic};

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() }
}

fn by_id(topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic { topic_id, name: None }
}

fn about(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest { topics, allow_auto_topic_creation: true, ..MetadataRequest::default() }
}

/// The one topic of an answer.
async fn described(client: &mut RawClient, version: i16, asked: MetadataRequestTopic) -> MetadataResponseTopic {
    let mut answer = client.call(version, about(Some(vec![asked]))).await;
    assert_eq!(answer.topics.len(), 1, "{answer:?}");
    answer.topics.remove(0)
}

#[test]
fn pitfall_8_null_and_empty_topics_by_version() {
    with_broker(1, &[], async |_, mut client| {
        topic(&mut client, "a", 1).await;
        topic(&mut client, "b", 1).await;
        assert_eq!(client.call(0, about(Some(Vec::new()))).await.topics.len(), 2, "empty is all in version 0");
        for version in [1, 4, 9, 12, 13] {
            assert_eq!(client.call(version, about(Some(Vec::new()))).await.topics.len(), 0, "v{version}");
            let all = client.call(version, about(None)).await;
            assert_eq!(all.topics.len(), 2, "v{version}");
            assert_eq!(all.cluster_authorized_operations, i32::MIN, "v{version}");
            assert!(all.topics.iter().all(|topic| topic.topic_authorized_operations == i32::MIN), "v{version}");
        }
    });
}

#[test]
fn pitfall_8_creation_can_be_forbidden_from_version_4_on() {
    with_broker(2, &[], async |_, mut client| {
        let forbidden = MetadataRequest { allow_auto_topic_creation: false, ..about(Some(vec![named("x")])) };
        let answer = client.call(4, forbidden).await;
        assert!(is(answer.topics[0].error_code, ErrorCode::UnknownTopicOrPartition), "{answer:?}");
        assert_eq!(client.call(1, about(None)).await.topics.len(), 0, "nothing was created");
        described(&mut client, 3, named("x")).await;
        loop {
            let answer = described(&mut client, 3, named("x")).await;
            if answer.error_code == 0 {
                break;
            }
            assert!(is(answer.error_code, ErrorCode::LeaderNotAvailable), "{answer:?}");
        }
        let bad = described(&mut client, 9, named("no/name")).await;
        assert!(is(bad.error_code, ErrorCode::InvalidTopicException), "{bad:?}");
    });
}

#[test]
fn pitfall_8_a_broker_that_creates_nothing_says_so() {
    with_broker(3, &[("auto.create.topics.enable", "false")], async |_, mut client| {
        for version in [0, 1, 3, 4, 9, 13] {
            let answer = described(&mut client, version, named("x")).await;
            assert!(is(answer.error_code, ErrorCode::UnknownTopicOrPartition), "v{version}: {answer:?}");
            assert_eq!(answer.name.as_deref(), Some("x"));
        }
    });
}

#[test]
fn pitfall_9_the_leader_epoch_of_a_topic_id_rises() {
    play(4, &[], |scene| {
        let (id, before) = scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            let id = topic(&mut client, "t", 1).await;
            append(&mut client, "t", b"v").await;
            (id, described(&mut client, 9, named("t")).await.partitions[0].leader_epoch)
        });
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        scene.visit(async move |visitor| {
            let mut client = visitor.connect().await;
            let again = described(&mut client, 12, named("t")).await;
            assert_eq!(again.topic_id, id);
            // A lone node that comes back leads under a new epoch: it may have lost what it had not synced.
            assert!(again.partitions[0].leader_epoch > before, "{again:?}");
        });
    });
}

#[test]
fn pitfall_9_a_topic_created_again_is_another_topic() {
    with_broker(5, &[], async |_, mut client| {
        let first = topic(&mut client, "t", 1).await;
        append(&mut client, "t", b"v").await;
        let gone = DeleteTopicState { name: Some("t".to_owned()), topic_id: Uuid::ZERO };
        let request = DeleteTopicsRequest { topics: vec![gone], ..DeleteTopicsRequest::default() };
        let deleted = client.call(6, request).await;
        assert_eq!(deleted.responses[0].error_code, 0, "{deleted:?}");
        assert_eq!(deleted.responses[0].topic_id, first);
        let second = topic(&mut client, "t", 1).await;
        assert_ne!(first, second);
        let old = described(&mut client, 12, by_id(first)).await;
        assert!(is(old.error_code, ErrorCode::UnknownTopicId), "{old:?}");
        let answer = client.call(13, requests::fetch_by_id(first, 0, 0)).await;
        let code = answer.responses[0].partitions[0].error_code;
        assert!(is(code, ErrorCode::UnknownTopicId), "{answer:?}");
        assert_eq!(append(&mut client, "t", b"v").await, 0, "the new topic begins anew");
    });
}

#[test]
fn pitfall_10_topic_ids_are_told_and_taken() {
    with_broker(6, &[], async |_, mut client| {
        let id = topic(&mut client, "t", 1).await;
        assert_ne!(id, Uuid::ZERO);
        append(&mut client, "t", b"v").await;
        for version in [10, 11, 12, 13] {
            assert_eq!(described(&mut client, version, named("t")).await.topic_id, id, "v{version}");
        }
        for version in [12, 13] {
            let answer = described(&mut client, version, by_id(id)).await;
            assert_eq!((answer.error_code, answer.name.as_deref()), (0, Some("t")), "v{version}");
            let unknown = described(&mut client, version, by_id(Uuid([5; 16]))).await;
            assert!(is(unknown.error_code, ErrorCode::UnknownTopicId), "v{version}: {unknown:?}");
            assert_eq!(unknown.name, None, "v{version}");
        }
        for version in 13..=18 {
            let answer = client.call(version, requests::fetch_by_id(id, 0, 0)).await;
            assert_eq!(answer.responses[0].topic_id, id, "v{version}");
            assert_eq!(answer.responses[0].partitions[0].high_watermark, 1, "v{version}");
            for unknown in [Uuid([5; 16]), Uuid::ZERO] {
                let answer = client.call(version, requests::fetch_by_id(unknown, 0, 0)).await;
                let code = answer.responses[0].partitions[0].error_code;
                assert!(is(code, ErrorCode::UnknownTopicId), "v{version}: {answer:?}");
            }
        }
    });
}

/// The format of versions 10 and 11 has ids, the protocol does not (KIP-516): refused as a whole, on an open connection.
#[test]
fn pitfall_10_ids_in_versions_that_do_not_take_them_are_refused() {
    with_broker(7, &[], async |_, mut client| {
        let id = topic(&mut client, "t", 1).await;
        for version in [10, 11] {
            for asked in [by_id(id), MetadataRequestTopic { topic_id: id, ..named("t") }] {
                let answer = described(&mut client, version, asked).await;
                assert!(is(answer.error_code, ErrorCode::InvalidRequest), "v{version}: {answer:?}");
            }
        }
    });
}

#[test]
fn pitfall_11_the_controller_is_a_live_broker_and_a_new_topic_has_a_leader_soon() {
    with_broker(8, &[], async |_, mut client| {
        topic(&mut client, "t", 3).await;
        let answer = client.call(12, about(None)).await;
        assert!(answer.brokers.iter().any(|broker| broker.node_id == answer.controller_id), "{answer:?}");
        assert_eq!(answer.topics[0].partitions.len(), 3);
        for partition in &answer.topics[0].partitions {
            assert_eq!((partition.error_code, partition.leader_id), (0, answer.controller_id), "{partition:?}");
            assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1], &vec![1]));
            assert!(partition.offline_replicas.is_empty());
        }
    });
}

#[test]
fn pitfall_12_the_address_told_is_one_that_the_client_reaches() {
    with_broker(9, &[], async |visitor, mut client| {
        let answer = client.call(9, about(None)).await;
        assert_eq!(answer.brokers.len(), 1);
        let broker = &answer.brokers[0];
        assert!(broker.node_id >= 0);
        assert_eq!(broker.host, visitor.address.host);
        assert_eq!(broker.port, i32::from(visitor.address.port));
        assert!(answer.cluster_id.is_some_and(|id| id.len() == 22));
    });
}
