//! Fetch: sessions, long polls, and answers made of file ranges instead of copies.
//!
//! The shard of the connection resolves names, asks the owners to read, and waits when there is too little. File ranges
//! travel as handles; they are sent by the runtime without passing through user space.

use std::collections::BTreeMap;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Monotonic, Observation, Offset, PartitionIndex, ShardId, TopicId, TopicPartition};
use barnabas_commitlog::{ReadBound, ReadError, ReadResult, ReadStop};
use barnabas_runtime::{Local, Segment, join_all};
use barnabas_wire::message::fetch::{AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData};
use barnabas_wire::message::{FetchRequest, FetchResponse};
use barnabas_wire::record::Compression;
use barnabas_wire::{ErrorCode, Records};

use crate::connection::Outgoing;
use crate::dispatch::Call;
use crate::fetch_session::{Answered, FetchContext, FetchKey, FetchWant, SessionRequest, TopicRef};
use crate::partition::Partition;
use crate::shard::Shard;
use crate::watch::{Watch, Watched};

/// First version that names topics by id (KIP-516).
const IDS_SINCE: i16 = 13;
/// First version whose clients read zstd; older ones are told when a topic is configured for it (KIP-110).
const ZSTD_SINCE: i16 = 10;
/// First version in which a client is told where its log diverges (KIP-595).
const DIVERGENCE_SINCE: i16 = 12;
/// Isolation level of `read_committed`.
const READ_COMMITTED: i8 = 1;

/// What the owner needs to know beside the partition.
#[derive(Clone, Copy, Debug)]
struct Terms {
    committed_only: bool,
    version: i16,
    max_bytes: usize,
    /// Whether the first partition with data gives a whole batch even when that is larger than every limit.
    one_batch_anyway: bool,
}

/// One partition to read, and its place in the answer.
#[derive(Clone, Copy, Debug)]
struct ReadPart {
    slot: usize,
    partition: TopicPartition,
    fetch_offset: Offset,
    max_bytes: usize,
    current_leader_epoch: LeaderEpoch,
    last_fetched_epoch: LeaderEpoch,
}

/// What was read of one partition.
#[derive(Debug)]
struct Reading {
    slot: usize,
    data: PartitionData,
    segments: Vec<Segment>,
    size_bytes: u64,
    bound: Offset,
    available: Available,
}

/// What a long poll counts a partition for: what is there for the reader, not what fits the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Available {
    /// So many bytes.
    Bytes(u64),
    /// More than this answer carries, so that waiting would add nothing to it.
    Enough,
}

/// A partition whose position was resolved, or what it is answered with.
enum Resolved {
    Part(ReadPart),
    Refused(ErrorCode),
}

/// Serves one request to its answer.
pub(crate) async fn serve(call: Call, request: FetchRequest) -> Outgoing {
    let shard = Rc::clone(&call.shard);
    let terms = Terms {
        committed_only: request.isolation_level == READ_COMMITTED,
        version: call.version,
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0).min(shard.fetch_bytes_max),
        one_batch_anyway: true,
    };
    let deadline = deadline(&shard, request.max_wait_ms);
    // No answer is larger than its limit, so that none is waited for that is.
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0).min(terms.max_bytes as u64);
    let session = session_request(call.version, request);
    let random = shard.env.entropy.next_u64();
    let begun = shard.sessions.borrow_mut().begin(shard.env.now(), session, random);
    if let Some(mark) = shard.sessions.borrow_mut().take_mark() {
        shard.env.observe(&mark.seen());
    }
    let context = match begun {
        Ok(context) => context,
        Err(code) => return refuse(&call, code),
    };
    let readings = read_until_enough(&shard, &context, terms, min_bytes, deadline).await;
    answer(&call, &context, readings)
}

/// When a long poll ends. While it waits nobody looks whether its peer is still there, and a client may ask for 24 days:
/// where Kafka closes a connection on which nothing has come or gone for `connections.max.idle.ms`, whatever it waits for,
/// this one hears that nothing has come, and one that is gone is found out.
fn deadline(shard: &Shard, max_wait_ms: i32) -> Monotonic {
    let now = shard.env.now();
    let asked = now.after_ms(i64::from(max_wait_ms));
    shard.connection_idle_max.map_or(asked, |idle_max| asked.min(now.after(idle_max)))
}

