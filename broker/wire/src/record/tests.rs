//! Tests of batches as a whole: round trips over every codec and flag, Kafka's bytes as a second writer made them,
//! damage at every byte, and the stamps.

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use bytes::{Bytes, BytesMut};
use kafka_protocol::records as oracle;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// An owned record, for comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        Self {
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }

    fn append_to(&self, builder: &mut BatchBuilder) -> Result<(), BuildError> {
        builder.append_at(
            Offset(self.offset),
            TimestampMs(self.timestamp),
            self.key.as_deref(),
            self.value.as_deref(),
            self.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }),
        )
    }
}

fn build(options: BatchOptions, records: &[Owned]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        record.append_to(&mut builder).expect("records in order");
    }
    builder.build(&mut Compressor::new()).expect("small batch")
}

fn read(bytes: Bytes) -> Result<Vec<Owned>, RecordError> {
    let batch = Batch::parse(bytes)?;
    batch.check_crc()?;
    let payload = batch.payload(&mut Decompressor::new(), LIMIT)?;
    payload.records().map(|record| record.map(|record| Owned::of(&record))).collect()
}

fn simple(count: i64) -> Vec<Owned> {
    (0..count)
        .map(|index| Owned {
            offset: index,
            timestamp: 1_700_000_000_000 + index * 7,
            key: (index % 3 != 0).then(|| format!("key {index}").into_bytes()),
            value: (index % 5 != 4).then(|| format!("value {index} ").repeat(9).into_bytes()),
            headers: (0..index % 3).map(|header| (format!("h{header}").into_bytes(), Some(vec![1, 2]))).collect(),
        })
        .collect()
}

fn bytes_strategy() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 0..300_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// Records with gaps between their offsets and any timestamps.
fn records_strategy() -> impl Strategy<Value = Vec<Owned>> {
    let header = (bytes_strategy(), proptest::option::of(bytes_strategy()));
    let record = (
        0..1000_i64,
        prop_oneof![any::<i64>(), 0..100_000_i64],
        proptest::option::of(bytes_strategy()),
        proptest::option::of(bytes_strategy()),
        proptest::collection::vec(header, 0..4),
    );
    proptest::collection::vec(record, 1..20).prop_map(|records| {
        let mut next = 0;
        records
            .into_iter()
            .map(|(gap, timestamp, key, value, headers)| {
                let offset = next + gap;
                next = offset + 1;
                Owned { offset, timestamp, key, value, headers }
            })
            .collect()
    })
}

fn codec_strategy() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

