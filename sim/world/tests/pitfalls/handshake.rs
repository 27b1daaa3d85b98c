//! Pitfalls 1 to 7: handshake and framing.

use barnabas_sim_world::{NoAnswer, RawClient, Visitor, requests, with_broker};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ApiKey, ErrorCode, ResponseBody};
use bytes::Buf;

use crate::{PRODUCE, append, framed, is, topic};

/// The body of a request in the newer form, with `tags` as the tagged fields of its header.
fn api_versions(version: i16, correlation_id: i32, tags: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ApiKey::ApiVersions.code().to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(correlation_id.to_be_bytes());
    body.extend([0, 3, b'r', b'a', b'w']);
    body.extend(tags);
    body.extend([2, b'r', 2, b'1', 0]);
    body
}

async fn closes(visitor: &Visitor, bytes: Vec<u8>) {
    let mut client = visitor.connect().await;
    client.send_bytes(bytes.clone()).await.expect("it is connected");
    let answer = client.frame().await;
    let closed = matches!(answer, Err(NoAnswer::Closed | NoAnswer::Broken(_)));
    assert!(closed, "{bytes:x?} is answered by {answer:?}");
}

/// The connection still serves.
async fn serves(client: &mut RawClient) {
    let answer = client.call(0, ApiVersionsRequest::default()).await;
    assert_eq!(answer.error_code, 0);
}

#[test]
fn pitfall_1_unknown_api_versions_is_answered_in_version_0_with_our_range() {
    with_broker(1, &[], async |_, mut client| {
        client.send_bytes(framed(&api_versions(99, 7, &[0]))).await.expect("it is connected");
        let mut frame = client.frame().await.expect("an answer");
        assert_eq!(frame.get_i32(), 7);
        assert_eq!(frame.get_i16(), ErrorCode::UnsupportedVersion.code());
        assert_eq!(frame.get_i32(), 1, "one key is listed");
        assert_eq!((frame.get_i16(), frame.get_i16(), frame.get_i16()), (18, 0, 4));
        assert!(frame.is_empty(), "version 0 ends here: {frame:x?}");
        serves(&mut client).await;
    });
}

#[test]
fn pitfall_1_other_unknown_requests_close_the_connection() {
    with_broker(2, &[], async |visitor, _| {
        let head = |key: i16, version: i16| {
            let mut body = Vec::new();
            body.extend(key.to_be_bytes());
            body.extend(version.to_be_bytes());
            body.extend([0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
            framed(&body).to_vec()
        };
        for (key, version) in [(3, 99), (3, -1), (0, 14), (999, 0), (-1, 0), (24, 0), (71, 0)] {
            closes(&visitor, head(key, version)).await;
        }
    });
}

#[test]
fn pitfall_2_a_client_without_a_proper_name_is_told_so() {
    with_broker(3, &[], async |_, mut client| {
        let named = |name: &str, version: &str| ApiVersionsRequest {
            client_software_name: name.to_owned(),
            client_software_version: version.to_owned(),
        };
        for (name, version) in [("", "1"), ("-x", "1"), ("x", ""), ("a b", "1")] {
            let answer = client.call(3, named(name, version)).await;
            assert!(is(answer.error_code, ErrorCode::InvalidRequest), "{name:?} {version:?}: {answer:?}");
        }
        assert_eq!(client.call(3, named("rdkafka", "2.0.2")).await.error_code, 0);
        assert_eq!(client.call(2, named("", "")).await.error_code, 0, "version 2 has no name");
    });
}

#[test]
fn pitfall_3_features_come_with_a_rising_epoch() {
    with_broker(4, &[], async |_, mut client| {
        let request =
            || ApiVersionsRequest { client_software_name: "raw".to_owned(), client_software_version: "1".to_owned() };
        let first = client.call(3, request()).await;
        assert!(first.supported_features.iter().all(|feature| feature.min_version > 0), "{first:?}");
        assert!(first.finalized_features_epoch >= 0, "{first:?}");
        topic(&mut client, "t", 1).await;
        let second = client.call(4, request()).await;
        assert!(second.finalized_features_epoch > first.finalized_features_epoch, "{second:?}");
        assert!(second.finalized_features.iter().any(|feature| feature.name == "metadata.version"), "{second:?}");
    });
}

#[test]
fn pitfall_4_the_versions_that_old_librdkafka_looks_for_are_listed() {
    with_broker(5, &[], async |_, mut client| {
        let answer = client.call(0, ApiVersionsRequest::default()).await;
        for (api, least) in [
            (ApiKey::Produce, 0),
            (ApiKey::Fetch, 4),
            (ApiKey::FindCoordinator, 0),
            (ApiKey::JoinGroup, 0),
            (ApiKey::SyncGroup, 0),
            (ApiKey::Heartbeat, 0),
            (ApiKey::LeaveGroup, 0),
            (ApiKey::OffsetFetch, 1),
            (ApiKey::OffsetCommit, 2),
        ] {
            let listed = answer.api_keys.iter().find(|listed| listed.api_key == api.code());
            assert_eq!(listed.map(|listed| listed.min_version), Some(least), "{}", api.name());
        }
    });
}

#[test]
fn pitfall_5_answers_come_in_the_order_of_the_requests() {
    with_broker(6, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let producer = 4_000;
        for sequence in 0..5 {
            let records = requests::batch(requests::idempotent(producer, 0, sequence), &[b"v"]);
            client.send(PRODUCE, requests::produce("t", 0, -1, records)).await.expect("it is connected");
        }
        // A fetch that has to wait, between requests that do not.
        let fetch = FetchRequest { max_wait_ms: 300, min_bytes: 1 << 20, ..requests::fetch("t", 0, 0) };
        client.send(11, fetch).await.expect("it is connected");
        client.send(1, MetadataRequest { topics: None, ..Default::default() }).await.expect("it is connected");
        for offset in 0..5 {
            let Ok(ResponseBody::Produce(answer)) = client.receive().await else { panic!("Produce is due") };
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        }
        assert!(matches!(client.receive().await, Ok(ResponseBody::Fetch(_))));
        assert!(matches!(client.receive().await, Ok(ResponseBody::Metadata(_))));
    });
}

/// 200 requests at once: more than a connection may have in flight, so that the reader waits and goes on.
#[test]
fn pitfall_5_a_flood_of_requests_is_answered_in_full() {
    with_broker(7, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        for _ in 0..100 {
            let records = requests::batch(BatchOptions::default(), &[b"v"]);
            client.send(PRODUCE, requests::produce("t", 0, -1, records)).await.expect("it is connected");
            client.send(4, requests::fetch("t", 0, 0)).await.expect("it is connected");
        }
        for offset in 0..100 {
            let Ok(ResponseBody::Produce(answer)) = client.receive().await else { panic!("Produce is due") };
            assert_eq!(answer.responses[0].partition_responses[0].base_offset, offset);
            assert!(matches!(client.receive().await, Ok(ResponseBody::Fetch(_))));
        }
    });
}

