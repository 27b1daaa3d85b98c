//! The life of one broker: open the directories, read the metadata log, open the partitions, listen; and the same
//! backwards. One call per shard, all of them driven by the binary or by the simulated world.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use barnabas_base::{Account, ClusterId, Observation, ShardId, TopicId};
use barnabas_commitlog::{CommitLimits, DirectorySeed, LogDirectory, ScanLimits, ShardOptions};
use barnabas_metadata::config::Listener as Configured;
use barnabas_metadata::controller::BrokerRegistration;
use barnabas_metadata::image::Endpoint as ImageEndpoint;
use barnabas_runtime::{Env, Listener, Local, race};

use crate::background::Checkpointer;
use crate::controller::Controller;
use crate::listener::ACCEPT_SHARD;
use crate::log_dirs::LogDirs;
use crate::metadata_log::MetadataLog;
use crate::options::NodeOptions;
use crate::shard::Shard;
use crate::topic::{broker_config, tell_of_misfits};

/// One broker, as its shards share it before they run.
#[derive(Clone, Debug)]
pub struct Node {
    options: Arc<NodeOptions>,
    outcome: Outcome,
    is_open: Arc<AtomicBool>,
}

/// Why a node ended, if not because it was told to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    failure: Arc<Mutex<Option<String>>>,
}

impl Outcome {
    /// What went wrong, in words for a person.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, why: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }
}

/// What a broker that serves can tell about itself.
#[derive(Clone, Debug)]
pub struct Started {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Listeners as `NAME://host:port`, as they are advertised, and where they are bound when that is somewhere else.
    pub listeners: Vec<String>,
    /// Bound addresses, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Directories with partitions that are open.
    pub directories: Vec<PathBuf>,
}

/// A start that cannot go on, in words.
type StartResult<T> = Result<T, String>;

impl Node {
    /// A node that has not begun.
    #[must_use]
    pub fn new(options: Arc<NodeOptions>) -> Self {
        Self { options, outcome: Outcome::default(), is_open: Arc::default() }
    }

    /// Where the node says why it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// Whether clients are or were let in. Until then nobody was promised anything, and ending the process loses nothing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Runs one data shard until the node stops.
    pub async fn run_data_shard(&self, env: Env) {
        let shard = Shard::new(env, Arc::clone(&self.options));
        until_stopped(&shard, Rc::clone(&shard).receive_all()).await;
    }

    /// Runs the controller's shard, which starts and stops the others. `started` is told when clients may come, `stop`
    /// resolves when the node is to end.
    pub async fn run_controller_shard(&self, env: Env, started: impl FnOnce(&Started), stop: impl Future<Output = ()>) {
        let shard = Shard::new(env, Arc::clone(&self.options));
        let receiving = shard.env.spawn("mail", Rc::clone(&shard).receive_all());
        match Running::start(&shard, &self.is_open).await {
            Ok(running) => {
                started(&running.started);
                race(stop, running.failed()).await;
                tracing::info!(target: "BarnabasServer", "stopping");
                if let Err(why) = running.stop(&shard).await {
                    self.outcome.fail(why);
                }
                tracing::info!(target: "BarnabasServer", "stopped");
            }
            Err(why) => self.outcome.fail(why),
        }
        stop_shards(&shard);
        drop(receiving);
    }
}

async fn until_stopped(shard: &Rc<Shard>, work: impl Future<Output = ()>) {
    race(shard.stopped.changed_since(0), work).await;
}

/// Ends the main loops of all data shards. Their tasks go with them, so that nobody is left to answer.
fn stop_shards(shard: &Rc<Shard>) {
    for data_shard in 0..shard.data_shards {
        drop(shard.on(ShardId(data_shard), |shard| {
            shard.stopped.notify();
            Box::pin(std::future::ready(()))
        }));
    }
}

/// A node between its start and its stop.
struct Running {
    started: Started,
    checkpointer: Checkpointer,
    metadata_directory: Rc<LogDirectory>,
    controller: Rc<Controller>,
}

