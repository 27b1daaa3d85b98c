//! Logs that come and go, are cut, cleaned and reconfigured while they are written to, on a disk that crashes: the
//! directory never goes offline by that, nothing panics, and what is left is sound.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    BrokerId, Budget, Keyed, LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendOptions, AppendOrigin, CleanupPolicy, CommitLimits, DirectoryOptions, DirectoryOwner, FlushPolicy, Log,
    LogConfig, LogDirectory, OpenLogError, ReadBound, ShardOptions,
};
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, World, simulate};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, Tail, batches};
use bytes::Bytes;

const SEEDS: u64 = 40;
/// Seeds that found something: a cut inside listed damage whose bytes still read like a batch.
const FOUND: [u64; 1] = [0xfdc];
const LIVES: u64 = 4;
const PARTITIONS: usize = 5;

/// Which topic each partition belongs to at the moment: it changes with every re-creation.
type Topics = Rc<RefCell<Vec<u8>>>;

#[derive(Clone)]
struct Life {
    seed: u64,
    life: u64,
    topics: Topics,
    is_up: Rc<Cell<bool>>,
}

impl Life {
    fn draw(&self, purpose: &'static str, part: u64) -> Keyed {
        Keyed::new(self.seed, purpose).with(self.life).with(part)
    }

    fn config(&self, part: u64) -> LogConfig {
        let compact = self.draw("compact", part).chance(1, 2);
        let os = self.draw("policy", part).chance(1, 4);
        LogConfig {
            segment_bytes: 3_000,
            index_interval_bytes: 200,
            file_delete_delay_ms: 5,
            delete_retention_ms: 1,
            retention_bytes: if compact { -1 } else { 20_000 },
            cleanup: CleanupPolicy { delete: !compact, compact },
            flush_policy: if os { FlushPolicy::Os } else { FlushPolicy::Ack },
            ..LogConfig::default()
        }
    }
}

fn partition(index: usize, topic: u8) -> TopicPartition {
    let index = i32::try_from(index).expect("small");
    TopicPartition { topic_id: TopicId(Uuid([topic + 1; 16])), partition: PartitionIndex(index) }
}

fn run(seed: u64) {
    simulate(seed, Config::default(), move |world| {
        let topics: Topics = Rc::new(RefCell::new(vec![0; PARTITIONS]));
        for life in 0..LIVES {
            let life = Life { seed, life, topics: Rc::clone(&topics), is_up: Rc::default() };
            one_life(world, &life);
        }
    });
}

