//! Tests of the log fold: state is a function of the surviving batches alone, whatever was staged, committed and
//! rolled back on the way there.

use barnabas_base::{ProducerEpoch, ProducerId, Sequence};
use barnabas_wire::record::{
    Batch, BatchBuilder, BatchOptions, Compressor, EndTxnMarker, HEADER_BYTES, MarkerBatch, ProducerFields,
};
use proptest::prelude::*;

use super::*;

/// One appended batch, as a test script says it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Plain { count: i64 },
    Idempotent { producer: i64, count: i64 },
    Transactional { producer: i64, count: i64 },
    Marker { producer: i64, is_commit: bool },
    BeginEpoch,
}

fn data_batch(step: Step, base_offset: Offset, epoch: LeaderEpoch) -> Batch {
    let (producer, count, is_transactional) = match step {
        Step::Plain { count } => (None, count, false),
        Step::Idempotent { producer, count } => (Some(producer), count, false),
        Step::Transactional { producer, count } => (Some(producer), count, true),
        Step::Marker { .. } | Step::BeginEpoch => panic!("not a data batch"),
    };
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset,
        leader_epoch: epoch,
        producer: producer.map(|producer| ProducerFields {
            id: ProducerId(producer),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(i32::try_from(base_offset.0).expect("short log")),
        }),
        is_transactional,
        ..BatchOptions::default()
    });
    for _ in 0..count {
        builder.append(TimestampMs(base_offset.0), None, Some(b"v"), std::iter::empty()).expect("small batch");
    }
    let bytes = builder.build(&mut Compressor::new()).expect("small batch");
    Batch::parse(bytes).expect("own batch")
}

fn batch(step: Step, base_offset: Offset, epoch: LeaderEpoch) -> Batch {
    let Step::Marker { producer, is_commit } = step else {
        return data_batch(step, base_offset, epoch);
    };
    let bytes = MarkerBatch {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        marker: EndTxnMarker { is_commit, coordinator_epoch: 0 },
        timestamp: TimestampMs(base_offset.0),
        base_offset,
        leader_epoch: epoch,
    }
    .build()
    .expect("small batch");
    Batch::parse(bytes).expect("own batch")
}

fn stage(fold: &mut LogFold, batch: &Batch) -> Folded {
    let folded = fold.stage(batch.header(), batch.body());
    folded.expect("batches in order")
}

fn replayed(log: &[Batch]) -> LogFold {
    let mut fold = LogFold::new(Offset::ZERO);
    for batch in log {
        fold.replay(batch.header(), &batch.bytes()[HEADER_BYTES..]).expect("a log replays");
    }
    fold
}

#[test]
fn a_batch_is_judged_on_top_of_those_under_way() {
    use crate::{Origin, Verdict};
    let mut fold = LogFold::new(Offset::ZERO);
    let options = |sequence| BatchOptions {
        leader_epoch: LeaderEpoch(0),
        producer: Some(ProducerFields {
            id: ProducerId(7),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
        }),
        ..BatchOptions::default()
    };
    let one = |sequence| {
        let mut builder = BatchBuilder::new(options(sequence));
        builder.append(TimestampMs(0), None, None, std::iter::empty()).expect("small batch");
        let bytes = builder.build(&mut Compressor::new()).expect("small batch");
        Batch::parse(bytes).expect("own batch")
    };
    let at = |batch: Batch, offset| batch.stamped(Offset(offset), LeaderEpoch(0));
    stage(&mut fold, &at(one(0), 0));
    stage(&mut fold, &at(one(1), 1));
    assert_eq!(fold.end_offset(), Offset(2));
    assert_eq!(fold.committed_end(), Offset::ZERO);
    let check = |fold: &LogFold, sequence| fold.producers().check(one(sequence).header(), Origin::Client);
    assert_eq!(check(&fold, 2), Ok(Verdict::Append));
    assert!(matches!(check(&fold, 1), Ok(Verdict::Duplicate(meta)) if meta.last_offset == Offset(1)));

    fold.commit(Offset(1));
    fold.rollback(Offset(1));
    assert_eq!(fold.end_offset(), Offset(1));
    assert!(check(&fold, 2).is_err(), "the one before it was not written");
    assert_eq!(check(&fold, 1), Ok(Verdict::Append), "the retry is welcome");
}

#[test]
fn rot_in_unprotected_fields_breaks_the_chain() {
    let mut fold = LogFold::new(Offset(10));
    let first = data_batch(Step::Plain { count: 5 }, Offset(10), LeaderEpoch(3));
    stage(&mut fold, &first);
    let replay = |offset, epoch| {
        let batch = data_batch(Step::Plain { count: 1 }, Offset(offset), LeaderEpoch(epoch));
        fold.clone().stage(batch.header(), batch.body())
    };
    assert!(matches!(replay(14, 3), Err(FoldError::OffsetRegress { .. })));
    assert!(matches!(replay(15, 2), Err(FoldError::EpochRegress { .. })));
    assert!(replay(15, 3).is_ok());
    assert!(replay(99, 4).is_ok(), "compaction leaves gaps");
}

#[test]
fn an_unreadable_marker_is_an_error_and_changes_nothing() {
    let mut fold = LogFold::new(Offset::ZERO);
    let marker = Step::Marker { producer: 1, is_commit: true };
    let batch = batch(marker, Offset::ZERO, LeaderEpoch(0));
    let cut = &batch.body()[..batch.body().len() - 1];
    assert!(matches!(fold.stage(batch.header(), cut), Err(FoldError::Record(_))));
    assert_eq!(fold.end_offset(), Offset::ZERO);
    assert_eq!(fold.pending_len(), 0);
    assert!(fold.epochs().entries().is_empty());
}

