//! Tests of the leader's validation: each rule with Kafka's code, each rewrite, and damage anywhere.

use barnabas_base::{ProducerEpoch, ProducerId, Sequence};
use barnabas_wire::record::{Attributes, BatchBuilder, BatchOptions, HEADER_BYTES, batches, restamp};
use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const CONTEXT: ProduceContext = ProduceContext { version: 13, now: NOW };

fn built(options: BatchOptions, records: &[(i64, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (index, (timestamp, key)) in records.iter().enumerate() {
        let value = format!("value {index} ").repeat(5);
        builder
            .append(TimestampMs(*timestamp), key.map(str::as_bytes), Some(value.as_bytes()), std::iter::empty())
            .expect("small batch");
    }
    builder.build(&mut Compressor::new()).expect("small batch")
}

/// Three keyed records, the middle one the youngest.
fn good(compression: Compression) -> Bytes {
    let options = BatchOptions { compression, ..BatchOptions::default() };
    let now = NOW.0;
    built(options, &[(now, Some("a")), (now + 9, Some("b")), (now, Some("c"))])
}

/// A good batch with header fields changed and the checksum made to match.
fn edited(edit: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let bytes = good(Compression::None);
    let mut header = BatchHeader::parse(&bytes).expect("own batch");
    edit(&mut header);
    let mut bytes = BytesMut::from(&bytes[..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    let timestamp_type = header.attributes.timestamp_type();
    restamp(&mut bytes, timestamp_type, header.max_timestamp);
    bytes.freeze()
}

fn check(bytes: &Bytes, rules: &TopicRules) -> Result<Validated, Refusal> {
    validate(bytes, &CONTEXT, rules, &mut Codecs::default())
}

fn code(bytes: &Bytes) -> ErrorCode {
    match check(bytes, &TopicRules::default()) {
        Ok(_) => ErrorCode::None,
        Err(refusal) => refusal.code,
    }
}

/// Index of each record at fault.
fn faults(refusal: &Refusal) -> Vec<i32> {
    refusal.record_errors.iter().map(|record| record.index).collect()
}

#[test]
fn a_good_batch_is_taken_as_it_comes() {
    for codec in Compression::ALL {
        let bytes = good(codec);
        let validated = check(&bytes, &TopicRules::default()).expect("good batch");
        assert_eq!(validated.batch().bytes(), &bytes, "{codec}: untouched");
        assert_eq!(validated.batch().bytes().as_ptr(), bytes.as_ptr(), "{codec}: not even copied");
        assert!(!validated.is_rewritten());
        assert_eq!(validated.log_append_time(), None);
        let stamped = validated.stamped(Offset(100), LeaderEpoch(4));
        assert_eq!(stamped.check_crc(), Ok(()));
        assert_eq!(stamped.header().last_offset(), Offset(102));
    }
}

/// pitfall 13
#[test]
fn exactly_one_batch_of_the_current_format() {
    let one = good(Compression::None);
    assert_eq!(code(&Bytes::new()), ErrorCode::InvalidRecord);
    assert_eq!(code(&one.slice(..one.len() - 1)), ErrorCode::InvalidRecord);
    assert_eq!(code(&one.slice(..10)), ErrorCode::InvalidRecord);
    let two = Bytes::from([&one[..], &one[..]].concat());
    assert_eq!(code(&two), ErrorCode::InvalidRecord);
    for (magic, expected) in
        [(0, ErrorCode::InvalidRecord), (1, ErrorCode::InvalidRecord), (3, ErrorCode::CorruptMessage)]
    {
        let mut bytes = BytesMut::from(&one[..]);
        bytes[16] = magic;
        assert_eq!(code(&bytes.freeze()), expected, "magic {magic}");
    }
    let mut bytes = BytesMut::from(&one[..]);
    bytes[8..12].copy_from_slice(&13_i32.to_be_bytes());
    assert_eq!(code(&bytes.freeze()), ErrorCode::CorruptMessage);
}

#[test]
fn damage_under_the_checksum_is_corruption() {
    for codec in Compression::ALL {
        let one = good(codec);
        for at in 17..one.len() {
            let mut bytes = BytesMut::from(&one[..]);
            bytes[at] ^= 0x10;
            assert_eq!(code(&bytes.freeze()), ErrorCode::CorruptMessage, "{codec} byte {at}");
        }
    }
}

#[test]
fn zstd_needs_produce_7() {
    let bytes = good(Compression::Zstd);
    for (version, expected) in [(6, Some(ErrorCode::UnsupportedCompressionType)), (7, None)] {
        let context = ProduceContext { version, now: NOW };
        let result = validate(&bytes, &context, &TopicRules::default(), &mut Codecs::default());
        assert_eq!(result.err().map(|refusal| refusal.code), expected);
    }
}

#[test]
fn an_unknown_codec_is_named_as_such() {
    let bytes = edited(|header| header.attributes = Attributes(5));
    assert_eq!(code(&bytes), ErrorCode::UnsupportedCompressionType);
}

/// pitfall 15: the size that counts is that of the compressed batch.
#[test]
fn the_size_limit_is_on_compressed_bytes() {
    let options = |compression| BatchOptions { compression, ..BatchOptions::default() };
    let records = vec![(NOW.0, Some("k")); 200];
    let plain = built(options(Compression::None), &records);
    let packed = built(options(Compression::Lz4), &records);
    let rules = TopicRules { batch_bytes_max: u32::try_from(packed.len()).expect("small"), ..TopicRules::default() };
    assert!(packed.len() < plain.len());
    let refused = check(&plain, &rules).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(ErrorCode::MessageTooLarge));
    assert!(check(&packed, &rules).is_ok());

    // Unpacking it for the topic makes it too large again.
    let unpacked = TopicRules { compression: TopicCompression::Codec(Compression::None, None), ..rules };
    let refused = check(&packed, &unpacked).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(ErrorCode::MessageTooLarge));

    let segment = TopicRules { segment_bytes_max: rules.batch_bytes_max - 1, ..rules };
    let refused = check(&packed, &segment).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(ErrorCode::RecordListTooLarge));
}

#[test]
fn a_batch_that_unpacks_past_the_limit_is_to_be_split() {
    let rules = TopicRules { decompressed_bytes_max: 50, ..TopicRules::default() };
    for codec in Compression::ALL {
        let refused = check(&good(codec), &rules).map_err(|refusal| refusal.code);
        match codec {
            Compression::None => assert!(refused.is_ok(), "nothing is unpacked"),
            _ => assert_eq!(refused, Err(ErrorCode::MessageTooLarge), "{codec}"),
        }
    }
}

#[test]
fn offsets_count_from_zero_without_gaps() {
    type Edit = fn(&mut BatchHeader);
    let edits: [Edit; 7] = [
        |header| header.base_offset = Offset(1),
        |header| header.last_offset_delta = 3,
        |header| header.last_offset_delta = 1,
        |header| header.record_count = 0,
        |header| header.record_count = 4,
        |header| (header.record_count, header.last_offset_delta) = (2, 1),
        |header| (header.record_count, header.last_offset_delta) = (4, 3),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        assert_eq!(code(&edited(edit)), ErrorCode::InvalidRecord, "edit {index}");
    }
    for field in [0..8, 23..27, 57..61] {
        let mut bytes = BytesMut::from(&good(Compression::None)[..]);
        bytes[field].fill(0xff);
        restamp(&mut bytes, TimestampType::CreateTime, NOW);
        assert_eq!(code(&bytes.freeze()), ErrorCode::InvalidRecord);
    }
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for offset in [0, 2] {
        builder.append_at(Offset(offset), NOW, None, None, std::iter::empty()).expect("in order");
    }
    let gap = builder.build(&mut Compressor::new()).expect("small batch");
    let gap = {
        let mut header = BatchHeader::parse(&gap).expect("own batch");
        header.last_offset_delta = 1;
        let mut bytes = BytesMut::from(&gap[..]);
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        restamp(&mut bytes, TimestampType::CreateTime, NOW);
        bytes.freeze()
    };
    assert_eq!(code(&gap), ErrorCode::InvalidRecord, "inner offsets");
}

#[test]
fn control_batches_are_not_for_clients() {
    let bytes = edited(|header| header.attributes = header.attributes.with_control(true));
    assert_eq!(code(&bytes), ErrorCode::InvalidRecord);
}

#[test]
fn producer_fields_are_all_real_or_none_counts() {
    let with = |id, epoch, sequence, is_transactional| {
        code(&edited(|header| {
            header.producer_id = ProducerId(id);
            header.producer_epoch = ProducerEpoch(epoch);
            header.base_sequence = Sequence(sequence);
            header.attributes = header.attributes.with_transactional(is_transactional);
        }))
    };
    assert_eq!(with(7, 0, 0, false), ErrorCode::None);
    assert_eq!(with(7, 0, 0, true), ErrorCode::None);
    assert_eq!(with(7, 0, -1, false), ErrorCode::InvalidRecord);
    assert_eq!(with(7, -1, 0, false), ErrorCode::InvalidRecord);
    assert_eq!(with(-2, -1, -1, false), ErrorCode::InvalidRecord);
    assert_eq!(with(-1, -1, -1, true), ErrorCode::InvalidRecord);
    assert_eq!(with(-1, -1, 0, false), ErrorCode::None, "Sarama");
}

/// pitfall 14
#[test]
fn records_at_fault_are_named() {
    let now = NOW.0;
    let records =
        [(now, Some("a")), (now, None), (now + 3_600_001, Some("c")), (now + 3_600_000, None), (-1, Some("e"))];
    let bytes = built(BatchOptions::default(), &records);
    let rules = TopicRules::default();
    let refusal = check(&bytes, &rules).expect_err("from the future");
    assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
    assert_eq!(faults(&refusal), [2]);

    let compacted = TopicRules { is_compacted: true, timestamp_after_max_ms: i64::MAX, ..rules };
    let refusal = check(&bytes, &compacted).expect_err("keys are missing");
    assert_eq!(refusal.code, ErrorCode::InvalidRecord);
    assert_eq!(faults(&refusal), [1, 3]);

    let both = TopicRules { is_compacted: true, ..rules };
    let refusal = check(&bytes, &both).expect_err("both");
    assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
    assert_eq!(faults(&refusal), [1, 2, 3]);

    let past = TopicRules { timestamp_before_max_ms: 0, timestamp_after_max_ms: i64::MAX, ..rules };
    assert!(check(&bytes, &past).is_ok(), "-1 is no timestamp");
    let context = ProduceContext { version: 13, now: TimestampMs(now + 1) };
    let refusal = validate(&bytes, &context, &past, &mut Codecs::default()).expect_err("late");
    assert_eq!(faults(&refusal), [0, 1]);
}

#[test]
fn the_list_of_faults_is_bounded() {
    let records = vec![(NOW.0, None); RECORD_ERRORS_MAX + 5];
    let bytes = built(BatchOptions::default(), &records);
    let rules = TopicRules { is_compacted: true, ..TopicRules::default() };
    let refusal = check(&bytes, &rules).expect_err("keys are missing");
    assert_eq!(refusal.record_errors.len(), RECORD_ERRORS_MAX);
}

/// The good batch as one that claims to have been appended at `timestamp`.
fn claiming(timestamp: TimestampMs) -> Bytes {
    edited(|header| {
        header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        header.max_timestamp = timestamp;
    })
}

#[test]
fn clients_do_not_set_the_append_time() {
    let too_late = TimestampMs(NOW.0 + TopicRules::default().timestamp_after_max_ms + 1);
    for (timestamp_type, timestamp) in [
        (TimestampType::LogAppendTime, NOW),
        (TimestampType::LogAppendTime, TimestampMs::NONE),
        (TimestampType::CreateTime, TimestampMs::NONE),
        (TimestampType::CreateTime, too_late),
    ] {
        let rules = TopicRules { timestamp_type, ..TopicRules::default() };
        let refusal = check(&claiming(timestamp), &rules).expect_err("the leader's to set");
        assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
        assert_eq!(faults(&refusal), [0, 1, 2]);
    }
}

/// Kafka's order of checks: a claim that is in range passes where timestamps are the producer's, and is dropped.
#[test]
fn a_claimed_append_time_in_range_is_a_create_time() {
    let validated = check(&claiming(NOW), &TopicRules::default()).expect("in range");
    assert_eq!(validated.log_append_time(), None);
    assert_eq!(validated.header().attributes.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(validated.header().max_timestamp, NOW);
    assert_eq!(validated.batch().check_crc(), Ok(()));
}

/// pitfall 16
#[test]
fn append_time_topics_are_dated_by_the_leader() {
    let rules =
        TopicRules { timestamp_type: TimestampType::LogAppendTime, timestamp_after_max_ms: 0, ..TopicRules::default() };
    for codec in Compression::ALL {
        let validated = check(&good(codec), &rules).expect("good batch");
        assert_eq!(validated.log_append_time(), Some(NOW));
        let header = *validated.header();
        assert_eq!(header.max_timestamp, NOW);
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        let batch = validated.stamped(Offset(5), LeaderEpoch(1));
        assert_eq!(batch.check_crc(), Ok(()));
        let payload = batch.payload(&mut Decompressor::new(), 1 << 20).expect("own body");
        assert!(payload.records().flatten().all(|record| record.timestamp == NOW));
    }
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    for claimed in [-1, 0, NOW.0 + 10_000_000] {
        let bytes = edited(|header| header.max_timestamp = TimestampMs(claimed));
        let validated = check(&bytes, &TopicRules::default()).expect("repaired");
        assert_eq!(validated.header().max_timestamp, TimestampMs(NOW.0 + 9));
        assert_eq!(validated.batch().check_crc(), Ok(()));
    }
}

#[test]
fn topics_with_a_codec_get_it() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let rules = TopicRules { compression: TopicCompression::Codec(to, None), ..TopicRules::default() };
            let bytes = good(from);
            let validated = check(&bytes, &rules).expect("good batch");
            assert_eq!(validated.is_rewritten(), from != to);
            assert_eq!(validated.header().compression(), to);
            let batch = validated.stamped(Offset(7), LeaderEpoch(0));
            assert_eq!(batch.check_crc(), Ok(()));
            let payload =
                |batch: &Batch| batch.payload(&mut Decompressor::new(), 1 << 20).expect("sound body").bytes().clone();
            let original = Batch::parse(bytes).expect("own batch");
            assert_eq!(payload(&batch), payload(&original), "{from} to {to}");
        }
    }
}

