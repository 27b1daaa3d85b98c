//! What a node is started with: the checked configuration, how many shards it has, and what follows from the two.

use std::path::{Path, PathBuf};
use std::time::Duration;

use barnabas_base::{Account, BrokerId};
use barnabas_metadata::config::{BrokerConfig, FlushPolicy, Listener};

use crate::listener::ConnectionLimits;

/// Everything the shards of a node need to know before they see the cluster.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The configuration.
    pub config: BrokerConfig,
    /// Shards that own partitions; the controller has one more.
    pub data_shards: u16,
    /// Version of the software.
    pub version: &'static str,
}

impl NodeOptions {
    /// `node.id`.
    #[must_use]
    pub const fn broker_id(&self) -> BrokerId {
        self.config.node_id
    }

    /// The directories of the logs, the one with the metadata log first.
    #[must_use]
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        let metadata = PathBuf::from(&self.config.metadata_log_dir);
        let mut dirs = vec![metadata];
        for dir in self.config.log_dirs.iter().map(PathBuf::from) {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }

    /// Whether partitions are put into a directory: `log.dirs` names it. That of `metadata.log.dir` may have the metadata
    /// log alone.
    pub(crate) fn takes_partitions(&self, dir: &Path) -> bool {
        self.config.log_dirs.iter().any(|named| Path::new(named) == dir)
    }

    /// The listeners that serve clients, in the order of the configuration.
    pub(crate) fn client_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.config.listeners.iter().filter(|listener| !listener.is_controller)
    }

    /// What an acknowledgement stands for.
    #[must_use]
    pub const fn flush_policy(&self) -> FlushPolicy {
        self.config.flush_policy
    }

    /// The limit of one account on one shard, in bytes.
    ///
    /// Half of a shard's memory is for requests: they are what clients can fill. A smaller `queued.max.request.bytes`
    /// wins. An eighth of that is for small requests alone: whatever large ones do, heartbeats are answered.
    pub(crate) fn memory_limit_bytes(&self, account: Account) -> u64 {
        let memory = self.config.memory_bytes;
        let queued = self.config.network.queued_request_bytes_max.unwrap_or(u64::MAX);
        let requests = (memory / 2).min(queued / u64::from(self.data_shards));
        match account {
            Account::RequestFrames => requests - requests / 8,
            Account::SmallRequestFrames => requests / 8,
            Account::TailCache => self.config.tail_cache_bytes,
            Account::ResponseSegments => memory / 8,
            // What groups and producers hold stays for days; requests must not starve because of it, nor it of them.
            Account::Coordinators => memory,
        }
    }

    pub(crate) fn connection_idle_max(&self) -> Option<Duration> {
        self.config.network.connection_idle_max_ms.map(Duration::from_millis)
    }

    /// Limits on connections under `config`, which is that of the start or one with dynamic values above it.
    pub(crate) fn connection_limits(&self, config: &BrokerConfig) -> ConnectionLimits {
        let network = &config.network;
        let overrides = network.connections_per_ip_overrides.iter();
        ConnectionLimits {
            rate_max: network.connection_creation_rate_max.max(1),
            per_host_max: overrides.map(|(host, limit)| (host.clone(), *limit as usize)).collect(),
            total_max: network.connections_max as usize,
            per_ip_max: network.connections_per_ip_max as usize,
        }
    }

    pub(crate) fn fetch_session_slots(&self) -> usize {
        (self.config.network.fetch_sessions_max as usize / usize::from(self.data_shards)).max(1)
    }

    /// Settings of group coordinators.
    pub(crate) fn group(&self) -> barnabas_group::Config {
        let groups = &self.config.groups;
        barnabas_group::Config {
            session_timeout_min_ms: groups.session_timeout_min_ms,
            session_timeout_max_ms: groups.session_timeout_max_ms,
            initial_rebalance_delay_ms: groups.initial_rebalance_delay_ms,
            group_size_max: usize::try_from(groups.size_max).unwrap_or(usize::MAX),
            offset_metadata_size_max: usize::try_from(groups.offset_metadata_bytes_max).unwrap_or(0),
            offsets_retention_ms: groups.offsets_retention_ms,
            offsets_retention_check_interval_ms: groups.offsets_retention_check_interval_ms,
        }
    }
}
