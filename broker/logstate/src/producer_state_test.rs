//! Tests of producer state as dialogues: what a producer or coordinator sends, what the partition says.

use barnabas_base::LeaderEpoch;
use barnabas_wire::record::{Attributes, EndTxnMarker};

use super::*;

/// A partition that appends what it accepts.
#[derive(Default)]
struct Partition {
    state: ProducerState,
    end: i64,
}

/// A data batch of five fields that matter.
#[derive(Clone, Copy)]
struct Batch {
    producer: i64,
    epoch: i16,
    sequence: i32,
    count: i32,
    is_transactional: bool,
}

const fn plain(producer: i64, epoch: i16, sequence: i32, count: i32) -> Batch {
    Batch { producer, epoch, sequence, count, is_transactional: false }
}

const fn transactional(producer: i64, epoch: i16, sequence: i32, count: i32) -> Batch {
    Batch { is_transactional: true, ..plain(producer, epoch, sequence, count) }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    AppendedAt(i64),
    DuplicateOf(i64),
    Refused(ErrorCode),
}

use Answer::{AppendedAt, DuplicateOf, Refused};

impl Partition {
    fn header(&self, batch: Batch) -> BatchHeader {
        BatchHeader {
            base_offset: Offset(self.end),
            size_bytes: 100,
            partition_leader_epoch: LeaderEpoch(0),
            crc: 0,
            attributes: Attributes::default().with_transactional(batch.is_transactional),
            last_offset_delta: batch.count - 1,
            base_timestamp: TimestampMs(self.end),
            max_timestamp: TimestampMs(self.end),
            producer_id: ProducerId(batch.producer),
            producer_epoch: ProducerEpoch(batch.epoch),
            base_sequence: Sequence(batch.sequence),
            record_count: batch.count,
        }
    }

    fn produce(&mut self, batch: Batch) -> Answer {
        let header = self.header(batch);
        match self.state.check(&header, Origin::Client) {
            Err(refusal) => Refused(refusal.code),
            Ok(Verdict::Duplicate(original)) => DuplicateOf(original.first_offset().0),
            Ok(Verdict::Append) => {
                self.state.apply(&header, None);
                self.end = header.end_offset().0;
                AppendedAt(header.base_offset.0)
            }
        }
    }

    fn end_txn(
        &mut self,
        (producer, epoch): (i64, i16),
        is_commit: bool,
        coordinator_epoch: i32,
        transaction_version: i16,
    ) -> Result<Option<CompletedTxn>, ErrorCode> {
        let mut header = self.header(transactional(producer, epoch, -1, 1));
        header.attributes = header.attributes.with_control(true);
        let marker = Marker { end: EndTxnMarker { is_commit, coordinator_epoch }, timestamp: TimestampMs(self.end) };
        self.state.check_marker(&header, &marker, transaction_version).map_err(|refusal| refusal.code)?;
        let (_, completed) = self.state.apply(&header, Some(&marker));
        self.end += 1;
        Ok(completed)
    }

    fn stable(&self, high_watermark: i64) -> i64 {
        self.state.last_stable_offset(Offset(high_watermark), Offset::ZERO).0
    }
}

#[test]
fn batches_without_a_producer_leave_no_state() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(-1, -1, -1, 3)), AppendedAt(0));
    assert_eq!(partition.produce(plain(-1, -1, 0, 3)), AppendedAt(3));
    assert!(partition.state.is_empty());
}

