//! A broker whose device fills up: what is refused, what goes on, what a start without a free byte does after the process
//! or the power is gone, and that it heals. Driven over the wire against the whole broker.

use std::time::Duration;

use barnabas_runtime_madsim::{DiskCallKind, DiskVerdict};
use barnabas_sim_world::{RawClient, Scene, Visitor, play, requests};
use barnabas_wire::message::create_topics::{CreatableTopicConfig, CreateTopicsRequest};
use barnabas_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::{DeleteRecordsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest};
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ErrorCode, Records};

const DISK_BYTES: u64 = 32 * 1024 * 1024;
const PRODUCE: i16 = 12;
const FETCH: i16 = 12;
/// Sizes of records by which a device is filled to its last block.
const SIZES: [usize; 3] = [600_000, 20_000, 10];
const OVERRIDES: [(&str, &str); 4] = [
    ("log.retention.check.interval.ms", "1000"),
    ("log.flush.offset.checkpoint.interval.ms", "1000"),
    ("offsets.topic.num.partitions", "2"),
    ("auto.create.topics.enable", "false"),
];
const TAKE_DOWN: [fn(&Scene); 3] = [
    |scene| scene.broker().stop().expect("it stops"),
    |scene| scene.broker().machine().crash(),
    |scene| scene.broker().machine().power_loss(),
];

async fn create(client: &mut RawClient, name: &str) -> i16 {
    let mut request: CreateTopicsRequest = requests::create_topic(name, 1);
    let configs = [("segment.bytes", "1048576"), ("file.delete.delay.ms", "100")];
    let config =
        |(name, value): (&str, &str)| CreatableTopicConfig { name: name.to_owned(), value: Some(value.to_owned()) };
    request.topics[0].configs = configs.map(config).to_vec();
    client.call(7, request).await.topics[0].error_code
}

async fn produce(client: &mut RawClient, topic: &str, size: usize) -> i16 {
    let records = requests::batch(BatchOptions::default(), &[&vec![7; size]]);
    let response = client.call(PRODUCE, requests::produce(topic, 0, -1, records)).await;
    response.responses[0].partition_responses[0].error_code
}

/// Writes until nothing is accepted any more; how many records were.
async fn fill(client: &mut RawClient, topic: &str) -> i64 {
    let mut accepted = 0;
    for size in SIZES {
        loop {
            match produce(client, topic, size).await {
                0 => accepted += 1,
                code => {
                    assert_eq!(code, ErrorCode::KafkaStorageError.code());
                    break;
                }
            }
        }
    }
    accepted
}

async fn offset(client: &mut RawClient, topic: &str, timestamp: i64) -> i64 {
    let response = client.call(7, requests::list_offset(topic, 0, timestamp)).await;
    let answer = &response.topics[0].partitions[0];
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.offset
}

/// Reads the first record that is there.
async fn read_first(client: &mut RawClient, topic: &str) {
    let start = offset(client, topic, -2).await;
    let answer = client.call(FETCH, requests::fetch(topic, 0, start)).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    let is_there = matches!(&partition.records, Records::Bytes(bytes) if !bytes.is_empty());
    assert!(is_there, "nothing at {start}");
}

/// Room returns by itself once something was deleted.
async fn until_accepted(visitor: &Visitor, client: &mut RawClient, topic: &str) {
    for _ in 0..60 {
        if produce(client, topic, 20_000).await == 0 {
            return;
        }
        visitor.env.sleep(Duration::from_secs(1)).await;
    }
    panic!("nothing is accepted a minute after room was made");
}

async fn delete_topic(client: &mut RawClient, name: &str) -> i16 {
    let request = DeleteTopicsRequest { topic_names: vec![name.to_owned()], ..DeleteTopicsRequest::default() };
    client.call(5, request).await.responses[0].error_code
}

async fn delete_records(client: &mut RawClient, topic: &str, before: i64) -> i16 {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: before }];
    let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
    client.call(2, DeleteRecordsRequest { topics, timeout_ms: 1_000 }).await.topics[0].partitions[0].error_code
}

