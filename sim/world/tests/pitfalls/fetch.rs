//! Pitfalls 20 to 23: what Fetch answers, and when.

use std::time::Duration;

use barnabas_sim_world::{RawClient, Visitor, play, requests, with_broker};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::fetch::{EpochEndOffset, FetchPartition};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;

use crate::{FETCH, PRODUCE, append, fetched, is, produced, records, topic};

const LONG: Duration = Duration::from_secs(20);

/// A fetch that waits for a byte, twenty seconds at the most.
fn patient(topic: &str, index: i32, offset: i64) -> FetchRequest {
    FetchRequest { max_wait_ms: 20_000, min_bytes: 1, ..requests::fetch(topic, index, offset) }
}

/// The answer, and how long it took.
async fn timed(visitor: &Visitor, client: &mut RawClient, request: FetchRequest) -> (FetchResponse, Duration) {
    let began = visitor.env.now();
    let answer = client.call(FETCH, request).await;
    (answer, visitor.env.now().since(began))
}

async fn store(client: &mut RawClient, values: &[&[u8]]) {
    let batch = requests::batch(BatchOptions::default(), values);
    let response = client.call(PRODUCE, requests::produce("t", 0, -1, batch)).await;
    assert_eq!(produced(&response).error_code, 0);
}

#[test]
fn pitfall_20_the_first_batch_comes_whole_whatever_the_limits() {
    with_broker(1, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let large = vec![b'x'; 5_000];
        store(&mut client, &[&large]).await;
        store(&mut client, &[&large]).await;
        for (max_bytes, partition_max_bytes) in [(1, 1), (0, 0), (1 << 20, 1), (1, 1 << 20), (1 << 20, 6_000)] {
            let mut request = FetchRequest { max_bytes, ..requests::fetch("t", 0, 0) };
            request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
            let answer = client.call(FETCH, request).await;
            let Some(first) = records_up_to_cut(&answer) else { panic!("nothing with {max_bytes}") };
            assert_eq!(first, 0, "with {max_bytes} and {partition_max_bytes}");
        }
        let answer = client.call(FETCH, requests::fetch("t", 0, 0)).await;
        assert_eq!(records(fetched(&answer)).len(), 2);
    });
}

/// Partitions live on several shards, which read at the same time; the limits hold for all of them together.
#[test]
fn pitfall_20_the_first_partition_with_data_gets_on_and_the_others_keep_to_the_limits() {
    const PARTITIONS: i32 = 8;
    const BATCH_BYTES: usize = 6_000;
    with_broker(12, &[], async |_, mut client| {
        topic(&mut client, "t", PARTITIONS).await;
        // Partition 0 stays empty.
        for index in 1..PARTITIONS {
            let batch = requests::batch(BatchOptions::default(), &[&[b'x'; 5_000]]);
            let response = client.call(PRODUCE, requests::produce("t", index, -1, batch)).await;
            assert_eq!(produced(&response).error_code, 0);
        }
        for first in 0..PARTITIONS {
            let mut request = FetchRequest { max_bytes: 10_000, ..requests::fetch("t", 0, 0) };
            let template = request.topics[0].partitions[0];
            let order = (0..PARTITIONS).map(|step| (first + step) % PARTITIONS);
            request.topics[0].partitions = order.map(|partition| FetchPartition { partition, ..template }).collect();
            for max_bytes in [0, 1, 10_000] {
                let answer = client.call(FETCH, FetchRequest { max_bytes, ..request.clone() }).await;
                let sizes: Vec<(i32, usize)> = answer.responses[0]
                    .partitions
                    .iter()
                    .map(|one| (one.partition_index, one.records.bytes().map_or(0, |bytes| bytes.len())))
                    .collect();
                let due = if first == 0 { 1 } else { first };
                assert!(sizes.iter().any(|(index, size)| *index == due && *size > 0), "{due} is first: {sizes:?}");
                let total: usize = sizes.iter().map(|(_, size)| size).sum();
                let bound = usize::try_from(max_bytes).expect("small") + BATCH_BYTES;
                assert!(total <= bound, "{total} bytes with {max_bytes}: {sizes:?}");
            }
        }
    });
}

/// The offset of the first batch, which has to be whole; a later one may be cut.
fn records_up_to_cut(answer: &FetchResponse) -> Option<i64> {
    let barnabas_wire::Records::Bytes(bytes) = &fetched(answer).records else { return None };
    let base = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let size = i32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    let whole = bytes.len() >= 12 + usize::try_from(size).ok()?;
    whole.then_some(base)
}