fn refuse(call: &Call, code: ErrorCode) -> Outgoing {
    let response = FetchResponse { error_code: code.code(), ..FetchResponse::default() };
    call.answer(&response.into(), &[])
}

fn session_request(version: i16, request: FetchRequest) -> SessionRequest {
    let by_ids = version >= IDS_SINCE;
    let topic_ref = |name: String, id| if by_ids { TopicRef::Id(TopicId(id)) } else { TopicRef::Name(name.into()) };
    let mut wants = Vec::new();
    for topic in request.topics {
        let topic_key = topic_ref(topic.topic, topic.topic_id);
        for partition in topic.partitions {
            wants.push(FetchWant {
                key: FetchKey { topic: topic_key.clone(), partition: PartitionIndex(partition.partition) },
                fetch_offset: Offset(partition.fetch_offset),
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
            });
        }
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data {
        let topic_key = topic_ref(topic.topic, topic.topic_id);
        let keys = topic.partitions.into_iter().map(PartitionIndex);
        forgotten.extend(keys.map(|partition| FetchKey { topic: topic_key.clone(), partition }));
    }
    // Version 6 and below have no sessions; their fields decode to the defaults that mean "none".
    SessionRequest { session_id: request.session_id, epoch: request.session_epoch, by_ids, wants, forgotten }
}

/// Reads, and reads again whenever something grew, until there is enough, an error, or no time left.
async fn read_until_enough(
    shard: &Rc<Shard>,
    context: &FetchContext,
    terms: Terms,
    min_bytes: u64,
    deadline: Monotonic,
) -> Vec<Reading> {
    let mut watch: Option<Watch> = None;
    loop {
        let seen = watch.as_ref().map(Watch::version);
        let (readings, parts) = read_all(shard, context, terms).await;
        let urgent = readings.iter().any(is_urgent);
        if is_enough(&readings, min_bytes) || urgent || readings.is_empty() || shard.env.now() >= deadline {
            return readings;
        }
        let poll = watch.get_or_insert_with(|| Watch::new(shard));
        let seen = seen.unwrap_or_else(|| poll.version());
        register(shard, poll, &readings, &parts);
        if shard.env.timeout_at(deadline, poll.changed_since(seen)).await.is_none() {
            barnabas_base::reachable!(shard.env, LONG_POLL_TIMED_OUT);
            return readings;
        }
        barnabas_base::reachable!(shard.env, LONG_POLL_WOKEN);
    }
}

/// Whether there is as much as the client waits for (Kafka's `DelayedFetch.tryComplete`). An answer without records is
/// never enough for a client that wants some: it would ask again at once, for ever.
fn is_enough(readings: &[Reading], min_bytes: u64) -> bool {
    let is_empty = readings.iter().all(|reading| reading.size_bytes == 0);
    if is_empty || min_bytes == 0 {
        return min_bytes == 0;
    }
    let mut total: u64 = 0;
    for reading in readings {
        match reading.available {
            Available::Enough => return true,
            Available::Bytes(bytes) => total = total.saturating_add(bytes),
        }
    }
    total >= min_bytes
}

/// An error or a divergence is answered at once.
fn is_urgent(reading: &Reading) -> bool {
    reading.data.error_code != ErrorCode::None.code() || reading.data.diverging_epoch != EpochEndOffset::default()
}

fn register(shard: &Rc<Shard>, poll: &Watch, readings: &[Reading], parts: &[ReadPart]) {
    let mut by_owner: BTreeMap<ShardId, Vec<Watched>> = BTreeMap::new();
    for part in parts {
        let owner = part.partition.shard(shard.data_shards);
        let bound_seen = Offset(readings[part.slot].data.high_watermark);
        by_owner.entry(owner).or_default().push(Watched { partition: part.partition, bound_seen });
    }
    for (owner, watched) in by_owner {
        poll.register(owner, watched);
    }
}

/// One pass over all partitions, in the order of the context; the slots of the parts are positions in the readings.
async fn read_all(shard: &Rc<Shard>, context: &FetchContext, terms: Terms) -> (Vec<Reading>, Vec<ReadPart>) {
    let mut parts = Vec::with_capacity(context.wants.len());
    let mut readings = Vec::with_capacity(context.wants.len());
    for (slot, want) in context.wants.iter().enumerate() {
        let refused = match resolve(shard, slot, want) {
            Resolved::Part(part) => {
                parts.push(part);
                ErrorCode::None
            }
            Resolved::Refused(code) => code,
        };
        readings.push(empty_reading(slot, want.key.partition, refused));
    }
    let mut by_owner: BTreeMap<ShardId, Vec<ReadPart>> = BTreeMap::new();
    for part in &parts {
        by_owner.entry(part.partition.shard(shard.data_shards)).or_default().push(*part);
    }
    // Owners read at the same time and know nothing of one another, so that each gets its share of the bytes. Which
    // partition is the first with data is known when all have answered.
    let owners = by_owner.len().max(1);
    let share = Terms { max_bytes: terms.max_bytes / owners, one_batch_anyway: owners == 1, ..terms };
    let asked: Vec<Local<'static, Vec<Reading>>> = by_owner
        .into_iter()
        .map(|(owner, parts)| {
            shard.on(owner, move |shard| {
                let shard = Rc::clone(shard);
                Box::pin(async move { read_parts(&shard, parts, share).await })
            })
        })
        .collect();
    for reading in join_all(asked).await.into_iter().flatten() {
        let slot = reading.slot;
        readings[slot] = reading;
    }
    if owners > 1 {
        get_on(shard, &parts, terms, &mut readings).await;
    }
    (readings, parts)
}

/// What Kafka promises of several limits at once: the first partition with data gives at least one batch, however small
/// the limits and however large the batch, and the others keep to the limits. So an answer is at most one batch larger
/// than its `max_bytes`.
async fn get_on(shard: &Rc<Shard>, parts: &[ReadPart], terms: Terms, readings: &mut [Reading]) {
    let has_data = |part: &&ReadPart| {
        let reading = &readings[part.slot];
        let data = &reading.data;
        let end = if terms.committed_only { data.last_stable_offset } else { data.high_watermark };
        reading.size_bytes > 0 || (!is_urgent(reading) && end > part.fetch_offset.0)
    };
    let Some(first) = parts.iter().find(has_data).copied().filter(|part| readings[part.slot].size_bytes == 0) else {
        return;
    };
    barnabas_base::reachable!(shard.env, FIRST_PARTITION_READ_AGAIN);
    let owner = first.partition.shard(shard.data_shards);
    let read = shard.on(owner, move |shard| {
        let shard = Rc::clone(shard);
        Box::pin(async move { read_parts(&shard, vec![first], terms).await })
    });
    for reading in read.await {
        let slot = reading.slot;
        readings[slot] = reading;
    }
}

fn resolve(shard: &Rc<Shard>, slot: usize, want: &FetchWant) -> Resolved {
    let image = shard.image();
    let topic_id = match &want.key.topic {
        TopicRef::Name(name) => {
            image.topic_by_name(name).map(|topic| topic.id).ok_or(ErrorCode::UnknownTopicOrPartition)
        }
        TopicRef::Id(id) => image.topic(*id).map(|topic| topic.id).ok_or(ErrorCode::UnknownTopicId),
    };
    match topic_id {
        Ok(topic_id) => Resolved::Part(ReadPart {
            slot,
            partition: TopicPartition { topic_id, partition: want.key.partition },
            fetch_offset: want.fetch_offset,
            max_bytes: usize::try_from(want.max_bytes).unwrap_or(0),
            current_leader_epoch: want.current_leader_epoch,
            last_fetched_epoch: want.last_fetched_epoch,
        }),
        Err(code) => Resolved::Refused(code),
    }
}

fn empty_reading(slot: usize, partition: PartitionIndex, code: ErrorCode) -> Reading {
    let data = PartitionData {
        partition_index: partition.0,
        error_code: code.code(),
        high_watermark: -1,
        aborted_transactions: None,
        records: Records::Bytes(bytes::Bytes::new()),
        ..PartitionData::default()
    };
    let (bound, available) = (Offset::UNKNOWN, Available::Bytes(0));
    Reading { slot, data, segments: Vec::new(), size_bytes: 0, bound, available }
}

/// Reads on the owner, one partition after the other, until the bytes are used up. If the terms say so, the first
/// partition that has anything gives a whole batch even when that is larger than every limit, so that a reader gets on.
async fn read_parts(shard: &Rc<Shard>, parts: Vec<ReadPart>, terms: Terms) -> Vec<Reading> {
    let mut left = terms.max_bytes;
    let mut nothing_yet = terms.one_batch_anyway;
    let mut readings = Vec::with_capacity(parts.len());
    for part in parts {
        let reading = match shard.led_partition(part.partition) {
            Ok(partition) => read_one(shard, &partition, part, terms, left, nothing_yet).await,
            Err(code) => empty_reading(part.slot, part.partition.partition, code),
        };
        let size = usize::try_from(reading.size_bytes).unwrap_or(usize::MAX);
        left = left.saturating_sub(size);
        nothing_yet &= size == 0;
        readings.push(reading);
    }
    readings
}

async fn read_one(
    shard: &Rc<Shard>,
    partition: &Rc<Partition>,
    part: ReadPart,
    terms: Terms,
    left: usize,
    first: bool,
) -> Reading {
    let mut reading = empty_reading(part.slot, part.partition.partition, ErrorCode::None);
    if let Err(code) = partition.check_epoch(part.current_leader_epoch) {
        reading.data.error_code = code.code();
        return reading;
    }
    if terms.version < ZSTD_SINCE && partition.log.config().compression == Some(Compression::Zstd) {
        reading.data.error_code = ErrorCode::UnsupportedCompressionType.code();
        return reading;
    }
    describe_log(&mut reading, partition);
    if terms.version >= DIVERGENCE_SINCE && part.last_fetched_epoch != LeaderEpoch::UNKNOWN {
        match partition.divergence(part.last_fetched_epoch, part.fetch_offset) {
            Ok(None) => {}
            Ok(Some(diverging)) => {
                reading.data.diverging_epoch = diverging;
                return reading;
            }
            Err(code) => return empty_reading(part.slot, part.partition.partition, code),
        }
    }
    let bound = if terms.committed_only { ReadBound::LastStable } else { ReadBound::HighWatermark };
    let max_bytes = part.max_bytes.min(left);
    if max_bytes == 0 && !first {
        let end = if terms.committed_only { reading.data.last_stable_offset } else { reading.data.high_watermark };
        if part.max_bytes > left && end > part.fetch_offset.0 {
            reading.available = Available::Enough;
        }
        return reading;
    }
    match partition.log.read(part.fetch_offset, max_bytes, bound, first).await {
        Ok(read) => {
            reading.available = available(&read, part, left);
            if terms.committed_only {
                reading.data.aborted_transactions = Some(aborted(&read.aborted));
            }
            reading.size_bytes = read.size_bytes;
            reading.segments = read.segments;
            reading.bound = read.next_offset;
            if reading.size_bytes > 0 {
                shard.env.observe(&Observation::Served {
                    partition: partition.id,
                    fetch_offset: part.fetch_offset,
                    bound: read.next_offset,
                    size_bytes: read.size_bytes,
                });
            }
        }
        // As Kafka does, an error tells nothing of the log beside it.
        Err(error) => {
            if matches!(error, ReadError::Damaged) {
                partition.report_damage();
            }
            return empty_reading(part.slot, part.partition.partition, read_error(&error));
        }
    }
    reading
}

/// What is there for the reader of a partition, of which a read with `left` bytes of the answer gave `read`. Kafka counts
/// no partition for more than its own limit, and does not wait for one whose reader is in an older segment.
fn available(read: &ReadResult, part: ReadPart, left: usize) -> Available {
    match read.stop {
        ReadStop::End => Available::Bytes(read.size_bytes),
        ReadStop::Limit if part.max_bytes <= left => Available::Bytes(read.size_bytes.max(part.max_bytes as u64)),
        ReadStop::Limit | ReadStop::Boundary => Available::Enough,
    }
}

fn describe_log(reading: &mut Reading, partition: &Partition) {
    reading.data.high_watermark = partition.log.high_watermark().0;
    reading.data.last_stable_offset = partition.log.last_stable_offset().0;
    reading.data.log_start_offset = partition.log.log_start_offset().0;
}

fn read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged => ErrorCode::CorruptMessage,
        ReadError::Storage => ErrorCode::KafkaStorageError,
    }
}

