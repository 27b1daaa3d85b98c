//! What stands on disk before an append is answered, seen from behind the seam: segment, then journal, then sync, then
//! the answer; segments before their journal is written over; and no second sync after one that failed.

mod support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_commitlog::limits::JOURNAL_FILE_BYTES;
use barnabas_commitlog::{AppendOptions, AppendOrigin, FlushPolicy, Log, LogConfig};
use support::disk::{Step, Watch, watched, watched_with_syncs};
use support::*;

/// What happened, in order.
#[derive(Clone, Debug)]
enum Event {
    Disk(Step),
    /// The high watermark of the first log reached this offset.
    Answered(Offset),
}

type Events = Rc<RefCell<Vec<Event>>>;

fn recorder(events: &Events) -> Watch {
    let events = Rc::clone(events);
    Rc::new(move |step| {
        events.borrow_mut().push(Event::Disk(step.clone()));
        Ok(())
    })
}

const SEGMENT: &str = "00000000000000000000.log";

fn is_journal(name: &str) -> bool {
    name.starts_with(".barnabas-journal")
}

fn is_data(name: &str) -> bool {
    name == SEGMENT || is_journal(name)
}

/// Position of the first event from `from` on that `wanted` takes.
fn find(events: &[Event], from: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    let found = events.iter().skip(from).position(wanted);
    from + found.unwrap_or_else(|| panic!("no such event from {from} on: {events:#?}"))
}

fn writes(name: fn(&str) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disk(step @ Step::Write(..)) if name(step.name()))
}

fn syncs(name: fn(&str) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disk(step @ Step::Sync(_)) if name(step.name()))
}

/// Appends `size` bytes and notes when it was answered.
async fn answered(log: &Rc<Log>, size: usize, events: &Events) {
    let appended = acked(log, batch(1, size, 1_000)).await;
    events.borrow_mut().push(Event::Answered(appended.end_offset));
}

#[test]
fn a_small_append_is_answered_after_the_journal_is_synced() {
    let path = folder("order_small");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched_with_syncs(&env, recorder(&events)), &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        for _ in 0..5 {
            answered(&log, 1_000, &events).await;
        }
        let events = events.borrow();
        let mut from = 0;
        for end_offset in 1..=5 {
            let written = find(&events, from, writes(|name| name == SEGMENT));
            let journaled = find(&events, written, writes(is_journal));
            let synced = find(&events, journaled, syncs(is_journal));
            let told = find(&events, from, |event| matches!(event, Event::Answered(at) if *at == Offset(end_offset)));
            assert!(synced < told, "{events:#?}");
            from = told;
        }
        assert!(!events.iter().any(syncs(|name| name == SEGMENT)), "the journal stands for the segment");
    });
}

#[test]
fn the_name_of_a_segment_is_durable_before_what_is_in_it() {
    let path = folder("order_names");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched(&env, recorder(&events)), &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        answered(&log, 1_000, &events).await;
        log.roll().await.expect("the disk works");
        answered(&log, 1_000, &events).await;
        let events = events.borrow();
        let is_segment =
            |event: &Event| matches!(event, Event::Disk(step @ Step::Create(_)) if step.name().ends_with(".log"));
        let created: Vec<usize> = (0..events.len()).filter(|at| is_segment(&events[*at])).collect();
        assert_eq!(created.len(), 2, "{events:#?}");
        for (at, end_offset) in created.into_iter().zip(1..) {
            let folder = log_folder(&path);
            let named = find(&events, at, |event| matches!(event, Event::Disk(Step::SyncDir(path)) if *path == folder));
            let told = find(&events, at, |event| matches!(event, Event::Answered(at) if *at == Offset(end_offset)));
            assert!(named < told, "{events:#?}");
        }
    });
}

#[test]
fn a_large_append_is_answered_after_its_segment_is_synced() {
    let path = folder("order_large");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched_with_syncs(&env, recorder(&events)), &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        answered(&log, 900_000, &events).await;
        let events = events.borrow();
        let written = find(&events, 0, writes(|name| name == SEGMENT));
        let synced = find(&events, written, syncs(|name| name == SEGMENT));
        let told = find(&events, 0, |event| matches!(event, Event::Answered(_)));
        assert!(synced < told, "{events:#?}");
        let in_journal = |event: &Event| matches!(event, Event::Disk(Step::Write(path, _, len)) if *len > 500_000 && path.ends_with(".barnabas-journal-0.a"));
        assert!(!events.iter().any(in_journal), "large batches are written once");
    });
}

