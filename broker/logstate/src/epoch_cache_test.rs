//! Tests of the epoch cache: Kafka's rules one by one, and a scan of a log as the model of all of them.

use proptest::prelude::*;

use super::*;

fn cache(entries: &[(i32, i64)]) -> EpochCache {
    let mut cache = EpochCache::new();
    for (epoch, start_offset) in entries {
        cache.assign(LeaderEpoch(*epoch), Offset(*start_offset));
    }
    cache
}

fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
    cache.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
}

fn end_offset_for(cache: &EpochCache, requested: i32) -> Option<(i32, i64)> {
    cache.end_offset_for(LeaderEpoch(requested), Offset(100)).map(|(epoch, end)| (epoch.0, end.0))
}

#[test]
fn an_epoch_ends_where_the_next_begins() {
    let cache = cache(&[(2, 10), (4, 20), (7, 30)]);
    assert_eq!(end_offset_for(&cache, -1), None);
    assert_eq!(end_offset_for(&cache, 1), Some((1, 10)), "before all");
    assert_eq!(end_offset_for(&cache, 2), Some((2, 20)));
    assert_eq!(end_offset_for(&cache, 3), Some((2, 20)), "never led here");
    assert_eq!(end_offset_for(&cache, 6), Some((4, 30)));
    assert_eq!(end_offset_for(&cache, 7), Some((7, 100)), "still open");
    assert_eq!(end_offset_for(&cache, 8), None, "later than all");
    assert_eq!(end_offset_for(&EpochCache::new(), 0), None);
}

#[test]
fn repeats_are_no_news_and_conflicts_go() {
    let mut known = cache(&[(1, 0), (2, 10)]);
    assert!(!known.assign(LeaderEpoch(2), Offset(15)), "goes on");
    assert!(known.assign(LeaderEpoch(2), Offset(5)), "began earlier");
    assert_eq!(pairs(&known), [(1, 0), (2, 5)]);
    assert!(known.assign(LeaderEpoch(3), Offset(5)), "2 had no batch");
    assert_eq!(pairs(&known), [(1, 0), (3, 5)]);
    assert!(known.assign(LeaderEpoch(4), Offset(0)));
    assert_eq!(pairs(&known), [(4, 0)]);
}

/// A leader of epoch 2 that wrote nothing follows again and gets more batches of epoch 1.
#[test]
fn an_epoch_begun_in_vain_does_not_move_the_one_before() {
    let mut known = cache(&[(1, 0), (2, 10)]);
    assert!(known.assign(LeaderEpoch(1), Offset(10)));
    assert_eq!(pairs(&known), [(1, 0)]);
}

#[test]
fn cuts_from_the_end_take_epochs_that_begin_there() {
    let mut known = cache(&[(1, 0), (2, 10), (3, 20)]);
    assert!(!known.truncate_from_end(Offset(21)));
    assert!(known.truncate_from_end(Offset(20)), "H05: at the very end");
    assert_eq!(pairs(&known), [(1, 0), (2, 10)]);
    assert!(known.truncate_from_end(Offset(0)));
    assert!(known.entries().is_empty());
}

#[test]
fn cuts_from_the_start_keep_the_epoch_of_the_first_record() {
    let mut known = cache(&[(1, 0), (2, 10), (3, 20)]);
    known.truncate_from_start(Offset(0));
    assert_eq!(pairs(&known), [(1, 0), (2, 10), (3, 20)], "it begins there already");
    known.truncate_from_start(Offset(15));
    assert_eq!(pairs(&known), [(2, 15), (3, 20)]);
    known.truncate_from_start(Offset(15));
    assert_eq!(pairs(&known), [(2, 15), (3, 20)], "it begins there already");
    known.truncate_from_start(Offset(20));
    assert_eq!(pairs(&known), [(3, 20)]);
    known.truncate_from_start(Offset(99));
    assert_eq!(pairs(&known), [(3, 99)]);
    let mut empty = EpochCache::new();
    empty.truncate_from_start(Offset(5));
    assert!(empty.entries().is_empty());
}

#[test]
fn the_text_is_kafkas() {
    let known = cache(&[(0, 0), (5, 1234)]);
    let text = "0\n2\n0 0\n5 1234\n";
    assert_eq!(known.to_text(), text);
    assert_eq!(EpochCache::from_text(text), Ok(known));
    assert_eq!(EpochCache::from_text("0\n0\n"), Ok(EpochCache::new()));
}

#[test]
fn damaged_texts_are_refused() {
    for (text, expected) in [
        ("", EpochFileError::Truncated),
        ("1\n0\n", EpochFileError::Version),
        ("0\n", EpochFileError::Truncated),
        ("0\nx\n", EpochFileError::Line(2)),
        ("0\n99999999999\n", EpochFileError::Line(2)),
        ("0\n2\n0 0\n", EpochFileError::Truncated),
        ("0\n1\n0 0\n1 1\n", EpochFileError::Line(4)),
        ("0\n1\n0\n", EpochFileError::Line(3)),
        ("0\n1\n0 0 0\n", EpochFileError::Line(3)),
        ("0\n1\n-1 0\n", EpochFileError::Line(3)),
        ("0\n1\n0 -1\n", EpochFileError::Line(3)),
        ("0\n2\n1 0\n1 5\n", EpochFileError::Order(4)),
        ("0\n2\n1 5\n2 5\n", EpochFileError::Order(4)),
    ] {
        assert_eq!(EpochCache::from_text(text), Err(expected), "{text:?}");
    }
}

/// A log as the list of its records' epochs, and a cache that was told each batch.
fn log_strategy() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec((0..3_i32, 1..5_usize), 1..12).prop_map(|batches| {
        let mut epoch = 0;
        batches
            .into_iter()
            .flat_map(|(bump, count)| {
                epoch += bump;
                vec![epoch; count]
            })
            .collect()
    })
}

fn scan(log: &[i32], from: usize) -> EpochCache {
    let mut cache = EpochCache::new();
    for (offset, epoch) in log.iter().enumerate().skip(from) {
        let offset = i64::try_from(offset).expect("short log");
        cache.assign(LeaderEpoch(*epoch), Offset(offset));
    }
    cache
}

proptest! {
    #[test]
    fn the_cache_is_a_scan_of_the_log(log in log_strategy(), cut in 0..60_usize) {
        let end = i64::try_from(log.len()).expect("short log");
        let cut = cut.min(log.len());
        let cut_offset = Offset(i64::try_from(cut).expect("short log"));
        let whole = scan(&log, 0);
        let mut from_end = whole.clone();
        from_end.truncate_from_end(cut_offset);
        prop_assert_eq!(&from_end, &scan(&log[..cut], 0));
        if cut < log.len() {
            let mut from_start = whole.clone();
            from_start.truncate_from_start(cut_offset);
            prop_assert_eq!(from_start, scan(&log, cut));
        }
        for (offset, epoch) in log.iter().enumerate() {
            let offset = Offset(i64::try_from(offset).expect("short log"));
            prop_assert_eq!(whole.epoch_for_offset(offset), Some(LeaderEpoch(*epoch)));
        }
        for requested in 0..=whole.latest().map_or(0, |latest| latest.epoch.0) {
            let past = log.iter().position(|epoch| *epoch > requested);
            let expected = past.map_or(end, |past| i64::try_from(past).expect("short log"));
            let found = whole.end_offset_for(LeaderEpoch(requested), Offset(end));
            prop_assert_eq!(found.map(|(_, end)| end.0), Some(expected));
        }
        prop_assert_eq!(EpochCache::from_text(&whole.to_text()), Ok(whole));
    }
}
