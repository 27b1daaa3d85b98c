//! The log directories of a node at its start: which are opened, which are begun, which it goes without. Driven by the start
//! of a node; what lies in them is [`crate::leftovers`]' affair.

use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::DirectoryId;
use barnabas_commitlog::{DirectoryOptions, DirectoryOwner, DirectorySeed, OpenDirectoryError};
use barnabas_metadata::image::ClusterImage;

use crate::shard::Shard;

/// What a start has of its directories.
pub(crate) struct LogDirs {
    /// Those that are open.
    pub(crate) owners: Vec<DirectoryOwner>,
    /// What was found in each of them, in the same order; the first has the metadata log.
    pub(crate) seeds: Vec<DirectorySeed>,
    /// Those that could not be opened.
    pub(crate) failed: Vec<PathBuf>,
    /// Those without `meta.properties` beside others that have one.
    new: Vec<PathBuf>,
}

impl LogDirs {
    /// Opens what belongs to a cluster, or begins everything where nothing does. A directory whose device fails is gone
    /// without, as in Kafka, unless it is the one with the metadata log.
    pub(crate) async fn open(shard: &Rc<Shard>) -> Result<Self, String> {
        let mut dirs = Self { owners: Vec::new(), seeds: Vec::new(), failed: Vec::new(), new: Vec::new() };
        let paths = shard.options.log_dirs();
        let (first, are_several) = (paths[0].clone(), paths.len() > 1);
        let mut old = Vec::new();
        for path in paths {
            // One alone is old or new by itself.
            let is_new = are_several && matches!(DirectoryOwner::is_formatted(&shard.env, &path).await, Ok(false));
            if is_new { dirs.new.push(path) } else { old.push(path) }
        }
        if old.is_empty() {
            std::mem::swap(&mut old, &mut dirs.new);
        }
        if dirs.new.contains(&first) {
            return Err(format!(
                "{} has no meta.properties, and {} has one: the metadata log is looked for in metadata.log.dir, or in the \
                 first of log.dirs. Mount that directory if it is not, or bring the order of log.dirs back.",
                first.display(),
                old[0].display()
            ));
        }
        for path in old {
            dirs.open_one(shard, path).await?;
        }
        Ok(dirs)
    }

    async fn open_one(&mut self, shard: &Rc<Shard>, path: PathBuf) -> Result<(), String> {
        let cluster_id = self.seeds.first().map(|seed| seed.cluster_id.clone());
        let options = DirectoryOptions { node_id: shard.options.broker_id(), cluster_id, format: true };
        let index = u16::try_from(self.owners.len()).map_err(|_| "too many log directories".to_owned())?;
        match DirectoryOwner::open(&shard.env, &path, index, &options).await {
            Ok((owner, seed)) => {
                self.owners.push(owner);
                self.seeds.push(seed);
                Ok(())
            }
            Err(OpenDirectoryError::Io(error)) if !self.seeds.is_empty() => {
                barnabas_base::reachable!(shard.env, DIRECTORY_FAILED_AT_START);
                tracing::error!(target: "LogManager", "log directory {} is offline: {error}", path.display());
                self.failed.push(path);
                Ok(())
            }
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Begins the directories that are new, unless one that this broker had is not there: then an empty one is more likely
    /// to be a device that is not mounted. `known` is what the metadata log says.
    pub(crate) async fn open_new(&mut self, shard: &Rc<Shard>, known: &ClusterImage) -> Result<(), String> {
        let missing = self.missing(shard, known);
        if let (Some(path), Some(id)) = (self.new.first(), missing.get(self.failed.len())) {
            return Err(format!(
                "No meta.properties found in {}, and this broker had {} log directories that are not there, {id} the last \
                 (directory.id). Mount it if it is not mounted. To go on without what it held, start once with log.dirs \
                 that does not name {}.",
                path.display(),
                missing.len(),
                path.display()
            ));
        }
        for path in std::mem::take(&mut self.new) {
            self.open_one(shard, path).await?;
        }
        // The one with the metadata log need not be among those of log.dirs.
        if self.seeds.iter().any(|seed| shard.options.takes_partitions(&seed.path)) {
            return Ok(());
        }
        Err("none of the directories of log.dirs can be used".to_owned())
    }

    /// Directories that this broker had when it started last and has no more.
    fn missing(&self, shard: &Rc<Shard>, known: &ClusterImage) -> Vec<DirectoryId> {
        let Some(broker) = known.broker(shard.options.broker_id()) else { return Vec::new() };
        let is_open = |id: &DirectoryId| self.seeds.iter().any(|seed| seed.directory_id == *id);
        broker.directories.iter().copied().filter(|id| !is_open(id)).collect()
    }
}
