//! A log directory on a simulated disk that loses power: what was acknowledged under `flush.policy=ack` is there after
//! every start, in order, as it was sent, and nothing else is. Under `os` the same runs lose records, or the disk would
//! be too kind to prove anything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    Account, BrokerId, Budget, Keyed, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendError, AppendOptions, AppendOrigin, CleanupPolicy, CommitLimits, DirectoryOptions, DirectoryOwner,
    FlushPolicy, Log, LogConfig, LogDirectory, ReadBound, ScanLimits, ShardOptions,
};
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, World, simulate};
use barnabas_wire::ErrorCode;
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, Decompressor, ProducerFields, Tail, batches};
use bytes::Bytes;

/// Seeds of a plain test run; `a_thousand_seeds` has the rest.
const SEEDS: u64 = 60;
/// Lives of a node in one run.
const LIVES: u64 = 4;
/// A life may be cut short and begin again once.
const STARTS_OF_A_LIFE: u64 = 2;

/// What clients of one log know.
#[derive(Default)]
struct Ledger {
    /// Acknowledged records: offset and serial number.
    acked: BTreeMap<i64, u64>,
    /// Acknowledged log start.
    start: i64,
    /// What was sent of each producer: first sequence to serial number.
    next_serial: u64,
}

/// What a run is drawn with.
#[derive(Clone)]
struct Plan {
    seed: u64,
    flush_policy: FlushPolicy,
    logs: i32,
}

impl Plan {
    fn draw(&self, purpose: &'static str, part: u64) -> Keyed {
        Keyed::new(self.seed, purpose).with(part)
    }

    fn pick(&self, purpose: &'static str, part: u64, from: &[u64]) -> u64 {
        from[usize::try_from(self.draw(purpose, part).below(from.len() as u64)).expect("an index")]
    }

    fn config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: u32::try_from(self.pick("segment", 0, &[4_000, 20_000, 1 << 30])).expect("fits"),
            index_interval_bytes: u32::try_from(self.pick("interval", 0, &[1, 500, 4096])).expect("fits"),
            file_delete_delay_ms: 10,
            flush_policy: self.flush_policy,
            cleanup: CleanupPolicy { delete: true, compact: false },
            retention_bytes: -1,
            ..LogConfig::default()
        }
    }

    fn options(&self) -> ShardOptions {
        let tail = self.pick("tail", 0, &[0, 3_000, 1 << 20]);
        ShardOptions {
            handles_max: usize::try_from(self.pick("handles", 0, &[1, 3, 100])).expect("fits"),
            commit: CommitLimits {
                journal_log_bytes_max: self.pick("journal log", 0, &[0, 600, 100_000]),
                journal_commit_bytes_max: self.pick("journal commit", 0, &[1_000, 1 << 20]),
                journal_file_bytes: self.pick("journal file", 0, &[16_384, 65_536, 1 << 20]),
                sync_files_max: usize::try_from(self.pick("sync files", 0, &[1, 4, 64])).expect("fits"),
                warms_journal: self.draw("warms", 0).chance(1, 2),
            },
            unsettled_bytes_max: self.pick("unsettled", 0, &[1_000, 20_000, 1 << 30]),
            index_bytes_max: self.pick("index bytes", 0, &[0, 200, 1 << 20]),
            scan: ScanLimits {
                chunk_bytes: usize::try_from(self.pick("scan chunk", 0, &[1_000, 8_000, 1 << 20])).expect("fits"),
                range_bytes: self.pick("check range", 0, &[1_000, 8_000, 1 << 20]),
            },
            ..ShardOptions::new(Budget::new(move |account| if account == Account::TailCache { tail } else { u64::MAX }))
        }
    }
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(index) }
}

type Ledgers = Rc<RefCell<Vec<Ledger>>>;

/// What a run found.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    acked: u64,
    lost: u64,
}

fn run(seed: u64, flush_policy: FlushPolicy) -> Found {
    let logs = 1 + i32::try_from(Keyed::new(seed, "logs").below(6)).expect("small");
    let plan = Plan { seed, flush_policy, logs };
    simulate(seed, Config::default(), move |world| {
        let ledgers: Ledgers = Rc::default();
        ledgers.borrow_mut().resize_with(usize::try_from(plan.logs).expect("positive"), Ledger::default);
        let lost = Rc::new(Cell::new(0));
        for life in 0..=LIVES {
            live(world, &plan, life, &ledgers, &lost);
        }
        let acked = ledgers.borrow().iter().map(|ledger| ledger.acked.len() as u64).sum();
        Found { acked, lost: lost.get() }
    })
}