async fn keep_only(client: &mut RawClient, topic: &str, bytes: u64) -> i16 {
    let config =
        AlterableConfig { name: "retention.bytes".to_owned(), config_operation: 0, value: Some(bytes.to_string()) };
    let resource = AlterConfigsResource { resource_type: 2, resource_name: topic.to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    client.call(1, request).await.responses[0].error_code
}

/// Fills a small device with two topics; how many records each has.
fn fill_device(scene: &Scene) -> [i64; 2] {
    scene.broker().machine().set_disk_bytes(DISK_BYTES);
    scene.visit(async move |visitor| {
        let mut client = visitor.connect().await;
        for topic in ["one", "two"] {
            assert_eq!(create(&mut client, topic).await, 0);
        }
        for _ in 0..5 {
            assert_eq!(produce(&mut client, "one", 600_000).await, 0);
        }
        let counts = [5, fill(&mut client, "two").await];
        assert_eq!(create(&mut client, "late").await, ErrorCode::KafkaStorageError.code());
        counts
    })
}

#[test]
fn a_start_needs_no_free_byte() {
    for (seed, take_down) in (1..).zip(TAKE_DOWN) {
        play(seed, &OVERRIDES, move |scene| {
            let [one, mut two] = fill_device(scene);
            for _ in 0..3 {
                take_down(scene);
                scene.broker().start().expect("a full device is no reason not to start");
                two = scene.visit(async move |visitor| {
                    let mut client = visitor.connect().await;
                    assert_eq!(offset(&mut client, "one", -1).await, one);
                    assert_eq!(offset(&mut client, "two", -1).await, two);
                    for topic in ["one", "two"] {
                        read_first(&mut client, topic).await;
                    }
                    two + fill(&mut client, "two").await
                });
            }
        });
    }
}

#[test]
fn deleting_works_after_such_a_start_and_makes_room() {
    for (seed, take_down) in (10..).zip(TAKE_DOWN) {
        play(seed, &OVERRIDES, move |scene| {
            let [_, two] = fill_device(scene);
            take_down(scene);
            scene.broker().start().expect("a full device is no reason not to start");
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                fill(&mut client, "two").await;
                assert_eq!(delete_records(&mut client, "two", two / 4).await, 0);
                until_accepted(&visitor, &mut client, "one").await;
                fill(&mut client, "two").await;
                assert_eq!(keep_only(&mut client, "two", 3_000_000).await, 0);
                until_accepted(&visitor, &mut client, "one").await;
                fill(&mut client, "one").await;
                assert_eq!(delete_topic(&mut client, "one").await, 0);
                until_accepted(&visitor, &mut client, "two").await;
                assert_eq!(create(&mut client, "late").await, 0);
                until_accepted(&visitor, &mut client, "late").await;
            });
        });
    }
}

/// The controller's records have room of their own: hundreds of them are accepted without a free byte.
#[test]
fn decisions_are_written_without_a_free_byte() {
    play(20, &OVERRIDES, |scene| {
        fill_device(scene);
        scene.broker().machine().set_disk_bytes(0);
        scene.broker().machine().crash();
        // What a start gives back and takes again is out of reach where the device shrinks below what is used.
        scene.broker().machine().set_disk_bytes(DISK_BYTES);
        scene.broker().start().expect("it starts");
        scene.broker().machine().set_disk_bytes(0);
        scene.visit(async move |visitor| {
            let mut client = visitor.connect().await;
            for bytes in 0..300 {
                assert_eq!(keep_only(&mut client, "one", 3_000_000 + bytes).await, 0);
            }
        });
    });
}