#[test]
fn pitfall_20_an_offset_inside_a_batch_gets_the_batch() {
    with_broker(2, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        store(&mut client, &[b"a", b"b", b"c"]).await;
        store(&mut client, &[b"d"]).await;
        let answer = client.call(FETCH, requests::fetch("t", 0, 1)).await;
        let offsets: Vec<i64> = records(fetched(&answer)).iter().map(|record| record.0).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
    });
}

#[test]
fn pitfall_21_aborted_transactions_are_null_or_a_list() {
    with_broker(3, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        append(&mut client, "t", b"a").await;
        let uncommitted = client.call(FETCH, requests::fetch("t", 0, 0)).await;
        assert_eq!(fetched(&uncommitted).aborted_transactions, None);
        let request = FetchRequest { isolation_level: 1, ..requests::fetch("t", 0, 0) };
        let committed = client.call(FETCH, request).await;
        let answer = fetched(&committed);
        assert_eq!(answer.aborted_transactions, Some(Vec::new()));
        assert_eq!((answer.high_watermark, answer.last_stable_offset, answer.log_start_offset), (1, 1, 0));
        assert_eq!(answer.preferred_read_replica, -1);
    });
}

#[test]
fn pitfall_22_offsets_out_of_range_are_answered_at_once() {
    with_broker(4, &[], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        append(&mut client, "t", b"a").await;
        for offset in [2, 1_000_000, i64::MAX, -1, i64::MIN] {
            let (answer, took) = timed(&visitor, &mut client, patient("t", 0, offset)).await;
            assert!(is(fetched(&answer).error_code, ErrorCode::OffsetOutOfRange), "{offset}: {answer:?}");
            assert_eq!((fetched(&answer).high_watermark, fetched(&answer).log_start_offset), (-1, -1));
            assert!(took < Duration::from_secs(1), "{offset} took {took:?}");
        }
        let (answer, took) = timed(&visitor, &mut client, patient("t", 7, 0)).await;
        assert!(is(fetched(&answer).error_code, ErrorCode::UnknownTopicOrPartition), "{answer:?}");
        assert!(took < Duration::from_secs(1), "took {took:?}");
    });
}

#[test]
fn pitfall_22_leader_epochs_are_checked_when_given() {
    with_broker(5, &[], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        append(&mut client, "t", b"a").await;
        let about = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let epoch = client.call(9, about).await.topics[0].partitions[0].leader_epoch;
        let known = [
            (-1, ErrorCode::None),
            (epoch, ErrorCode::None),
            (epoch + 1, ErrorCode::UnknownLeaderEpoch),
            (epoch - 1, if epoch == 0 { ErrorCode::None } else { ErrorCode::FencedLeaderEpoch }),
        ];
        for (current_leader_epoch, code) in known {
            let mut request = patient("t", 0, 0);
            request.topics[0].partitions[0].current_leader_epoch = current_leader_epoch;
            let (answer, took) = timed(&visitor, &mut client, request).await;
            assert!(is(fetched(&answer).error_code, code), "{current_leader_epoch}: {answer:?}");
            assert!(took < Duration::from_secs(1), "{current_leader_epoch} took {took:?}");
        }
        // A reader with a record of an epoch that never was here has read another log.
        let mut request = patient("t", 0, 1);
        request.topics[0].partitions[0].last_fetched_epoch = epoch + 5;
        let (answer, took) = timed(&visitor, &mut client, request).await;
        assert!(is(fetched(&answer).error_code, ErrorCode::OffsetOutOfRange), "{answer:?}");
        assert!(took < Duration::from_secs(1), "took {took:?}");
    });
}

#[test]
fn pitfall_22_a_reader_that_went_further_in_an_old_epoch_is_told_where_to_go_back_to() {
    play(10, &[], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            topic(&mut client, "t", 1).await;
            append(&mut client, "t", b"a").await;
        });
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            for _ in 0..4 {
                append(&mut client, "t", b"b").await;
            }
            let about = MetadataRequest { topics: None, ..MetadataRequest::default() };
            let epoch = client.call(9, about).await.topics[0].partitions[0].leader_epoch;
            // The old epoch ended at offset 1; this reader says it has read up to 3 in it.
            let mut request = patient("t", 0, 3);
            request.topics[0].partitions[0].last_fetched_epoch = epoch - 1;
            let (answer, took) = timed(&visitor, &mut client, request).await;
            let answer = fetched(&answer);
            assert_eq!(answer.error_code, 0);
            assert_eq!(answer.diverging_epoch, EpochEndOffset { epoch: 0, end_offset: 1 }, "{answer:?}");
            assert!(took < Duration::from_secs(1), "took {took:?}");
        });
    });
}

