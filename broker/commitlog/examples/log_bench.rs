//! Measures the log as the broker uses it: acknowledged appends at 1, 50 and 2,000 partitions at one load, throughput of
//! one partition, and starts after a crash. Not part of the broker and not a test: a developer runs it on the file system
//! in question and writes the figures into this crate's README.
//!
//! ```text
//! cargo run --release -p barnabas-commitlog --example log_bench -- /path/on/that/disk [latency|throughput|start]
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark of the disk itself: its output is a table, its folder is cleared behind the seam's back"
)]

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    BrokerId, Budget, LeaderEpoch, Monotonic, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendOptions, AppendOrigin, DirectoryOptions, DirectoryOwner, FlushPolicy, Log, LogConfig, LogDirectory,
    ShardOptions,
};
use barnabas_runtime::{Env, Local, join_all};
use barnabas_runtime_tokio::{NodeConfig, block_on_single};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor};
use bytes::Bytes;

const PARTITIONS: [i32; 3] = [1, 50, 2_000];
const OPTIONS: AppendOptions =
    AppendOptions { origin: AppendOrigin::Client { produce_version: 11 }, leader_epoch: LeaderEpoch(1) };

fn main() {
    let path = PathBuf::from(std::env::args().nth(1).expect("the first argument is a folder"));
    let part = std::env::args().nth(2);
    let wants = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if wants("latency") {
        latency(&path);
    }
    if wants("throughput") {
        throughput_and_start(&path);
    }
    if wants("start") {
        start_many(&path);
    }
    fresh(&path);
}

fn latency(path: &Path) {
    for rate in [1_000_u64, 10_000] {
        for partitions in PARTITIONS {
            fresh(path);
            let folder = path.to_owned();
            let mut latencies = run(async move |env| open_loop(env, &folder, partitions, rate).await);
            print_latencies(&format!("{rate} records/s over {partitions} partitions"), &mut latencies);
        }
    }
    for partitions in PARTITIONS {
        fresh(path);
        let folder = path.to_owned();
        let mut latencies = run(async move |env| closed_loop(env, &folder, partitions).await);
        let rate = latencies.len() as u64 / 3;
        print_latencies(
            &format!("one record in flight on each of {partitions} partitions, {rate} records/s"),
            &mut latencies,
        );
    }
}

fn throughput_and_start(path: &Path) {
    for policy in [FlushPolicy::Ack, FlushPolicy::Os] {
        fresh(path);
        let folder = path.to_owned();
        let (bytes, seconds) = run(async move |env| throughput(env, &folder, policy).await);
        println!("throughput {policy:?}: {:.0} MB/s", bytes as f64 / 1e6 / seconds);
        let folder = path.to_owned();
        let (logs, millis) = run(async move |env| restart(env, &folder, 1, policy).await);
        println!("start after a crash with {:.1} GB: {millis:.1} ms, {logs} logs", bytes as f64 / 1e9);
    }
}

fn start_many(path: &Path) {
    fresh(path);
    let folder = path.to_owned();
    run(async move |env| fill_many(env, &folder, 2_200).await);
    let folder = path.to_owned();
    let (logs, millis) = run(async move |env| restart(env, &folder, 2_200, FlushPolicy::Ack).await);
    println!("start after a crash with {logs} logs: {millis:.1} ms");
}

fn fresh(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
}

fn run<T: 'static>(main: impl AsyncFnOnce(Env) -> T + 'static) -> T {
    block_on_single(&NodeConfig::new("bench", 1), main).expect("the system gives us an event loop")
}

async fn directory(env: &Env, path: &Path) -> (DirectoryOwner, Rc<LogDirectory>) {
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
    let (owner, seed) = DirectoryOwner::open(env, path, 0, &options).await.expect("the directory opens");
    let directory = LogDirectory::join(env, &seed, &ShardOptions::new(Budget::new(|_| 64 << 20)));
    (owner, directory)
}

async fn open(directory: &Rc<LogDirectory>, partitions: i32, config: &LogConfig) -> Vec<Rc<Log>> {
    let mut logs = Vec::new();
    let all: Vec<i32> = (0..partitions).collect();
    for chunk in all.chunks(64) {
        let opens = chunk.iter().map(|index| {
            let partition = TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(*index) };
            let open: Local<'_, Rc<Log>> = Box::pin(async move {
                Log::open(directory, partition, "bench", config.clone()).await.expect("the log opens").0
            });
            open
        });
        logs.extend(join_all(opens.collect()).await);
    }
    logs
}

fn batch(records: usize, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![7; size];
    for _ in 0..records {
        let time = TimestampMs(1_750_000_000_000);
        builder.append(time, None, Some(&value), std::iter::empty()).expect("fits");
    }
    builder.build(&mut Compressor::new()).expect("builds")
}

async fn acked(log: &Rc<Log>, records: Bytes) {
    let appended = log.append(records, OPTIONS).await.expect("accepted");
    log.wait_high_watermark(appended.end_offset).await.expect("the disk works");
}