#[test]
fn sequences_continue_and_gaps_are_refused() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(7, 0, 0, 5)), AppendedAt(0));
    assert_eq!(partition.produce(plain(7, 0, 5, 1)), AppendedAt(5));
    assert_eq!(partition.produce(plain(7, 0, 7, 1)), Refused(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(partition.produce(plain(7, 0, 6, 1)), AppendedAt(6));
    assert_eq!(partition.produce(plain(8, 0, 0, 1)), AppendedAt(7));
}

/// pitfall 17
#[test]
fn the_last_five_batches_are_known_as_duplicates() {
    let mut partition = Partition::default();
    for batch in 0..7 {
        let offset = i64::from(batch) * 2;
        assert_eq!(partition.produce(plain(7, 0, batch * 2, 2)), AppendedAt(offset));
    }
    for batch in 2..7 {
        let offset = i64::from(batch) * 2;
        assert_eq!(partition.produce(plain(7, 0, batch * 2, 2)), DuplicateOf(offset));
    }
    assert_eq!(
        partition.produce(plain(7, 0, 2, 2)),
        Refused(ErrorCode::OutOfOrderSequenceNumber),
        "older than the window"
    );
    assert_eq!(
        partition.produce(plain(7, 0, 12, 1)),
        Refused(ErrorCode::OutOfOrderSequenceNumber),
        "part of a batch is not that batch"
    );
}

#[test]
fn an_unknown_producer_begins_anywhere() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(7, 3, 41, 2)), AppendedAt(0));
    assert_eq!(partition.produce(plain(7, 3, 43, 1)), AppendedAt(2));
}

#[test]
fn a_new_epoch_begins_at_zero_and_an_old_one_is_fenced() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(7, 1, 0, 3)), AppendedAt(0));
    assert_eq!(partition.produce(plain(7, 2, 3, 1)), Refused(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(partition.produce(plain(7, 2, 0, 1)), AppendedAt(3));
    assert_eq!(
        partition.produce(plain(7, 1, 0, 3)),
        Refused(ErrorCode::InvalidProducerEpoch),
        "a duplicate of a superseded epoch is fenced all the same"
    );
    assert_eq!(partition.produce(plain(7, 2, 0, 1)), DuplicateOf(3));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(7, 0, i32::MAX - 1, 2)), AppendedAt(0));
    assert_eq!(partition.produce(plain(7, 0, 1, 1)), Refused(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(partition.produce(plain(7, 0, 0, 1)), AppendedAt(2));

    let mut inside = Partition::default();
    assert_eq!(inside.produce(plain(7, 0, i32::MAX - 1, 4)), AppendedAt(0));
    assert_eq!(inside.produce(plain(7, 0, 2, 1)), AppendedAt(4));
    assert_eq!(inside.produce(plain(7, 0, i32::MAX - 1, 4)), DuplicateOf(0));
}

#[test]
fn a_transaction_holds_the_stable_offset_until_its_marker_is_replicated() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(plain(1, 0, 0, 3)), AppendedAt(0));
    assert_eq!(partition.produce(transactional(7, 0, 0, 2)), AppendedAt(3));
    assert_eq!(partition.produce(transactional(8, 0, 0, 2)), AppendedAt(5));
    assert_eq!(partition.stable(7), 3);
    assert_eq!(partition.stable(2), 2, "never above the high watermark");

    let aborted = partition.end_txn((7, 0), false, 0, 0).expect("accepted");
    let aborted = aborted.expect("there was a transaction");
    assert_eq!(aborted.first_offset, Offset(3));
    assert_eq!(aborted.last_offset, Offset(7));
    assert_eq!(aborted.last_stable_offset, Offset(5));
    assert!(aborted.aborted().is_some());

    // H16: the marker at 7 may still be lost.
    partition.state.on_high_watermark(Offset(7));
    assert_eq!(partition.stable(7), 3);
    partition.state.on_high_watermark(Offset(8));
    assert_eq!(partition.stable(8), 5);

    let committed = partition.end_txn((8, 0), true, 0, 0).expect("accepted");
    let committed = committed.expect("there was a transaction");
    assert_eq!(committed.last_stable_offset, Offset(9));
    assert_eq!(committed.aborted(), None);
    partition.state.on_high_watermark(Offset(9));
    assert_eq!(partition.stable(9), 9);
    assert_eq!(partition.state.first_undecided_offset(), None);
}

#[test]
fn the_stable_offset_is_not_below_the_log_start() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 0, 0, 9)), AppendedAt(0));
    let stable = partition.state.last_stable_offset(Offset(9), Offset(4));
    assert_eq!(stable, Offset(4));
}

