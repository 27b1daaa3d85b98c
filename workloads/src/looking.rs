//! Looking at one place of a log: a fetch that begins where no reader has been on its way, so that an index has to say
//! where to begin.

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_client::Destination;
use barnabas_history::{Call, LogName, Outcome, Reply};
use barnabas_plan::TopicName;
use barnabas_wire::message::FetchRequest;
use barnabas_wire::message::fetch::{FetchPartition, FetchTopic, PartitionData};
use barnabas_wire::record::{Decompressor, RecordError, Tail, batches};
use barnabas_wire::{ErrorCode, ResponseBody};
use bytes::Bytes;

use crate::record::partition_index;
use crate::session::{Purpose, Session, error_of, refused, unanswered};

/// One batch and what the broker sends along: the first one comes whole, whatever the limit.
const FIRST_BYTES: i32 = 1;
/// Asked for behind batches without such a record: cleaning leaves an empty one of every producer that there was.
const FURTHER_BYTES: i32 = 16 * 1024;
/// Fetches that show no record at or behind the offset.
const FETCHES_MAX: u32 = 64;
/// A decompressed batch is smaller.
const DECOMPRESSED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a fetch showed.
enum Sight {
    /// The first record at or behind the offset.
    Record(Offset, TimestampMs),
    /// No such record in the batches that came, which end there.
    Beyond(Offset),
    /// The end of the log.
    End,
}

impl Session {
    /// Fetches at `from`, and asks on while what comes holds no record at or behind it. Says whether it was told.
    pub(crate) async fn look(&mut self, topic: TopicName, partition: u32, from: Offset) -> bool {
        if !self.know(Purpose::Work, topic).await {
            return false;
        }
        let log = self.log(Purpose::Work, topic, partition);
        let call = self.call(Call::Look { topic, partition, from });
        let outcome = self.look_from(log, from).await;
        // Retention goes on meanwhile.
        let out_of_range = refused(ErrorCode::OffsetOutOfRange);
        let is_told = matches!(outcome, Outcome::Ok(_)) || outcome == out_of_range;
        if !is_told {
            self.forget_leader(log);
        }
        self.recorder.end(call, outcome);
        is_told
    }

    async fn look_from(&mut self, log: LogName, from: Offset) -> Outcome {
        let found =
            |offset, timestamp| Outcome::Ok(Reply::Offset { log, offset, timestamp, epoch: LeaderEpoch::UNKNOWN });
        let mut at = from;
        let mut max_bytes = FIRST_BYTES;
        for _ in 0..FETCHES_MAX {
            let leader = Destination::Leader(log.topic.to_string(), partition_index(log.partition));
            let answer = self.ask(leader, request(log, at, max_bytes)).await;
            let data = match &answer {
                Ok((_, ResponseBody::Fetch(response))) => match error_of(response.error_code) {
                    Ok(()) => response.responses.iter().flat_map(|topic| &topic.partitions).next(),
                    Err(outcome) => return outcome,
                },
                _ => None,
            };
            let Some(data) = data else { return unanswered(&answer) };
            if let Err(outcome) = error_of(data.error_code) {
                return outcome;
            }
            match sight(data, from) {
                Ok(Sight::Record(offset, timestamp)) => return found(offset, timestamp),
                Ok(Sight::Beyond(end)) if end > at => {
                    at = end;
                    max_bytes = FURTHER_BYTES;
                }
                Ok(Sight::Beyond(_) | Sight::End) => return found(Offset::UNKNOWN, TimestampMs::NONE),
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        Outcome::Unknown(format!("no record in {FETCHES_MAX} fetches"))
    }
}

fn request(log: LogName, at: Offset, max_bytes: i32) -> FetchRequest {
    const NO_SESSION_EPOCH: i32 = -1;
    let partition = FetchPartition {
        partition: partition_index(log.partition).0,
        fetch_offset: at.0,
        partition_max_bytes: max_bytes,
        ..Default::default()
    };
    FetchRequest {
        max_bytes,
        session_epoch: NO_SESSION_EPOCH,
        topics: vec![FetchTopic { topic: log.topic.to_string(), topic_id: log.id, partitions: vec![partition] }],
        ..Default::default()
    }
}

fn sight(data: &PartitionData, from: Offset) -> Result<Sight, RecordError> {
    let bytes: Bytes = data.records.bytes().cloned().unwrap_or_default();
    let mut decompressor = Decompressor::new();
    let mut end = None;
    for batch in batches(&bytes, Tail::MayBeCut) {
        let batch = batch?;
        batch.check_crc()?;
        end = Some(batch.header().end_offset());
        if batch.header().attributes.is_control() {
            continue;
        }
        let payload = batch.payload(&mut decompressor, DECOMPRESSED_BYTES_MAX)?;
        for record in payload.records() {
            let record = record?;
            if record.offset >= from {
                return Ok(Sight::Record(record.offset, record.timestamp));
            }
        }
    }
    Ok(end.map_or(Sight::End, Sight::Beyond))
}
