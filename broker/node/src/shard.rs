//! One shard: everything that lives on one thread of a broker, and the loop that receives from the other shards.
//!
//! Owns partitions, coordinators, fetch sessions and connections; nobody else touches them. The start-up drives it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barnabas_base::{
    Account, Budget, ClusterId, Monotonic, Observation, Offset, PartitionIndex, ShardId, TopicId, TopicPartition,
};
use barnabas_commitlog::LogDirectory;
use barnabas_metadata::image::ClusterImage;
use barnabas_runtime::sync::Notify;
use barnabas_runtime::{Accepted, Env, Listener, TaskHandle};
use barnabas_wire::{ApiKey, ErrorCode};

use crate::admission::Admission;
use crate::connection::{Peer, serve};
use crate::controller::Controller;
use crate::coordinator::GroupCoordinator;
use crate::fetch_session::FetchSessions;
use crate::frame::GivenUp;
use crate::homes::Homes;
use crate::listener::ConnectionCounts;
use crate::mail::{Mail, Outstanding};
use crate::options::NodeOptions;
use crate::partition::Partition;
use crate::producer_ids::ProducerIdBlock;
use crate::topic::is_offsets_topic;
use crate::watch::Watches;

/// How often a full device is worth a line.
const FULL_SAID_EVERY: Duration = Duration::from_secs(60);

/// One shard of a broker.
pub(crate) struct Shard {
    pub(crate) env: Env,
    pub(crate) id: ShardId,
    /// Shards that own partitions; the controller's shard comes after them.
    pub(crate) data_shards: u16,
    pub(crate) options: Arc<NodeOptions>,
    pub(crate) budget: Budget,
    pub(crate) admission: Admission,
    pub(crate) request_bytes_max: u32,
    pub(crate) fetch_bytes_max: usize,
    pub(crate) connection_idle_max: Option<Duration>,
    pub(crate) sessions: RefCell<FetchSessions>,
    pub(crate) outstanding: Outstanding,
    pub(crate) watches: Watches,
    pub(crate) producer_ids: RefCell<ProducerIdBlock>,
    pub(crate) directories: RefCell<Vec<Rc<LogDirectory>>>,
    /// Log directories that could not be opened.
    pub(crate) failed_dirs: RefCell<Vec<PathBuf>>,
    /// Where logs were found that the controller has not been told of.
    pub(crate) homes: Homes,
    /// Topics of whose deletion folders may be left under their names.
    pub(crate) deleted_topics: RefCell<BTreeSet<TopicId>>,
    /// Partitions of this shard whose logs found no room or no descriptor.
    pub(crate) homeless: RefCell<BTreeSet<TopicPartition>>,
    /// When people were told last that the device of a directory is full.
    pub(crate) full_said: RefCell<BTreeMap<u16, Monotonic>>,
    /// Whether another attempt at them is on its way.
    pub(crate) will_reopen: Cell<bool>,
    pub(crate) coordinators: RefCell<BTreeMap<PartitionIndex, Rc<GroupCoordinator>>>,
    /// The controller, on the shard that has it.
    pub(crate) controller: RefCell<Option<Rc<Controller>>>,
    /// Connections of the whole broker, counted on the shard that accepts.
    pub(crate) connections: ConnectionCounts,
    /// The look-up of hosts that have limits of their own.
    pub(crate) host_lookup: RefCell<Option<TaskHandle>>,
    pub(crate) open_connections: Cell<usize>,
    /// The cluster, once a directory has told it.
    pub(crate) cluster_id: OnceCell<ClusterId>,
    /// Counts once, when the node stops.
    pub(crate) stopped: Notify,
    /// Sockets that are bound and not accepted on yet.
    pub(crate) bound: RefCell<Vec<Box<dyn Listener>>>,
    /// Tasks that end with the shard's service.
    pub(crate) tasks: RefCell<Vec<TaskHandle>>,
    /// Connections by number; none once service has ended.
    served: RefCell<Option<BTreeMap<u64, TaskHandle>>>,
    next_connection: Cell<u64>,
    /// End of the metadata that the image contains.
    pub(crate) metadata_offset: Cell<Offset>,
    image: RefCell<Arc<ClusterImage>>,
    partitions: RefCell<BTreeMap<TopicPartition, Rc<Partition>>>,
}