fn aborted(entries: &[barnabas_commitlog::AbortedTransaction]) -> Vec<AbortedTransaction> {
    let to_wire = |entry: &barnabas_commitlog::AbortedTransaction| AbortedTransaction {
        producer_id: entry.producer_id.0,
        first_offset: entry.first_offset.0,
    };
    entries.iter().map(to_wire).collect()
}

/// Builds the answer: topics in the order in which their first partition stands, records as holes for their ranges.
fn answer(call: &Call, context: &FetchContext, readings: Vec<Reading>) -> Outgoing {
    let mut external = Vec::new();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut positions: BTreeMap<TopicRef, usize> = BTreeMap::new();
    for mut reading in readings {
        let key = &context.wants[reading.slot].key;
        if !is_news(call, context, key, &reading) {
            continue;
        }
        if reading.size_bytes > 0 {
            let len = u32::try_from(reading.size_bytes).expect("a read is bounded by 32-bit sizes");
            let token = u32::try_from(external.len()).expect("fewer partitions than 2^32");
            reading.data.records = Records::External { len, token };
            external.push(reading.segments);
        }
        let position = *positions.entry(key.topic.clone()).or_insert_with(|| {
            responses.push(new_topic(&key.topic));
            responses.len() - 1
        });
        responses[position].partitions.push(reading.data);
    }
    let response = FetchResponse {
        error_code: ErrorCode::None.code(),
        session_id: context.session_id,
        responses,
        ..FetchResponse::default()
    };
    call.answer(&response.into(), &external)
}