#[test]
fn a_body_that_does_not_unpack_is_final() {
    for codec in Compression::ALL {
        let bytes = edited(|header| header.attributes = header.attributes.with_compression(codec));
        let expected = match codec {
            Compression::None => ErrorCode::None,
            _ => ErrorCode::InvalidRecord,
        };
        assert_eq!(code(&bytes), expected, "{codec}");
    }
}

proptest! {
    /// With a checksum that matches, whatever the body: refused or sound, and then readable from end to end.
    #[test]
    fn what_is_accepted_is_readable(
        body in proptest::collection::vec(any::<u8>(), 0..120),
        at in 0..150_usize,
        flip in 1..=255_u8,
        replace in any::<bool>(),
    ) {
        let whole = good(Compression::None);
        let mut bytes = BytesMut::from(&whole[..]);
        if replace {
            bytes.truncate(HEADER_BYTES);
            bytes.extend_from_slice(&body);
            let length = i32::try_from(bytes.len() - 12).expect("small");
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        } else {
            let at = HEADER_BYTES + at % (whole.len() - HEADER_BYTES);
            bytes[at] ^= flip;
        }
        restamp(&mut bytes, TimestampType::CreateTime, NOW);
        if let Ok(validated) = check(&bytes.freeze(), &TopicRules::default()) {
            let batch = validated.stamped(Offset(50), LeaderEpoch(0));
            let payload = batch.payload(&mut Decompressor::new(), 1 << 20).expect("sound");
            let records: Vec<_> = payload.records().collect::<Result<_, _>>().expect("sound");
            let offsets: Vec<_> = records.iter().map(|record| record.offset.0).collect();
            let end = 50 + i64::try_from(records.len()).expect("few");
            prop_assert_eq!(offsets, (50..end).collect::<Vec<_>>());
            let max = records.iter().map(|record| record.timestamp).max();
            prop_assert_eq!(Some(batch.header().max_timestamp), max);
            let walked = batches(batch.bytes(), barnabas_wire::record::Tail::MustBeWhole).count();
            prop_assert_eq!(walked, 1);
        }
    }
}
