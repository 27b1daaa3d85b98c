//! Appending and reading on a real file system: order, offsets, bounds, duplicates, starts after clean stops and crashes.

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use barnabas_base::{Offset, RestartKind, TimestampMs};
use barnabas_commitlog::{AppendError, Log, LogConfig, ReadBound, ReadError, ReadStop};
use barnabas_wire::ErrorCode;
use support::*;

#[test]
fn what_is_appended_is_read_back_in_order() {
    let path = folder("in_order");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(LogConfig::default()).await;
        assert_eq!(report.kind, RestartKind::Fresh);
        let tickets: Vec<_> = (0..50).map(|_| append(&log, batch(3, 100, 1_000))).collect();
        let mut expected = 0;
        for ticket in tickets {
            let appended = ticket.await.expect("accepted");
            assert_eq!(appended.base_offset, Offset(expected));
            expected += 3;
            assert_eq!(appended.end_offset, Offset(expected));
        }
        log.wait_high_watermark(Offset(150)).await.expect("works");
        assert_eq!(log.high_watermark(), Offset(150));
        assert_eq!(offsets(&log).await, (0..150).collect::<Vec<_>>());
        start.close().await;
    });
}

#[test]
fn reads_are_bounded() {
    let path = folder("bounded");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        for _ in 0..10 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        let first = log.read(Offset(1), 10, ReadBound::HighWatermark, true).await.expect("readable");
        assert_eq!((first.first_offset, first.next_offset), (Offset(0), Offset(2)), "one batch whatever its size");
        let none = log.read(Offset(1), 10, ReadBound::HighWatermark, false).await.expect("readable");
        assert_eq!((none.size_bytes, none.next_offset), (0, Offset(1)));
        let some = log.read(Offset(4), 5_000, ReadBound::HighWatermark, false).await.expect("readable");
        assert_eq!((some.first_offset, some.next_offset), (Offset(4), Offset(8)));
        let end = log.read(Offset(20), 5_000, ReadBound::HighWatermark, true).await.expect("at the end");
        assert_eq!(end.size_bytes, 0);
        let past = log.read(Offset(21), 5_000, ReadBound::HighWatermark, true).await;
        assert_eq!(past.expect_err("past the end"), ReadError::OutOfRange);
        start.close().await;
    });
}

#[test]
fn a_read_says_why_it_stops() {
    let path = folder("stops");
    let again = path.clone();
    // Three batches fit a segment.
    let config = || LogConfig { segment_bytes: 8_000, ..LogConfig::default() };
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config()).await;
        for _ in 0..7 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        assert_eq!(log.segment_count(), 3);
        says_why_it_stops(&log).await;
        start.close().await;
    });
    // Nothing is remembered of batches that were appended before a start.
    let path = again;
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config()).await;
        says_why_it_stops(&log).await;
        start.close().await;
    });
}

async fn says_why_it_stops(log: &Rc<Log>) {
    for (from, max_bytes, min_one_batch, next, stop) in [
        (0, 1 << 20, false, 6, ReadStop::Boundary),
        (6, 1 << 20, false, 12, ReadStop::Boundary),
        (12, 1 << 20, false, 14, ReadStop::End),
        (14, 1 << 20, true, 14, ReadStop::End),
        (0, 5_000, false, 4, ReadStop::Limit),
        (0, 10, true, 2, ReadStop::Limit),
        (0, 10, false, 0, ReadStop::Limit),
        (0, 0, false, 0, ReadStop::Limit),
        (14, 0, false, 14, ReadStop::End),
    ] {
        let read = log.read(Offset(from), max_bytes, ReadBound::HighWatermark, min_one_batch).await.expect("readable");
        assert_eq!((read.next_offset, read.stop), (Offset(next), stop), "{max_bytes} bytes from {from}");
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_recover() {
    let path = folder("clean_stop");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig { segment_bytes: 20_000, ..LogConfig::default() }).await;
        for time in 0..40 {
            acked(&log, batch(2, 1_000, 1_000 + time * 10)).await;
        }
        assert!(log.segment_count() > 3);
        start.close().await;
        let left = names(&path);
        assert!(!left.iter().any(|name| name.starts_with(".barnabas-journal")), "{left:?}");
        assert!(left.contains(&".kafka_cleanshutdown".to_owned()));
    });
    let path = again;
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        assert_eq!(start.seed.kind, RestartKind::Clean);
        assert_eq!(start.seed.clean_broker_epoch, 7);
        assert!(!names(&path).contains(&".kafka_cleanshutdown".to_owned()), "the marker never outlives a start");
        let (log, report) = start.open(LogConfig { segment_bytes: 20_000, ..LogConfig::default() }).await;
        assert_eq!((report.kind, report.cut_bytes), (RestartKind::Clean, 0));
        assert!(report.scanned_bytes < 10_000, "{}", report.scanned_bytes);
        assert_eq!(log.high_watermark(), Offset(80));
        assert_eq!(offsets(&log).await, (0..80).collect::<Vec<_>>());
        let found = log.offset_for_timestamp(TimestampMs(1_200), Offset(80)).await.expect("works").expect("a record");
        assert_eq!((found.offset, found.timestamp), (Offset(40), TimestampMs(1_200)));
        assert_eq!(acked(&log, batch(1, 10, 5_000)).await.base_offset, Offset(80));
        let largest = log.max_timestamp(Offset(81)).await.expect("works").expect("a record");
        assert_eq!((largest.offset, largest.timestamp), (Offset(80), TimestampMs(5_000)));
        start.close().await;
    });
}