#[test]
fn a_plain_batch_inside_a_transaction_is_refused() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 0, 0, 1)), AppendedAt(0));
    assert_eq!(partition.produce(plain(7, 0, 1, 1)), Refused(ErrorCode::InvalidTxnState));
    assert_eq!(partition.produce(transactional(7, 0, 1, 1)), AppendedAt(1));
}

#[test]
fn zombie_coordinators_and_producers_are_fenced() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 4, 0, 1)), AppendedAt(0));
    assert_eq!(partition.end_txn((7, 3), true, 9, 0), Err(ErrorCode::InvalidProducerEpoch));
    assert!(matches!(partition.end_txn((7, 4), true, 9, 0), Ok(Some(_))));
    assert_eq!(partition.end_txn((7, 4), false, 8, 0), Err(ErrorCode::TransactionCoordinatorFenced));
    assert_eq!(partition.end_txn((7, 4), true, 9, 0), Ok(None), "a retried marker ends nothing");
}

/// H18, KIP-890: with transactions v2 a marker names its transaction by a bumped epoch.
#[test]
fn markers_of_transactions_v2_bump_the_epoch() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 4, 0, 2)), AppendedAt(0));
    assert_eq!(partition.end_txn((7, 4), true, 0, 2), Err(ErrorCode::InvalidProducerEpoch));
    assert!(matches!(partition.end_txn((7, 5), true, 0, 2), Ok(Some(_))));
    assert_eq!(partition.end_txn((7, 5), true, 0, 2), Ok(None), "retry");
    assert_eq!(partition.produce(transactional(7, 4, 2, 1)), Refused(ErrorCode::InvalidProducerEpoch));
    assert_eq!(
        partition.produce(transactional(7, 5, 2, 1)),
        Refused(ErrorCode::OutOfOrderSequenceNumber),
        "sequences start over"
    );
    assert_eq!(partition.produce(transactional(7, 5, 0, 1)), AppendedAt(4));
    assert_eq!(
        partition.end_txn((7, 5), true, 0, 2),
        Err(ErrorCode::InvalidProducerEpoch),
        "a late commit of the transaction before"
    );
}

#[test]
fn at_the_last_epoch_a_marker_cannot_bump() {
    let mut partition = Partition::default();
    let last = i16::MAX;
    assert_eq!(partition.produce(transactional(7, last, 0, 1)), AppendedAt(0));
    assert!(matches!(partition.end_txn((7, last), true, 0, 2), Ok(Some(_))));
}

#[test]
fn a_coordinator_writes_without_sequences() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 4, 0, 1)), AppendedAt(0));
    let offsets = partition.header(transactional(7, 4, -1, 1));
    let stale = partition.header(transactional(7, 3, -1, 1));
    let check = |header| partition.state.check(header, Origin::Coordinator);
    assert_eq!(check(&offsets), Ok(Verdict::Append));
    assert_eq!(check(&stale).map_err(|refusal| refusal.code), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn a_marker_that_compaction_emptied_changes_nothing() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(7, 0, 0, 1)), AppendedAt(0));
    let before = partition.state.clone();
    let mut header = partition.header(transactional(7, 0, -1, 1));
    header.attributes = header.attributes.with_control(true);
    header.record_count = 0;
    partition.state.apply(&header, None);
    assert_eq!(partition.state, before);
}

/// Compaction may leave a bare header for the last sequence of a producer.
#[test]
fn an_emptied_batch_still_carries_the_sequence() {
    let mut partition = Partition::default();
    let mut header = partition.header(plain(7, 0, 10, 5));
    header.record_count = 0;
    partition.state.apply(&header, None);
    partition.end = 5;
    assert_eq!(partition.produce(plain(7, 0, 15, 1)), AppendedAt(5));
}

