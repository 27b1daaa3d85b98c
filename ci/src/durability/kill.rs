//! The broker is killed with SIGKILL at seeded moments, under writers and sometimes while it recovers. Afterwards
//! every acknowledged record must be there, in order, once. Driven by `cargo ci durability kill`.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::verdict::{self, PartitionLog, Promise};
use super::writer::Writer;
use crate::broker::{Broker, Kind, Spec};
use crate::random::Random;
use crate::workspace;

const TOPIC: &str = "kill";
/// Several writers share a partition.
const PARTITIONS: i32 = 4;
/// Half of them idempotent.
const WRITERS: u32 = 10;
/// Small segments, so that rolls, indexes and snapshots meet the kills too.
const SEGMENT_BYTES: &str = "1048576";
/// From a few requests to a few segments.
const LIFE_MS: std::ops::Range<u64> = 100..1_500;
/// How long a start that is killed again lasts.
const RECOVERY_MS: std::ops::Range<u64> = 0..60;
/// One start in so many is killed again before it is ready.
const KILLED_STARTS: u64 = 3;

/// How often and from which seed.
#[derive(Args)]
pub(crate) struct Options {
    /// How often the broker is killed.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// The seed of the moments and the records.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The broker under test.
    #[arg(long, value_enum, default_value = "barnabas")]
    against: Kind,
    /// `flush.policy` of Barnabas, when another one than the default is to be shown.
    #[arg(long)]
    flush_policy: Option<String>,
}

/// Runs the rounds and judges the log.
pub(super) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    let folder = workspace::scratch("kill")?;
    let mut spec = Spec::new(options.against, binary)?;
    if let Some(policy) = &options.flush_policy {
        spec = spec.with("flush.policy", policy);
    }
    let mut broker = Broker::start(spec, &folder)?;
    broker.create_topic(TOPIC, PARTITIONS, &[("segment.bytes", SEGMENT_BYTES)])?;
    println!("{} in {}, seed {}", options.against.name(), folder.display(), options.seed);
    let mut writers = new_writers(options.seed, broker.port())?;
    let mut random = Random::new(options.seed, u64::MAX);
    for round in 1..=options.rounds {
        let life = Duration::from_millis(random.between(LIFE_MS.start, LIFE_MS.end));
        let before = count_acknowledged(&writers);
        write_until_killed(&mut broker, &mut writers, life)?;
        let killed_starts = kill_starts(&mut broker, &mut random)?;
        broker.restart().context("restarting after a kill")?;
        println!(
            "round {round}: killed after {} ms, {} records acknowledged, {killed_starts} starts killed too, ready again after {:.2} s",
            life.as_millis(),
            count_acknowledged(&writers) - before,
            broker.ready_in().as_secs_f64()
        );
        check_ends(&broker, &writers)?;
    }
    drain(&broker, &mut writers)?;
    let found = judge(&broker, &writers)?;
    broker.stop()?;
    ensure!(found > 0, "nothing was acknowledged, so nothing was judged");
    println!("{found} acknowledged records of {WRITERS} writers are there, in order, once");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn new_writers(seed: u64, port: u16) -> Result<Vec<Writer>> {
    (0..WRITERS)
        .map(|id| {
            let partition = i32::try_from(id)? % PARTITIONS;
            Writer::new(id, partition, id % 2 == 0, seed, port)
        })
        .collect()
}

fn count_acknowledged(writers: &[Writer]) -> u64 {
    let all = writers.iter().flat_map(Writer::acknowledged);
    all.map(|acknowledged| u64::from(acknowledged.records)).sum()
}

/// All writers write while the broker lives; each ends when its connection breaks.
fn write_until_killed(broker: &mut Broker, writers: &mut [Writer], life: Duration) -> Result<()> {
    let port = broker.port();
    let never = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in writers {
            let never = &never;
            // The connection breaks by design; what else can go wrong shows in the verdict.
            scope.spawn(move || writer.write(TOPIC, port, never));
        }
        thread::sleep(life);
        broker.kill()
    })
}

/// Sometimes the broker dies again while it recovers.
fn kill_starts(broker: &mut Broker, random: &mut Random) -> Result<u32> {
    let mut killed = 0;
    while random.between(0, KILLED_STARTS) == 0 {
        broker.start_without_waiting()?;
        thread::sleep(Duration::from_millis(random.between(RECOVERY_MS.start, RECOVERY_MS.end)));
        broker.kill()?;
        killed += 1;
    }
    Ok(killed)
}

/// A log that ends before an acknowledged record has lost it: seen at once, in the round where it happens.
fn check_ends(broker: &Broker, writers: &[Writer]) -> Result<()> {
    let mut connection = broker.connect()?;
    for writer in writers {
        let Some(last) = writer.acknowledged().last() else { continue };
        let end = connection.list_offset(TOPIC, writer.partition, -1)?;
        let wanted = last.base_offset + i64::from(last.records);
        ensure!(
            end >= wanted,
            "LOST: partition {} ends at {end}, writer {} was acknowledged up to {wanted}",
            writer.partition,
            writer.id
        );
    }
    Ok(())
}

/// The last round has no kill: everything in flight is settled.
fn drain(broker: &Broker, writers: &mut [Writer]) -> Result<()> {
    let port = broker.port();
    let began = Instant::now();
    let stop = AtomicBool::new(true);
    thread::scope(|scope| {
        let mut draining = Vec::new();
        for writer in writers {
            let stop = &stop;
            draining.push(scope.spawn(move || writer.write(TOPIC, port, stop)));
        }
        for writer in draining {
            writer.join().expect("a writer does not panic").context("settling what was in flight")?;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    println!("everything in flight was settled within {:.2} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn judge(broker: &Broker, writers: &[Writer]) -> Result<u64> {
    let mut connection = broker.connect()?;
    let mut logs = Vec::new();
    for partition in 0..PARTITIONS {
        let end = connection.list_offset(TOPIC, partition, -1)?;
        let batches = connection.read_partition(TOPIC, partition, 0, end)?;
        let records = batches.into_iter().flat_map(|batch| batch.records);
        logs.push(PartitionLog::new(partition, records)?);
    }
    // Writers without identity never send twice, so the same judgement holds for both kinds.
    let idempotent = writers.iter().filter(|writer| writer.is_idempotent()).count();
    let forgotten: usize = writers.iter().map(Writer::forgotten).sum();
    println!(
        "judging {} writers, {idempotent} of them idempotent, {forgotten} of their batches forgotten by the broker",
        writers.len()
    );
    let promises: Vec<Promise<'_>> = writers.iter().map(Promise::from).collect();
    verdict::judge(&logs, &promises)
}