#[test]
fn a_search_by_timestamp_misses_nothing_while_another_segment_goes() {
    let path = folder("search_meanwhile");
    let again = path.clone();
    // A segment for each batch.
    let config = || LogConfig { segment_bytes: 3_000, ..LogConfig::default() };
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config()).await;
        for time in 0..40 {
            acked(&log, batch(2, 1_000, 1_000 + time * 10)).await;
        }
        start.close().await;
    });
    let path = again;
    run(async move |env| {
        let start = Start::new(&disk::uncached(&env), &path).await;
        let (log, _) = start.open(config()).await;
        let end = log.high_watermark();
        let before = log.offset_for_timestamp(TimestampMs(1_190), end).await.expect("works").expect("a record");
        assert_eq!(before.offset, Offset(38));
        let segments = log.segment_count();
        let mut search = pin!(log.offset_for_timestamp(TimestampMs(1_200), end));
        let waits = poll_fn(|context| Poll::Ready(search.as_mut().poll(context).is_pending())).await;
        assert!(waits, "it reads the index of the segment that it looks for");
        log.delete_records_before(Offset(8)).await.expect("deletes");
        assert!(log.segment_count() < segments);
        let found = search.await.expect("works").expect("a record");
        assert_eq!((found.offset, found.timestamp), (Offset(40), TimestampMs(1_200)));
        start.close().await;
    });
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let path = folder("crash");
    let mut expected = 0;
    for round in 0..4 {
        let path = path.clone();
        expected = run(async move |env| {
            let start = Start::new(&env, &path).await;
            let (log, report) = start.open(LogConfig { segment_bytes: 30_000, ..LogConfig::default() }).await;
            assert_eq!(report.end_offset, Offset(expected), "round {round}");
            assert_eq!(report.cut_bytes, 0);
            assert_eq!(offsets(&log).await, (0..expected).collect::<Vec<_>>());
            for _ in 0..25 {
                acked(&log, batch(3, 500, 1_000)).await;
            }
            log.end_offset().0
        });
    }
}

#[test]
fn a_repeated_batch_is_answered_with_its_old_offset() {
    let path = folder("duplicate");
    let again = path.clone();
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        let first = append(&log, idempotent(5, 0, 0, 3));
        let repeated = append(&log, idempotent(5, 0, 0, 3));
        let next = append(&log, idempotent(5, 0, 3, 2));
        let first = first.await.expect("accepted");
        let repeated = repeated.await.expect("a duplicate is a success");
        assert!(repeated.duplicate);
        assert_eq!((repeated.base_offset, repeated.end_offset), (first.base_offset, first.end_offset));
        assert_eq!(next.await.expect("accepted").base_offset, Offset(3));
        let gap = append(&log, idempotent(5, 0, 9, 1)).await.expect_err("a gap");
        assert_eq!(gap.code(), ErrorCode::OutOfOrderSequenceNumber);
        log.wait_high_watermark(Offset(5)).await.expect("works");
        assert_eq!(log.producers().len(), 1);
    });
    let path = again;
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        let repeated = append(&log, idempotent(5, 0, 3, 2)).await.expect("known after a crash");
        assert!(repeated.duplicate);
        assert_eq!(repeated.base_offset, Offset(3));
        start.close().await;
    });
}

