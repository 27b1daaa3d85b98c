//! Asking leaders for offsets: ends of logs and positions of times.

use std::collections::BTreeMap;

use barnabas_base::{Offset, PartitionIndex};
use barnabas_client::Destination;
use barnabas_wire::message::ListOffsetsRequest;
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::{ErrorCode, RequestBody};

use crate::client::{Session, expect_response};
use crate::output::{Failure, known_code};

/// ListOffsets' names for the ends of a log.
pub(crate) const LATEST: i64 = -1;
pub(crate) const EARLIEST: i64 = -2;
/// Tries while leaders move.
const ATTEMPTS_MAX: u32 = 10;

/// Partitions of topics.
pub(crate) type Partitions = Vec<(String, PartitionIndex)>;

/// The offset of `timestamp` in each partition: an end of the log, or the first record of that time or later (−1 when
/// there is none). Partitions that refuse are left out and reported.
pub(crate) async fn list_offsets(
    session: &mut Session,
    partitions: &Partitions,
    timestamp: i64,
) -> Result<BTreeMap<(String, PartitionIndex), Offset>, Failure> {
    let mut found = BTreeMap::new();
    for (topic, partition) in partitions {
        let offset = list_offset(session, topic, *partition, timestamp).await?;
        found.insert((topic.clone(), *partition), offset);
    }
    Ok(found)
}

async fn list_offset(
    session: &mut Session,
    topic: &str,
    partition: PartitionIndex,
    timestamp: i64,
) -> Result<Offset, Failure> {
    let mut attempt = 0;
    loop {
        let asked = ListOffsetsPartition { partition_index: partition.0, timestamp, ..Default::default() };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions: vec![asked] }],
            ..Default::default()
        };
        let destination = Destination::Leader(topic.to_owned(), partition);
        let answer = session.ask(destination, RequestBody::ListOffsets(request), None).await?;
        let answer = expect_response!(answer, ListOffsets)?;
        let answered = answer.topics.first().and_then(|topic| topic.partitions.first()).copied();
        let code = answered.map_or(ErrorCode::UnknownServerError, |answered| known_code(answered.error_code));
        match (answered, code) {
            (Some(answered), ErrorCode::None) => return Ok(Offset(answered.offset)),
            (_, code) if code.is_retriable() && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                let now = session.driver.now();
                session.driver.client.forget_leader(now, topic, partition);
            }
            (_, code) => return Err(Failure::code(&format!("{topic}-{partition}"), code, None)),
        }
    }
}