/// The metadata log needs no room for another segment either: it goes on in the one that has room of its own, whatever
/// becomes of the process, and begins another one when it can.
#[test]
fn decisions_are_written_when_the_metadata_log_should_roll() {
    for (seed, take_down) in (60..).zip(TAKE_DOWN) {
        // A snapshot is due with every decision, too.
        let due = [("metadata.log.segment.ms", "1000"), ("metadata.log.max.record.bytes.between.snapshots", "1")];
        let overrides = [&OVERRIDES[..], &due].concat();
        play(seed, &overrides, move |scene| {
            let [_, two] = fill_device(scene);
            let active = metadata_files(scene, ".log").pop();
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                for bytes in 0..20 {
                    // Each decision is due in a segment of its own.
                    visitor.env.sleep(Duration::from_secs(2)).await;
                    fill(&mut client, "two").await;
                    assert_eq!(keep_only(&mut client, "one", 3_000_000_000 + bytes).await, 0);
                }
                // The snapshot that is due with the last one is tried after its answer.
                visitor.env.sleep(Duration::from_secs(2)).await;
            });
            assert_eq!(metadata_files(scene, ".log").pop(), active, "no room for another segment");
            assert_eq!(metadata_files(scene, ".tmp"), [""; 0], "a snapshot without room takes none");
            take_down(scene);
            scene.broker().start().expect("a full device is no reason not to start");
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                fill(&mut client, "two").await;
                visitor.env.sleep(Duration::from_secs(2)).await;
                assert_eq!(delete_topic(&mut client, "one").await, 0);
                until_accepted(&visitor, &mut client, "two").await;
                assert!(offset(&mut client, "two", -1).await > two);
                visitor.env.sleep(Duration::from_secs(2)).await;
                assert_eq!(create(&mut client, "late").await, 0);
            });
            assert!(metadata_files(scene, ".log").pop() > active, "there is room for another segment");
        });
    }
}

/// The files of the metadata log with this ending, in order.
fn metadata_files(scene: &Scene, ending: &str) -> Vec<String> {
    let files = scene.broker().machine().files();
    let names = files.iter().map(|(path, _)| path.to_string_lossy().into_owned());
    let mut found: Vec<String> =
        names.filter(|name| name.contains("__cluster_metadata-0/") && name.ends_with(ending)).collect();
    found.sort_unstable();
    found
}

/// A creation that was let in before the device filled up or descriptors ran out: the partition says what is wrong, and
/// its log is created when there is what it lacks.
#[test]
fn a_log_that_finds_no_room_or_descriptor_is_created_later() {
    let lacks = [(DiskCallKind::Write, DiskVerdict::NO_SPACE), (DiskCallKind::Open, DiskVerdict::NO_DESCRIPTORS)];
    for (seed, (kind, verdict)) in (30..).zip(lacks) {
        play(seed, &OVERRIDES, move |scene| {
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                assert_eq!(create(&mut client, "one").await, 0);
            });
            let machine = scene.broker().machine().clone();
            // Room is asked for by the topic's size, and then it is gone.
            machine.on_disk_call(move |call| {
                let is_it = call.kind == kind && call.path.to_string_lossy().contains("/late-0");
                if is_it { verdict } else { DiskVerdict::Pass }
            });
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                assert_eq!(create(&mut client, "late").await, 0);
                for _ in 0..5 {
                    assert_eq!(produce(&mut client, "late", 10).await, ErrorCode::KafkaStorageError.code());
                    visitor.env.sleep(Duration::from_secs(1)).await;
                }
                assert_eq!(produce(&mut client, "one", 10).await, 0);
            });
            machine.on_disk_call(|_| DiskVerdict::Pass);
            scene.visit(async move |visitor| {
                let mut client = visitor.connect().await;
                until_accepted(&visitor, &mut client, "late").await;
                assert_eq!(offset(&mut client, "late", -1).await, 1);
            });
        });
    }
}

#[test]
fn nothing_is_remembered_of_a_topic_that_was_refused() {
    play(40, &OVERRIDES, |scene| {
        fill_device(scene);
        scene.broker().machine().set_disk_bytes(2 * DISK_BYTES);
        scene.visit(async move |visitor| {
            let mut client = visitor.connect().await;
            assert_eq!(create(&mut client, "late").await, 0, "the name is free");
            until_accepted(&visitor, &mut client, "late").await;
        });
    });
}
