//! Questions about offsets, and DeleteRecords, which moves the first of them.

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_client::Destination;
use barnabas_history::{Call, LogName, Outcome, Reply};
use barnabas_plan::{OffsetSpec, TopicName};
use barnabas_wire::ResponseBody;
use barnabas_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic};
use barnabas_wire::message::{DeleteRecordsRequest, ListOffsetsRequest};

use crate::record::partition_index;
use crate::session::{Purpose, Session, error_of, unanswered};

/// ListOffsets' names for ends of a log and for the newest record.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// How long the broker may take to delete, in milliseconds.
const TIMEOUT_MS: i32 = 4_000;

impl Session {
    /// Asks for an offset. Says whether it was told.
    pub(crate) async fn offsets(&mut self, topic: TopicName, partition: u32, spec: OffsetSpec) -> bool {
        let timestamp = self.timestamp_of(topic, partition, spec);
        let call = self.call(Call::Offsets { topic, partition, spec, timestamp: TimestampMs(timestamp) });
        let partitions = vec![ListOffsetsPartition {
            partition_index: partition_index(partition).0,
            timestamp,
            ..Default::default()
        }];
        let topics = vec![ListOffsetsTopic { name: topic.to_string(), partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let leader = Destination::Leader(topic.to_string(), partition_index(partition));
        let answer = self.ask(leader, request).await;
        let log = self.log(Purpose::Work, topic, partition);
        let partition = match &answer {
            Ok((_, ResponseBody::ListOffsets(response))) => {
                response.topics.iter().flat_map(|topic| &topic.partitions).next()
            }
            _ => None,
        };
        let outcome = partition.map_or_else(|| unanswered(&answer), |partition| offset_outcome(log, partition));
        let is_told = matches!(outcome, Outcome::Ok(_));
        if !is_told {
            self.forget_leader(log);
        }
        self.recorder.end(call, outcome);
        is_told
    }

    fn timestamp_of(&mut self, topic: TopicName, partition: u32, spec: OffsetSpec) -> i64 {
        match spec {
            OffsetSpec::Earliest => EARLIEST,
            OffsetSpec::Latest => LATEST,
            OffsetSpec::MaxTimestamp => MAX_TIMESTAMP,
            OffsetSpec::Timestamp => {
                let now = self.env.wall();
                let (first, last) = self.known(topic, partition).sent.unwrap_or((now, now));
                // Wall clocks jump: the last may be the earlier. Just outside is asked for, too.
                let (from, to) = (first.min(last).0 - 1, first.max(last).0 + 1);
                let drawn = self.env.entropy.next_u64() % (to.abs_diff(from) + 1);
                from.saturating_add_unsigned(drawn).max(0)
            }
        }
    }

    /// Deletes a share of what the client knows of a log; nothing where it knows nothing.
    pub(crate) async fn trim(&mut self, topic: TopicName, partition: u32, percent: u32) {
        let known_end = self.known(topic, partition).end.0;
        let before = Offset(known_end * i64::from(percent.min(100)) / 100);
        if before.0 == 0 {
            return;
        }
        let call = self.call(Call::Trim { topic, partition, before });
        let partitions =
            vec![DeleteRecordsPartition { partition_index: partition_index(partition).0, offset: before.0 }];
        let topics = vec![DeleteRecordsTopic { name: topic.to_string(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS };
        let leader = Destination::Leader(topic.to_string(), partition_index(partition));
        let answer = self.ask(leader, request).await;
        let log = self.log(Purpose::Work, topic, partition);
        let result = match &answer {
            Ok((_, ResponseBody::DeleteRecords(response))) => {
                response.topics.iter().flat_map(|topic| &topic.partitions).next()
            }
            _ => None,
        };
        let outcome = match result.map(|result| (error_of(result.error_code), result.low_watermark)) {
            None => unanswered(&answer),
            Some((Err(outcome), _)) => outcome,
            Some((Ok(()), low_watermark)) => Outcome::Ok(Reply::Trimmed { log, low_watermark: Offset(low_watermark) }),
        };
        if !matches!(outcome, Outcome::Ok(_)) {
            self.forget_leader(log);
        }
        self.recorder.end(call, outcome);
    }

    pub(crate) fn forget_leader(&mut self, log: LogName) {
        let now = self.env.now();
        let client = self.client_mut(Purpose::Work);
        client.forget_leader(now, &log.topic.to_string(), partition_index(log.partition));
    }
}

fn offset_outcome(log: LogName, answer: &ListOffsetsPartitionResponse) -> Outcome {
    match error_of(answer.error_code) {
        Err(outcome) => outcome,
        Ok(()) => Outcome::Ok(Reply::Offset {
            log,
            offset: Offset(answer.offset),
            timestamp: TimestampMs(answer.timestamp),
            epoch: LeaderEpoch(answer.leader_epoch),
        }),
    }
}
