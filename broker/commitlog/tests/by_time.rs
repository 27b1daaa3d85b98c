//! Searches by time in logs whose records were deleted or cleaned away.

mod support;

use barnabas_base::{Offset, TimestampMs};
use barnabas_commitlog::{CleanupPolicy, LogConfig};
use barnabas_wire::record::TimestampType;
use support::*;

/// The record with the largest timestamp may lie below the log start, in front of others in its batch or its segment.
#[test]
fn deleted_records_do_not_hide_the_largest_timestamp() {
    let path = folder("deleted_largest");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(LogConfig { segment_bytes: 20_000, ..LogConfig::default() }).await;
        let largest = async || {
            let found = log.max_timestamp(log.high_watermark()).await.expect("works");
            found.map(|found| (found.timestamp.0, found.offset.0))
        };
        for (count, timestamp) in [(1, 9_000), (2, 5_000), (1, 3_000), (1, 5_001)] {
            acked(&log, batch(count, 100, timestamp)).await;
        }
        acked(&log, batch(1, 19_900, 4_000)).await;
        assert_eq!((log.segment_count(), largest().await), (2, Some((9_000, 0))));
        for (start, expected) in [(1, (5_001, 2)), (2, (5_001, 2)), (3, (5_001, 4)), (5, (4_000, 5))] {
            assert_eq!(log.delete_records_before(Offset(start)).await, Ok(Offset(start)));
            assert_eq!(largest().await, Some(expected), "from {start} on");
        }
        assert_eq!(log.delete_records_before(Offset(6)).await, Ok(Offset(6)));
        assert_eq!(largest().await, None);
        acked(&log, batch(1, 100, 1_000)).await;
        assert_eq!(largest().await, Some((1_000, 6)));
        start.close().await;
    });
}

/// All records of a batch have its append time, and only some of them may be left.
#[test]
fn a_search_names_a_record_that_is_there() {
    let path = folder("cleaned_append_time");
    run(async move |env| {
        let start = Start::new(&env, &path).await;
        let config = LogConfig {
            segment_bytes: 5_000,
            file_delete_delay_ms: 0,
            cleanup: CleanupPolicy { delete: false, compact: true },
            timestamp_type: TimestampType::LogAppendTime,
            ..LogConfig::default()
        };
        let (log, _) = start.open(config).await;
        acked(&log, keyed(&[("often", Some("1")), ("once", Some("1"))])).await;
        let often = "x".repeat(1_000);
        for _ in 0..10 {
            acked(&log, keyed(&[("often", Some(&often))])).await;
        }
        let first = async || {
            let found = log.offset_for_timestamp(TimestampMs(0), log.high_watermark()).await.expect("works");
            found.map(|found| found.offset)
        };
        assert_eq!(first().await, Some(Offset(0)));
        log.clean(None).await.expect("works");
        assert_eq!(first().await, Some(Offset(1)));
        assert_eq!(offsets(&log).await.first(), Some(&1));
        start.close().await;
    });
}
