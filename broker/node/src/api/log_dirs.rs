//! DescribeLogDirs: what lies in which directory, and how much room is left (KIP-113, KIP-827).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use barnabas_base::PartitionIndex;
use barnabas_runtime::Local;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use barnabas_wire::message::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use crate::dispatch::Call;
use crate::shard::Shard;

/// Size of one log, and where it is.
#[derive(Clone, Debug)]
struct LogSize {
    directory: u16,
    topic: String,
    partition: PartitionIndex,
    size_bytes: u64,
}

/// A directory as one shard sees it.
#[derive(Clone, Debug)]
struct DirectoryState {
    index: u16,
    path: String,
    offline: bool,
}

/// DescribeLogDirs. Null asks for all topics.
pub(crate) async fn describe(call: &Call, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let gathered = call.shard.on_all(gather).await;
    let mut sizes = Vec::new();
    let mut directories: BTreeMap<u16, DirectoryState> = BTreeMap::new();
    for (states, logs) in gathered {
        sizes.extend(logs);
        for state in states {
            let known = directories.entry(state.index).or_insert_with(|| state.clone());
            known.offline |= state.offline;
        }
    }
    let wanted = wanted(request);
    let is_wanted = |log: &LogSize| match &wanted {
        Some(wanted) => wanted.get(&*log.topic).is_some_and(|indexes| indexes.contains(&log.partition.0)),
        None => true,
    };
    sizes.retain(is_wanted);
    let mut results = Vec::with_capacity(directories.len());
    for state in directories.values() {
        results.push(directory(call, state, &sizes).await);
    }
    for path in call.shard.failed_dirs.borrow().iter() {
        let (log_dir, error_code) = (path.display().to_string(), ErrorCode::KafkaStorageError.code());
        results.push(DescribeLogDirsResult { log_dir, error_code, ..DescribeLogDirsResult::default() });
    }
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

/// What is asked for: a name once, however many of its partitions.
fn wanted(request: &DescribeLogDirsRequest) -> Option<BTreeMap<&str, BTreeSet<i32>>> {
    let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for topic in request.topics.as_ref()? {
        wanted.entry(&topic.topic).or_default().extend(&topic.partitions);
    }
    Some(wanted)
}

fn gather(shard: &Rc<Shard>) -> Local<'static, (Vec<DirectoryState>, Vec<LogSize>)> {
    let directories = shard.directories.borrow();
    let states = directories
        .iter()
        .filter(|directory| shard.options.takes_partitions(directory.path()))
        .map(|directory| DirectoryState {
            index: directory.index(),
            path: directory.path().display().to_string(),
            offline: directory.is_offline(),
        })
        .collect();
    let sizes = shard
        .partitions()
        .iter()
        .map(|partition| LogSize {
            directory: partition.log.directory().index(),
            topic: partition.topic_name.to_string(),
            partition: partition.id.partition,
            size_bytes: partition.log.size_bytes(),
        })
        .collect();
    Box::pin(std::future::ready((states, sizes)))
}

async fn directory(call: &Call, state: &DirectoryState, sizes: &[LogSize]) -> DescribeLogDirsResult {
    let mut result = DescribeLogDirsResult { log_dir: state.path.clone(), ..DescribeLogDirsResult::default() };
    if state.offline {
        result.error_code = ErrorCode::KafkaStorageError.code();
        return result;
    }
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in sizes.iter().filter(|log| log.directory == state.index) {
        topics.entry(&log.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: log.partition.0,
            partition_size: i64::try_from(log.size_bytes).unwrap_or(i64::MAX),
            offset_lag: 0,
            is_future_key: false,
        });
    }
    result.topics = topics
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic { name: name.to_owned(), partitions })
        .collect();
    if let Ok(space) = call.shard.env.disk.space(std::path::Path::new(&state.path)).await {
        result.total_bytes = i64::try_from(space.total_bytes).unwrap_or(i64::MAX);
        result.usable_bytes = i64::try_from(space.usable_bytes).unwrap_or(i64::MAX);
    }
    result
}
