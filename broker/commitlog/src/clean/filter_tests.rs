//! Tests of the filter against Kafka's rules, and a model: whatever was cleaned, the last value of every key is there
//! at its offset.

use std::collections::BTreeMap;

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use barnabas_logstate::AbortedTxn;
use barnabas_wire::record::{
    Batch, BatchBuilder, BatchOptions, Compression, Compressor, Decompressor, EndTxnMarker, HEADER_BYTES, MarkerBatch,
    ProducerFields,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const PLAIN_BYTES_MAX: usize = 1 << 20;
const RETENTION_MS: i64 = 500;

fn rules(now: i64, end: i64) -> CleanRules {
    CleanRules {
        now: TimestampMs(now),
        delete_retention_ms: RETENTION_MS,
        end: Offset(end),
        plain_bytes_max: PLAIN_BYTES_MAX,
        ..CleanRules::default()
    }
}

type KeyValue<'a> = (&'a str, Option<&'a str>);

fn options(base: i64) -> BatchOptions {
    BatchOptions { base_offset: Offset(base), leader_epoch: LeaderEpoch(3), ..BatchOptions::default() }
}

fn build(options: BatchOptions, records: &[KeyValue<'_>]) -> Batch {
    let mut builder = BatchBuilder::new(options);
    let base = options.base_offset.0;
    for (timestamp, (key, value)) in (base..).zip(records) {
        let key = (!key.is_empty()).then_some(key.as_bytes());
        let value = value.map(str::as_bytes);
        builder.append(TimestampMs(timestamp), key, value, std::iter::empty()).expect("small records");
    }
    Batch::parse(builder.build(&mut Compressor::new()).expect("builds")).expect("parses")
}

fn producer(id: i64, epoch: i16, sequence: i32) -> ProducerFields {
    ProducerFields { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence) }
}

fn marker(base: i64, id: i64, is_commit: bool) -> Batch {
    let marker = MarkerBatch {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        marker: EndTxnMarker { is_commit, coordinator_epoch: 1 },
        timestamp: TimestampMs(base),
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(3),
    };
    Batch::parse(marker.build().expect("builds")).expect("parses")
}

/// Maps and cleans `batches`, as one cleaning does.
fn clean_all(batches: &[Batch], rules: &CleanRules) -> Vec<Batch> {
    let mut filter = Filter::default();
    let start = batches.first().map_or(Offset(0), |batch| batch.header().base_offset);
    let mut map = OffsetMap::new([1, 2], 1 << 20, start);
    for batch in batches {
        filter.index(batch, &mut map, rules).expect("sound batches");
    }
    clean_with(batches, &map, rules)
}

fn clean_with(batches: &[Batch], map: &OffsetMap, rules: &CleanRules) -> Vec<Batch> {
    let mut filter = Filter::default();
    let mut kept = Vec::new();
    for batch in batches {
        match filter.clean(batch, map, rules).expect("sound batches") {
            Cleaned::Dropped => {}
            Cleaned::Kept => kept.push(batch.clone()),
            Cleaned::Rewritten(bytes) => {
                let rewritten = Batch::parse(bytes).expect("rewritten batches parse");
                rewritten.check_crc().expect("rewritten batches carry their checksum");
                kept.push(rewritten);
            }
        }
    }
    kept
}

/// Offset, timestamp, key and value of every record.
fn records(batches: &[Batch]) -> Vec<(i64, i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("test data is text");
    let mut found = Vec::new();
    for batch in batches.iter().filter(|batch| !batch.header().attributes.is_control()) {
        let payload = batch.payload(&mut Decompressor::new(), PLAIN_BYTES_MAX).expect("sound");
        for record in payload.records() {
            let record = record.expect("sound");
            let key = record.key.map(text).unwrap_or_default();
            found.push((record.offset.0, record.timestamp.0, key, record.value.map(text)));
        }
    }
    found
}

fn offsets(batches: &[Batch]) -> Vec<i64> {
    records(batches).into_iter().map(|(offset, ..)| offset).collect()
}

#[test]
fn the_last_value_of_each_key_stays_at_its_offset() {
    let source = [
        build(options(0), &[("a", Some("1")), ("b", Some("1"))]),
        build(options(2), &[("c", Some("1"))]),
        build(options(3), &[("a", Some("2")), ("c", Some("2")), ("d", Some("1"))]),
    ];
    let cleaned = clean_all(&source, &rules(1_000, 100));
    assert_eq!(offsets(&cleaned), [1, 3, 4, 5]);
    assert_eq!(cleaned.len(), 2, "the batch of only 'c' is gone");
    assert_eq!(cleaned[1].bytes(), source[2].bytes(), "an untouched batch is the same bytes");
}

#[test]
fn a_rewritten_batch_keeps_all_but_its_records() {
    let full = BatchOptions {
        compression: Compression::Zstd,
        producer: Some(producer(7, 2, 40)),
        is_transactional: true,
        ..options(10)
    };
    let source = [build(full, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("a", Some("3"))])];
    let newer = build(options(20), &[("a", Some("4"))]);
    let cleaned = clean_all(&[source[0].clone(), newer], &rules(1_000, 100));
    let (before, after) = (source[0].header(), cleaned[0].header());
    assert_eq!(offsets(&cleaned[..1]), [11], "the offset of 'b' leaves gaps on both sides");
    assert_eq!(after.base_offset, before.base_offset);
    assert_eq!(after.last_offset(), Offset(13));
    assert_eq!(after.last_sequence(), before.last_sequence());
    assert_eq!(after.partition_leader_epoch, before.partition_leader_epoch);
    assert_eq!((after.producer_id, after.producer_epoch), (before.producer_id, before.producer_epoch));
    assert_eq!(after.attributes, before.attributes, "codec and flags");
    assert_eq!((after.record_count, after.max_timestamp), (1, TimestampMs(11)));
}