/// One start: everything is checked, then written to until the power goes.
fn live(world: &World, plan: &Plan, life: u64, ledgers: &Ledgers, lost: &Rc<Cell<u64>>) {
    let node = world.node("broker");
    let checked = Rc::new(Cell::new(false));
    let (inner, known, losses, is_checked) = (plan.clone(), Rc::clone(ledgers), Rc::clone(lost), Rc::clone(&checked));
    // A life may begin twice, and producers of the second time are others.
    let starts = Cell::new(life * STARTS_OF_A_LIFE);
    node.start(1, move |env| -> Local<'static, ()> {
        let start = starts.replace(starts.get() + 1);
        let (plan, ledgers) = (inner.clone(), Rc::clone(&known));
        let (lost, checked) = (Rc::clone(&losses), Rc::clone(&is_checked));
        Box::pin(async move { broker(env, plan, start, ledgers, lost, checked).await })
    });
    let is_up = world.run_until(Duration::from_secs(60), || checked.get());
    assert!(is_up, "seed {:#x}: start {life} ends", plan.seed);
    world.run_for(Duration::from_micros(1 + plan.draw("life", life).below(60_000)));
    // Sometimes in the middle of the next start as well.
    if plan.draw("crash only", life).chance(1, 4) {
        node.crash()
    } else {
        node.power_loss()
    }
    if plan.draw("again", life).chance(1, 3) {
        node.restart();
        world.run_for(Duration::from_micros(1 + plan.draw("again after", life).below(8_000)));
        node.power_loss();
    }
}

async fn broker(env: Env, plan: Plan, life: u64, ledgers: Ledgers, lost: Rc<Cell<u64>>, checked: Rc<Cell<bool>>) {
    let path = Path::new("/data");
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
    let (_owner, seed) = DirectoryOwner::open(&env, path, 0, &options).await.expect("the directory opens");
    assert!(seed.replay.damaged_files.is_empty(), "seed {:#x}: {:?}", plan.seed, seed.replay);
    assert_eq!(seed.replay.foreign_logs, 0, "seed {:#x}: nobody else writes here", plan.seed);
    let directory = LogDirectory::join(&env, &seed, &plan.options());
    let mut logs = Vec::new();
    for index in 0..plan.logs {
        let opened = Log::open(&directory, partition(index), "t", plan.config()).await;
        let (log, report) = opened.expect("the log opens");
        // Under `os` too: what was promised to nobody is cut, and never refused to those who read.
        assert_eq!(report.damaged, [], "seed {:#x} log {index} life {life}: {report:?}", plan.seed);
        log.wait_safe(log.end_offset()).await.expect("the disk works");
        check(&plan, life, index, &log, &ledgers, &lost).await;
        logs.push(log);
    }
    checked.set(true);
    for (index, log) in logs.iter().enumerate() {
        for number in 0..2 {
            let producer = Producer {
                env: env.clone(),
                plan: plan.clone(),
                life,
                index,
                number,
                log: Rc::clone(log),
                ledgers: Rc::clone(&ledgers),
            };
            env.spawn("producer", produce(producer)).detach();
        }
    }
    let (housekeeper, plan_of, kept) = (env.clone(), plan.clone(), Rc::clone(&ledgers));
    housekeep(housekeeper, plan_of, life, logs, kept).await;
}

/// Compares a log with what its clients know, and takes what it holds for the truth from here on.
async fn check(plan: &Plan, life: u64, index: i32, log: &Rc<Log>, ledgers: &Ledgers, lost: &Rc<Cell<u64>>) {
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    let mut serials: BTreeMap<u64, i64> = BTreeMap::new();
    let mut at = log.log_start_offset();
    let mut decompressor = Decompressor::new();
    while at < log.end_offset() {
        let read = log.read_bytes(at, 5_000, ReadBound::End).await.expect("everything up to the end is read");
        for batch in batches(&read.bytes, Tail::MustBeWhole) {
            let batch = batch.expect("whole batches");
            batch.check_crc().expect("sound batches");
            let payload = batch.payload(&mut decompressor, 1 << 20).expect("plain");
            for record in payload.records() {
                let record = record.expect("sound records");
                let serial = u64::from_be_bytes(record.key.expect("keyed").try_into().expect("eight bytes"));
                if record.offset >= log.log_start_offset() {
                    found.insert(record.offset.0, serial);
                }
                let before = serials.insert(serial, record.offset.0);
                assert!(before.is_none(), "seed {:#x} log {index}: {serial} twice", plan.seed);
            }
        }
        assert!(read.next_offset > at, "reads advance");
        at = read.next_offset;
    }
    let mut ledgers = ledgers.borrow_mut();
    let ledger = &mut ledgers[usize::try_from(index).expect("positive")];
    assert!(log.log_start_offset().0 >= ledger.start, "seed {:#x}: deleted records are back", plan.seed);
    let start = log.log_start_offset().0;
    let mut missing = 0;
    for (offset, serial) in ledger.acked.range(start..) {
        match found.get(offset) {
            Some(there) => assert_eq!(there, serial, "seed {:#x} log {index}: another record", plan.seed),
            None => missing += 1,
        }
    }
    if plan.flush_policy == FlushPolicy::Ack {
        let end = log.end_offset();
        assert_eq!(missing, 0, "seed {:#x} log {index} life {life}: of {} to {end}", plan.seed, ledger.acked.len());
    }
    for serial in serials.keys() {
        assert!(*serial < ledger.next_serial, "seed {:#x}: a record that was never sent", plan.seed);
    }
    lost.set(lost.get() + missing);
    ledger.acked.retain(|offset, _| found.contains_key(offset));
}