#[test]
fn silent_producers_expire_unless_in_a_transaction() {
    let mut partition = Partition { end: 1_000, ..Partition::default() };
    assert_eq!(partition.produce(plain(1, 0, 0, 1)), AppendedAt(1_000));
    assert_eq!(partition.produce(transactional(2, 0, 0, 1)), AppendedAt(1_001));
    partition.end = 5_000;
    assert_eq!(partition.produce(plain(3, 0, 0, 1)), AppendedAt(5_000));
    assert_eq!(partition.state.expire(TimestampMs(1_999), 1_000), 0);
    assert_eq!(partition.state.expire(TimestampMs(2_000), 1_000), 1);
    assert!(partition.state.get(ProducerId(1)).is_none());
    assert!(partition.state.get(ProducerId(2)).is_some());
    assert_eq!(partition.state.expire(TimestampMs(i64::MAX), 1_000), 1, "all but the one in a transaction");
}

/// H25: a marker refreshes its producer.
#[test]
fn markers_count_as_a_sign_of_life() {
    let mut partition = Partition::default();
    assert_eq!(partition.produce(transactional(2, 0, 0, 1)), AppendedAt(0));
    partition.end = 9_000;
    assert!(partition.end_txn((2, 0), true, 0, 0).is_ok());
    assert_eq!(partition.state.expire(TimestampMs(9_500), 1_000), 0);
    assert_eq!(partition.state.expire(TimestampMs(10_000), 1_000), 1);
}

/// A producer that sends what happened long ago is not silent for that.
#[test]
fn who_has_written_lately_is_known_by_offsets() {
    let mut partition = Partition::default();
    for producer in 1..=4 {
        assert_eq!(partition.produce(plain(producer, 0, 0, 1)), AppendedAt(producer - 1));
    }
    assert_eq!(partition.produce(transactional(5, 0, 0, 1)), AppendedAt(4));
    assert_eq!(partition.produce(plain(2, 0, 1, 1)), AppendedAt(5));
    assert!(partition.end_txn((3, 1), true, 0, 2).is_ok());
    assert_eq!(partition.state.forget_below(Offset(5)), 2);
    let known: Vec<i64> = partition.state.iter().map(|(id, _)| id.0).collect();
    assert_eq!(known, [2, 3, 5], "a batch, a marker, an open transaction");

    let bytes = partition.state.to_snapshot();
    let mut restored = ProducerState::from_snapshot(&bytes, Offset(partition.end)).expect("own snapshot");
    assert_eq!(restored.forget_below(Offset(5)), 0);
}

#[test]
fn room_is_made_by_offsets_and_not_by_timestamps() {
    let mut partition = Partition::default();
    let bound = i64::try_from(PRODUCERS_PER_LOG_MAX).expect("fits");
    let mut append = |producer: i64, sequence: i32, timestamp: i64| {
        let mut header = partition.header(plain(producer, 0, sequence, 1));
        header.max_timestamp = TimestampMs(timestamp);
        partition.state.apply(&header, None);
        partition.end += 1;
    };
    for producer in 0..bound {
        append(producer, 0, bound - producer);
    }
    append(0, 1, 0);
    append(bound, 0, 0);
    let state = &partition.state;
    assert!(state.len() < PRODUCERS_PER_LOG_MAX);
    assert!(state.get(ProducerId(0)).is_some(), "the one that wrote last");
    assert!(state.get(ProducerId(1)).is_none(), "the one that wrote first");
    assert!(state.get(ProducerId(bound - 1)).is_some());
}

#[test]
fn the_number_of_producers_is_bounded() {
    let mut partition = Partition::default();
    let bound = i64::try_from(PRODUCERS_PER_LOG_MAX).expect("fits");
    assert_eq!(partition.produce(transactional(0, 0, 0, 1)), AppendedAt(0));
    for producer in 1..bound {
        let _ = partition.produce(plain(producer, 0, 0, 1));
    }
    assert_eq!(partition.state.len(), PRODUCERS_PER_LOG_MAX);
    let _ = partition.produce(plain(bound, 0, 0, 1));
    assert!(partition.state.len() < PRODUCERS_PER_LOG_MAX);
    assert!(partition.state.get(ProducerId(0)).is_some(), "open transactions stay");
    assert!(partition.state.get(ProducerId(1)).is_none(), "the silent go first");
    assert!(partition.state.get(ProducerId(bound)).is_some());
}