#[test]
fn append_time_of_a_rewritten_batch_stays() {
    let appended = BatchOptions { log_append_time: Some(TimestampMs(777)), ..options(0) };
    let source = [build(appended, &[("a", Some("1")), ("b", Some("1"))]), build(options(2), &[("a", None)])];
    let cleaned = clean_all(&source, &rules(1_000, 100));
    assert_eq!(records(&cleaned[..1]), [(1, 777, "b".to_owned(), Some("1".to_owned()))]);
    assert_eq!(cleaned[0].header().max_timestamp, TimestampMs(777));
}

#[test]
fn a_tombstone_gets_a_horizon_once_and_goes_after_it() {
    let source = [build(options(0), &[("a", Some("1")), ("b", Some("1"))]), build(options(2), &[("a", None)])];
    let first = clean_all(&source, &rules(1_000, 100));
    assert_eq!(offsets(&first), [1, 2]);
    assert_eq!(first[1].header().delete_horizon(), Some(TimestampMs(1_500)));
    assert_eq!(records(&first)[1].1, 2, "the timestamp survives the new base");
    assert_eq!(first[0].header().delete_horizon(), None, "no tombstone, no horizon");

    let second = clean_all(&first, &rules(1_499, 100));
    assert_eq!(second, first, "the horizon is set once");

    let third = clean_all(&second, &rules(1_500, 100));
    assert_eq!(offsets(&third), [1]);
}

#[test]
fn a_key_written_after_its_tombstone_stays() {
    let source = [build(options(0), &[("a", None)]), build(options(1), &[("a", Some("again"))])];
    assert_eq!(offsets(&clean_all(&source, &rules(1_000, 100))), [1]);
}

