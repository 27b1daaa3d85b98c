//! Which log directory has a partition: chosen when its log is created, and told to the controller. A start that does not
//! find the directory again keeps the partition offline, where one that knew nothing would begin it anew in another
//! directory (KIP-858). Driven by the shards that open logs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{DirectoryId, PartitionIndex, TopicId, TopicPartition};
use barnabas_commitlog::LogDirectory;
use barnabas_metadata::image::{ClusterImage, TopicImage};
use barnabas_runtime::TaskHandle;

use crate::shard::Shard;

/// Directories told with one decision.
const TOLD_AT_ONCE_MAX: usize = 1_000;
/// How long a decision that could not be written waits for another attempt.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the controller does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    untold: RefCell<Vec<(TopicId, PartitionIndex, DirectoryId)>>,
    /// Who tells it, while there is something to tell.
    telling: RefCell<Option<TaskHandle>>,
}

impl Homes {
    /// Ends with the shard's service.
    pub(crate) fn stop(&self) {
        drop(self.telling.take());
    }
}

/// The directory for the log of a partition: the one that has it, the one that the controller knows to have had it, or, for
/// a new one, that with the fewest partitions, as Kafka chooses. None while that directory is not there.
pub(crate) fn choose(shard: &Shard, topic: &TopicImage, id: TopicPartition) -> Option<Rc<LogDirectory>> {
    let online = online(shard);
    if let Some(holder) = online.iter().find(|directory| directory.holds(&topic.name, id.partition)) {
        return Some(Rc::clone(holder));
    }
    match known_home(shard, topic, id) {
        Some(home) => online.into_iter().find(|directory| directory.directory_id() == home),
        None => takers(shard).into_iter().min_by_key(|directory| directory.logs_expected()),
    }
}

/// The directories that new partitions may be put into.
pub(crate) fn takers(shard: &Shard) -> Vec<Rc<LogDirectory>> {
    let mut takers = online(shard);
    takers.retain(|directory| shard.options.takes_partitions(directory.path()));
    takers
}

fn online(shard: &Shard) -> Vec<Rc<LogDirectory>> {
    shard.directories.borrow().iter().filter(|directory| !directory.is_offline()).cloned().collect()
}

fn known_home(shard: &Shard, topic: &TopicImage, id: TopicPartition) -> Option<DirectoryId> {
    topic.partition(id.partition)?.directory(shard.options.broker_id())
}

/// Has the controller told that a log is in `directory`, unless it knows.
pub(crate) fn found(shard: &Rc<Shard>, topic: &TopicImage, id: TopicPartition, directory: DirectoryId) {
    if known_home(shard, topic, id) == Some(directory) {
        return;
    }
    shard.homes.untold.borrow_mut().push((id.topic_id, id.partition, directory));
    let mut telling = shard.homes.telling.borrow_mut();
    if telling.as_ref().is_none_or(TaskHandle::is_finished) {
        *telling = Some(shard.env.spawn("homes", tell(Rc::clone(shard))));
    }
}

/// Tells the controller where logs are, until it knows of all.
async fn tell(shard: Rc<Shard>) {
    let broker = shard.options.broker_id();
    loop {
        let news: Vec<_> = {
            let mut untold = shard.homes.untold.borrow_mut();
            let count = untold.len().min(TOLD_AT_ONCE_MAX);
            untold.drain(..count).collect()
        };
        if news.is_empty() {
            return;
        }
        let told = news.clone();
        let decided = crate::controller::decide(&shard, move |core, _| core.assign_directories(broker, &told)).await;
        if decided.is_err() {
            shard.homes.untold.borrow_mut().extend(news);
            shard.env.sleep(TELL_AGAIN_AFTER).await;
        }
    }
}

/// Whether a partition is in a directory that this broker does not have.
pub(crate) fn is_away(shard: &Shard, topic: &TopicImage, id: TopicPartition) -> bool {
    let Some(home) = known_home(shard, topic, id) else { return false };
    !shard.directories.borrow().iter().any(|directory| directory.directory_id() == home)
}

/// Says which partitions of this shard a start did not find the directories of.
pub(crate) fn report_away(shard: &Shard, image: &ClusterImage) {
    let mut away = Vec::new();
    for topic in image.topics() {
        for index in topic.partitions.keys() {
            let id = TopicPartition { topic_id: topic.id, partition: *index };
            if id.shard(shard.data_shards) == shard.id && shard.partition(id).is_none() && is_away(shard, topic, id) {
                away.push((format!("{}-{index}", topic.name), known_home(shard, topic, id)));
            }
        }
    }
    let Some((first, Some(home))) = away.first() else { return };
    barnabas_base::reachable!(shard.env, DIRECTORY_AWAY);
    tracing::error!(
        target: "LogManager",
        "{} partitions are in log directories that are not there, {first} in the one with the id {home} the first: they \
         answer KAFKA_STORAGE_ERROR until log.dirs has it again, or their topics are deleted",
        away.len()
    );
}
