//! Tests of the journal's bytes: round trips, torn and damaged files, files written over again.

use super::format::*;
use barnabas_base::{DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition, Uuid};
use bytes::{Bytes, BytesMut};

const HEADER: FileHeader = FileHeader { generation: 7, shard: 1, directory_id: DirectoryId(Uuid([3; 16])), salt: 99 };

fn parts() -> Vec<Part> {
    let partition = TopicPartition { topic_id: TopicId(Uuid([5; 16])), partition: PartitionIndex(4) };
    let point = Point {
        durable: Offset(10),
        in_file: Offset(9),
        log_start: Offset(2),
        settled: Offset(8),
        settled_segment: Offset(0),
        settled_position: 77,
    };
    vec![
        Part::Log { number: 0, partition, folder: "topic-4".to_owned() },
        data(700),
        Part::Point { number: 0, point },
        Part::Truncated { number: 0, end_offset: Offset(3) },
        Part::Removed { number: 0 },
    ]
}

fn data(len: usize) -> Part {
    Part::Data {
        number: 0,
        segment: Offset(0),
        position: 100,
        end_offset: Offset(10),
        bytes: Bytes::from(vec![0xbb; len]),
    }
}

fn entry(generation: u64, sequence: u64, parts: &[Part]) -> BytesMut {
    synced_entry(generation, sequence, sequence, parts)
}

fn synced_entry(generation: u64, sequence: u64, synced: u64, parts: &[Part]) -> BytesMut {
    let mut builder = EntryBuilder::new();
    for part in parts {
        builder.push(part);
    }
    let padded = builder.padded_bytes();
    let mut bytes = BytesMut::new();
    for piece in builder.finish(&FileHeader { generation, ..HEADER }, sequence, synced) {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, padded, "entries fill whole sectors");
    bytes
}

fn file(entries: &[BytesMut]) -> BytesMut {
    let mut bytes = BytesMut::from(&HEADER.to_block()[..]);
    for entry in entries {
        bytes.extend_from_slice(entry);
    }
    bytes
}

#[test]
fn entries_round_trip() {
    let bytes = file(&[entry(7, 0, &parts()), entry(7, 1, &[data(1)])]).freeze();
    let journal = parse_file(&bytes).expect("a sound file");
    assert_eq!(journal.header, HEADER);
    assert_eq!(journal.entries[0].parts, parts());
    assert_eq!(journal.entries[1].parts, [data(1)]);
    assert!(!journal.has_hole);
}

#[test]
fn a_torn_last_entry_is_left_out() {
    let whole = file(&[entry(7, 0, &[data(600)]), entry(7, 1, &[data(600)])]);
    for cut in (0..whole.len()).step_by(13) {
        let torn = Bytes::copy_from_slice(&whole[..cut]);
        if let Ok(journal) = parse_file(&torn) {
            assert!(journal.entries.len() <= 2);
            assert!(!journal.has_hole, "a prefix has no hole");
        }
    }
    let mut flipped = whole.clone();
    let last = flipped.len() - 500;
    flipped[last] ^= 1;
    let journal = parse_file(&flipped.freeze()).expect("the first block is sound");
    assert!(journal.entries.len() <= 2);
}

#[test]
fn an_entry_behind_a_damaged_one_is_found_and_the_hole_told() {
    let mut bytes = file(&[entry(7, 0, &[data(600)]), entry(7, 1, &[data(600)]), entry(7, 2, &[data(9)])]);
    bytes[512 + 1024 + 100] ^= 1;
    let journal = parse_file(&bytes.freeze()).expect("the first block is sound");
    let sequences: Vec<u64> = journal.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [0, 2]);
    assert!(journal.has_hole);
}

#[test]
fn entries_that_were_not_synced_count_up_to_the_first_gap() {
    let entries: Vec<BytesMut> =
        (0..5).map(|sequence| synced_entry(7, sequence, sequence.min(1), &[data(600)])).collect();
    let mut bytes = file(&entries);
    bytes[512 + 2 * 1024 + 100] ^= 1;
    let journal = parse_file(&bytes.freeze()).expect("the first block is sound");
    let sequences: Vec<u64> = journal.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [0, 1], "the third was lost, nobody knows it to have been durable");
    assert!(!journal.has_hole);
}

#[test]
fn what_an_earlier_generation_left_behind_does_not_count() {
    let bytes = file(&[entry(7, 0, &[data(9)]), entry(6, 1, &[data(9)]), entry(6, 2, &[data(9)])]);
    let journal = parse_file(&bytes.freeze()).expect("a sound file");
    assert_eq!(journal.entries.len(), 1);
    assert!(!journal.has_hole);
}

#[test]
fn foreign_and_later_files_are_told_apart() {
    assert_eq!(parse_file(&Bytes::new()), Err(FileHeaderError::Empty));
    assert_eq!(parse_file(&Bytes::from(vec![0; 1024])), Err(FileHeaderError::Empty));
    let mut later = file(&[]);
    later[11] = 2;
    assert_eq!(parse_file(&later.freeze()), Err(FileHeaderError::Version(2)));
    let mut damaged = file(&[]);
    damaged[20] ^= 1;
    assert_eq!(parse_file(&damaged.freeze()), Err(FileHeaderError::Damaged));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..4096)) {
        let mut whole = HEADER.to_block().to_vec();
        whole.extend_from_slice(b"BJN1");
        whole.extend_from_slice(&bytes);
        let _ = parse_file(&Bytes::from(whole));
    }
}
