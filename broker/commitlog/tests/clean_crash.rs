//! A cleaning that is cut short after each of its steps on disk: whatever was done by then, the next start has the whole
//! log with the last value of every key, and cleaning it again ends well. The crash is one of the process: what was
//! written stays.
#![allow(clippy::disallowed_methods, reason = "folders are copied behind the seam's back")]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_commitlog::{CleanupPolicy, Log, LogConfig, ReadBound};
use barnabas_runtime::Env;
use barnabas_wire::record::{Decompressor, Tail, batches};
use support::disk::watched;
use support::*;

/// Batches of three records in the log.
const ROUNDS: i64 = 18;

/// Steps that change the disk, and how many more of them it takes.
struct Fuse {
    left: Cell<Option<u64>>,
    taken: Cell<u64>,
}

impl Fuse {
    fn step(&self) -> io::Result<()> {
        self.taken.set(self.taken.get() + 1);
        match self.left.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the node is gone")),
            Some(left) => {
                self.left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 500,
        cleanup: CleanupPolicy { delete: false, compact: true },
        min_cleanable_ratio: 0.0,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// `env` with a disk that can be stopped.
fn fused(env: &Env) -> (Env, Rc<Fuse>) {
    let fuse = Rc::new(Fuse { left: Cell::new(None), taken: Cell::new(0) });
    let watch = Rc::clone(&fuse);
    (watched(env, Rc::new(move |_| watch.step())), fuse)
}

/// A log of several segments in which most records are superseded.
fn prepare(path: &Path) -> BTreeMap<String, (i64, String)> {
    let path = path.to_owned();
    run(async move |env| {
        let (env, _) = fused(&env);
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config()).await;
        for round in 0..ROUNDS {
            if round == ROUNDS - 6 {
                // Leaves small segments, which the next cleaning joins.
                log.clean(None).await.expect("the disk works");
            }
            let values = [format!("a{round}"), format!("b{round}"), format!("c{round}")];
            let keys = [format!("k{}", round % 4), "every".to_owned(), format!("once{}", round / 5)];
            let pairs: Vec<_> = keys.iter().zip(&values).map(|(key, value)| (&**key, Some(&**value))).collect();
            acked(&log, keyed(&pairs)).await;
        }
        assert!(log.segment_count() > 3, "{} segments", log.segment_count());
        let expected = last_values(&log).await;
        start.close().await;
        expected
    })
}

/// The last value of every key and where it stands.
async fn last_values(log: &Rc<Log>) -> BTreeMap<String, (i64, String)> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut last = BTreeMap::new();
    let mut at = log.log_start_offset();
    while at < log.high_watermark() {
        let read = log.read_bytes(at, 64 * 1024, ReadBound::HighWatermark).await.expect("readable");
        for batch in batches(&read.bytes, Tail::MustBeWhole) {
            let batch = batch.expect("whole batches");
            batch.check_crc().expect("sound batches");
            let payload = batch.payload(&mut Decompressor::new(), 1 << 20).expect("sound");
            for record in payload.records() {
                let record = record.expect("sound");
                last.insert(text(record.key), (record.offset.0, text(record.value)));
            }
        }
        assert!(read.next_offset > at, "reads advance");
        at = read.next_offset;
    }
    last
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Cleans the log at `path` on a disk that stops after `left` steps; gives the steps that were taken.
fn clean_until(path: PathBuf, left: Option<u64>) -> u64 {
    run(async move |env| {
        let (env, fuse) = fused(&env);
        let start = Start::new(&env, &path).await;
        let (log, _) = start.open(config()).await;
        fuse.left.set(left);
        fuse.taken.set(0);
        let outcome = log.clean(None).await;
        assert!(left.is_some() || outcome.is_ok(), "{outcome:?}");
        fuse.taken.get()
    })
}

fn assert_recovers(path: PathBuf, expected: &BTreeMap<String, (i64, String)>, step: u64) {
    let expected = expected.clone();
    run(async move |env| {
        let (env, _) = fused(&env);
        let start = Start::new(&env, &path).await;
        let (log, report) = start.open(config()).await;
        assert_eq!(log.end_offset(), Offset(ROUNDS * 3), "after step {step}");
        assert_eq!((report.cut_bytes, report.damaged), (0, Vec::new()), "after step {step}");
        assert_eq!(last_values(&log).await, expected, "after step {step}");
        let left = names(&log_folder(&path));
        let is_settled = |name: &String| !name.ends_with(".cleaned") && !name.ends_with(".swap");
        assert!(left.iter().all(is_settled), "after step {step}: {left:?}");

        log.clean(None).await.expect("cleaning again");
        assert_eq!(last_values(&log).await, expected, "cleaned again after step {step}");
        let left = offsets(&log).await.len();
        assert!(left < 27, "cleaned again after step {step}: {left} records");
        start.close().await;
    });
}

#[test]
fn a_cleaning_may_be_cut_short_anywhere() {
    let source = folder("clean_crash");
    let expected = prepare(&source);
    let path = folder("clean_crash_run");
    copy(&source, &path);
    let steps = clean_until(path.clone(), None);
    assert_recovers(path.clone(), &expected, steps);
    assert!(steps > 20, "{steps} steps");
    for step in 0..steps {
        copy(&source, &path);
        clean_until(path.clone(), Some(step));
        assert_recovers(path.clone(), &expected, step);
    }
}