#[test]
fn many_logs_share_one_sync() {
    let path = folder("order_shared");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched_with_syncs(&env, recorder(&events)), &path).await;
        let mut logs = Vec::new();
        for index in 0..20 {
            let opened = Log::open(&start.directory, partition(index), TOPIC, LogConfig::default()).await;
            logs.push(opened.expect("the log opens").0);
        }
        for log in &logs {
            acked(log, batch(1, 100, 1_000)).await;
        }
        events.borrow_mut().clear();
        let origin = AppendOrigin::Client { produce_version: 11 };
        let options = AppendOptions { origin, leader_epoch: EPOCH };
        let tickets: Vec<_> = logs.iter().map(|log| log.append(batch(1, 100, 1_000), options)).collect();
        for (ticket, log) in tickets.into_iter().zip(&logs) {
            let appended = ticket.await.expect("accepted");
            log.wait_high_watermark(appended.end_offset).await.expect("the disk works");
        }
        let count = events.borrow().iter().filter(|event| matches!(event, Event::Disk(Step::Sync(_)))).count();
        // A few where the page cache is full and each write leaves the thread.
        assert!(count <= 10, "{count} syncs for 20 appends at once");
    });
}

#[test]
fn a_journal_is_written_over_only_when_the_segments_have_it_all() {
    let path = folder("order_checkpoint");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched(&env, recorder(&events)), &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        // Fills both files and begins the first one again.
        for _ in 0..(JOURNAL_FILE_BYTES * 5 / 2 / 50_000) {
            answered(&log, 50_000, &events).await;
        }
        let events = events.borrow();
        let is_first_block =
            |event: &Event| matches!(event, Event::Disk(step @ Step::Write(_, 0, _)) if is_journal(step.name()));
        let begun: Vec<usize> = (0..events.len()).filter(|at| is_first_block(&events[*at])).collect();
        assert!(begun.len() >= 3, "{} journal files were begun", begun.len());
        for three in begun.windows(3) {
            // Whatever was written before the second of them began stands in the file that the third one ends.
            let synced = events[three[1]..three[2]].iter().any(syncs(|name| name == SEGMENT));
            assert!(synced, "a journal file was written over before the segment was synced");
        }
    });
}

#[test]
fn after_a_failed_sync_nothing_is_synced_or_answered() {
    let path = folder("order_failed");
    run(async move |env| {
        let fails = Rc::new(Cell::new(false));
        let after = Rc::new(Cell::new(0));
        let (armed, counted) = (Rc::clone(&fails), Rc::clone(&after));
        // Of what holds records: the checkpoint of the first leader epoch may still be on its way.
        let watch: Watch = Rc::new(move |step| match step {
            Step::Sync(_) if is_data(step.name()) && armed.get() => {
                counted.set(counted.get() + 1);
                Err(io::Error::from_raw_os_error(5))
            }
            Step::SyncFilesystem if armed.get() => panic!("two files are synced one by one"),
            _ => Ok(()),
        });
        let start = Start::new(&watched(&env, watch), &path).await;
        let (log, _) = start.open(LogConfig::default()).await;
        acked(&log, batch(1, 100, 1_000)).await;
        fails.set(true);
        let appended = append(&log, batch(1, 100, 1_000)).await.expect("written");
        assert!(log.wait_high_watermark(appended.end_offset).await.is_err(), "not durable, not acknowledged");
        assert_eq!(log.high_watermark(), Offset(1));
        assert!(start.directory.is_offline());
        assert!(append(&log, batch(1, 100, 1_000)).await.is_err(), "an offline directory takes nothing");
        assert!(start.directory.close().await.is_err(), "nor is it closed cleanly");
        assert_eq!(after.get(), 1, "a failed sync is final");
    });
}

#[test]
fn with_flush_policy_os_nothing_waits_for_a_sync() {
    let path = folder("order_os");
    run(async move |env| {
        let events = Events::default();
        let start = Start::new(&watched(&env, recorder(&events)), &path).await;
        let (log, _) = start.open(LogConfig { flush_policy: FlushPolicy::Os, ..LogConfig::default() }).await;
        events.borrow_mut().clear();
        for _ in 0..10 {
            answered(&log, 1_000, &events).await;
        }
        let events = events.borrow();
        // A new leader epoch is another matter: its checkpoint is synced, as Kafka does.
        assert!(!events.iter().any(syncs(is_data)), "{events:#?}");
        assert!(!events.iter().any(writes(is_journal)), "{events:#?}");
    });
}