fn options_strategy() -> impl Strategy<Value = BatchOptions> {
    let producer = (0..i64::MAX, 0..i16::MAX, 0..i32::MAX).prop_map(|(id, epoch, sequence)| ProducerFields {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    });
    let horizon = proptest::option::of((0..i64::MAX).prop_map(TimestampMs));
    (codec_strategy(), proptest::option::of(producer), any::<bool>(), horizon, -1..i32::MAX).prop_map(
        |(compression, producer, is_transactional, delete_horizon, epoch)| BatchOptions {
            compression,
            producer,
            is_transactional,
            delete_horizon,
            leader_epoch: LeaderEpoch(epoch),
            ..BatchOptions::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_built_is_read(options in options_strategy(), records in records_strategy()) {
        let bytes = build(options, &records);
        let batch = Batch::parse(bytes.clone()).expect("own batch");
        let header = *batch.header();
        prop_assert_eq!(&header.to_bytes()[..], &bytes[..HEADER_BYTES]);
        prop_assert_eq!(header.compression(), options.compression);
        prop_assert_eq!(header.last_offset().0, records.last().map_or(-1, |record| record.offset));
        prop_assert_eq!(header.has_producer(), options.producer.is_some());
        prop_assert_eq!(header.attributes.is_transactional(), options.is_transactional);
        prop_assert_eq!(header.delete_horizon(), options.delete_horizon);
        let max = records.iter().map(|record| record.timestamp).max().unwrap_or(-1).max(-1);
        prop_assert_eq!(header.max_timestamp, TimestampMs(max));
        prop_assert_eq!(read(bytes), Ok(records));
    }

    #[test]
    fn rebuilding_keeps_survivors_and_sequence(
        options in options_strategy(),
        records in records_strategy(),
        keep in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let bytes = build(options, &records);
        let batch = Batch::parse(bytes).expect("own batch");
        let kept: Vec<_> = records
            .iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(record, _)| record.clone())
            .collect();
        let rebuilt = if kept.is_empty() {
            empty_batch(batch.header())
        } else {
            build(BatchOptions::retaining(batch.header()), &kept)
        };
        let header = *Batch::parse(rebuilt.clone()).expect("own batch").header();
        prop_assert_eq!(header.base_offset, batch.header().base_offset);
        prop_assert_eq!(header.last_offset(), batch.header().last_offset());
        prop_assert_eq!(header.last_sequence(), batch.header().last_sequence());
        prop_assert_eq!(header.producer_id, batch.header().producer_id);
        prop_assert_eq!(read(rebuilt), Ok(kept));
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for batch in batches(&Bytes::from(bytes), Tail::MustBeWhole).flatten() {
            let _ = read(batch.into_bytes());
        }
    }

    #[test]
    fn any_body_is_refused_or_read(
        codec in codec_strategy(),
        count in 0..50_i32,
        body in bytes_strategy(),
    ) {
        let mut bytes = BytesMut::from(&build(BatchOptions::default(), &simple(1))[..HEADER_BYTES]);
        let mut header = BatchHeader::parse(&bytes).expect("own header");
        header.record_count = count;
        header.attributes = header.attributes.with_compression(codec);
        header.size_bytes = u32::try_from(HEADER_BYTES + body.len()).expect("small");
        bytes.copy_from_slice(&header.to_bytes());
        bytes.extend_from_slice(&body);
        restamp(&mut bytes, TimestampType::CreateTime, TimestampMs(0));
        let _ = read(bytes.freeze());
    }
}

/// Records whose offsets, sequences and timestamps the oracle puts into one batch as we do.
fn oracle_records(records: &[Owned], base_sequence: i32) -> Vec<oracle::Record> {
    records
        .iter()
        .map(|record| oracle::Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 5,
            producer_id: 77,
            producer_epoch: 3,
            timestamp_type: oracle::TimestampType::Creation,
            offset: record.offset,
            sequence: base_sequence + i32::try_from(record.offset).expect("small offset"),
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: record.value.clone().map(Bytes::from),
            headers: record
                .headers
                .iter()
                .map(|(key, value)| {
                    let key = String::from_utf8(key.clone()).expect("ASCII key");
                    (key.into(), value.clone().map(Bytes::from))
                })
                .collect(),
        })
        .collect()
}

