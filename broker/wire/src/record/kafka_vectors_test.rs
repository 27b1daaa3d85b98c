//! Tests against batches that Apache Kafka 4.3.1 wrote (`MemoryRecordsBuilder`, one batch per codec, and one transaction
//! marker): what its writer means is what is read here, and where the codec leaves no choice the bytes are the same.

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use bytes::Bytes;

use super::*;

const NONE: &str = "\
     00000000000000280000009100000005020d9cc60c0010000000020000018bcfe568000000018bcfe5680a00000000000000\
     4d0003000003e800000003160000000a6b6579203001005e000a020a6b657920313a76616c75652076616c75652076616c75\
     652076616c75652076616c75650402680278026e0146001404013a76616c75652076616c75652076616c75652076616c7565\
     2076616c756500";
const GZIP: &str = "\
     0000000000000028000000710000000502442a53b90011000000020000018bcfe568000000018bcfe5680a00000000000000\
     4d0003000003e8000000031f8b08000000000000ff13636060e0ca4ead543060648863e06202b30dadca12734a531570902c\
     4c194c154c798c6e0c222c8cf8953200002903af0660000000";
const SNAPPY: &str = "\
     0000000000000028000000780000000502376eda030012000000020000018bcfe568000000018bcfe5680a00000000000000\
     4d0003000003e80000000382534e4150505900000000010000000100000033603c160000000a6b6579203001005e000a0205\
     0c1c313a76616c7565205a0600300402680278026e014600140401762b000000";
const LZ4: &str = "\
     0000000000000028000000770000000502ef4701670013000000020000018bcfe568000000018bcfe5680a00000000000000\
     4d0003000003e80000000304224d1860408237000000f101160000000a6b6579203001005e000a020c008f313a76616c7565\
     20060004df0402680278026e0146001404012b000750616c75650000000000";
const ZSTD: &str = "\
     00000000000000280000006f0000000502db7626510014000000020000018bcfe568000000018bcfe5680a00000000000000\
     4d0003000003e80000000328b52ffd00589401006402160000000a6b6579203001005e000a02313a76616c75652004026802\
     78026e0146001404010003004e893fa57217ca12010000";
const MARKER: &str = "\
     000000000000001e000000420000000102fc1e73500030000000000000000000000009000000000000000900000000000000\
     050002ffffffff000000012000000008000000000c00000000000b00";

fn bytes_of(hex: &str) -> Bytes {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hex digit");
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).expect("two hex digits")).collect()
}

/// Key, value and headers of the three records, at offset 40 and on, 5 ms apart.
type Fields = (Option<&'static [u8]>, Option<&'static [u8]>, &'static [(&'static [u8], Option<&'static [u8]>)]);

const VALUE: &[u8] = b"value value value value value";
const RECORDS: [Fields; 3] = [
    (Some(b"key 0"), None, &[]),
    (Some(b"key 1"), Some(VALUE), &[(b"h", Some(b"x")), (b"n", None)]),
    (None, Some(VALUE), &[]),
];

fn headers<'a>(fields: &'a Fields) -> impl Iterator<Item = Header<'a>> + Clone {
    fields.2.iter().map(|(key, value)| Header { key, value: *value })
}

#[test]
fn kafkas_batches_are_read() {
    for (codec, hex) in Compression::ALL.into_iter().zip([NONE, GZIP, SNAPPY, LZ4, ZSTD]) {
        let batch = Batch::parse(bytes_of(hex)).expect("Kafka's batch");
        assert_eq!(batch.check_crc(), Ok(()), "{codec}");
        let header = batch.header();
        assert_eq!(header.compression(), codec);
        assert_eq!(header.base_offset, Offset(40));
        assert_eq!(header.last_offset(), Offset(42));
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(5));
        assert_eq!(header.producer_id, ProducerId(77));
        assert_eq!(header.producer_epoch, ProducerEpoch(3));
        assert_eq!(header.base_sequence, Sequence(1000));
        assert_eq!(header.last_sequence(), Sequence(1002));
        assert!(header.attributes.is_transactional());
        assert!(!header.attributes.is_control());
        assert_eq!(header.max_timestamp, TimestampMs(1_700_000_000_010));
        let payload = batch.payload(&mut Decompressor::new(), 4096).expect("Kafka's body");
        let records: Vec<_> = payload.records().collect::<Result<_, _>>().expect("Kafka's records");
        assert_eq!(records.len(), RECORDS.len());
        for ((record, fields), index) in records.iter().zip(&RECORDS).zip(0..) {
            assert_eq!(record.offset, Offset(40 + index), "{codec}");
            assert_eq!(record.timestamp, TimestampMs(1_700_000_000_000 + 5 * index), "{codec}");
            assert_eq!((record.key, record.value), (fields.0, fields.1), "{codec}");
            assert!(record.headers.iter().eq(headers(fields)), "{codec}");
        }
    }
}

#[test]
fn uncompressed_batches_are_kafkas_byte_for_byte() {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(40),
        leader_epoch: LeaderEpoch(5),
        producer: Some(ProducerFields { id: ProducerId(77), epoch: ProducerEpoch(3), base_sequence: Sequence(1000) }),
        is_transactional: true,
        ..BatchOptions::default()
    });
    for (fields, index) in RECORDS.iter().zip(0..) {
        let timestamp = TimestampMs(1_700_000_000_000 + 5 * index);
        builder.append(timestamp, fields.0, fields.1, headers(fields)).expect("small batch");
    }
    assert_eq!(builder.build(&mut Compressor::new()), Ok(bytes_of(NONE)));
}

#[test]
fn markers_are_kafkas_byte_for_byte() {
    let marker = MarkerBatch {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(2),
        marker: EndTxnMarker { is_commit: false, coordinator_epoch: 11 },
        timestamp: TimestampMs(9),
        base_offset: Offset(30),
        leader_epoch: LeaderEpoch(1),
    };
    assert_eq!(marker.build(), Ok(bytes_of(MARKER)));
}
