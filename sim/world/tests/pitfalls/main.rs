//! Behaviour that bites a new broker, one test for each, over the wire against the whole broker.
//!
//! The numbers in the names are those of the list of pitfalls that the other rooms' `pitfall_` tests count by; tests
//! without a number hold the broker to what tools and clients expect beside it. Numbers that are missing are about what
//! this broker does not have: the newer group protocol (27), transactions (29 to 31), quotas (33), SASL (35).

mod admin;
mod fetch;
mod groups;
mod handshake;
mod limits;
mod metadata;
mod positions;
mod produce;
mod restart;
mod sessions;

use barnabas_base::Uuid;
use barnabas_sim_world::{RawClient, requests};
use barnabas_wire::message::fetch::PartitionData;
use barnabas_wire::message::produce::PartitionProduceResponse;
use barnabas_wire::message::{FetchResponse, ListOffsetsRequest, ProduceRequest, ProduceResponse};
use barnabas_wire::record::{BatchOptions, Decompressor, Tail, batches};
use barnabas_wire::{ErrorCode, Records};
use bytes::Bytes;

/// Produce by name, with all that an answer can carry by name.
const PRODUCE: i16 = 12;
/// Fetch by name, with all that a request can carry by name.
const FETCH: i16 = 12;
/// The most that the records of one batch unpack to.
const PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// Creates a topic and returns its id.
async fn topic(client: &mut RawClient, name: &str, partitions: i32) -> Uuid {
    let created = client.call(7, requests::create_topic(name, partitions)).await;
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
    created.topics[0].topic_id
}

/// Appends one record with acks=all and returns its offset.
async fn append(client: &mut RawClient, topic: &str, value: &[u8]) -> i64 {
    let records = requests::batch(BatchOptions::default(), &[value]);
    let response = client.call(PRODUCE, requests::produce(topic, 0, -1, records)).await;
    let answer = produced(&response);
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.base_offset
}

/// What a produce of one batch was answered.
async fn produce(client: &mut RawClient, request: ProduceRequest) -> PartitionProduceResponse {
    let response = client.call(PRODUCE, request).await;
    produced(&response).clone()
}

fn produced(response: &ProduceResponse) -> &PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1, "{response:?}");
    &response.responses[0].partition_responses[0]
}

fn fetched(response: &FetchResponse) -> &PartitionData {
    assert_eq!(response.error_code, 0, "{response:?}");
    assert_eq!(response.responses.len(), 1, "{response:?}");
    &response.responses[0].partitions[0]
}

/// The offset that a ListOffsets for one partition answers, with its error.
async fn listed(client: &mut RawClient, version: i16, request: ListOffsetsRequest) -> (i16, i64) {
    let response = client.call(version, request).await;
    let answer = &response.topics[0].partitions[0];
    (answer.error_code, answer.offset)
}

/// Offsets and values of the records in an answer.
fn records(answer: &PartitionData) -> Vec<(i64, Vec<u8>)> {
    let Records::Bytes(bytes) = &answer.records else { panic!("no records in {answer:?}") };
    let mut read = Vec::new();
    let mut decompressor = Decompressor::new();
    for batch in batches(bytes, Tail::MustBeWhole) {
        let batch = batch.expect("the broker sends whole batches");
        let payload = batch.payload(&mut decompressor, PAYLOAD_BYTES_MAX).expect("the broker sends sound batches");
        for record in payload.records() {
            let record = record.expect("the broker sends sound records");
            read.push((record.offset.0, record.value.unwrap_or_default().to_vec()));
        }
    }
    read
}

fn is(code: i16, expected: ErrorCode) -> bool {
    code == expected.code()
}

/// A frame: the size in front of `body`.
fn framed(body: &[u8]) -> Bytes {
    let size = i32::try_from(body.len()).expect("a short frame");
    [&size.to_be_bytes(), body].concat().into()
}