#[test]
fn the_last_batch_of_a_live_producer_leaves_its_header() {
    let with_producer = |base, sequence| BatchOptions { producer: Some(producer(7, 1, sequence)), ..options(base) };
    let source = [
        build(with_producer(0, 0), &[("a", Some("1"))]),
        build(with_producer(1, 1), &[("a", Some("2")), ("a", Some("3"))]),
        build(options(3), &[("a", Some("4"))]),
    ];
    let mut rules = rules(1_000, 100);
    let last = LastRecord { data_offset: Some(Offset(2)), epoch: ProducerEpoch(1) };
    rules.producers.insert(ProducerId(7), last);
    let cleaned = clean_all(&source, &rules);
    assert_eq!(cleaned.len(), 2);
    let header = cleaned[0].header();
    assert_eq!((header.record_count, header.size_bytes), (0, HEADER_BYTES as u32));
    assert_eq!((header.base_offset, header.last_offset()), (Offset(1), Offset(2)));
    assert_eq!(header.last_sequence(), Sequence(2));
    assert_eq!(clean_all(&cleaned, &rules), cleaned, "a header without records stays as it is");

    rules.producers.clear();
    let forgotten = clean_all(&cleaned, &rules);
    assert_eq!(offsets(&forgotten), [3]);
    assert_eq!(forgotten.len(), 1, "a forgotten producer's header goes");
}

#[test]
fn the_batch_at_the_end_of_the_range_leaves_its_header() {
    let source = [build(options(0), &[("a", Some("1"))]), build(options(1), &[("", Some("no key"))])];
    let cleaned = clean_all(&source, &rules(1_000, 2));
    assert_eq!(cleaned.len(), 2);
    assert_eq!((cleaned[1].header().record_count, cleaned[1].header().end_offset()), (0, Offset(2)));
}

#[test]
fn aborted_records_go_and_hide_nothing() {
    let txn = |base, id| BatchOptions { producer: Some(producer(id, 0, 0)), is_transactional: true, ..options(base) };
    let source = [
        build(txn(0, 8), &[("a", Some("committed"))]),
        marker(1, 8, true),
        build(txn(2, 9), &[("a", Some("aborted"))]),
        marker(3, 9, false),
        build(txn(4, 9), &[("b", Some("committed"))]),
        marker(5, 9, true),
    ];
    let aborted = AbortedTxn {
        producer_id: ProducerId(9),
        first_offset: Offset(2),
        last_offset: Offset(3),
        last_stable_offset: Offset(4),
    };
    let rules = CleanRules { aborted: AbortedRanges::new([aborted]), ..rules(1_000, 100) };
    let cleaned = clean_all(&source, &rules);
    assert_eq!(offsets(&cleaned), [0, 4]);
    let markers: Vec<_> = cleaned.iter().filter(|batch| batch.header().attributes.is_control()).collect();
    assert_eq!(markers, [&source[1], &source[3], &source[5]], "markers stay as they are");
}

#[test]
fn what_the_map_does_not_know_stays() {
    let source = [build(options(0), &[("a", Some("1"))]), build(options(1), &[("a", Some("2")), ("", Some("x"))])];
    let mut map = OffsetMap::new([1, 2], 1 << 20, Offset(0));
    let rules = rules(1_000, 100);
    Filter::default().index(&source[0], &mut map, &rules).expect("sound");
    assert_eq!(clean_with(&source, &map, &rules), source, "records past the map's end stay, with or without a key");
}

#[test]
fn a_full_map_stops_within_a_batch() {
    let keys: Vec<String> = (0..2_000).map(|key| key.to_string()).collect();
    let pairs: Vec<KeyValue<'_>> = keys.iter().map(|key| (key.as_str(), Some("v"))).collect();
    let source = [build(options(0), &pairs)];
    let mut map = OffsetMap::new([1, 2], 0, Offset(0));
    let rules = rules(1_000, 5_000);
    Filter::default().index(&source[0], &mut map, &rules).expect("sound");
    assert!(map.is_full());
    assert!(map.end() > Offset(0), "every cleaning gets on");
    assert!(map.end() < Offset(2_000));
    assert_eq!(map.len() as i64, map.end().0);
}

