//! What is held against arbitrary bytes: no panic, and whatever is accepted adds up. Shared by the fuzz targets of
//! `ci/fuzz`, which search for new bytes, and by the replay of the kept corpus.

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_logstate::{
    AbortedTxn, Codecs, EpochCache, LogFold, Origin, ProduceContext, ProducerState, TopicCompression, TopicRules,
    validate,
};
use barnabas_wire::record::{Batch, Compression, Tail, TimestampType, batches, crc32c};
use bytes::{Bytes, BytesMut};

/// Where the checksummed part of a batch begins, and where its checksum stands.
const BATCH_CRC_AT: usize = 17;
const BATCH_COVERED_FROM: usize = 21;
/// The same of a producer snapshot.
const SNAPSHOT_CRC_AT: usize = 2;
const SNAPSHOT_COVERED_FROM: usize = 6;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A byte that picks the topic's config, then what a producer sends, with its checksum put right.
pub(crate) fn produce(data: &[u8]) {
    let Some((config, records)) = data.split_first() else {
        return;
    };
    let records = sealed(records, BATCH_CRC_AT, BATCH_COVERED_FROM);
    let rules = rules(*config);
    let context = ProduceContext { version: i16::from(config & 0x0f), now: NOW };
    let mut codecs = Codecs::default();
    let Ok(validated) = validate(&records, &context, &rules, &mut codecs) else {
        return;
    };
    let batch = validated.stamped(Offset(1_000), LeaderEpoch(7));
    assert_eq!(batch.check_crc(), Ok(()), "an accepted batch has its checksum");
    assert!(batch.header().size_bytes <= rules.batch_bytes_max, "an accepted batch fits the topic");
    let payload = batch.payload(&mut codecs.decompressor, rules.decompressed_bytes_max);
    let payload = payload.expect("an accepted batch unpacks");
    let mut next = 1_000;
    for record in payload.records() {
        let record = record.expect("an accepted batch is readable");
        assert_eq!(record.offset, Offset(next), "offsets have no gaps");
        assert!(record.timestamp <= batch.header().max_timestamp, "the max timestamp is none of them passed");
        assert!(!rules.is_compacted || record.key.is_some(), "a compacted topic has keys");
        next += 1;
    }
    assert_eq!(batch.header().end_offset(), Offset(next), "the batch ends with its last record");
    let mut fold = LogFold::new(Offset(1_000));
    fold.replay(batch.header(), batch.body()).expect("an accepted batch folds");
    assert_eq!(fold.end_offset(), Offset(next), "the log ends with its last batch");
}

fn rules(config: u8) -> TopicRules {
    let compression = match config >> 5 {
        id @ 0..=4 => {
            let codec = Compression::from_id(id).expect("five codecs");
            TopicCompression::Codec(codec, None)
        }
        _ => TopicCompression::Producer,
    };
    TopicRules {
        compression,
        is_compacted: config & 0x10 != 0,
        timestamp_type: if config & 0x08 != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        decompressed_bytes_max: 1 << 20,
        ..TopicRules::default()
    }
}

/// A log: batches one after another, folded as recovery does; then as a leader would, half of it taken back.
pub(crate) fn log(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let mut replayed = LogFold::new(Offset::ZERO);
    let mut staged = LogFold::new(Offset::ZERO);
    let mut log: Vec<Batch> = Vec::new();
    for batch in batches(&data, Tail::MayBeCut).flatten() {
        let _ = replayed.producers().check(batch.header(), Origin::Client);
        let folded = replayed.replay(batch.header(), batch.body());
        assert_eq!(staged.stage(batch.header(), batch.body()), folded, "one fold for all paths");
        if folded.is_err() {
            break;
        }
        log.push(batch);
    }
    assert_eq!(staged.producers(), replayed.producers(), "one state for all paths");
    let end = replayed.end_offset();
    let bytes = replayed.producers().to_snapshot();
    let read = ProducerState::from_snapshot(&bytes, end).expect("a snapshot reads back");
    assert_eq!(read.to_snapshot(), bytes, "a snapshot means the same after a round");
    let epochs = EpochCache::from_text(&replayed.epochs().to_text());
    assert_eq!(epochs.as_ref(), Ok(replayed.epochs()), "epochs mean the same after a round");

    let keep = log.len() / 2;
    let mut half = LogFold::new(Offset::ZERO);
    for batch in &log[..keep] {
        half.replay(batch.header(), batch.body()).expect("a prefix of a log is a log");
    }
    staged.rollback(half.end_offset());
    assert_eq!(staged.producers(), half.producers(), "what is taken back leaves no trace");
    assert_eq!(staged.epochs(), half.epochs(), "nor in the epochs");
}

/// Small files beside a log: a producer snapshot with its checksum put right, an epoch checkpoint, index entries.
pub(crate) fn snapshots(data: &[u8]) {
    let bytes = sealed(data, SNAPSHOT_CRC_AT, SNAPSHOT_COVERED_FROM);
    let end = Offset(1 << 40);
    if let Ok(state) = ProducerState::from_snapshot(&bytes, end) {
        let again = ProducerState::from_snapshot(&state.to_snapshot(), end);
        assert_eq!(again, Ok(state), "a snapshot means the same after a round");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(cache) = EpochCache::from_text(text)
    {
        let again = EpochCache::from_text(&cache.to_text());
        assert_eq!(again, Ok(cache), "epochs mean the same after a round");
    }
    for entry in data.as_chunks::<{ AbortedTxn::BYTES }>().0 {
        if let Ok(aborted) = AbortedTxn::parse(entry) {
            assert_eq!(aborted.to_bytes(), *entry, "an entry is its fields");
        }
    }
}

/// `data` with the checksum at `crc_at` made to cover everything from `covered_from` on: a fuzzer cannot guess it.
fn sealed(data: &[u8], crc_at: usize, covered_from: usize) -> Bytes {
    let mut bytes = BytesMut::from(data);
    if bytes.len() >= covered_from {
        let crc = crc32c(&bytes[covered_from..]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.freeze()
}