impl Shard {
    /// A shard that knows nothing of the cluster yet.
    pub(crate) fn new(env: Env, options: Arc<NodeOptions>) -> Rc<Self> {
        let id = env.shards.this();
        let data_shards = env.shards.count() - 1;
        assert!(data_shards > 0, "a broker has at least one data shard beside the controller's");
        let budget = Budget::new(|account: Account| options.memory_limit_bytes(account));
        Rc::new(Self {
            id,
            data_shards,
            admission: Admission::new(budget.clone()),
            budget,
            request_bytes_max: options.config.network.request_bytes_max,
            fetch_bytes_max: options.config.network.fetch_bytes_max as usize,
            connection_idle_max: options.connection_idle_max(),
            sessions: RefCell::new(FetchSessions::new(id, options.fetch_session_slots())),
            outstanding: Outstanding::default(),
            watches: Watches::default(),
            producer_ids: RefCell::default(),
            directories: RefCell::default(),
            failed_dirs: RefCell::default(),
            homes: Homes::default(),
            deleted_topics: RefCell::default(),
            homeless: RefCell::default(),
            full_said: RefCell::default(),
            will_reopen: Cell::new(false),
            coordinators: RefCell::default(),
            controller: RefCell::default(),
            connections: ConnectionCounts::new(options.connection_limits(&options.config)),
            host_lookup: RefCell::default(),
            open_connections: Cell::new(0),
            cluster_id: OnceCell::new(),
            stopped: Notify::new(),
            bound: RefCell::default(),
            tasks: RefCell::default(),
            served: RefCell::new(Some(BTreeMap::new())),
            next_connection: Cell::new(0),
            metadata_offset: Cell::default(),
            image: RefCell::new(Arc::new(ClusterImage::default())),
            partitions: RefCell::default(),
            options,
            env,
        })
    }

    /// Tells people that the device of a directory is full, once in [`FULL_SAID_EVERY`]: clients see nothing but an error
    /// after which they try again.
    pub(crate) fn log_full(&self, directory: &LogDirectory) {
        let (now, mut said) = (self.env.now(), self.full_said.borrow_mut());
        if said.get(&directory.index()).is_some_and(|at| at.after(FULL_SAID_EVERY) > now) {
            return;
        }
        said.insert(directory.index(), now);
        tracing::error!(
            target: "LogManager",
            "no space left in {}: records are refused with KAFKA_STORAGE_ERROR until there is; DeleteRecords, a lower \
             retention and DeleteTopics make room",
            directory.path().display()
        );
    }

    /// The shard of the controller and the metadata log, which owns no other partitions.
    pub(crate) fn controller_shard(&self) -> ShardId {
        ShardId(self.data_shards)
    }

    /// Receives until the node stops.
    pub(crate) async fn receive_all(self: Rc<Self>) {
        loop {
            let message = self.env.shards.receive().await;
            let mail = message.downcast::<Mail>().expect("shards of a broker send each other mail");
            self.receive(*mail);
        }
    }