#[test]
fn pitfall_6_acks_0_has_no_answer_and_holds_nothing_up() {
    with_broker(8, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let records = requests::batch(BatchOptions::default(), &[b"v"]);
        let silent = requests::produce("t", 0, 0, records).into();
        client.send_unanswered(PRODUCE, &silent).await.expect("it is connected");
        assert_eq!(append(&mut client, "t", b"w").await, 1, "the silent record came first");
    });
}

#[test]
fn pitfall_6_an_error_with_acks_0_closes_after_what_came_before() {
    with_broker(9, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let records = || requests::batch(BatchOptions::default(), &[b"v"]);
        client.send(PRODUCE, requests::produce("t", 0, -1, records())).await.expect("it is connected");
        client.send(0, MetadataRequest::default()).await.expect("it is connected");
        let silent = requests::produce("nowhere", 0, 0, records()).into();
        client.send_unanswered(PRODUCE, &silent).await.expect("it is connected");
        assert!(matches!(client.receive().await, Ok(ResponseBody::Produce(_))));
        assert!(matches!(client.receive().await, Ok(ResponseBody::Metadata(_))));
        assert_eq!(client.frame().await, Err(NoAnswer::Closed));
    });
}

#[test]
fn pitfall_6_frames_of_no_sane_size_close_the_connection() {
    with_broker(10, &[("socket.request.max.bytes", "10000")], async |visitor, mut client| {
        for size in [-1, i32::MIN, i32::MAX, 10_001] {
            closes(&visitor, size.to_be_bytes().to_vec()).await;
        }
        // What is no request: nothing, too short, cut off.
        closes(&visitor, framed(&[]).to_vec()).await;
        closes(&visitor, framed(&[0, 3]).to_vec()).await;
        closes(&visitor, framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]).to_vec()).await;
        serves(&mut client).await;
    });
}

/// Kafka reads no further than the request goes.
#[test]
fn padding_behind_a_request_is_passed_over() {
    with_broker(13, &[], async |_, mut client| {
        client.send_bytes(framed(&[0, 18, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 9, 9, 9])).await.expect("it is connected");
        let mut frame = client.frame().await.expect("an answer");
        assert_eq!((frame.get_i32(), frame.get_i16()), (5, 0));
        serves(&mut client).await;
    });
}

#[test]
fn pitfall_7_unknown_tagged_fields_are_skipped() {
    with_broker(11, &[], async |_, mut client| {
        let tags = [2, 50, 3, 1, 2, 3, 51, 0];
        client.send_bytes(framed(&api_versions(3, 9, &tags))).await.expect("it is connected");
        let mut frame = client.frame().await.expect("an answer");
        assert_eq!((frame.get_i32(), frame.get_i16()), (9, 0));
        serves(&mut client).await;
    });
}

/// A frame that comes byte by byte, and two that come at once, are the same to the broker.
#[test]
fn frames_are_read_however_they_arrive() {
    with_broker(12, &[], async |_, mut client| {
        let frame = framed(&api_versions(3, 9, &[0]));
        for byte in &frame {
            client.send_bytes(vec![*byte]).await.expect("it is connected");
        }
        client.send_bytes([&frame[..], &frame[..]].concat()).await.expect("it is connected");
        for _ in 0..3 {
            let mut answer = client.frame().await.expect("an answer");
            assert_eq!((answer.get_i32(), answer.get_i16()), (9, 0));
        }
        // The peer that has said all that it will say is still answered.
        client.send_bytes(frame).await.expect("it is connected");
        client.finish().await.expect("it is connected");
        let mut answer = client.frame().await.expect("an answer");
        assert_eq!((answer.get_i32(), answer.get_i16()), (9, 0));
        assert_eq!(client.frame().await, Err(NoAnswer::Closed));
    });
}