fn new_topic(topic: &TopicRef) -> FetchableTopicResponse {
    match topic {
        TopicRef::Name(name) => FetchableTopicResponse { topic: name.to_string(), ..FetchableTopicResponse::default() },
        TopicRef::Id(id) => FetchableTopicResponse { topic_id: id.0, ..FetchableTopicResponse::default() },
    }
}

fn is_news(call: &Call, context: &FetchContext, key: &FetchKey, reading: &Reading) -> bool {
    let answered = Answered {
        high_watermark: Offset(reading.data.high_watermark),
        log_start_offset: Offset(reading.data.log_start_offset),
    };
    let has_news = reading.size_bytes > 0 || is_urgent(reading);
    let sent = call.shard.sessions.borrow_mut().record(context.session_id, key, answered, has_news);
    sent || !context.incremental
}

#[cfg(test)]
mod tests {
    use barnabas_wire::message::fetch::{FetchPartition, FetchTopic, ForgottenTopic};

    use super::*;

    #[test]
    fn partitions_share_the_name_of_their_topic() {
        let partitions = (0..3).map(|partition| FetchPartition { partition, ..FetchPartition::default() }).collect();
        let topic = FetchTopic { topic: "t".to_owned(), partitions, ..FetchTopic::default() };
        let forgotten =
            ForgottenTopic { topic: "f".to_owned(), partitions: vec![0, 1, 2], ..ForgottenTopic::default() };
        let request =
            FetchRequest { topics: vec![topic], forgotten_topics_data: vec![forgotten], ..FetchRequest::default() };
        let session = session_request(IDS_SINCE - 1, request);
        let wanted: Vec<_> = session.wants.iter().map(|want| &want.key).collect();
        let forgotten: Vec<_> = session.forgotten.iter().collect();
        for keys in [wanted, forgotten] {
            assert_eq!(keys.len(), 3);
            for pair in keys.windows(2) {
                let [TopicRef::Name(one), TopicRef::Name(other)] = [&pair[0].topic, &pair[1].topic] else {
                    panic!("named by name");
                };
                assert!(Rc::ptr_eq(one, other));
            }
        }
    }
}