#[test]
fn pitfall_23_an_empty_answer_waits_for_all_of_max_wait() {
    with_broker(6, &[], async |visitor, mut client| {
        topic(&mut client, "t", 3).await;
        let (answer, took) = timed(&visitor, &mut client, patient("t", 0, 0)).await;
        assert!(records(fetched(&answer)).is_empty());
        assert!((LONG..LONG + Duration::from_secs(1)).contains(&took), "took {took:?}");
        // A new session is no reason to hurry, and neither is one that goes on.
        let opening = FetchRequest { session_epoch: 0, ..patient("t", 0, 0) };
        let (answer, took) = timed(&visitor, &mut client, opening).await;
        assert!(took >= LONG, "took {took:?}");
        let resumed =
            FetchRequest { session_id: answer.session_id, session_epoch: 1, topics: Vec::new(), ..patient("t", 0, 0) };
        let (answer, took) = timed(&visitor, &mut client, resumed).await;
        assert!(answer.responses.is_empty(), "{answer:?}");
        assert!(took >= LONG, "took {took:?}");
    });
}

#[test]
fn pitfall_23_who_need_not_wait_does_not() {
    with_broker(7, &[], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let hurried = [
            FetchRequest { max_wait_ms: 0, ..patient("t", 0, 0) },
            FetchRequest { max_wait_ms: -1, ..patient("t", 0, 0) },
            FetchRequest { min_bytes: 0, ..patient("t", 0, 0) },
            FetchRequest { topics: Vec::new(), ..patient("t", 0, 0) },
        ];
        for request in hurried {
            let (_, took) = timed(&visitor, &mut client, request).await;
            assert!(took < Duration::from_secs(1), "took {took:?}");
        }
    });
}

/// A consumer on each of several connections, so that partition and connection meet on one shard and on two.
#[test]
fn pitfall_23_a_waiting_fetch_is_woken_by_what_it_waits_for() {
    with_broker(8, &[], async |visitor, mut producer| {
        topic(&mut producer, "t", 2).await;
        topic(&mut producer, "other", 2).await;
        for round in 0..6_i64 {
            let mut consumer = visitor.connect().await;
            consumer.send(FETCH, patient("t", 0, round)).await.expect("it is connected");
            assert!(consumer.frame_within(Duration::from_secs(5)).await.is_err(), "it waits");
            append(&mut producer, "other", b"not that").await;
            assert!(consumer.frame_within(Duration::from_secs(5)).await.is_err(), "it waits for its own partition");
            let began = visitor.env.now();
            append(&mut producer, "t", b"this").await;
            let Ok(barnabas_wire::ResponseBody::Fetch(answer)) = consumer.receive().await else {
                panic!("an answer is due")
            };
            assert_eq!(records(fetched(&answer)), [(round, b"this".to_vec())]);
            let took = visitor.env.now().since(began);
            assert!(took < Duration::from_secs(1), "woken after {took:?}");
        }
    });
}

#[test]
fn pitfall_23_min_bytes_are_waited_for() {
    with_broker(9, &[], async |visitor, mut producer| {
        topic(&mut producer, "t", 1).await;
        let mut consumer = visitor.connect().await;
        let request = FetchRequest { min_bytes: 300, ..patient("t", 0, 0) };
        consumer.send(FETCH, request).await.expect("it is connected");
        for _ in 0..3 {
            assert!(consumer.frame_within(Duration::from_secs(1)).await.is_err(), "there is too little");
            append(&mut producer, "t", &[b'x'; 20]).await;
        }
        append(&mut producer, "t", &[b'x'; 200]).await;
        let Ok(barnabas_wire::ResponseBody::Fetch(answer)) = consumer.receive().await else {
            panic!("an answer is due")
        };
        assert_eq!(records(fetched(&answer)).len(), 4);
    });
}

