//! A log of the trick's own, whose records it knows all: every way to ask about it tells what a model of a dozen lines does.

use barnabas_base::{LeaderEpoch, Offset, Sequence, TimestampMs};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopic,
};
use barnabas_wire::message::describe_log_dirs::DescribableLogDirTopic;
use barnabas_wire::message::describe_producers::{ProducerState, TopicRequest};
use barnabas_wire::message::fetch::PartitionData;
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::message::offset_for_leader_epoch::EpochEndOffset;
use barnabas_wire::message::{
    DeleteRecordsRequest, DescribeLogDirsRequest, DescribeProducersRequest, ListOffsetsRequest,
    OffsetForLeaderEpochRequest,
};
use barnabas_wire::record::{
    BatchBuilder, BatchOptions, Compression, Compressor, Decompressor, ProducerFields, Tail, batches,
};
use bytes::Bytes;

use super::epochs::end_of_epoch;
use super::own::{OwnTopic, ask, is_due};
use super::{Stage, TIMEOUT_MS, Trouble, code_of, must_be_accepted, must_be_refused};
use crate::RawClient;

/// Batches, and records of each at most.
const BATCHES: u64 = 5;
const RECORDS_MAX: u64 = 3;
/// Timestamps lie within so many milliseconds of one another, in no order.
const SPREAD_MS: u64 = 12;
/// ListOffsets' names for ends of a log and for the newest record, and the first version of the last.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const MAX_TIMESTAMP_SINCE: i16 = 7;
/// The first ListOffsets that tells leader epochs.
const EPOCHS_SINCE: i16 = 4;
const DESCRIBE_PRODUCERS_VERSION: i16 = 0;
/// DeleteRecords' name for the end of the log.
const ALL: i64 = -1;
const DECOMPRESSED_BYTES_MAX: usize = 1024 * 1024;

/// The log and what is in it.
struct KnownLog {
    topic: OwnTopic,
    producer: ProducerFields,
    /// By offset.
    timestamps: Vec<TimestampMs>,
    start: i64,
    bytes: i64,
    last_batch: Bytes,
    last_base: i64,
    /// The newest of the last batch.
    last_timestamp: TimestampMs,
    epoch: LeaderEpoch,
}