impl Running {
    async fn start(shard: &Rc<Shard>, is_open: &AtomicBool) -> StartResult<Self> {
        let mut dirs = LogDirs::open(shard).await?;
        crate::leftovers::check_places(&dirs.seeds)?;
        crate::leftovers::check_twins(&dirs.seeds)?;
        let first = dirs.seeds.first().expect("a node has at least one log directory");
        let cluster_id = first.cluster_id.clone();
        shard.env.observe(&Observation::Restarted { broker: shard.options.broker_id(), kind: first.kind });
        tell_cluster(shard, &cluster_id).await;
        let metadata_directory = LogDirectory::join(&shard.env, first, &shard_options(shard));
        // Before anybody opens a log: this shard too is told when that goes wrong.
        shard.directories.borrow_mut().push(Rc::clone(&metadata_directory));
        let addresses = listen(shard).await?;
        let metadata = MetadataLog::open(shard, &metadata_directory).await?;
        if metadata.is_empty() {
            crate::leftovers::check_beginning(&dirs.seeds)?;
        }
        dirs.open_new(shard, metadata.image()).await?;
        let LogDirs { owners, seeds, failed, .. } = dirs;
        let deleted = metadata.deleted_topics().clone();
        join_directories(shard, &seeds, &failed).await;
        let controller = metadata.lead(shard).await?;
        crate::leftovers::tidy(&controller.image(), &deleted, &owners, &seeds).await;
        tell_deleted(shard, deleted).await;
        open_logs(shard, &controller).await;
        let registration = registration(shard, &seeds, &addresses);
        let next_offset = controller.next_offset();
        let begun = controller.decide(|core, _| core.start_broker(&registration, next_offset)).await;
        let begun = begun.map_err(|code| format!("cannot register this broker: {}", code.name()))?;
        begun.map_err(|refusal| format!("this broker may not register: {refusal}"))?;
        crate::background::start(shard).await;
        secure_journals(shard, &metadata_directory).await;
        for owner in &owners {
            crate::background::take_reserve(owner).await;
        }
        let checkpointer = Checkpointer::start(shard, owners);
        is_open.store(true, Ordering::Relaxed);
        accept(shard).await;
        let listeners = printed(shard, &addresses);
        let takers = seeds.into_iter().map(|seed| seed.path).filter(|path| shard.options.takes_partitions(path));
        let started = Started { cluster_id, listeners, addresses, directories: takers.collect() };
        Ok(Self { started, checkpointer, metadata_directory, controller })
    }

    /// Resolves when the node cannot go on: the directory of the metadata log has failed.
    async fn failed(&self) {
        self.metadata_directory.offline().await;
    }

    /// Closes everything in the opposite order, so that a clean start needs to read nothing again.
    async fn stop(self, shard: &Rc<Shard>) -> StartResult<()> {
        let owners = self.checkpointer.stop().await;
        self.controller.retire(shard).await;
        shard.on_all(stop_serving).await;
        // Nobody writes any more, so that the room serves what closing has to write.
        for owner in &owners {
            owner.release_reserve().await.map_err(|error| format!("the log directory could not be closed: {error}"))?;
        }
        let per_shard = shard.on_all(close_shard).await;
        let mut reports: Vec<Vec<_>> = owners.iter().map(|_| Vec::new()).collect();
        let mut clean: Vec<bool> = owners.iter().map(|_| true).collect();
        for closed in per_shard {
            for (index, outcome) in closed {
                match outcome {
                    Ok(report) => reports[usize::from(index)].push(report),
                    Err(()) => clean[usize::from(index)] = false,
                }
            }
        }
        shard.close_service();
        match self.metadata_directory.close().await {
            Ok(report) => reports[0].push(report),
            Err(error) => return Err(format!("the metadata log could not be closed: {error}")),
        }
        let mut outcome = Ok(());
        for (index, owner) in owners.into_iter().enumerate() {
            if !clean[index] {
                continue;
            }
            let image = self.controller.image();
            let broker_epoch = image.broker(shard.options.broker_id()).map_or(-1, |broker| broker.epoch.0);
            if let Err(error) = owner.close(std::mem::take(&mut reports[index]), broker_epoch).await {
                outcome = Err(format!("the log directory could not be closed: {error}"));
            }
        }
        outcome
    }
}

type Closed = Vec<(u16, Result<barnabas_commitlog::DirectoryReport, ()>)>;

/// Stops serving on one data shard.
fn stop_serving(shard: &Rc<Shard>) -> Local<'static, ()> {
    let coordinators = shard.coordinators.take();
    for coordinator in coordinators.into_values() {
        coordinator.stop();
    }
    shard.close_service();
    Box::pin(std::future::ready(()))
}

/// Closes the logs of one data shard.
fn close_shard(shard: &Rc<Shard>) -> Local<'static, Closed> {
    let shard = Rc::clone(shard);
    Box::pin(async move {
        let directories = shard.directories.take();
        let mut closed = Vec::with_capacity(directories.len());
        for directory in directories {
            let outcome = directory.close().await.map_err(|error| {
                tracing::error!(target: "LogManager", "{}: {error}", directory.path().display());
            });
            closed.push((directory.index(), outcome));
        }
        for account in Account::OF_CLIENTS {
            shard.env.observe(&Observation::MemoryLeft { account, bytes: shard.budget.used_bytes(account) });
        }
        closed
    })
}

