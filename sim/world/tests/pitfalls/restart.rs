//! What a restart keeps: topics, records, configuration, producers, groups and their offsets.

use barnabas_sim_world::{RawClient, Scene, play, requests};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_configs::DescribeConfigsResource;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::offset_fetch::OffsetFetchRequestTopic;
use barnabas_wire::message::*;

use crate::{FETCH, append, fetched, is, listed, produce, records, topic};

const STOPS: [fn(&Scene); 3] = [
    |scene| scene.broker().stop().expect("it stops"),
    |scene| scene.broker().machine().crash(),
    |scene| scene.broker().machine().power_loss(),
];

/// Plays `before`, takes the broker down in each of the three ways, and plays `after`.
fn across_restarts(before: AsyncStory, after: AsyncStory) {
    for (stop, seed) in STOPS.into_iter().zip(1..) {
        play(seed, &[("offsets.topic.num.partitions", "2")], move |scene| {
            scene.visit(async move |visitor| before(visitor.connect().await).await);
            stop(scene);
            scene.broker().start().expect("it starts again");
            scene.visit(async move |visitor| after(visitor.connect().await).await);
        });
    }
}

type AsyncStory = fn(RawClient) -> barnabas_runtime::Local<'static, ()>;

#[test]
fn topics_records_and_configuration_stay() {
    across_restarts(
        |mut client| {
            Box::pin(async move {
                topic(&mut client, "t", 2).await;
                let config = AlterableConfig {
                    name: "max.message.bytes".to_owned(),
                    config_operation: 0,
                    value: Some("5000".to_owned()),
                };
                let resource =
                    AlterConfigsResource { resource_type: 2, resource_name: "t".to_owned(), configs: vec![config] };
                let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
                assert_eq!(client.call(1, request).await.responses[0].error_code, 0);
                for _ in 0..5 {
                    append(&mut client, "t", b"kept").await;
                }
                let partitions = vec![delete_records::DeleteRecordsPartition { partition_index: 0, offset: 2 }];
                let topics = vec![delete_records::DeleteRecordsTopic { name: "t".to_owned(), partitions }];
                let deleted = client.call(2, DeleteRecordsRequest { topics, timeout_ms: 1_000 }).await;
                assert_eq!(deleted.topics[0].partitions[0].low_watermark, 2);
            })
        },
        |mut client| {
            Box::pin(async move {
                assert_eq!(listed(&mut client, 7, requests::list_offset("t", 0, -2)).await, (0, 2));
                assert_eq!(listed(&mut client, 7, requests::list_offset("t", 0, -1)).await, (0, 5));
                let answer = client.call(FETCH, requests::fetch("t", 0, 2)).await;
                assert_eq!(records(fetched(&answer)).len(), 3);
                let resource = DescribeConfigsResource {
                    resource_type: 2,
                    resource_name: "t".to_owned(),
                    configuration_keys: Some(vec!["max.message.bytes".to_owned()]),
                };
                let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
                let described = client.call(4, request).await;
                assert_eq!(described.results[0].configs[0].value.as_deref(), Some("5000"));
                assert_eq!(append(&mut client, "t", b"more").await, 5);
            })
        },
    );
}

#[test]
fn deleted_topics_stay_deleted() {
    across_restarts(
        |mut client| {
            Box::pin(async move {
                topic(&mut client, "gone", 3).await;
                append(&mut client, "gone", b"x").await;
                topic(&mut client, "t", 1).await;
                let topic_names = vec!["gone".to_owned()];
                let request = DeleteTopicsRequest { topic_names, ..DeleteTopicsRequest::default() };
                assert_eq!(client.call(5, request).await.responses[0].error_code, 0);
            })
        },
        |mut client| {
            Box::pin(async move {
                let about = MetadataRequest { topics: None, ..MetadataRequest::default() };
                let names: Vec<_> =
                    client.call(9, about).await.topics.into_iter().filter_map(|topic| topic.name).collect();
                assert_eq!(names, ["t"]);
                topic(&mut client, "gone", 1).await;
                assert_eq!(append(&mut client, "gone", b"x").await, 0);
            })
        },
    );
}

#[test]
fn pitfall_17_duplicates_are_known_after_a_restart() {
    fn batch(sequence: i32) -> ProduceRequest {
        let options = requests::idempotent(4_000, 1, sequence);
        requests::produce("t", 0, -1, requests::batch(options, &[b"a", b"b"]))
    }
    across_restarts(
        |mut client| {
            Box::pin(async move {
                topic(&mut client, "t", 1).await;
                for sequence in [0, 2, 4] {
                    assert_eq!(produce(&mut client, batch(sequence)).await.error_code, 0);
                }
                let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
                let first = client.call(4, request).await;
                append(&mut client, "t", first.producer_id.to_string().as_bytes()).await;
            })
        },
        |mut client| {
            Box::pin(async move {
                // Kafka's snapshots, and so ours, have the last batch of a producer only.
                let again = produce(&mut client, batch(4)).await;
                assert_eq!((again.error_code, again.base_offset), (0, 4), "{again:?}");
                let gap = produce(&mut client, batch(8)).await;
                assert!(is(gap.error_code, ErrorCode::OutOfOrderSequenceNumber), "{gap:?}");
                assert_eq!(produce(&mut client, batch(6)).await.base_offset, 7);
                // A producer id is never given twice.
                let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
                let second = client.call(4, request).await.producer_id;
                let answer = client.call(FETCH, requests::fetch("t", 0, 6)).await;
                let first: i64 = String::from_utf8(records(fetched(&answer))[0].1.clone())
                    .expect("digits")
                    .parse()
                    .expect("an id was written");
                assert!(second > first, "{second} after {first}");
            })
        },
    );
}

/// Asks until the coordinator has loaded.
async fn committed(client: &mut RawClient) -> i64 {
    let find = FindCoordinatorRequest { key: "g".to_owned(), ..FindCoordinatorRequest::default() };
    assert_eq!(client.call(2, find).await.error_code, 0);
    loop {
        let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
        let request =
            OffsetFetchRequest { group_id: "g".to_owned(), topics: Some(vec![topic]), ..OffsetFetchRequest::default() };
        let response = client.call(7, request).await;
        if response.error_code == 0 {
            return response.topics[0].partitions[0].committed_offset;
        }
        let loading = is(response.error_code, ErrorCode::CoordinatorLoadInProgress)
            || is(response.error_code, ErrorCode::NotCoordinator);
        assert!(loading, "{response:?}");
    }
}

#[test]
fn pitfall_26_committed_offsets_stay() {
    across_restarts(
        |mut client| {
            Box::pin(async move {
                topic(&mut client, "t", 1).await;
                assert_eq!(committed(&mut client).await, -1);
                for offset in [3, 7, 5] {
                    let response = client.call(8, requests::commit("g", "t", 0, offset)).await;
                    assert_eq!(response.topics[0].partitions[0].error_code, 0);
                }
            })
        },
        |mut client| {
            Box::pin(async move {
                assert_eq!(committed(&mut client).await, 5);
                let listed = client.call(4, ListGroupsRequest::default()).await;
                assert_eq!(listed.groups.len(), 1, "{listed:?}");
                assert_eq!(listed.groups[0].group_state, "Empty");
            })
        },
    );
}