/// Records come at a fixed rate, whatever the log does; latency counts from when a record was due.
async fn open_loop(env: Env, path: &Path, partitions: i32, rate: u64) -> Vec<u64> {
    let (_owner, directory) = directory(&env, path).await;
    let logs = open(&directory, partitions, &LogConfig::default()).await;
    for log in &logs {
        acked(log, batch(1, 1_000)).await;
    }
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let in_flight = Rc::new(Cell::new(0_u64));
    let records = batch(1, 1_000);
    let start = env.now();
    let total = rate * 5;
    let mut sent = 0;
    while sent < total {
        let due = |ordinal: u64| start.after(Duration::from_nanos(ordinal * 1_000_000_000 / rate));
        while sent < total && due(sent) <= env.now() {
            let log = Rc::clone(&logs[usize::try_from(sent % u64::from(partitions.unsigned_abs())).expect("an index")]);
            let (latencies, in_flight, clock) = (Rc::clone(&latencies), Rc::clone(&in_flight), env.clone());
            let (records, due) = (records.clone(), due(sent));
            in_flight.set(in_flight.get() + 1);
            env.spawn("record", async move {
                acked(&log, records).await;
                latencies.borrow_mut().push(nanos(clock.now(), due));
                in_flight.set(in_flight.get() - 1);
            })
            .detach();
            sent += 1;
        }
        env.sleep(Duration::from_micros(200)).await;
    }
    while in_flight.get() > 0 {
        env.sleep(Duration::from_millis(1)).await;
    }
    latencies.take()
}

async fn closed_loop(env: Env, path: &Path, partitions: i32) -> Vec<u64> {
    let (_owner, directory) = directory(&env, path).await;
    let logs = open(&directory, partitions, &LogConfig::default()).await;
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let end = env.now().after(Duration::from_secs(4));
    let warm = env.now().after(Duration::from_secs(1));
    let records = batch(1, 1_000);
    let mut tasks = Vec::new();
    for log in logs {
        let (latencies, clock, records) = (Rc::clone(&latencies), env.clone(), records.clone());
        tasks.push(env.spawn("producer", async move {
            while clock.now() < end {
                let before = clock.now();
                acked(&log, records.clone()).await;
                if before > warm {
                    latencies.borrow_mut().push(nanos(clock.now(), before));
                }
            }
        }));
    }
    for task in &mut tasks {
        task.join().await;
    }
    latencies.take()
}

fn nanos(now: Monotonic, then: Monotonic) -> u64 {
    u64::try_from(now.since(then).as_nanos()).expect("short")
}

/// Sixteen batches of 16 KiB in flight on one partition.
async fn throughput(env: Env, path: &Path, policy: FlushPolicy) -> (u64, f64) {
    let (_owner, directory) = directory(&env, path).await;
    let config = LogConfig { flush_policy: policy, ..LogConfig::default() };
    let log = Rc::clone(&open(&directory, 1, &config).await[0]);
    let records = batch(16, 1_000);
    let bytes = Rc::new(Cell::new(0_u64));
    let start = env.now();
    let end = start.after(Duration::from_secs(8));
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (log, clock, records, bytes) = (Rc::clone(&log), env.clone(), records.clone(), Rc::clone(&bytes));
        tasks.push(env.spawn("producer", async move {
            while clock.now() < end {
                // As from a connection: bytes of its own, which nobody shares.
                let own = Bytes::copy_from_slice(&records);
                acked(&log, own).await;
                bytes.set(bytes.get() + records.len() as u64);
                clock.tasks.yield_now().await;
            }
        }));
    }
    for task in &mut tasks {
        task.join().await;
    }
    (bytes.get(), env.now().since(start).as_secs_f64())
}

async fn fill_many(env: Env, path: &Path, partitions: i32) {
    let (_owner, directory) = directory(&env, path).await;
    let logs = open(&directory, partitions, &LogConfig::default()).await;
    for _ in 0..20 {
        let appends = logs.iter().map(|log| {
            let append: Local<'_, ()> = Box::pin(acked(log, batch(16, 1_000)));
            append
        });
        drop(join_all(appends.collect()).await);
    }
}

async fn restart(env: Env, path: &Path, partitions: i32, policy: FlushPolicy) -> (usize, f64) {
    let start = env.now();
    let (_owner, directory) = directory(&env, path).await;
    let logs = open(&directory, partitions, &LogConfig { flush_policy: policy, ..LogConfig::default() }).await;
    (logs.len(), env.now().since(start).as_secs_f64() * 1e3)
}

fn print_latencies(name: &str, latencies: &mut [u64]) {
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() - 1) as f64 * share) as usize;
        latencies[index] as f64 / 1e6
    };
    println!("{name}: p50 {:.2} p99 {:.2} max {:.2} ms", at(0.5), at(0.99), at(1.0));
}