#[test]
fn a_damaged_batch_is_told() {
    let sound = build(options(5), &[("a", Some("1"))]);
    let mut bytes = sound.bytes().to_vec();
    bytes[HEADER_BYTES] ^= 0x10;
    let damaged = Batch::parse(Bytes::from(bytes)).expect("the header is sound");
    let mut map = OffsetMap::new([1, 2], 1 << 20, Offset(0));
    let error = Filter::default().index(&damaged, &mut map, &rules(0, 9)).expect_err("the length does not add up");
    assert_eq!(error.base_offset, Offset(5));
    assert!(Filter::default().clean(&damaged, &map, &rules(0, 9)).is_err());
}

fn any_batches() -> impl Strategy<Value = Vec<Batch>> {
    let record = (0..12_u8, proptest::option::weighted(0.8, 0..100_u8));
    let batch = (prop::collection::vec(record, 1..8), 0..5_u8, any::<bool>(), 0..3_i64);
    prop::collection::vec(batch, 1..12).prop_map(|batches| {
        let mut base = 0;
        let mut made = Vec::new();
        for (records, codec, is_appended, gap) in batches {
            let options = BatchOptions {
                compression: Compression::from_id(codec).expect("five codecs"),
                log_append_time: is_appended.then_some(TimestampMs(base)),
                ..options(base)
            };
            let owned: Vec<(String, Option<String>)> =
                records.iter().map(|(key, value)| (format!("k{key}"), value.map(|value| value.to_string()))).collect();
            let pairs: Vec<_> = owned.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            let batch = build(options, &pairs);
            base = batch.header().end_offset().0 + gap;
            made.push(batch);
        }
        made
    })
}

/// The last value of every key; tombstones are no value.
fn model(batches: &[Batch]) -> BTreeMap<String, (i64, String)> {
    let mut last = BTreeMap::new();
    for (offset, _, key, value) in records(batches) {
        match value {
            Some(value) => last.insert(key, (offset, value)),
            None => last.remove(&key),
        };
    }
    last
}

proptest! {
    #[test]
    fn cleaning_changes_no_last_value(batches in any_batches(), now in 0..2_000_i64, again in 0..2_000_i64) {
        let expected = model(&batches);
        let all = records(&batches);
        let cleaned = clean_all(&batches, &rules(now, 1_000));
        prop_assert_eq!(model(&cleaned), expected.clone());
        let kept = records(&cleaned);
        prop_assert!(kept.iter().all(|record| all.contains(record)), "nothing is invented, moved or redated");
        let mut keys: Vec<_> = kept.iter().map(|(_, _, key, _)| key).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), kept.len(), "one record a key");

        let later = clean_all(&cleaned, &rules(now + again, 1_000));
        prop_assert_eq!(model(&later), expected, "a second cleaning changes nothing that can be read");
        if again < RETENTION_MS {
            prop_assert_eq!(later, cleaned, "tombstones outlive their retention");
        } else {
            prop_assert!(records(&later).iter().all(|(_, _, _, value)| value.is_some()), "and go after it");
        }
    }

    #[test]
    fn cleaning_in_steps_keeps_what_cleaning_at_once_keeps(batches in any_batches(), cut in 0..12_usize) {
        let rules = rules(0, 1_000);
        let cut = cut.min(batches.len());
        let at_once = clean_all(&batches, &rules);
        let mut stepwise = clean_all(&batches[..cut], &rules);
        let dirty_from = stepwise.len();
        stepwise.extend_from_slice(&batches[cut..]);
        let start = batches.get(cut).map_or(Offset(1_000), |batch| batch.header().base_offset);
        let mut map = OffsetMap::new([3, 4], 1 << 20, start);
        for batch in &stepwise[dirty_from..] {
            Filter::default().index(batch, &mut map, &rules).expect("sound");
        }
        map.advance_to(Offset(1_000));
        prop_assert_eq!(records(&clean_with(&stepwise, &map, &rules)), records(&at_once));
    }
}