impl Stage<'_> {
    pub(super) async fn known_log(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let topic = self.make_own(&mut raw, 1).await?;
        let told = match self.fill(&mut raw, topic.clone()).await {
            Ok(log) => self.is_told(&mut raw, log).await,
            Err(trouble) => Err(trouble),
        };
        let dropped = self.drop_own(&topic).await;
        told.and(dropped)
    }

    async fn fill(&mut self, raw: &mut RawClient, topic: OwnTopic) -> Result<KnownLog, Trouble> {
        let producer = self.producer(raw).await?;
        let mut log = KnownLog {
            topic,
            producer,
            timestamps: Vec::new(),
            start: 0,
            bytes: 0,
            last_batch: Bytes::new(),
            last_base: 0,
            last_timestamp: TimestampMs::NONE,
            epoch: LeaderEpoch::UNKNOWN,
        };
        let first = self.session.env.wall();
        for _ in 0..BATCHES {
            let mut timestamps = Vec::new();
            for _ in 0..=self.below(RECORDS_MAX) {
                let later = i64::try_from(self.below(SPREAD_MS)).expect("small");
                timestamps.push(TimestampMs(first.0 + later));
            }
            let codecs = Compression::ALL;
            let compression = codecs[usize::try_from(self.below(codecs.len() as u64)).expect("a few")];
            let batch = log.batch(&timestamps, compression);
            let base = log.end();
            self.is_appended_at(raw, &log, &batch, base).await?;
            log.last_base = base;
            log.bytes += i64::try_from(batch.len()).expect("small");
            log.last_batch = batch;
            log.last_timestamp = timestamps.iter().copied().max().expect("there is one");
            log.timestamps.extend(timestamps);
        }
        Ok(log)
    }

    async fn is_appended_at(
        &mut self,
        raw: &mut RawClient,
        log: &KnownLog,
        batch: &Bytes,
        base: i64,
    ) -> Result<(), Trouble> {
        let answer = self.produce_own(raw, &log.topic, batch).await?;
        must_be_accepted("a batch of the only producer", code_of(answer.error_code))?;
        if answer.base_offset != base {
            return Err(Trouble::Broken(format!("a batch of offset {base} is said to be at {}", answer.base_offset)));
        }
        Ok(())
    }

    async fn is_told(&mut self, raw: &mut RawClient, mut log: KnownLog) -> Result<(), Trouble> {
        self.offsets_are_told(raw, &mut log).await?;
        self.producers_are_told(raw, &log).await?;
        self.epochs_are_told(raw, &log).await?;
        self.sizes_are_told(raw, &log).await?;
        // A batch that comes again changes nothing.
        let (again, base) = (log.last_batch.clone(), log.last_base);
        self.is_appended_at(raw, &log, &again, base).await?;
        self.producers_are_told(raw, &log).await?;
        self.records_are_told(raw, &log).await?;
        let behind = log.end() + 1;
        let code = self.trim_own(raw, &log, behind).await?.error_code;
        must_be_refused("a deletion past the end", code_of(code), &[ErrorCode::OffsetOutOfRange])?;
        let before = 1 + i64::try_from(self.below(log.timestamps.len() as u64 - 1)).expect("small");
        self.is_trimmed(raw, &mut log, before, before).await?;
        self.offsets_are_told(raw, &mut log).await?;
        self.records_are_told(raw, &log).await?;
        // What is deleted already.
        self.is_trimmed(raw, &mut log, before - 1, before).await?;
        let end = log.end();
        self.is_trimmed(raw, &mut log, ALL, end).await?;
        self.offsets_are_told(raw, &mut log).await
    }

    /// Both ends, the newest record, and the first at or behind every timestamp that there is, and just outside.
    async fn offsets_are_told(&mut self, raw: &mut RawClient, log: &mut KnownLog) -> Result<(), Trouble> {
        let newest = log.newest().unwrap_or((Offset::UNKNOWN.0, TimestampMs::NONE));
        let mut expected = vec![(EARLIEST, log.start, -1), (LATEST, log.end(), -1)];
        // Kafka does not ask whether the newest was deleted.
        if log.start == 0 {
            expected.push((MAX_TIMESTAMP, newest.0, newest.1.0));
        }
        let least = log.timestamps.iter().copied().min().expect("there are records").0;
        let spread = i64::try_from(SPREAD_MS).expect("small");
        expected.extend((least - 1..=least + spread).map(|timestamp| {
            let (offset, found) = log.first_from(timestamp).unwrap_or((Offset::UNKNOWN.0, TimestampMs::NONE));
            (timestamp, offset, found.0)
        }));
        for (asked, offset, timestamp) in expected {
            let first = if asked == MAX_TIMESTAMP { MAX_TIMESTAMP_SINCE } else { 0 };
            let version = self.any_version_from::<ListOffsetsRequest>(first);
            let partitions = vec![ListOffsetsPartition { partition_index: 0, timestamp: asked, ..Default::default() }];
            let topics = vec![ListOffsetsTopic { name: log.topic.name.clone(), partitions }];
            let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
            let response = ask(raw, version, request).await?;
            let Some(told) = response.topics.iter().flat_map(|topic| &topic.partitions).next() else {
                return Err(Trouble::Broken("ListOffsets is answered without its partition".to_owned()));
            };
            must_be_accepted("a question for an offset", code_of(told.error_code))?;
            if (told.offset, told.timestamp) != (offset, timestamp) {
                let (seen, when) = (told.offset, told.timestamp);
                return Err(Trouble::Broken(format!(
                    "{asked} asked of {:?} is told to be {seen} of {when}, not {offset} of {timestamp}",
                    log.timestamps
                )));
            }
            if version >= EPOCHS_SINCE && asked == LATEST {
                log.epoch = LeaderEpoch(told.leader_epoch);
            }
        }
        Ok(())
    }

    async fn producers_are_told(&mut self, raw: &mut RawClient, log: &KnownLog) -> Result<(), Trouble> {
        let topics = vec![TopicRequest { name: log.topic.name.clone(), partition_indexes: vec![0] }];
        let response = ask(raw, DESCRIBE_PRODUCERS_VERSION, DescribeProducersRequest { topics }).await?;
        let Some(told) = response.topics.into_iter().flat_map(|topic| topic.partitions).next() else {
            return Err(Trouble::Broken("DescribeProducers is answered without its partition".to_owned()));
        };
        must_be_accepted("a question for producers", code_of(told.error_code))?;
        let mut seen = told.active_producers;
        // The epoch of a coordinator is that of nobody without transactions; Kafka says -1, or 0 once it was read from a
        // snapshot.
        for producer in &mut seen {
            producer.coordinator_epoch = -1;
        }
        let last = i32::try_from(log.end() - 1).expect("few records");
        let expected = vec![ProducerState {
            producer_id: log.producer.id.0,
            producer_epoch: i32::from(log.producer.epoch.0),
            last_sequence: last,
            last_timestamp: log.last_timestamp.0,
            coordinator_epoch: -1,
            current_txn_start_offset: -1,
        }];
        is_due("the producers of a log", &seen, &expected)
    }

    /// The log is of one epoch, unless its leader changed since it was filled.
    async fn epochs_are_told(&mut self, raw: &mut RawClient, log: &KnownLog) -> Result<(), Trouble> {
        let LeaderEpoch(epoch) = log.epoch;
        if epoch < 0 {
            return Ok(());
        }
        let (known, end) = (EpochEndOffset { leader_epoch: epoch, end_offset: log.end(), ..none() }, none());
        for (current, asked, expected) in [(-1, epoch, known), (epoch, epoch, known), (-1, epoch + 1, end)] {
            let told = self.epoch_end(raw, log, current, asked).await?;
            is_due("the end of an epoch", &told, &expected)?;
        }
        let told = self.epoch_end(raw, log, epoch + 1, epoch).await?;
        let expected = [ErrorCode::UnknownLeaderEpoch];
        must_be_refused("a question of a later epoch", code_of(told.error_code), &expected)?;
        if epoch == 0 {
            return Ok(());
        }
        let told = self.epoch_end(raw, log, epoch - 1, epoch).await?;
        must_be_refused("a question of an earlier epoch", code_of(told.error_code), &[ErrorCode::FencedLeaderEpoch])
    }

    async fn epoch_end(
        &mut self,
        raw: &mut RawClient,
        log: &KnownLog,
        current: i32,
        asked: i32,
    ) -> Result<EpochEndOffset, Trouble> {
        let version = self.any_version::<OffsetForLeaderEpochRequest>();
        end_of_epoch(raw, version, (&log.topic.name, 0), (current, asked)).await
    }

    async fn sizes_are_told(&mut self, raw: &mut RawClient, log: &KnownLog) -> Result<(), Trouble> {
        let topics = Some(vec![DescribableLogDirTopic { topic: log.topic.name.clone(), partitions: vec![0] }]);
        let version = self.any_version::<DescribeLogDirsRequest>();
        let response = ask(raw, version, DescribeLogDirsRequest { topics }).await?;
        must_be_accepted("a question for directories", code_of(response.error_code))?;
        let sizes: Vec<i64> = response
            .results
            .iter()
            .flat_map(|directory| &directory.topics)
            .filter(|topic| topic.name == log.topic.name)
            .flat_map(|topic| topic.partitions.iter().map(|partition| partition.partition_size))
            .collect();
        is_due("the size of a log", &sizes, &vec![log.bytes])
    }

    /// All records that are left, in one fetch; before and behind them there is nothing.
    async fn records_are_told(&mut self, raw: &mut RawClient, log: &KnownLog) -> Result<(), Trouble> {
        let data = self.fetch_own(raw, &log.topic, log.start).await?;
        must_be_accepted("a fetch of what there is", code_of(data.error_code))?;
        if (data.log_start_offset, data.high_watermark) != (log.start, log.end()) {
            let (start, end) = (data.log_start_offset, data.high_watermark);
            return Err(Trouble::Broken(format!(
                "a log is told to be {start} to {end}, not {} to {}",
                log.start,
                log.end()
            )));
        }
        let seen: Vec<_> = read(&data)?.into_iter().filter(|(offset, _)| *offset >= log.start).collect();
        is_due("the records of a log", &seen, &log.left().collect())?;
        let at_end = self.fetch_own(raw, &log.topic, log.end()).await?;
        must_be_accepted("a fetch at the end", code_of(at_end.error_code))?;
        is_due("what is behind the last record", &read(&at_end)?, &Vec::new())?;
        for outside in [log.start - 1, log.end() + 1].into_iter().filter(|offset| *offset >= 0) {
            let code = code_of(self.fetch_own(raw, &log.topic, outside).await?.error_code);
            must_be_refused("a fetch of what there is not", code, &[ErrorCode::OffsetOutOfRange])?;
        }
        Ok(())
    }

    async fn trim_own(
        &mut self,
        raw: &mut RawClient,
        log: &KnownLog,
        offset: i64,
    ) -> Result<DeleteRecordsPartitionResult, Trouble> {
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
        let topics = vec![DeleteRecordsTopic { name: log.topic.name.clone(), partitions }];
        let version = self.any_version::<DeleteRecordsRequest>();
        let response = ask(raw, version, DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS }).await?;
        let first = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        first.ok_or_else(|| Trouble::Broken("DeleteRecords is answered without its partition".to_owned()))
    }

    async fn is_trimmed(
        &mut self,
        raw: &mut RawClient,
        log: &mut KnownLog,
        before: i64,
        start: i64,
    ) -> Result<(), Trouble> {
        let told = self.trim_own(raw, log, before).await?;
        must_be_accepted("a deletion of records", code_of(told.error_code))?;
        log.start = start;
        is_due("the start of a log", &told.low_watermark, &start)
    }
}

