//! Tests of the producer snapshot: Kafka's bytes, round trips, damage.

use barnabas_base::LeaderEpoch;
use barnabas_wire::record::{Attributes, BatchHeader};
use proptest::prelude::*;

use super::*;

fn state(entries: &[(i64, ProducerEntry)]) -> ProducerState {
    let mut state = ProducerState::new();
    for (producer_id, entry) in entries {
        assert!(state.restore(ProducerId(*producer_id), *entry));
    }
    state
}

fn busy() -> ProducerEntry {
    ProducerEntry::restored(
        ProducerEpoch(3),
        9,
        TimestampMs(1_700),
        Some(Offset(50)),
        Some(BatchMeta {
            last_sequence: Sequence(12),
            last_offset: Offset(60),
            offset_delta: 4,
            timestamp: TimestampMs(1_700),
        }),
        Offset(61),
    )
}

#[test]
fn the_bytes_are_kafkas() {
    let bytes = state(&[(77, busy()), (78, ProducerEntry::UNKNOWN)]).to_snapshot();
    let mut covered = Vec::new();
    covered.extend_from_slice(&2_i32.to_be_bytes());
    covered.extend_from_slice(&77_i64.to_be_bytes());
    covered.extend_from_slice(&3_i16.to_be_bytes());
    covered.extend_from_slice(&12_i32.to_be_bytes());
    covered.extend_from_slice(&60_i64.to_be_bytes());
    covered.extend_from_slice(&4_i32.to_be_bytes());
    covered.extend_from_slice(&1_700_i64.to_be_bytes());
    covered.extend_from_slice(&9_i32.to_be_bytes());
    covered.extend_from_slice(&50_i64.to_be_bytes());
    covered.extend_from_slice(&78_i64.to_be_bytes());
    covered.extend_from_slice(&(-1_i16).to_be_bytes());
    covered.extend_from_slice(&(-1_i32).to_be_bytes());
    covered.extend_from_slice(&(-1_i64).to_be_bytes());
    covered.extend_from_slice(&0_i32.to_be_bytes());
    covered.extend_from_slice(&(-1_i64).to_be_bytes());
    covered.extend_from_slice(&(-1_i32).to_be_bytes());
    covered.extend_from_slice(&(-1_i64).to_be_bytes());
    let mut expected = vec![0, 1];
    expected.extend_from_slice(&crc32c(&covered).to_be_bytes());
    expected.extend_from_slice(&covered);
    assert_eq!(bytes, expected);
}

#[test]
fn open_transactions_come_back() {
    let before = state(&[(77, busy())]);
    let after = ProducerState::from_snapshot(&before.to_snapshot(), Offset(61)).expect("own snapshot");
    assert_eq!(after, before);
    assert_eq!(after.first_unstable_offset(), Some(Offset(50)));
    let empty = ProducerState::new();
    assert_eq!(ProducerState::from_snapshot(&empty.to_snapshot(), Offset::ZERO), Ok(empty));
}

#[test]
fn damage_is_seen() {
    let bytes = state(&[(77, busy())]).to_snapshot();
    for len in 0..bytes.len() {
        assert!(ProducerState::from_snapshot(&bytes[..len], Offset(61)).is_err(), "cut at {len}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(ProducerState::from_snapshot(&flipped, Offset(61)).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn offsets_past_the_snapshot_are_refused() {
    let bytes = state(&[(77, busy())]).to_snapshot();
    assert_eq!(ProducerState::from_snapshot(&bytes, Offset(60)), Err(SnapshotError::Entry));
}

/// With a checksum that matches, as a wrong program would write it.
#[test]
fn impossible_snapshots_are_refused() {
    let one = state(&[(77, busy())]).to_snapshot();
    let sealed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = one.clone();
        edit(&mut bytes);
        let crc = crc32c(&bytes[COVERED_FROM..]);
        bytes[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
        ProducerState::from_snapshot(&bytes, Offset(61)).expect_err("impossible")
    };
    assert_eq!(sealed(&|bytes| bytes[1] = 2), SnapshotError::Version(2));
    assert_eq!(sealed(&|bytes| bytes[9] = 2), SnapshotError::Length);
    assert_eq!(sealed(&|bytes| bytes[6] = 0xff), SnapshotError::Length);
    assert_eq!(sealed(&|bytes| bytes.push(0)), SnapshotError::Length);
    assert_eq!(sealed(&|bytes| bytes[10] = 0xff), SnapshotError::Entry);
    assert_eq!(sealed(&|bytes| bytes[32] = 0xff), SnapshotError::Entry);
    let twice = sealed(&|bytes| {
        let entry = bytes[ENTRIES_FROM..].to_vec();
        bytes.extend_from_slice(&entry);
        bytes[9] = 2;
    });
    assert_eq!(twice, SnapshotError::Entry);
}

proptest! {
    /// A snapshot keeps everything but the older batches of each producer.
    #[test]
    fn what_is_written_is_read(batches in proptest::collection::vec((0..6_i64, 1..4_i32, any::<bool>()), 0..40)) {
        let mut state = ProducerState::new();
        let mut sequences = [0; 6];
        let mut end = 0;
        for (producer, count, is_transactional) in batches {
            let sequence = &mut sequences[usize::try_from(producer).expect("below six")];
            let header = BatchHeader {
                base_offset: Offset(end),
                size_bytes: 61,
                partition_leader_epoch: LeaderEpoch(0),
                crc: 0,
                attributes: Attributes::default().with_transactional(is_transactional),
                last_offset_delta: count - 1,
                base_timestamp: TimestampMs(end),
                max_timestamp: TimestampMs(end),
                producer_id: ProducerId(producer),
                producer_epoch: ProducerEpoch(0),
                base_sequence: Sequence(*sequence),
                record_count: count,
            };
            *sequence += count;
            end += i64::from(count);
            state.apply(&header, None);
        }
        let bytes = state.to_snapshot();
        let read = ProducerState::from_snapshot(&bytes, Offset(end)).expect("own snapshot");
        prop_assert_eq!(read.to_snapshot(), bytes);
        prop_assert_eq!(read.first_unstable_offset(), state.first_unstable_offset());
        for (producer_id, entry) in state.iter() {
            let read = read.get(producer_id).expect("every producer");
            prop_assert_eq!(read.last_batch(), entry.last_batch());
            prop_assert_eq!(read.epoch(), entry.epoch());
        }
    }
}
