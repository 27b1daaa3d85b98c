//! A shard acts on a new image: opens and removes logs, begins leader epochs, changes configurations, starts and stops
//! coordinators. Driven by the controller's publication, one delta after the other.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{LeaderEpoch, PartitionIndex, TopicPartition};
use barnabas_commitlog::{LoadReport, Log, OpenLogError};
use barnabas_metadata::image::{ClusterImage, Delta, PartitionImage, ResourceKind, TopicImage};
use barnabas_runtime::Local;

use crate::coordinator::GroupCoordinator;
use crate::homes;
use crate::listener::ACCEPT_SHARD;
use crate::partition::Partition;
use crate::shard::Shard;
use crate::topic::{broker_config, is_offsets_topic, log_config, topic_config};

/// Logs that are opened at the same time: enough to keep the device busy, few enough to bound memory.
const OPENING_AT_ONCE_MAX: usize = 64;
/// How long a log that found no room or no descriptor waits for another attempt.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Acts on everything that concerns this shard and returns when it stands.
pub(crate) async fn apply(shard: &Rc<Shard>, image: &ClusterImage, delta: &Delta) {
    for topic in delta.deleted_topics.values() {
        remove_topic(shard, topic).await;
    }
    change_partitions(shard, image, delta).await;
    change_configs(shard, image, delta);
    reopen(shard, image).await;
}

/// Tries again to open logs that found no room or no descriptor. Part of every publication, so that no other change of the
/// same partition is under way.
async fn reopen(shard: &Rc<Shard>, image: &ClusterImage) {
    let homeless: Vec<_> = shard.homeless.borrow().iter().copied().collect();
    for id in homeless {
        let found = image.topic(id.topic_id).and_then(|topic| Some((topic, topic.partition(id.partition)?)));
        match found {
            Some((topic, state)) => change_partition(shard, image, topic, id, state).await,
            None => drop(shard.homeless.borrow_mut().remove(&id)),
        }
    }
    if !shard.homeless.borrow().is_empty() {
        reopen_later(shard);
    }
}

/// Has the image published once more after a while, by which [`reopen`] gets its turn.
fn reopen_later(shard: &Rc<Shard>) {
    if shard.will_reopen.replace(true) {
        return;
    }
    let waiting = Rc::clone(shard);
    let task = shard.env.spawn("reopen", async move {
        waiting.env.sleep(REOPEN_INTERVAL).await;
        waiting.will_reopen.set(false);
        crate::controller::republish(&waiting).await;
    });
    task.detach();
}

/// Opens the logs of all partitions of this shard. Nobody leads them by that. Returns once all that they hold is as safe as
/// `flush.policy` makes it: an earlier life may have acknowledged it, and the end of a log would seem to fall otherwise.
pub(crate) async fn open_all(shard: &Rc<Shard>, image: &ClusterImage) {
    let mut opening: Vec<Local<'_, Option<Rc<Partition>>>> = Vec::new();
    for topic in image.topics() {
        for (index, state) in topic.partitions.iter() {
            let id = TopicPartition { topic_id: topic.id, partition: *index };
            let is_mine = id.shard(shard.data_shards) == shard.id;
            if is_mine && state.replicas.contains(&shard.options.broker_id()) {
                opening.push(Box::pin(open_partition(shard, image, topic, id)));
            }
            if opening.len() == OPENING_AT_ONCE_MAX {
                barnabas_runtime::join_all(std::mem::take(&mut opening)).await;
            }
        }
    }
    barnabas_runtime::join_all(opening).await;
    homes::report_away(shard, image);
    let partitions = shard.partitions();
    let waiting = partitions.iter().map(|partition| {
        let safe: Local<'_, _> = Box::pin(partition.log.wait_safe(partition.log.end_offset()));
        safe
    });
    // A directory that fails says so itself.
    drop(barnabas_runtime::join_all(waiting.collect()).await);
}

async fn change_partitions(shard: &Rc<Shard>, image: &ClusterImage, delta: &Delta) {
    let owned = delta.changed_partitions.iter().filter(|id| id.shard(shard.data_shards) == shard.id);
    let mut changing: Vec<Local<'_, ()>> = Vec::new();
    for id in owned {
        let Some(topic) = image.topic(id.topic_id) else { continue };
        let Some(state) = topic.partition(id.partition) else { continue };
        if !state.replicas.contains(&shard.options.broker_id()) {
            continue;
        }
        changing.push(Box::pin(change_partition(shard, image, topic, *id, state)));
        if changing.len() == OPENING_AT_ONCE_MAX {
            barnabas_runtime::join_all(std::mem::take(&mut changing)).await;
        }
    }
    barnabas_runtime::join_all(changing).await;
}

async fn change_partition(
    shard: &Rc<Shard>,
    image: &ClusterImage,
    topic: &TopicImage,
    id: TopicPartition,
    state: &PartitionImage,
) {
    let partition = match shard.partition(id) {
        Some(partition) => partition,
        None => match open_partition(shard, image, topic, id).await {
            Some(partition) => partition,
            None => return,
        },
    };
    lead(shard, &partition, state).await;
}