async fn tell_cluster(shard: &Rc<Shard>, cluster_id: &ClusterId) {
    shard.cluster_id.get_or_init(|| cluster_id.clone());
    let told = cluster_id.clone();
    let tell = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        shard.cluster_id.get_or_init(|| told.clone());
        Box::pin(std::future::ready(()))
    };
    shard.on_all(tell).await;
}

/// Shards that open logs may find folders that deletions have left.
async fn tell_deleted(shard: &Rc<Shard>, deleted: BTreeSet<TopicId>) {
    let tell = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        shard.deleted_topics.borrow_mut().clone_from(&deleted);
        Box::pin(std::future::ready(()))
    };
    shard.on_all(tell).await;
}

/// Opens the logs of every partition there is, on all shards at once. Nobody leads them yet.
async fn open_logs(shard: &Rc<Shard>, controller: &Controller) {
    let image = controller.image();
    let open = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        let (shard, image) = (Rc::clone(shard), Arc::clone(&image));
        Box::pin(async move { crate::apply::open_all(&shard, &image).await })
    };
    shard.on_all(open).await;
}

/// What this broker says of itself. The addresses are those of the configuration, because other machines would be told
/// them; clients of this one are told what they can reach.
fn registration(shard: &Shard, seeds: &[DirectorySeed], addresses: &[SocketAddr]) -> BrokerRegistration {
    const PLAINTEXT: i16 = 0;
    let endpoint = |listener: &Configured, port: u16| {
        let (host, port) = told(listener, port);
        ImageEndpoint { name: listener.name.clone(), host, port, security_protocol: PLAINTEXT }
    };
    let clients = shard.options.client_listeners().zip(addresses);
    let controllers = shard.options.config.listeners.iter().filter(|listener| listener.is_controller);
    BrokerRegistration {
        incarnation_id: shard.env.random_uuid(),
        endpoints: clients.map(|(listener, address)| endpoint(listener, address.port())).collect(),
        controller_endpoints: controllers.map(|listener| endpoint(listener, listener.port)).collect(),
        directories: seeds
            .iter()
            .filter(|seed| shard.options.takes_partitions(&seed.path))
            .map(|seed| seed.directory_id)
            .collect(),
    }
}

fn shard_options(shard: &Shard) -> ShardOptions {
    let bounds = &shard.options.config.storage;
    ShardOptions {
        handles_max: bounds.open_files_max as usize,
        commit: CommitLimits {
            sync_files_max: bounds.sync_files_max as usize,
            ..CommitLimits::of_journal_file(bounds.journal_file_bytes)
        },
        unsettled_bytes_max: bounds.unsettled_bytes_max,
        index_bytes_max: bounds.index_cache_bytes_max,
        scan: ScanLimits { chunk_bytes: bounds.scan_bytes as usize, range_bytes: u64::from(bounds.check_range_bytes) },
        ..ShardOptions::new(shard.budget.clone())
    }
}

/// Gives every data shard its handle on every directory.
async fn join_directories(shard: &Rc<Shard>, seeds: &[DirectorySeed], failed: &[PathBuf]) {
    let (seeds, failed) = (seeds.to_vec(), failed.to_vec());
    let join = move |shard: &Rc<Shard>| -> Local<'static, ()> {
        let joined: Vec<_> =
            seeds.iter().map(|seed| LogDirectory::join(&shard.env, seed, &shard_options(shard))).collect();
        for directory in &joined {
            let weak = Rc::downgrade(shard);
            directory.on_advanced(Rc::new(move |partition| {
                if let Some(shard) = weak.upgrade() {
                    shard.high_watermark_moved(partition);
                }
            }));
        }
        *shard.directories.borrow_mut() = joined;
        shard.failed_dirs.borrow_mut().clone_from(&failed);
        Box::pin(std::future::ready(()))
    };
    shard.on_all(join).await;
}

/// Has every journal take its room before the reserve takes what is left.
async fn secure_journals(shard: &Rc<Shard>, metadata_directory: &Rc<LogDirectory>) {
    let secure = |shard: &Rc<Shard>| -> Local<'static, ()> {
        let directories = shard.directories.borrow().clone();
        Box::pin(async move {
            for directory in directories {
                directory.secure_journal().await;
            }
        })
    };
    shard.on_all(secure).await;
    metadata_directory.secure_journal().await;
}