    /// What this shard knows of the cluster.
    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        Arc::clone(&self.image.borrow())
    }

    /// Replaces what this shard knows of the cluster; `metadata_offset` is the end of what the image contains.
    pub(crate) fn set_image(&self, image: Arc<ClusterImage>, metadata_offset: Offset) {
        *self.image.borrow_mut() = image;
        self.metadata_offset.set(metadata_offset);
    }

    /// A partition of this shard.
    pub(crate) fn partition(&self, id: TopicPartition) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&id).cloned()
    }

    /// All partitions of this shard.
    pub(crate) fn partitions(&self) -> Vec<Rc<Partition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    pub(crate) fn insert_partition(&self, partition: Rc<Partition>) {
        let before = self.partitions.borrow_mut().insert(partition.id, partition);
        assert!(before.is_none(), "a partition is opened once");
    }

    pub(crate) fn remove_partition(&self, id: TopicPartition) -> Option<Rc<Partition>> {
        self.partitions.borrow_mut().remove(&id)
    }

    /// A partition of this shard that can be read and written, or why it cannot.
    pub(crate) fn led_partition(&self, id: TopicPartition) -> Result<Rc<Partition>, ErrorCode> {
        if let Some(partition) = self.partition(id) {
            return Ok(partition);
        }
        // The image may be ahead of the logs: the partition is being opened, found no room, or its directory has failed or
        // is not there.
        let image = self.image();
        if let Some(topic) = image.topic(id.topic_id).filter(|topic| topic.partition(id.partition).is_some()) {
            let offline = self.homeless.borrow().contains(&id)
                || crate::homes::is_away(self, topic, id)
                || !self.failed_dirs.borrow().is_empty()
                || self.directories.borrow().iter().any(|directory| directory.is_offline());
            return Err(if offline { ErrorCode::KafkaStorageError } else { ErrorCode::NotLeaderOrFollower });
        }
        Err(ErrorCode::UnknownTopicOrPartition)
    }

    /// The high watermark of a partition moved: long polls and its coordinator look again.
    pub(crate) fn high_watermark_moved(self: &Rc<Self>, id: TopicPartition) {
        let Some(partition) = self.partition(id) else { return };
        self.wake_watchers(&partition);
        if is_offsets_topic(&partition.topic_name) {
            let coordinator = self.coordinators.borrow().get(&id.partition).cloned();
            if let Some(coordinator) = coordinator {
                coordinator.high_watermark_moved();
            }
        }
    }

    /// Serves a connection that was handed to this shard. The shard that accepts may hear later that the node stops.
    pub(crate) fn adopt(self: &Rc<Self>, accepted: Accepted, listener: usize) {
        if self.served.borrow().is_none() {
            barnabas_base::reachable!(self.env, CONNECTION_AFTER_SERVICE);
            return;
        }
        let peer = accepted.peer_addr;
        let stream = match self.env.net.adopt(accepted) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(target: "SocketServer", "cannot take over the connection of {peer}: {error}");
                return;
            }
        };
        self.open_connections.set(self.open_connections.get() + 1);
        self.env.observe(&Observation::ConnectionOpened);
        let number = self.next_connection.get();
        self.next_connection.set(number + 1);
        let shard = Rc::clone(self);
        let task = self.env.spawn("connection", async move {
            serve(Rc::clone(&shard), stream, listener).await;
            let ended = shard.served.borrow_mut().as_mut().and_then(|served| served.remove(&number));
            ended.into_iter().for_each(TaskHandle::detach);
            shard.connection_ended(peer.ip());
        });
        self.served.borrow_mut().as_mut().expect("checked above").insert(number, task);
    }

    /// Ends all connections and everything that goes on by itself.
    pub(crate) fn close_service(&self) {
        self.tasks.borrow_mut().clear();
        drop(self.host_lookup.take());
        self.homes.stop();
        drop(self.served.take());
        self.bound.borrow_mut().clear();
    }

    fn connection_ended(self: &Rc<Self>, ip: IpAddr) {
        self.open_connections.set(self.open_connections.get() - 1);
        self.env.observe(&Observation::ConnectionClosed);
        drop(self.on(crate::listener::ACCEPT_SHARD, move |shard| {
            shard.connections.close(ip);
            Box::pin(std::future::ready(()))
        }));
    }

    pub(crate) fn log_connection_error(&self, peer: &Peer, error: &io::Error) {
        let address = peer.address;
        match error.kind() {
            io::ErrorKind::InvalidData => {
                tracing::warn!(target: "SocketServer", "closing the connection of {address}: {error}");
            }
            _ => tracing::debug!(target: "SocketServer", "connection of {address} ended: {error}"),
        }
    }

    pub(crate) fn log_given_up(&self, peer: &Peer, why: &GivenUp) {
        tracing::warn!(target: "SocketServer", "closing the connection of {}: {why}", peer.address);
    }

    pub(crate) fn log_unanswerable(&self, api: ApiKey, version: i16, error: &str) {
        tracing::error!(target: "KafkaApis", "cannot encode the answer to {} v{version}: {error}", api.name());
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).finish_non_exhaustive()
    }
}
