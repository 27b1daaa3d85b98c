//! Folders of log directories that no partition of the metadata has. What a deletion that a stop interrupted has left is
//! removed; anything else may be all that is left of somebody's records and is kept, under another name. Driven by the
//! start of a node, and by a shard that opens a log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::{TopicId, TopicPartition};
use barnabas_commitlog::name::{Folder, FolderState, deleted_folder_name, folder_name, stray_folder_name};
use barnabas_commitlog::{DirectoryOwner, DirectorySeed, FolderOwner, LogDirectory};
use barnabas_metadata::image::ClusterImage;
use barnabas_metadata::log::METADATA_TOPIC;

use crate::shard::Shard;

/// Refuses a start that looks for the metadata log in one directory and has one in another: it would begin a new cluster
/// beside the records of the old one (Kafka's `LogManager` refuses it in the same words).
///
/// # Errors
/// Which directory has it.
pub(crate) fn check_places(seeds: &[DirectorySeed]) -> Result<(), String> {
    let (configured, others) = seeds.split_first().expect("a node has a log directory");
    match others.iter().find(|seed| live_folders(seed).any(|(_, folder)| is_metadata(&folder))) {
        None => Ok(()),
        Some(found) => Err(format!(
            "Found unexpected metadata location in data directory `{}` (the configured metadata directory is `{}`). Set \
             metadata.log.dir to the directory that has the metadata log, or name it first in log.dirs.",
            found.path.display(),
            configured.path.display()
        )),
    }
}

/// Refuses a start that finds one partition in two directories: nothing says which of them has its records (in the words of
/// Kafka's `LogManager`).
///
/// # Errors
/// Which partition, and where.
pub(crate) fn check_twins(seeds: &[DirectorySeed]) -> Result<(), String> {
    let mut homes: BTreeMap<&str, &DirectorySeed> = BTreeMap::new();
    for seed in seeds {
        for (name, _) in live_folders(seed) {
            if let Some(first) = homes.insert(name, seed) {
                return Err(format!(
                    "Duplicate log directories for {name} are found in both {} and {}. Recover broker from this failure by \
                     manually moving away one of the two directories for this partition.",
                    first.path.join(name).display(),
                    seed.path.join(name).display()
                ));
            }
        }
    }
    Ok(())
}

/// Refuses to begin a metadata log from nothing beside partitions: it would know none of them.
///
/// # Errors
/// Where such partitions are.
pub(crate) fn check_beginning(seeds: &[DirectorySeed]) -> Result<(), String> {
    let partitions = |seed: &DirectorySeed| {
        live_folders(seed).filter(|(_, folder)| !is_metadata(folder)).map(|(name, _)| name.to_owned()).collect()
    };
    let found =
        seeds.iter().map(|seed| (seed, partitions(seed))).find(|(_, names): &(_, Vec<String>)| !names.is_empty());
    let Some((seed, names)) = found else { return Ok(()) };
    Err(format!(
        "the metadata log in {} is empty, and {} has {} partitions that only it could know, {} the first: bring \
         {METADATA_TOPIC}-0 back, or move the partitions away to begin anew",
        seeds[0].path.display(),
        seed.path.display(),
        names.len(),
        names[0],
    ))
}