/// Appends batches of a record of 16,000 bytes to a partition of `t`.
async fn pile_up(client: &mut RawClient, index: i32, batches: usize) {
    for _ in 0..batches {
        let batch = requests::batch(BatchOptions::default(), &[&[b'x'; 16_000]]);
        let response = client.call(PRODUCE, requests::produce("t", index, -1, batch)).await;
        assert_eq!(produced(&response).error_code, 0);
    }
}

/// A patient fetch from partition 0 of `t` that waits for `min_bytes`.
fn wanting(min_bytes: i32, max_bytes: i32, partition_max_bytes: i32) -> FetchRequest {
    let mut request = FetchRequest { min_bytes, max_bytes, ..patient("t", 0, 0) };
    request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
    request
}

#[test]
fn pitfall_23_what_is_there_counts_and_not_what_fits_the_answer() {
    async fn does_not_wait(visitor: &Visitor, client: &mut RawClient) {
        for (min_bytes, max_bytes, partition_max_bytes) in [
            // Whole batches end below the limit of the partition, and below that of the answer.
            (100_000, 1 << 20, 100_000),
            (100_000, 100_000, 1 << 20),
            // No answer is as large as that.
            (1 << 20, 100_000, 1 << 20),
            (1 << 20, 1, 1 << 20),
        ] {
            let request = wanting(min_bytes, max_bytes, partition_max_bytes);
            let (answer, took) = timed(visitor, client, request).await;
            assert!(!records(fetched(&answer)).is_empty());
            assert!(took < Duration::from_secs(1), "{min_bytes} of {max_bytes}, {partition_max_bytes} took {took:?}");
        }
    }
    play(13, &[], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            topic(&mut client, "t", 1).await;
            pile_up(&mut client, 0, 10).await;
            does_not_wait(&visitor, &mut client).await;
        });
        // After a start it is read from the file.
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            does_not_wait(&visitor, &mut client).await;
        });
    });
}

#[test]
fn pitfall_23_a_partition_counts_up_to_its_own_limit() {
    with_broker(14, &[], async |visitor, mut producer| {
        topic(&mut producer, "t", 1).await;
        pile_up(&mut producer, 0, 10).await;
        let mut consumer = visitor.connect().await;
        let began = visitor.env.now();
        consumer.send(FETCH, wanting(100_000, 1 << 20, 20_000)).await.expect("it is connected");
        // What arrives meanwhile changes nothing.
        for _ in 0..5 {
            assert!(consumer.frame_within(Duration::from_secs(1)).await.is_err(), "it waits");
            pile_up(&mut producer, 0, 1).await;
        }
        let Ok(barnabas_wire::ResponseBody::Fetch(answer)) = consumer.receive().await else {
            panic!("an answer is due")
        };
        assert_eq!(records(fetched(&answer)).len(), 1);
        let took = visitor.env.now().since(began);
        assert!(took >= LONG, "took {took:?}");
    });
}

#[test]
fn pitfall_23_a_reader_in_an_older_segment_does_not_wait() {
    with_broker(15, &[("log.segment.bytes", "1048576")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        // A segment for each of them.
        let large = vec![b'x'; 600_000];
        store(&mut client, &[&large]).await;
        store(&mut client, &[&large]).await;
        let mut request = wanting(1_000_000, 8 << 20, 8 << 20);
        let (answer, took) = timed(&visitor, &mut client, request.clone()).await;
        assert_eq!(records(fetched(&answer)).len(), 1);
        assert!(took < Duration::from_secs(1), "took {took:?}");
        request.topics[0].partitions[0].fetch_offset = 1;
        let (answer, took) = timed(&visitor, &mut client, request).await;
        assert_eq!(records(fetched(&answer)).len(), 1);
        assert!(took >= LONG, "took {took:?}");
    });
}

/// Each shard has its share of an answer; here it all lies on one.
#[test]
fn pitfall_23_a_share_that_is_used_up_does_not_wait() {
    const PARTITIONS: i32 = 8;
    with_broker(16, &[], async |visitor, mut client| {
        topic(&mut client, "t", PARTITIONS).await;
        pile_up(&mut client, 0, 10).await;
        let mut request = wanting(80_000, 100_000, 1 << 20);
        let template = request.topics[0].partitions[0];
        request.topics[0].partitions =
            (0..PARTITIONS).map(|partition| FetchPartition { partition, ..template }).collect();
        let (answer, took) = timed(&visitor, &mut client, request).await;
        assert!(!records(fetched(&answer)).is_empty());
        assert!(took < Duration::from_secs(1), "took {took:?}");
    });
}
