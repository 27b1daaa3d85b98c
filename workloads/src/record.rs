//! Records as workloads write and read them: payloads that say whose they are, keys by number, tombstones that carry their
//! payload as a header.

use barnabas_base::{PartitionIndex, TimestampMs, Uuid};
use barnabas_client::{Received, RecordToSend};
use barnabas_history::{Content, LogName, Payload, Seen, Value};
use barnabas_plan::TopicName;
use bytes::Bytes;

/// The header of a tombstone that holds its payload.
const TOMBSTONE_HEADER: &[u8] = b"payload";
/// Keys are this with their number behind it.
const KEY_PREFIX: &str = "key-";

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) topic: TopicName,
    pub(crate) partition: u32,
    pub(crate) value: Value,
    pub(crate) key: Option<u32>,
    pub(crate) tombstone: bool,
    pub(crate) bytes: u32,
    pub(crate) timestamp: TimestampMs,
}

impl Draft {
    /// The payload's bytes.
    pub(crate) fn payload(&self) -> Bytes {
        let payload = Payload { value: self.value, topic: self.topic, partition: self.partition };
        Bytes::from(payload.encode(usize::try_from(self.bytes).expect("u32 fits")))
    }

    pub(crate) fn to_record(self) -> RecordToSend {
        let payload = self.payload();
        let (value, headers) = if self.tombstone {
            (None, vec![(Bytes::from_static(TOMBSTONE_HEADER), Some(payload))])
        } else {
            (Some(payload), Vec::new())
        };
        RecordToSend {
            topic: self.topic.to_string(),
            partition: Some(partition_index(self.partition)),
            key: self.key.map(|key| Bytes::from(format!("{KEY_PREFIX}{key}"))),
            value,
            headers,
            timestamp: self.timestamp,
        }
    }
}

/// What a record that was read holds, and of which log it is; none for a topic that no plan knows.
pub(crate) fn seen(received: &Received) -> Option<(LogName, Seen)> {
    let topic: TopicName = received.topic.parse().ok()?;
    let log = log_name(topic, received.topic_id, received.partition);
    let key = received.key.as_deref().map(read_key);
    let content = match key {
        Some(None) => Content::Mutated,
        None | Some(Some(_)) => content_of(received, log),
    };
    let (offset, timestamp) = (received.offset, received.timestamp);
    Some((log, Seen { offset, timestamp, key: key.flatten(), content }))
}

fn content_of(received: &Received, log: LogName) -> Content {
    let header = || {
        let [(name, value)] = received.headers.as_slice() else { return None };
        value.as_deref().filter(|_| name.as_ref() == TOMBSTONE_HEADER)
    };
    let (bytes, is_tombstone) = match &received.value {
        Some(value) => (Some(value.as_ref()), false),
        None => (header(), true),
    };
    let Some(payload) = bytes.and_then(Payload::decode) else { return Content::Mutated };
    match (payload.topic == log.topic && payload.partition == log.partition, is_tombstone) {
        (false, _) => Content::Stray(payload.value),
        (true, true) => Content::Tombstone(payload.value),
        (true, false) => Content::Value(payload.value),
    }
}

fn read_key(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.strip_prefix(KEY_PREFIX)?.parse().ok()
}

/// The name of a partition of a topic's incarnation.
pub(crate) fn log_name(topic: TopicName, id: Uuid, partition: PartitionIndex) -> LogName {
    LogName { topic, id, partition: partition.0.unsigned_abs() }
}

/// A plan's partition as Kafka's protocol has it.
pub(crate) fn partition_index(partition: u32) -> PartitionIndex {
    PartitionIndex(i32::try_from(partition).expect("plans have few partitions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(draft: Draft) -> Received {
        let record = draft.to_record();
        Received {
            topic: record.topic,
            topic_id: Uuid([3; 16]),
            partition: record.partition.expect("a draft has one"),
            offset: barnabas_base::Offset(7),
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    const DRAFT: Draft = Draft {
        topic: TopicName(4),
        partition: 1,
        value: Value(99),
        key: Some(12),
        tombstone: false,
        bytes: 64,
        timestamp: TimestampMs(5),
    };

    #[test]
    fn records_read_back_as_what_they_are() {
        let content = |received: &Received| seen(received).expect("a plan's topic").1.content;
        let value = received(DRAFT);
        assert_eq!(content(&value), Content::Value(Value(99)));
        assert_eq!(seen(&value).map(|(log, seen)| (log.partition, seen.key)), Some((1, Some(12))));
        let tombstone = received(Draft { tombstone: true, ..DRAFT });
        assert_eq!(content(&tombstone), Content::Tombstone(Value(99)));
        let stray = Received { partition: PartitionIndex(0), ..value.clone() };
        assert_eq!(content(&stray), Content::Stray(Value(99)));
        for broken in [
            Received { value: Some(Bytes::from_static(b"what")), ..value.clone() },
            Received { key: Some(Bytes::from_static(b"key-x")), ..value },
            Received { headers: Vec::new(), ..tombstone },
        ] {
            assert_eq!(content(&broken), Content::Mutated);
        }
    }
}