/// Binds all listeners, so that the ports are known; nobody is accepted yet.
async fn listen(shard: &Rc<Shard>) -> StartResult<Vec<SocketAddr>> {
    let bound = shard.on(ACCEPT_SHARD, |shard| {
        let shard = Rc::clone(shard);
        Box::pin(async move { bind_all(&shard).await })
    });
    bound.await
}

async fn bind_all(shard: &Rc<Shard>) -> StartResult<Vec<SocketAddr>> {
    shard.resolve_host_limits().await?;
    let mut addresses = Vec::new();
    for listener in shard.options.client_listeners() {
        let host = if listener.host.is_empty() { "0.0.0.0" } else { &listener.host };
        let place = format!("{}://{}:{}", listener.name, listener.host, listener.port);
        let resolved = shard.env.net.resolve(host, listener.port).await;
        let resolved = resolved.map_err(|error| format!("cannot resolve {place}: {error}"))?;
        let first = *resolved.first().ok_or_else(|| format!("{place} has no address"))?;
        let socket: Box<dyn Listener> =
            shard.env.net.listen(first).await.map_err(|error| format!("cannot listen on {place}: {error}"))?;
        addresses.push(socket.local_addr());
        shard.bound.borrow_mut().push(socket);
    }
    Ok(addresses)
}

/// Lets clients in.
async fn accept(shard: &Rc<Shard>) {
    let accepting = shard.on(ACCEPT_SHARD, |shard| {
        tell_of_misfits(&shard.options.config, &shard.image());
        // What was set while an earlier life ran holds from the first connection on, but for hosts that were added: they
        // have to be looked up.
        let limits = shard.options.connection_limits(&broker_config(&shard.options.config, &shard.image()));
        shard.change_connection_limits(limits);
        for (index, listener) in shard.bound.take().into_iter().enumerate() {
            let accepting = Rc::clone(shard).accept_all(listener, index);
            let task = shard.env.spawn("accept", accepting);
            shard.tasks.borrow_mut().push(task);
        }
        Box::pin(std::future::ready(()))
    });
    accepting.await;
}

/// Each listener as clients are told of it, and where it is bound when that is somewhere else.
fn printed(shard: &Shard, addresses: &[SocketAddr]) -> Vec<String> {
    let listeners = shard.options.client_listeners().zip(addresses);
    listeners.map(|(listener, bound)| printed_listener(listener, *bound)).collect()
}

fn printed_listener(listener: &Configured, bound: SocketAddr) -> String {
    let (host, port) = told(listener, bound.port());
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let advertised = format!("{}://{shown}:{port}", listener.name);
    if port == bound.port() && host == listener.host {
        return advertised;
    }
    format!("{advertised} (bound to {bound})")
}

/// Host and port under which clients are to find a listener, as the configuration has them.
fn told(listener: &Configured, bound_port: u16) -> (String, u16) {
    listener.advertised.clone().unwrap_or_else(|| {
        let host = if crate::endpoint::is_wildcard(&listener.host) { "localhost" } else { &listener.host };
        (host.to_owned(), bound_port)
    })
}

/// The shard that runs the controller, for whoever lays out the threads.
impl NodeOptions {
    /// Position of the controller's shard, behind the data shards.
    #[must_use]
    pub const fn controller_shard(&self) -> ShardId {
        ShardId(self.data_shards)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("started", &self.started).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_prints_what_clients_are_told() {
        let listener = |host: &str, advertised: Option<(&str, u16)>| Configured {
            name: "PLAINTEXT".to_owned(),
            host: host.to_owned(),
            port: 9092,
            advertised: advertised.map(|(host, port)| (host.to_owned(), port)),
            is_controller: false,
        };
        let bound = SocketAddr::from(([0, 0, 0, 0], 9092));
        let printed = |host, advertised| printed_listener(&listener(host, advertised), bound);
        assert_eq!(printed("localhost", None), "PLAINTEXT://localhost:9092");
        assert_eq!(printed("::1", None), "PLAINTEXT://[::1]:9092");
        for wildcard in ["", "0.0.0.0", "::"] {
            assert_eq!(printed(wildcard, None), "PLAINTEXT://localhost:9092 (bound to 0.0.0.0:9092)");
        }
        let elsewhere = printed("0.0.0.0", Some(("kafka.example", 19092)));
        assert_eq!(elsewhere, "PLAINTEXT://kafka.example:19092 (bound to 0.0.0.0:9092)");
    }
}