fn one_life(world: &World, life: &Life) {
    let node = world.node("broker");
    let inner = life.clone();
    node.start(1, move |env| -> Local<'static, ()> { Box::pin(broker(env, inner.clone())) });
    let is_up = world.run_until(Duration::from_secs(60), || life.is_up.get());
    assert!(is_up, "seed {:#x}: start {} ends", life.seed, life.life);
    world.run_for(Duration::from_micros(1 + life.draw("life", 0).below(150_000)));
    if life.draw("crash only", 0).chance(1, 2) { node.crash() } else { node.power_loss() }
}

async fn broker(env: Env, life: Life) {
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
    let opened = DirectoryOwner::open(&env, Path::new("/data"), 0, &options).await;
    let (owner, seed) = opened.expect("the directory opens");
    let options = ShardOptions {
        handles_max: 2,
        commit: CommitLimits {
            journal_log_bytes_max: 2_000,
            journal_commit_bytes_max: 4_000,
            journal_file_bytes: 32_768,
            sync_files_max: 3,
            warms_journal: true,
        },
        unsettled_bytes_max: 4_000,
        ..ShardOptions::new(Budget::new(|_| 5_000))
    };
    let directory = LogDirectory::join(&env, &seed, &options);
    let offline = Rc::clone(&directory);
    let seed = life.seed;
    env.spawn("watch", async move {
        offline.offline().await;
        panic!("seed {seed:#x}: offline: {:?}", offline.failure());
    })
    .detach();
    let logs: Rc<RefCell<BTreeMap<usize, Rc<Log>>>> = Rc::default();
    for index in 0..PARTITIONS {
        let log = open(&directory, &owner, &life, index).await;
        check(&life, &log).await;
        logs.borrow_mut().insert(index, log);
    }
    life.is_up.set(true);
    for task in 0..4_u64 {
        let (env, life, logs, directory) = (env.clone(), life.clone(), Rc::clone(&logs), Rc::clone(&directory));
        let spawner = env.clone();
        spawner.spawn("worker", async move { work(env, life, task, logs, directory).await }).detach();
    }
    std::future::pending::<()>().await;
    drop(owner);
}

async fn open(directory: &Rc<LogDirectory>, owner: &DirectoryOwner, life: &Life, index: usize) -> Rc<Log> {
    let topic = life.topics.borrow()[index];
    match Log::open(directory, partition(index, topic), "t", life.config(index as u64)).await {
        Ok((log, _)) => log,
        // The renaming of the folder did not survive.
        Err(OpenLogError::WrongTopic { .. }) => {
            owner.remove_folder(&format!("t-{index}")).await.expect("removable");
            let opened = Log::open(directory, partition(index, topic), "t", life.config(index as u64)).await;
            opened.expect("the log is created").0
        }
        Err(error) => panic!("seed {:#x}: {error}", life.seed),
    }
}

/// Everything that is served is sound and in order.
async fn check(life: &Life, log: &Rc<Log>) {
    let mut at = log.log_start_offset();
    let mut last = Offset(-1);
    while at < log.end_offset() {
        let Ok(read) = log.read_bytes(at, 3_000, ReadBound::End).await else { return };
        for batch in batches(&read.bytes, Tail::MustBeWhole) {
            let batch = batch.expect("whole batches");
            batch.check_crc().expect("sound batches");
            assert!(batch.header().base_offset > last, "seed {:#x}: offsets rise", life.seed);
            last = batch.header().last_offset();
        }
        if read.next_offset == at {
            return;
        }
        at = read.next_offset;
    }
}

type Logs = Rc<RefCell<BTreeMap<usize, Rc<Log>>>>;

async fn work(env: Env, life: Life, task: u64, logs: Logs, directory: Rc<LogDirectory>) {
    for ordinal in 0.. {
        let draw = |purpose| life.draw(purpose, task).with(ordinal);
        env.sleep(Duration::from_micros(draw("pause").below(1_500))).await;
        let index = usize::try_from(draw("which").below(PARTITIONS as u64)).expect("small");
        let Some(log) = logs.borrow().get(&index).cloned() else { continue };
        match draw("what").below(16) {
            0 => {
                // Only one task deletes a log, and makes the next topic of that name.
                let Some(log) = logs.borrow_mut().remove(&index) else { continue };
                if log.delete().await.is_err() {
                    return;
                }
                drop(log);
                let topic = {
                    let mut topics = life.topics.borrow_mut();
                    topics[index] += 1;
                    topics[index]
                };
                match Log::open(&directory, partition(index, topic), "t", life.config(ordinal)).await {
                    Ok((log, _)) => drop(logs.borrow_mut().insert(index, log)),
                    Err(error) => panic!("seed {:#x}: {error}", life.seed),
                }
            }
            1 => drop(log.clean(Some(draw("map").below(50_000).try_into().expect("small"))).await),
            2 => drop(log.retain().await),
            3 => {
                let end = log.end_offset().0;
                let start = log.log_start_offset().0;
                let back = i64::try_from(draw("back").below(20)).expect("small");
                drop(log.truncate_to(Offset((end - back).max(start))).await);
            }
            4 => drop(log.delete_records_before(Offset(log.log_start_offset().0 + 3)).await),
            5 => log.update_config(life.config(ordinal)),
            6 => drop(log.roll().await),
            7 => drop(log.scrub(u64::MAX).await),
            8 => check(&life, &log).await,
            9 => drop(log.max_timestamp(log.high_watermark()).await),
            10 => drop(log.offset_for_timestamp(TimestampMs(1_750_000_000_003), log.high_watermark()).await),
            _ => {
                let options = AppendOptions {
                    origin: AppendOrigin::Client { produce_version: 11 },
                    leader_epoch: LeaderEpoch(i32::try_from(life.life).expect("small")),
                };
                let appended = log.append(batch(&draw), options).await;
                if let (Ok(appended), true) = (appended, draw("wait").chance(1, 2)) {
                    let wait = log.wait_safe(appended.end_offset);
                    drop(env.timeout_at(env.now().after_ms(100), wait).await);
                }
            }
        }
    }
}

fn batch(draw: &dyn Fn(&'static str) -> Keyed) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in 0..=draw("count").below(3) {
        let key = draw("key").with(record).below(10).to_be_bytes();
        let value = vec![7; usize::try_from(draw("size").with(record).below(700)).expect("small")];
        let value = draw("tombstone").with(record).chance(4, 5).then_some(&value[..]);
        let time = TimestampMs(1_750_000_000_000 + i64::try_from(draw("time").below(10)).expect("small"));
        builder.append(time, Some(&key), value, std::iter::empty()).expect("small records");
    }
    builder.build(&mut Compressor::new()).expect("builds")
}

#[test]
fn logs_come_and_go() {
    (0..SEEDS).chain(FOUND).for_each(run);
}

#[test]
#[ignore = "minutes; the nightly run has it"]
fn logs_come_and_go_for_long() {
    (SEEDS..600).for_each(run);
}