/// A producer of one life.
struct Producer {
    env: Env,
    plan: Plan,
    life: u64,
    index: usize,
    number: u64,
    log: Rc<Log>,
    ledgers: Ledgers,
}

/// Appends batches one after the other, some of them twice, until the node dies.
async fn produce(producer: Producer) {
    let Producer { env, plan, life, index, number, log, ledgers } = producer;
    let id = ProducerId(i64::try_from(life * 10 + number).expect("small"));
    let mut sequence = 0;
    for ordinal in 0.. {
        let draw = |purpose| plan.draw(purpose, life).with(index as u64).with(number).with(ordinal);
        env.sleep(Duration::from_micros(draw("pause").below(3_000))).await;
        let count = 1 + draw("count").below(4);
        let padding = usize::try_from(draw("padding").below(900)).expect("small");
        let first = {
            let mut ledgers = ledgers.borrow_mut();
            let first = ledgers[index].next_serial;
            ledgers[index].next_serial += count;
            first
        };
        let records = batch(first, count, padding, id, sequence);
        let options = AppendOptions {
            origin: AppendOrigin::Client { produce_version: 11 },
            leader_epoch: LeaderEpoch(i32::try_from(life).expect("small")),
        };
        let again = draw("again").chance(1, 5).then(|| log.append(records.clone(), options));
        let appended = match log.append(records, options).await {
            Ok(appended) => appended,
            Err(AppendError::Refused(refusal)) => {
                assert_eq!(refusal.code, ErrorCode::None, "seed {:#x}: nothing is refused here", plan.seed);
                return;
            }
            Err(_) => return,
        };
        if let Some(first) = again {
            let first = first.await.expect("the first of two");
            assert_eq!(first.base_offset, appended.base_offset, "a repeated batch has one offset");
            assert!(appended.duplicate, "the second of two is the duplicate");
        }
        sequence += i32::try_from(count).expect("small");
        if log.wait_high_watermark(appended.end_offset).await.is_err() {
            return;
        }
        assert!(log.high_watermark() >= appended.end_offset, "acknowledged below the high watermark");
        let mut ledgers = ledgers.borrow_mut();
        for (offset, serial) in (appended.base_offset.0..appended.end_offset.0).zip(first..) {
            ledgers[index].acked.insert(offset, serial);
        }
    }
}

fn batch(first: u64, count: u64, padding: usize, id: ProducerId, sequence: i32) -> Bytes {
    let producer = ProducerFields { id, epoch: ProducerEpoch(0), base_sequence: Sequence(sequence) };
    let mut builder = BatchBuilder::new(BatchOptions { producer: Some(producer), ..BatchOptions::default() });
    for serial in first..first + count {
        let value = vec![u8::try_from(serial % 251).expect("below 251"); padding];
        let key = serial.to_be_bytes();
        let time = TimestampMs(1_750_000_000_000);
        builder.append(time, Some(&key), Some(&value), std::iter::empty()).expect("small records");
    }
    builder.build(&mut Compressor::new()).expect("builds")
}

/// Rolls, deletes and checkpoints while producers write.
async fn housekeep(env: Env, plan: Plan, life: u64, logs: Vec<Rc<Log>>, ledgers: Ledgers) {
    for ordinal in 0.. {
        let draw = |purpose| plan.draw(purpose, life).with(ordinal);
        env.sleep(Duration::from_micros(draw("housekeeping").below(20_000))).await;
        let index = usize::try_from(draw("which").below(logs.len() as u64)).expect("an index");
        let log = &logs[index];
        match draw("what").below(4) {
            0 => drop(log.roll().await),
            1 => {
                let start = log.log_start_offset().0;
                let room = u64::try_from(log.high_watermark().0 - start).expect("the watermark is above the start");
                let to = start + i64::try_from(draw("to").below(room / 2 + 1)).expect("small");
                if let Ok(start) = log.delete_records_before(Offset(to)).await {
                    let mut ledgers = ledgers.borrow_mut();
                    ledgers[index].start = ledgers[index].start.max(start.0);
                }
            }
            2 => {
                log.update_config(LogConfig { retention_bytes: 30_000, ..plan.config() });
                drop(log.retain().await);
                log.update_config(plan.config());
            }
            _ => drop(log.scrub(u64::MAX).await),
        }
    }
}

fn sweep(seeds: impl Iterator<Item = u64>) {
    let mut acked = 0;
    for seed in seeds {
        let found = run(seed, FlushPolicy::Ack);
        assert_eq!(found.lost, 0);
        acked += found.acked;
    }
    assert!(acked > 1_000, "a sweep that acknowledges {acked} records proves little");
}

#[test]
fn nothing_acknowledged_is_lost() {
    sweep(0..SEEDS);
}

#[test]
#[ignore = "minutes; the nightly run has it"]
fn a_thousand_seeds() {
    sweep(SEEDS..1_000);
}

#[test]
fn the_page_cache_alone_loses_records() {
    let lost: u64 = (0..SEEDS).map(|seed| run(seed, FlushPolicy::Os).lost).sum();
    assert!(lost > 0, "a disk that never loses what was not synced proves nothing");
}