impl KnownLog {
    fn end(&self) -> i64 {
        i64::try_from(self.timestamps.len()).expect("few records")
    }

    /// The next batch of the producer.
    fn batch(&self, timestamps: &[TimestampMs], compression: Compression) -> Bytes {
        let next = i32::try_from(self.end()).expect("few records");
        let producer = ProducerFields { base_sequence: Sequence(next), ..self.producer };
        let options = BatchOptions { producer: Some(producer), compression, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        for timestamp in timestamps {
            let appended = builder.append(*timestamp, None, Some(b"known"), std::iter::empty());
            appended.expect("a few records fit a batch");
        }
        builder.build(&mut Compressor::new()).expect("a codec takes any bytes")
    }

    /// Offsets and timestamps from the start on.
    fn left(&self) -> impl Iterator<Item = (i64, TimestampMs)> {
        (0..).zip(self.timestamps.iter().copied()).filter(|(offset, _)| *offset >= self.start)
    }

    /// The first record at or behind a timestamp.
    fn first_from(&self, timestamp: i64) -> Option<(i64, TimestampMs)> {
        self.left().find(|(_, found)| found.0 >= timestamp)
    }

    /// The first of the newest.
    fn newest(&self) -> Option<(i64, TimestampMs)> {
        let newest = self.left().map(|(_, timestamp)| timestamp).max()?;
        self.first_from(newest.0)
    }
}

/// No epoch, and no end of one.
const fn none() -> EpochEndOffset {
    EpochEndOffset { error_code: 0, partition: 0, leader_epoch: -1, end_offset: -1 }
}

/// Offset and timestamp of each record.
fn read(data: &PartitionData) -> Result<Vec<(i64, TimestampMs)>, Trouble> {
    let bytes: Bytes = data.records.bytes().cloned().unwrap_or_default();
    let mut decompressor = Decompressor::new();
    let mut seen = Vec::new();
    let unreadable = |error: barnabas_wire::record::RecordError| Trouble::Broken(error.to_string());
    for batch in batches(&bytes, Tail::MayBeCut) {
        let batch = batch.map_err(unreadable)?;
        batch.check_crc().map_err(unreadable)?;
        let payload = batch.payload(&mut decompressor, DECOMPRESSED_BYTES_MAX).map_err(unreadable)?;
        for record in payload.records() {
            let record = record.map_err(unreadable)?;
            seen.push((record.offset.0, record.timestamp));
        }
    }
    Ok(seen)
}