/// Takes over leadership in the epoch of the image, if that is a new one.
async fn lead(shard: &Rc<Shard>, partition: &Rc<Partition>, state: &PartitionImage) {
    if state.leader != shard.options.broker_id() {
        return;
    }
    let is_first = partition.leader_epoch() == LeaderEpoch::UNKNOWN;
    if state.leader_epoch != partition.leader_epoch() {
        partition.lead(state.leader_epoch, state.replicas.len(), state.isr.len());
        if let Err(error) = partition.log.begin_epoch(state.leader_epoch) {
            tracing::error!(target: "Partition", "cannot begin epoch {} of {partition:?}: {error}", state.leader_epoch);
            return;
        }
    }
    if is_first && is_offsets_topic(&partition.topic_name) {
        let coordinator = GroupCoordinator::start(shard, Rc::clone(partition));
        shard.coordinators.borrow_mut().insert(partition.id.partition, coordinator);
    }
}

async fn open_partition(
    shard: &Rc<Shard>,
    image: &ClusterImage,
    topic: &TopicImage,
    id: TopicPartition,
) -> Option<Rc<Partition>> {
    let directory = homes::choose(shard, topic, id)?;
    // Logs are opened many at a time: those on their way count where the next ones look.
    let _expected = directory.expect_log();
    let config = topic_config(&shard.options.config, image, &topic.name);
    let log_config = log_config(&broker_config(&shard.options.config, image), &config);
    let mut opened = Log::open(&directory, id, &topic.name, log_config.clone()).await;
    if let Err(OpenLogError::WrongTopic { found, .. }) = opened {
        // The deletion of an earlier topic of this name was decided, but its folder was not renamed before a stop; or the
        // folder came from elsewhere.
        crate::leftovers::set_aside(shard, &directory, &topic.name, (id, found)).await;
        opened = Log::open(&directory, id, &topic.name, log_config).await;
    }
    match opened {
        Ok((log, report)) => {
            report_load(&topic.name, id.partition, &report);
            homes::found(shard, topic, id, directory.directory_id());
            let partition = Rc::new(Partition::new(id, Rc::from(&*topic.name), log));
            partition.set_min_in_sync_replicas(config.min_insync_replicas);
            shard.insert_partition(Rc::clone(&partition));
            if shard.homeless.borrow_mut().remove(&id) {
                barnabas_base::reachable!(shard.env, LOG_FOUND_ROOM);
                tracing::info!(target: "LogManager", "{partition:?} has found what it lacked and is open");
            }
            Some(partition)
        }
        Err(error) => {
            let passes = matches!(&error, OpenLogError::Storage(error) if error.passes);
            barnabas_base::sometimes!(shard.env, LOG_HOMELESS, passes);
            // Said once, and tried again in silence.
            if passes && !shard.homeless.borrow_mut().insert(id) {
                return None;
            }
            let (name, index, path) = (&topic.name, id.partition, directory.path().display());
            tracing::error!(target: "LogManager", "cannot open {name}-{index} in {path}: {error}");
            None
        }
    }
}

/// Tells people what is wrong with a log that came up; observers are told by the log itself.
pub(crate) fn report_load(topic: &str, partition: PartitionIndex, report: &LoadReport) {
    let log = format_args!("{topic}-{partition}");
    for range in &report.damaged {
        let (from, to) = (range.from, range.to);
        tracing::error!(target: "LogManager", "{log}: offsets {from} to {to} are damaged and answer CORRUPT_MESSAGE");
    }
    if report.cut_bytes > 0 {
        let (end, cut) = (report.end_offset, report.cut_bytes);
        tracing::info!(target: "LogManager", "{log}: cut a torn tail of {cut} bytes at offset {end}");
    }
}

/// Gives every log whose topic's configuration may have changed its new one. A dynamic configuration of brokers changes
/// what topics without their own value have, and the limits of connections.
fn change_configs(shard: &Rc<Shard>, image: &ClusterImage, delta: &Delta) {
    let mut names = BTreeSet::new();
    let mut all = false;
    for resource in &delta.changed_configs {
        match resource.kind {
            ResourceKind::Topic => drop(names.insert(resource.name.as_str())),
            ResourceKind::Broker => all = true,
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => {}
        }
    }
    if !all && names.is_empty() {
        return;
    }
    let broker = broker_config(&shard.options.config, image);
    for partition in shard.partitions() {
        if all || names.contains(&*partition.topic_name) {
            let config = topic_config(&shard.options.config, image, &partition.topic_name);
            partition.set_min_in_sync_replicas(config.min_insync_replicas);
            partition.log.update_config(log_config(&broker, &config));
        }
    }
    if all && shard.id == ACCEPT_SHARD {
        shard.change_connection_limits(shard.options.connection_limits(&broker));
    }
}

async fn remove_topic(shard: &Rc<Shard>, topic: &TopicImage) {
    let coordinators: Vec<_> = shard.coordinators.borrow().values().cloned().collect();
    for coordinator in coordinators {
        coordinator.topic_deleted(&topic.name, topic.id);
    }
    for index in topic.partitions.keys() {
        let id = TopicPartition { topic_id: topic.id, partition: *index };
        let Some(partition) = shard.remove_partition(id) else { continue };
        if is_offsets_topic(&topic.name) {
            stop_coordinator(shard, *index);
        }
        shard.wake_watchers(&partition);
        if let Err(error) = partition.log.delete().await {
            shard.deleted_topics.borrow_mut().insert(topic.id);
            tracing::error!(target: "LogManager", "cannot delete {partition:?}: {error}");
        }
    }
}

fn stop_coordinator(shard: &Rc<Shard>, partition: PartitionIndex) {
    let stopped = shard.coordinators.borrow_mut().remove(&partition);
    if let Some(coordinator) = stopped {
        coordinator.stop();
    }
}