#[test]
fn a_leadership_begins_where_the_log_ends_even_when_that_moves_back() {
    let mut fold = LogFold::new(Offset::ZERO);
    assert_eq!(fold.begin_epoch(LeaderEpoch(1)), Ok(true));
    stage(&mut fold, &data_batch(Step::Plain { count: 4 }, Offset::ZERO, LeaderEpoch(1)));
    fold.commit(Offset(4));
    stage(&mut fold, &data_batch(Step::Plain { count: 6 }, Offset(4), LeaderEpoch(1)));
    assert_eq!(fold.begin_epoch(LeaderEpoch(2)), Ok(true));
    assert_eq!(fold.epochs().latest().map(|entry| entry.start_offset), Some(Offset(10)));
    fold.rollback(Offset(4));
    assert_eq!(fold.epochs().to_text(), "0\n2\n1 0\n2 4\n");
    assert!(matches!(fold.begin_epoch(LeaderEpoch(0)), Err(FoldError::EpochRegress { .. })));
}

#[test]
fn resuming_drops_epochs_past_the_snapshot() {
    let epochs = EpochCache::from_text("0\n3\n1 0\n2 10\n3 20\n").expect("checkpoint");
    let fold = LogFold::resume(Offset(20), ProducerState::new(), epochs);
    assert_eq!(fold.end_offset(), Offset(20));
    assert_eq!(fold.epochs().to_text(), "0\n2\n1 0\n2 10\n");
    let old = data_batch(Step::Plain { count: 1 }, Offset(20), LeaderEpoch(1));
    assert!(matches!(fold.clone().replay(old.header(), old.body()), Err(FoldError::EpochRegress { .. })));
}

#[test]
fn deleted_records_leave_epoch_and_producers() {
    let mut fold = LogFold::new(Offset::ZERO);
    for (offset, epoch) in [(0, 1), (5, 2)] {
        let step = Step::Idempotent { producer: 1, count: 5 };
        stage(&mut fold, &data_batch(step, Offset(offset), LeaderEpoch(epoch)));
    }
    fold.commit(Offset(10));
    fold.on_log_start(Offset(7));
    assert_eq!(fold.epochs().to_text(), "0\n1\n2 7\n");
    assert_eq!(fold.producers().len(), 1);
    fold.on_log_start(Offset(30));
    assert_eq!(fold.epochs().to_text(), "0\n1\n2 30\n", "everything was deleted");
    assert_eq!(fold.end_offset(), Offset(30));
}

#[test]
fn staging_is_bounded() {
    let mut fold = LogFold::new(Offset::ZERO);
    let mut header = *data_batch(Step::Plain { count: 1 }, Offset::ZERO, LeaderEpoch(0)).header();
    for offset in 0..i64::try_from(PENDING_BATCHES_MAX).expect("fits") {
        header.base_offset = Offset(offset);
        assert!(fold.stage(&header, &[]).is_ok());
    }
    header.base_offset = fold.end_offset();
    assert_eq!(fold.stage(&header, &[]), Err(FoldError::TooManyPending));
    fold.commit(Offset(1));
    assert!(fold.stage(&header, &[]).is_ok());
}

fn step_strategy() -> impl Strategy<Value = Step> {
    let (producer, count) = (0..4_i64, 1..4_i64);
    prop_oneof![
        2 => count.clone().prop_map(|count| Step::Plain { count }),
        3 => (producer.clone(), count.clone())
            .prop_map(|(producer, count)| Step::Idempotent { producer, count }),
        4 => (producer.clone(), count)
            .prop_map(|(producer, count)| Step::Transactional { producer: 10 + producer, count }),
        3 => (producer, any::<bool>())
            .prop_map(|(producer, is_commit)| Step::Marker { producer: 10 + producer, is_commit }),
        1 => Just(Step::BeginEpoch),
    ]
}

/// What happens after a step is staged.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Wait,
    Commit,
    Fail(usize),
}

fn outcome_strategy() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Wait),
        2 => Just(Outcome::Commit),
        1 => (1..5_usize).prop_map(Outcome::Fail),
    ]
}

proptest! {
    /// I12, I19, I22: epochs, producers and stable offset equal those of a replay of what survived.
    #[test]
    fn state_is_a_fold_of_the_surviving_batches(
        script in proptest::collection::vec((step_strategy(), outcome_strategy()), 1..60),
    ) {
        let mut fold = LogFold::new(Offset::ZERO);
        let mut log: Vec<Batch> = Vec::new();
        let mut epoch = LeaderEpoch(0);
        let mut committed = 0;
        for (step, outcome) in script {
            if matches!(step, Step::BeginEpoch) {
                epoch = LeaderEpoch(epoch.0 + 1);
                fold.begin_epoch(epoch).expect("epochs rise");
            } else {
                let batch = batch(step, fold.end_offset(), epoch);
                stage(&mut fold, &batch);
                log.push(batch);
            }
            match outcome {
                Outcome::Wait => {}
                Outcome::Commit => {
                    fold.commit(fold.end_offset());
                    committed = log.len();
                }
                Outcome::Fail(count) => {
                    let keep = log.len().saturating_sub(count).max(committed);
                    log.truncate(keep);
                    let to = log.last().map_or(Offset::ZERO, |last| last.header().end_offset());
                    fold.rollback(to);
                }
            }
            let expected = replayed(&log);
            prop_assert_eq!(fold.end_offset(), expected.end_offset());
            prop_assert_eq!(fold.producers(), expected.producers());
            let mut epochs = fold.epochs().clone();
            epochs.truncate_from_end(fold.end_offset());
            prop_assert_eq!(&epochs, expected.epochs(), "but for an epoch without a batch");
        }
    }
}