/// Removes what deletions that a stop interrupted have left, and sets aside partitions that the metadata does not know.
///
/// `image` is what the metadata log says, `deleted` are the topics whose deletion it tells of behind its snapshot: a
/// snapshot is taken only once the folders have their new names. The shards have been told nothing yet.
pub(crate) async fn tidy(
    image: &ClusterImage,
    deleted: &BTreeSet<TopicId>,
    owners: &[DirectoryOwner],
    seeds: &[DirectorySeed],
) {
    for (owner, seed) in owners.iter().zip(seeds) {
        for (name, folder) in seed.folders() {
            let is_known = || {
                let topic = image.topic_by_name(&folder.topic);
                topic.is_some_and(|topic| topic.partition(folder.partition).is_some())
            };
            match folder.state {
                FolderState::Deleted => remove(owner, name).await,
                FolderState::Live if is_metadata(&folder) || is_known() => {}
                FolderState::Live => match owner.owner_of(name).await {
                    FolderOwner::Nobody => remove(owner, name).await,
                    FolderOwner::Topic(id) if deleted.contains(&id) => remove(owner, name).await,
                    FolderOwner::Topic(_) | FolderOwner::Unknown => keep(owner, name).await,
                },
                FolderState::Stray => {
                    tracing::warn!(target: "LogManager", "{name} belongs to no topic of this cluster and is left alone");
                }
                FolderState::Future => {}
            }
        }
    }
}

async fn remove(owner: &DirectoryOwner, name: &str) {
    match owner.remove_folder(name).await {
        Ok(()) => tracing::info!(target: "LogManager", "removed {name}, which belonged to a deleted topic"),
        Err(error) => tracing::warn!(target: "LogManager", "cannot remove {name}: {error}"),
    }
}

async fn keep(owner: &DirectoryOwner, name: &str) {
    match owner.set_apart(name).await {
        Ok(kept) => {
            tracing::error!(target: "LogManager", "{name} belongs to no topic of this cluster: it is kept as {kept}");
        }
        Err(error) => tracing::error!(target: "LogManager", "cannot rename {name}, which no topic has: {error}"),
    }
}

/// Takes the folder of another topic out of the way of `topic`. That of one whose deletion was decided gets the name of a
/// deleted partition and is removed, by the next start if this life ends before.
pub(crate) async fn set_aside(
    shard: &Rc<Shard>,
    directory: &LogDirectory,
    topic: &str,
    (id, found): (TopicPartition, TopicId),
) {
    let folder = directory.path().join(folder_name(topic, id.partition));
    let is_deleted = shard.deleted_topics.borrow().contains(&found);
    let rename = if is_deleted { deleted_folder_name } else { stray_folder_name };
    let target = directory.path().join(rename(topic, id.partition, shard.env.random_uuid()));
    let renamed: io::Result<()> = match shard.env.disk.rename(&folder, &target).await {
        Ok(()) => shard.env.disk.sync_dir(directory.path()).await,
        Err(error) => Err(error),
    };
    barnabas_base::sometimes!(shard.env, TOPIC_FOLDER_SET_ASIDE, is_deleted);
    barnabas_base::sometimes!(shard.env, STRAY_FOLDER_KEPT, !is_deleted);
    if is_deleted && renamed.is_ok() {
        remove_later(shard, target.clone());
    }
    let (folder, target) = (folder.display(), target.display());
    match renamed {
        Ok(()) if is_deleted => tracing::info!(target: "LogManager", "{folder} belonged to a deleted topic"),
        Ok(()) => tracing::error!(
            target: "LogManager",
            "{folder} belongs to topic {found}, which this cluster does not have: it is kept as {target}, and {topic} \
             begins anew"
        ),
        Err(error) => tracing::error!(target: "LogManager", "cannot rename {folder}: {error}"),
    }
}

/// Removes a folder that nobody reads from, while the log that takes its place is opened.
fn remove_later(shard: &Rc<Shard>, folder: PathBuf) {
    let env = shard.env.clone();
    let removed = async move {
        if let Err(error) = env.disk.remove_dir_all(&folder).await {
            tracing::warn!(target: "LogManager", "cannot remove {}: {error}", folder.display());
        }
    };
    shard.env.spawn("remove deleted log", removed).detach();
}

fn live_folders(seed: &DirectorySeed) -> impl Iterator<Item = (&str, Folder)> {
    seed.folders().filter(|(_, folder)| folder.state == FolderState::Live)
}

fn is_metadata(folder: &Folder) -> bool {
    folder.topic == METADATA_TOPIC
}