const fn oracle_codec(codec: Compression) -> oracle::Compression {
    match codec {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

fn shared_options(compression: Compression) -> BatchOptions {
    BatchOptions {
        compression,
        leader_epoch: LeaderEpoch(5),
        producer: Some(ProducerFields { id: ProducerId(77), epoch: ProducerEpoch(3), base_sequence: Sequence(1000) }),
        is_transactional: true,
        ..BatchOptions::default()
    }
}

#[test]
fn another_writer_gives_the_same_bytes() {
    let records = simple(40);
    let options = oracle::RecordEncodeOptions { version: 2, compression: oracle::Compression::None };
    let mut theirs = BytesMut::new();
    oracle::RecordBatchEncoder::encode(&mut theirs, &oracle_records(&records, 1000), &options).expect("oracle encodes");
    assert_eq!(build(shared_options(Compression::None), &records), theirs);
}

#[test]
fn every_codec_is_understood_both_ways() {
    let records = simple(2000);
    for codec in Compression::ALL {
        let options = oracle::RecordEncodeOptions { version: 2, compression: oracle_codec(codec) };
        let expected = oracle_records(&records, 1000);
        let mut theirs = BytesMut::new();
        oracle::RecordBatchEncoder::encode(&mut theirs, &expected, &options).expect("oracle");
        assert_eq!(read(theirs.freeze()), Ok(records.clone()), "their {codec}");

        let mut ours = build(shared_options(codec), &records);
        let decoded = oracle::RecordBatchDecoder::decode(&mut ours).expect("our {codec}");
        assert_eq!(decoded.records, expected, "our {codec}");
    }
}

/// One record as the JVM producer sends it: `hello` without a key, a header, gzip off.
#[test]
fn a_batch_made_by_hand_is_read() {
    let body: &[u8] = &[
        0x28, // length 20
        0x00, // attributes
        0x00, // timestamp delta
        0x00, // offset delta
        0x01, // null key
        0x0a, b'h', b'e', b'l', b'l', b'o', // value
        0x04, // two headers
        0x02, b'a', 0x01, // a: null
        0x02, b'b', 0x06, 1, 2, 3, // b: three bytes
    ];
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&9_i64.to_be_bytes());
    bytes.extend_from_slice(&i32::try_from(49 + body.len()).expect("small").to_be_bytes());
    bytes.extend_from_slice(&4_i32.to_be_bytes());
    bytes.extend_from_slice(&[2, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&1_000_i64.to_be_bytes());
    bytes.extend_from_slice(&1_000_i64.to_be_bytes());
    bytes.extend_from_slice(&[0xff; 14]);
    bytes.extend_from_slice(&1_i32.to_be_bytes());
    bytes.extend_from_slice(body);
    restamp(&mut bytes, TimestampType::CreateTime, TimestampMs(1_000));
    let batch = Batch::parse(bytes.clone().freeze()).expect("sound header");
    assert_eq!(batch.header().base_offset, Offset(9));
    assert_eq!(batch.header().partition_leader_epoch, LeaderEpoch(4));
    assert!(!batch.header().has_producer());
    assert_eq!(batch.header().last_sequence(), Sequence::NONE);
    let expected = Owned {
        offset: 9,
        timestamp: 1_000,
        key: None,
        value: Some(b"hello".to_vec()),
        headers: vec![(b"a".to_vec(), None), (b"b".to_vec(), Some(vec![1, 2, 3]))],
    };
    assert_eq!(read(bytes.freeze()), Ok(vec![expected]));
}

#[test]
fn stamps_leave_the_checksum_true() {
    let bytes = build(shared_options(Compression::Lz4), &simple(9));
    let batch = Batch::parse(bytes.clone()).expect("own batch");
    let header = batch.stamped_header(Offset(123), LeaderEpoch(8));
    let stamped = batch.stamped(Offset(123), LeaderEpoch(8));
    assert_eq!(stamped.check_crc(), Ok(()));
    assert_eq!(stamped.header().base_offset, Offset(123));
    assert_eq!(stamped.header().end_offset(), Offset(132));
    assert_eq!(stamped.header().partition_leader_epoch, LeaderEpoch(8));
    assert_eq!(&stamped.bytes()[..HEADER_BYTES], &header[..]);
    assert_eq!(bytes[..8], [0; 8], "shared bytes are not written to");
}

#[test]
fn log_append_time_dates_every_record() {
    let bytes = build(shared_options(Compression::Gzip), &simple(3));
    let batch = Batch::parse(bytes).expect("own batch");
    let base_timestamp = batch.header().base_timestamp;
    let batch = batch.restamped(TimestampType::LogAppendTime, TimestampMs(42));
    assert_eq!(batch.check_crc(), Ok(()));
    assert_eq!(batch.header().base_timestamp, base_timestamp);
    let records = read(batch.clone().into_bytes()).expect("sound");
    assert!(records.iter().all(|record| record.timestamp == 42));

    // Compaction keeps the append time although it writes the records anew.
    let mut builder = BatchBuilder::new(BatchOptions::retaining(batch.header()));
    records[1].append_to(&mut builder).expect("in order");
    let rebuilt = builder.build(&mut Compressor::new()).expect("small");
    assert_eq!(read(rebuilt).expect("sound"), records[1..2]);
}

#[test]
fn cuts_at_every_byte_are_seen() {
    for codec in Compression::ALL {
        let whole = build(shared_options(codec), &simple(5));
        for len in 0..whole.len() {
            let cut = whole.slice(..len);
            let error = Batch::parse(cut.clone()).expect_err("cut batch");
            assert!(matches!(error, RecordError::Truncated { .. }), "{codec} cut at {len}: {error}");
            assert_eq!(batches(&cut, Tail::MayBeCut).count(), 0);
            assert_eq!(batches(&cut, Tail::MustBeWhole).count(), usize::from(len > 0));
        }
        let mut longer = BytesMut::from(&whole[..]);
        longer.extend_from_slice(&[0]);
        let error = Batch::parse(longer.freeze()).expect_err("one byte more");
        assert_eq!(error, RecordError::BatchTrailing);
    }
}

/// The same cuts with a header that owns up to them: the body must not pass for whole, whatever its codec tolerates.
#[test]
fn cut_bodies_are_never_whole() {
    for codec in Compression::ALL {
        let whole = build(shared_options(codec), &simple(2000));
        for len in (HEADER_BYTES..whole.len()).step_by(if codec == Compression::None { 97 } else { 7 }) {
            let mut header = BatchHeader::parse(&whole).expect("own header");
            header.size_bytes = u32::try_from(len).expect("small");
            let mut bytes = BytesMut::from(&whole[..len]);
            bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
            restamp(&mut bytes, TimestampType::CreateTime, TimestampMs(0));
            assert!(read(bytes.freeze()).is_err(), "{codec} cut at {len}");
        }
    }
}

#[test]
fn flipped_bits_under_the_checksum_are_seen() {
    for codec in Compression::ALL {
        let whole = build(shared_options(codec), &simple(3));
        for at in 17..whole.len() {
            for bit in 0..8 {
                let mut bytes = BytesMut::from(&whole[..]);
                bytes[at] ^= 1 << bit;
                assert!(read(bytes.freeze()).is_err(), "{codec} byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn older_and_unknown_formats_are_told_apart() {
    let whole = build(BatchOptions::default(), &simple(1));
    for (magic, expected) in [
        (0, RecordError::OldMagic(0)),
        (1, RecordError::OldMagic(1)),
        (3, RecordError::UnknownMagic(3)),
        (0xff, RecordError::UnknownMagic(-1)),
    ] {
        let mut bytes = BytesMut::from(&whole[..]);
        bytes[16] = magic;
        assert_eq!(Batch::parse(bytes.freeze()), Err(expected));
    }
    let mut bytes = BytesMut::from(&whole[..]);
    bytes[22] |= 7;
    assert_eq!(Batch::parse(bytes.freeze()), Err(RecordError::UnknownCodec(7)));
}

#[test]
fn impossible_header_fields_are_refused() {
    let whole = build(BatchOptions::default(), &simple(1));
    let set = |at: usize, field: &[u8]| {
        let mut bytes = BytesMut::from(&whole[..]);
        bytes[at..at + field.len()].copy_from_slice(field);
        Batch::parse(bytes.freeze()).expect_err("impossible field")
    };
    assert_eq!(set(0, &(-1_i64).to_be_bytes()), RecordError::OffsetRange);
    assert_eq!(set(0, &i64::MAX.to_be_bytes()), RecordError::OffsetRange);
    assert_eq!(set(23, &(-1_i32).to_be_bytes()), RecordError::OffsetRange);
    assert_eq!(set(57, &(-1_i32).to_be_bytes()), RecordError::OffsetRange);
    assert_eq!(set(8, &(-1_i32).to_be_bytes()), RecordError::BatchLength(-1));
    assert_eq!(set(8, &48_i32.to_be_bytes()), RecordError::BatchLength(48));
    let huge = set(8, &i32::MAX.to_be_bytes());
    assert!(matches!(huge, RecordError::Truncated { .. }), "{huge}");
}

#[test]
fn a_wrong_record_count_is_seen() {
    let whole = build(BatchOptions::default(), &simple(3));
    for (count, expected) in [
        (0, RecordError::BatchTrailing),
        (2, RecordError::BatchTrailing),
        (4, RecordError::MissingRecords),
        (i32::MAX, RecordError::MissingRecords),
    ] {
        let mut bytes = BytesMut::from(&whole[..]);
        bytes[57..61].copy_from_slice(&i32::to_be_bytes(count));
        restamp(&mut bytes, TimestampType::CreateTime, TimestampMs(0));
        assert_eq!(read(bytes.freeze()), Err(expected), "count {count}");
    }
}

#[test]
fn a_sequence_of_batches_may_end_in_a_cut_one() {
    let one = build(BatchOptions::default(), &simple(2));
    let mut joined = BytesMut::from(&one[..]);
    joined.extend_from_slice(&one);
    joined.extend_from_slice(&one[..70]);
    let joined = joined.freeze();
    let mut walk = batches(&joined, Tail::MayBeCut);
    assert_eq!(walk.by_ref().flatten().count(), 2);
    assert_eq!(walk.rest().len(), 70);
    let strict: Vec<_> = batches(&joined, Tail::MustBeWhole).collect();
    assert_eq!(strict.len(), 3);
    assert!(strict[2].is_err(), "the cut batch is an error");
}

#[test]
fn sequences_follow_offsets_and_wrap() {
    let mut options = shared_options(Compression::None);
    options.producer =
        Some(ProducerFields { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: Sequence(i32::MAX - 1) });
    let batch = Batch::parse(build(options, &simple(4))).expect("own batch");
    assert_eq!(batch.header().last_sequence(), Sequence(1));
}

#[test]
fn builders_refuse_what_a_batch_cannot_hold() {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: Offset(10), ..BatchOptions::default() });
    let none = || std::iter::empty::<Header<'static>>();
    let append =
        |builder: &mut BatchBuilder, offset| builder.append_at(Offset(offset), TimestampMs(0), None, None, none());
    assert_eq!(append(&mut builder, 9), Err(BuildError::OffsetOrder));
    assert_eq!(append(&mut builder, 10), Ok(()));
    assert_eq!(append(&mut builder, 10), Err(BuildError::OffsetOrder));
    assert_eq!(append(&mut builder, 11 + i64::from(i32::MAX)), Err(BuildError::OffsetOrder));
    assert_eq!(append(&mut builder, 10 + i64::from(i32::MAX)), Ok(()));
    assert_eq!(builder.record_count(), 2);
}

#[test]
fn markers_round_trip() {
    for is_commit in [false, true] {
        let marker = EndTxnMarker { is_commit, coordinator_epoch: 11 };
        let bytes = MarkerBatch {
            producer_id: ProducerId(5),
            producer_epoch: ProducerEpoch(2),
            marker,
            timestamp: TimestampMs(9),
            base_offset: Offset(30),
            leader_epoch: LeaderEpoch(1),
        }
        .build()
        .expect("one small record");
        assert_eq!(bytes.len(), 78, "as long as Kafka's");
        let batch = Batch::parse(bytes).expect("own batch");
        assert!(batch.header().attributes.is_control());
        assert!(batch.header().attributes.is_transactional());
        assert_eq!(batch.header().base_sequence, Sequence::NONE);
        let payload = batch.payload(&mut Decompressor::new(), LIMIT).expect("uncompressed");
        let records: Vec<_> = payload.records().flatten().collect();
        assert_eq!(records.len(), 1);
        assert_eq!(EndTxnMarker::parse(&records[0]), Ok(Some(marker)));
    }
}

#[test]
fn control_records_of_other_kinds_are_no_markers() {
    let mut builder = BatchBuilder::new(BatchOptions { is_control: true, ..BatchOptions::default() });
    let types = [
        ControlType::LeaderChange,
        ControlType::SnapshotHeader,
        ControlType::SnapshotFooter,
        ControlType::KRaftVersion,
        ControlType::KRaftVoters,
        ControlType::Unknown(99),
    ];
    for control in types {
        builder.append_control(TimestampMs(1), control, b"message").expect("small");
    }
    let bytes = builder.build(&mut Compressor::new()).expect("small");
    let batch = Batch::parse(bytes).expect("own batch");
    let payload = batch.payload(&mut Decompressor::new(), LIMIT).expect("uncompressed");
    for (record, expected) in payload.records().flatten().zip(types) {
        assert_eq!(control_type(&record), Ok(expected));
        assert_eq!(ControlType::from_id(expected.id()), expected);
        assert_eq!(EndTxnMarker::parse(&record), Ok(None));
    }
}

#[test]
fn malformed_control_records_are_refused() {
    let record = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
        attributes: 0,
        timestamp: TimestampMs(0),
        offset: Offset(0),
        key,
        value,
        headers: Headers::default(),
    };
    for (key, value) in [
        (None, None),
        (Some(&[0, 0, 0][..]), None),
        (Some(&[0xff, 0xff, 0, 0][..]), Some(&[0; 6][..])),
        (Some(&[0, 0, 0, 1][..]), None),
        (Some(&[0, 0, 0, 1][..]), Some(&[0; 5][..])),
        (Some(&[0, 0, 0, 1][..]), Some(&[0xff, 0, 0, 0, 0, 0][..])),
    ] {
        assert_eq!(EndTxnMarker::parse(&record(key, value)), Err(RecordError::ControlRecord));
    }
}

#[test]
fn fields_are_shared_without_a_copy() {
    let batch = Batch::parse(build(BatchOptions::default(), &simple(2))).expect("own batch");
    let payload = batch.payload(&mut Decompressor::new(), LIMIT).expect("uncompressed");
    let record = payload.records().flatten().nth(1).expect("two records");
    let value = record.value.expect("has a value");
    let shared = payload.share(value);
    assert_eq!(shared.as_ptr(), value.as_ptr());
    assert!(batch.bytes().as_ptr_range().contains(&shared.as_ptr()), "uncompressed records are read where they lie");
}