#[test]
fn refusals_carry_kafkas_code_and_change_nothing() {
    let path = folder("refusals");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig { max_message_bytes: 2_000, ..LogConfig::default() }).await;
        let large = append(&log, batch(1, 5_000, 1_000)).await.expect_err("too large");
        assert_eq!(large.code(), ErrorCode::MessageTooLarge);
        let mut damaged = batch(1, 100, 1_000).to_vec();
        damaged[80] ^= 1;
        let damaged = append(&log, damaged.into()).await.expect_err("wrong checksum");
        assert_eq!(damaged.code(), ErrorCode::CorruptMessage);
        assert!(matches!(damaged, AppendError::Refused(_)));
        assert_eq!(log.end_offset(), Offset(0));
        assert_eq!(acked(&log, batch(1, 100, 1_000)).await.base_offset, Offset(0));
        start.close().await;
    });
}

#[test]
fn reads_do_not_need_the_tail_cache() {
    let path = folder("no_tail");
    run(async move |env| {
        let start = Start::with_budget(&env, &path, 0).await;
        let (log, _) = start.open(LogConfig { segment_bytes: 20_000, ..LogConfig::default() }).await;
        for _ in 0..40 {
            acked(&log, batch(2, 1_000, 1_000)).await;
        }
        assert_eq!(offsets(&log).await, (0..80).collect::<Vec<_>>());
        for from in 0..80 {
            let read = log.read(Offset(from), 9_000, ReadBound::HighWatermark, true).await.expect("readable");
            assert!(read.first_offset <= Offset(from));
            assert!(read.next_offset > Offset(from));
            let size: u64 = read.segments.iter().map(barnabas_runtime::Segment::len).sum();
            assert_eq!(size, read.size_bytes);
        }
        start.close().await;
    });
}

/// What a log remembers of producers is charged to the budget of its shard: a new one is refused for now when there is no
/// room, the known ones go on, and one that was silent for long is forgotten for it.
#[test]
fn producers_are_bounded_by_memory() {
    let path = folder("producers_bounded");
    run(async move |env| {
        let start = Start::with_budget(&env, &path, 5_000).await;
        let (log, _) = start.open(LogConfig::default()).await;
        let now = env.wall().0;
        let mut known = 0;
        while append(&log, idempotent_at(known, now)).await.is_ok() {
            known += 1;
            assert!(known < 100, "there is no room for so many");
        }
        assert!(known > 5, "{known} are a few");
        let refused = append(&log, idempotent_at(known, now)).await.expect_err("there is no room");
        assert_eq!(refused.code(), ErrorCode::RequestTimedOut, "clients send again on it");
        let again = acked(&log, idempotent(0, 0, 1, 1)).await;
        assert!(!again.duplicate, "a known producer goes on");
        let plain = acked(&log, batch(1, 20, now)).await;
        assert_eq!(plain.base_offset, Offset(known + 1), "nothing of the refused ones is there");
        start.close().await;
    });
}

#[test]
fn silent_producers_make_room_for_others() {
    let path = folder("producers_forgotten");
    run(async move |env| {
        let start = Start::with_budget(&env, &path, 5_000).await;
        // Nobody is forgotten before the log has been open for as long as that.
        let expiration_ms = 1;
        let config = LogConfig { producer_id_expiration_ms: expiration_ms, ..LogConfig::default() };
        let (log, _) = start.open(config).await;
        let now = env.wall().0;
        env.sleep_until(env.now().after_ms(expiration_ms)).await;
        for id in 0..50 {
            // Every other one was heard of last an hour ago.
            let timestamp = if id % 2 == 0 { now - 3_600_000 } else { now + 3_600_000 };
            if append(&log, idempotent_at(id, timestamp)).await.is_err() {
                break;
            }
        }
        let ids: Vec<i64> = log.producers().iter().map(|producer| producer.producer_id.0).collect();
        assert!(ids.len() > 5, "there is room for a few: {ids:?}");
        let odd = ids.iter().filter(|id| *id % 2 == 1).count();
        assert!(odd > ids.len() / 2, "the silent ones went first: {ids:?}");
        start.close().await;
    });
}
