//! Work that goes on by itself: retention, cleaning, scrubbing, checkpoints, failed directories.
//!
//! Each shard looks after its own logs; the controller's shard owns the directories and writes their checkpoint files
//! from what the others report.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::TopicPartition;
use barnabas_commitlog::{DirectoryOwner, DirectoryReport, LogDirectory, StorageError};
use barnabas_runtime::sync::{Notify, oneshot};
use barnabas_runtime::{Either, Local, race};

use crate::partition::Partition;
use crate::shard::Shard;
use crate::topic::broker_config;

/// Starts the background work of all data shards.
pub(crate) async fn start(shard: &Rc<Shard>) {
    let begin = |shard: &Rc<Shard>| -> Local<'static, ()> {
        let mut tasks = vec![
            shard.env.spawn("retention", retention(Rc::clone(shard))),
            shard.env.spawn("cleaner", cleaning(Rc::clone(shard))),
            shard.env.spawn("scrubber", scrubbing(Rc::clone(shard))),
        ];
        for directory in shard.directories.borrow().iter() {
            tasks.push(shard.env.spawn("directory failure", spread_failure(Rc::clone(shard), Rc::clone(directory))));
        }
        shard.tasks.borrow_mut().extend(tasks);
        Box::pin(std::future::ready(()))
    };
    shard.on_all(begin).await;
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// Expires producers and deletes what is too old or too much, one log after the other, every `log.retention.check.interval.ms`.
async fn retention(shard: Rc<Shard>) {
    let interval = millis(shard.options.config.logs.retention_check_interval_ms);
    loop {
        shard.env.sleep(interval).await;
        for partition in shard.partitions() {
            retain(&partition).await;
        }
    }
}

async fn retain(partition: &Partition) {
    partition.log.expire_producers();
    match partition.log.retain().await {
        Ok(0) => {}
        Ok(deleted) => tracing::info!(target: "LogManager", "deleted {deleted} segments of {partition:?}"),
        Err(error) => tracing::warn!(target: "LogManager", "retention of {partition:?}: {error}"),
    }
}

/// Cleans the dirtiest log that is due, and rests for `log.cleaner.backoff.ms` when there is none. One that cannot be
/// cleaned waits for all others, as Kafka's uncleanable partitions do, and is tried again when no other is due.
async fn cleaning(shard: Rc<Shard>) {
    if !shard.options.config.logs.cleaner.enable {
        return;
    }
    let shards = i64::from(shard.data_shards);
    let mut failures = Failures::default();
    loop {
        // Read again for each log: these settings may change while the broker runs.
        let cleaner = broker_config(&shard.options.config, &shard.image()).logs.cleaner.clone();
        let map_bytes = usize::try_from(cleaner.dedupe_buffer_bytes / shards).unwrap_or(usize::MAX);
        let Some(partition) = next_to_clean(&shard, &mut failures).await else {
            shard.env.sleep(millis(cleaner.backoff_ms)).await;
            continue;
        };
        match partition.log.clean(Some(map_bytes)).await {
            Ok(outcome) => {
                failures.by_log.remove(&partition.id);
                let (read, written) = (outcome.bytes_read, outcome.bytes_written);
                tracing::info!(target: "LogCleaner", "cleaned {partition:?}: {read} bytes became {written}");
            }
            Err(error) => {
                failures.add(partition.id);
                tracing::error!(target: "LogCleaner", "cannot clean {partition:?}: {error}");
                shard.env.sleep(millis(cleaner.backoff_ms)).await;
            }
        }
    }
}

/// The logs that could not be cleaned the last time. Only logs of the shard, which bounds their number.
#[derive(Default)]
struct Failures {
    /// The later a log failed, the larger its number.
    by_log: BTreeMap<TopicPartition, u64>,
    next: u64,
}

impl Failures {
    fn add(&mut self, id: TopicPartition) {
        self.by_log.insert(id, self.next);
        self.next += 1;
    }

    /// Which of two logs, each with its share of bytes that were not cleaned yet, is to be cleaned first: the dirtier one,
    /// but those that failed come last, in the order in which they did.
    fn compare(&self, one: (TopicPartition, f64), other: (TopicPartition, f64)) -> Ordering {
        let failed = |id| self.by_log.get(&id);
        failed(one.0).cmp(&failed(other.0)).then(other.1.total_cmp(&one.1))
    }
}

/// The log to be cleaned first among those for which cleaning is due.
async fn next_to_clean(shard: &Shard, failures: &mut Failures) -> Option<Rc<Partition>> {
    failures.by_log.retain(|id, _| shard.partition(*id).is_some());
    let mut best: Option<(f64, Rc<Partition>)> = None;
    for partition in shard.partitions() {
        match partition.log.cleanable(shard.env.wall()).await {
            Ok(Some(found)) if found.is_due(&partition.log.config()) => {
                let ratio = found.dirty_ratio();
                let is_first =
                    |best: &(f64, Rc<Partition>)| failures.compare((partition.id, ratio), (best.1.id, best.0)).is_lt();
                if best.as_ref().is_none_or(is_first) {
                    best = Some((ratio, partition));
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(target: "LogCleaner", "cannot judge {partition:?}: {error}"),
        }
    }
    best.map(|(_, partition)| partition)
}

/// Compares everything on disk with its checksums, one log after the other, every `log.scrub.interval.ms`.
async fn scrubbing(shard: Rc<Shard>) {
    let Some(interval_ms) = shard.options.config.logs.scrub_interval_ms else { return };
    loop {
        shard.env.sleep(millis(interval_ms)).await;
        for partition in shard.partitions() {
            let pace = broker_config(&shard.options.config, &shard.image()).logs.scrub_bytes_per_second_max;
            if let Err(error) = partition.log.scrub(pace).await {
                tracing::warn!(target: "LogScrubber", "cannot read {partition:?}: {error}");
            }
            partition.report_damage();
        }
    }
}

/// A directory that fails on one shard is taken out of use on all of them, within one message. That of the metadata log
/// takes the node along, as it does in Kafka: it cannot say any more what becomes of its partitions.
async fn spread_failure(shard: Rc<Shard>, directory: Rc<LogDirectory>) {
    directory.offline().await;
    let Some(error) = directory.failure() else { return };
    tracing::error!(target: "LogManager", "log directory {} is offline: {error}", directory.path().display());
    barnabas_base::reachable!(shard.env, DIRECTORY_FAILURE_SPREAD);
    fail_everywhere(&shard, directory.index(), &error).await;
    let (broker, failed) = (shard.options.broker_id(), directory.directory_id());
    let told = crate::controller::decide(&shard, move |core, _| core.fail_directories(broker, &[failed])).await;
    if let Err(code) = told {
        tracing::warn!(target: "LogManager", "what {} held keeps its leader: {}", directory.path().display(), code.name());
    }
}

/// Takes a directory out of use on all shards, that of the controller included.
async fn fail_everywhere(shard: &Rc<Shard>, index: u16, error: &StorageError) {
    let (kind, text) = (error.kind, error.to_string());
    let fail = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        let failed = shard.directories.borrow().iter().find(|each| each.index() == index).cloned();
        if let Some(failed) = failed {
            failed.fail(StorageError::reported(kind, &text));
        }
        Box::pin(std::future::ready(()))
    };
    let told = shard.on(shard.controller_shard(), fail.clone());
    shard.on_all(fail).await;
    told.await;
}

/// Writes the checkpoint files of all directories from time to time, until it is told to stop and gives them back.
pub(crate) struct Checkpointer {
    stop: Rc<Notify>,
    owners: oneshot::Receiver<Vec<DirectoryOwner>>,
}

impl Checkpointer {
    /// Takes the directories over.
    pub(crate) fn start(shard: &Rc<Shard>, owners: Vec<DirectoryOwner>) -> Self {
        let stop = Rc::new(Notify::new());
        let working = checkpoint_until(Rc::clone(shard), owners, Rc::clone(&stop));
        Self { stop, owners: shard.env.spawn_detached("checkpoints", working) }
    }

    /// Stops and gives the directories back.
    pub(crate) async fn stop(self) -> Vec<DirectoryOwner> {
        self.stop.notify();
        self.owners.await.unwrap_or_default()
    }
}

async fn checkpoint_until(shard: Rc<Shard>, mut owners: Vec<DirectoryOwner>, stop: Rc<Notify>) -> Vec<DirectoryOwner> {
    let interval = millis(shard.options.config.logs.recovery_point_checkpoint_interval_ms);
    loop {
        if let Either::First(()) = race(stop.changed_since(0), shard.env.sleep(interval)).await {
            return owners;
        }
        let mut reports = gather(&shard, owners.len()).await;
        for (index, owner) in owners.iter_mut().enumerate() {
            if let Err(error) = owner.checkpoint(std::mem::take(&mut reports[index])).await {
                tracing::error!(target: "LogManager", "cannot write checkpoints: {error}");
                // The folder itself has gone, and with it the names of everything that is written.
                if error.kind == io::ErrorKind::NotFound {
                    let index = u16::try_from(index).expect("directories are numbered by 16 bits");
                    fail_everywhere(&shard, index, &error).await;
                }
            }
            take_reserve(owner).await;
        }
    }
}

/// Keeps room for the next start, as far as there is any.
pub(crate) async fn take_reserve(owner: &DirectoryOwner) {
    if let Err(error) = owner.take_reserve().await {
        tracing::error!(target: "LogManager", "cannot keep room for the next start: {error}");
    }
}

/// What every shard has to say of every directory, the controller's shard included.
async fn gather(shard: &Rc<Shard>, directories: usize) -> Vec<Vec<DirectoryReport>> {
    let report = |shard: &Rc<Shard>| -> Local<'static, Vec<(u16, DirectoryReport)>> {
        let directories = shard.directories.borrow();
        let online = directories.iter().filter(|directory| !directory.is_offline());
        let reports = online.map(|directory| (directory.index(), directory.report())).collect();
        Box::pin(std::future::ready(reports))
    };
    let mut gathered: Vec<Vec<DirectoryReport>> = vec![Vec::new(); directories];
    let own = report(shard).await;
    for (index, report) in shard.on_all(report).await.into_iter().flatten().chain(own) {
        gathered[usize::from(index)].push(report);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use barnabas_base::{PartitionIndex, TopicId, Uuid};

    use super::*;

    fn log(index: i32) -> TopicPartition {
        TopicPartition { topic_id: TopicId(Uuid([1; 16])), partition: PartitionIndex(index) }
    }

    fn order(failures: &Failures, due: &[(TopicPartition, f64)]) -> Vec<i32> {
        let mut due = due.to_vec();
        due.sort_by(|one, other| failures.compare(*one, *other));
        due.iter().map(|(id, _)| id.partition.0).collect()
    }

    #[test]
    fn a_log_that_cannot_be_cleaned_keeps_no_other_from_it() {
        let due = [(log(0), 0.9), (log(1), 0.8), (log(2), 0.7), (log(3), 0.6)];
        let mut failures = Failures::default();
        assert_eq!(order(&failures, &due), [0, 1, 2, 3]);
        failures.add(log(0));
        assert_eq!(order(&failures, &due), [1, 2, 3, 0]);
        failures.add(log(2));
        assert_eq!(order(&failures, &due), [1, 3, 0, 2]);
        failures.add(log(0));
        assert_eq!(order(&failures, &due), [1, 3, 2, 0], "those that fail take turns");
        failures.by_log.remove(&log(0));
        assert_eq!(order(&failures, &due), [0, 1, 3, 2]);
    }
}
