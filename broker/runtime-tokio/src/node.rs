//! Starting a node: a thread per shard, the pools they share, and the wait for all of them.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, available_parallelism};

use barnabas_base::{Observation, ShardId};
use barnabas_runtime::{Env, Local, SharedObserver};

use crate::clock::TokioClock;
use crate::dirty::DirtyGauge;
use crate::mailbox::Inboxes;
use crate::pool::Pool;
use crate::shard::{self, Node};

/// Threads that may wait for the device at once. A device serves about this many flushes side by side: 2,000 dirty files
/// took 756 ms one by one, 43 ms by 32 threads.
const DEVICE_THREADS: usize = 32;

/// Makes the observer of one shard, on its thread.
pub type MakeObserver = Arc<dyn Fn(ShardId) -> SharedObserver + Send + Sync>;

/// How a node is laid out on this machine.
#[derive(Clone)]
pub struct NodeConfig {
    /// Names the threads: `name-shard-0`, `name-io-0`, `name-work-0`.
    pub name: String,
    /// Event loops.
    pub shards: u16,
    /// Most threads that wait for the device at once.
    pub pool_threads: usize,
    /// Makes the observer of each shard.
    pub observer: MakeObserver,
}

impl NodeConfig {
    /// A node of `shards` event loops whose observations go nowhere.
    #[must_use]
    pub fn new(name: &str, shards: u16) -> Self {
        Self {
            name: name.to_owned(),
            shards,
            pool_threads: DEVICE_THREADS,
            observer: Arc::new(|_| Rc::new(RefCell::new(|_: &Observation| {}))),
        }
    }

    fn node(&self) -> Node {
        assert!(self.shards > 0, "a node has at least one shard");
        let cores = available_parallelism().map_or(1, NonZero::get);
        Node {
            clock: TokioClock::start(),
            inboxes: Inboxes::new(self.shards),
            device: Pool::new(format!("{}-io", self.name), self.pool_threads),
            work: Pool::new(format!("{}-work", self.name), cores),
            dirty: DirtyGauge::default(),
        }
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("name", &self.name)
            .field("shards", &self.shards)
            .field("pool_threads", &self.pool_threads)
            .finish_non_exhaustive()
    }
}

/// Runs `main` once on each shard and returns when all of them, and every operation they started, have ended. When to
/// stop is the node's business. A panic anywhere aborts the process.
///
/// # Errors
/// When the system refuses a thread or an event queue.
pub fn run(config: &NodeConfig, main: impl Fn(Env) -> Local<'static, ()> + Send + Sync + 'static) -> io::Result<()> {
    let node = config.node();
    let main = Arc::new(main);
    let mut threads = Vec::with_capacity(usize::from(config.shards));
    for index in 0..config.shards {
        let (node, main, observer) = (node.clone(), Arc::clone(&main), Arc::clone(&config.observer));
        let body = move || {
            let _guard = AbortOnPanic;
            shard::run(&node, ShardId(index), observer(ShardId(index)), |env| main(env))
        };
        threads.push(Builder::new().name(format!("{}-shard-{index}", config.name)).spawn(body)?);
    }
    let mut outcome = Ok(());
    for thread in threads {
        outcome = outcome.and(thread.join().expect("a shard that panics aborts the process"));
    }
    node.device.close();
    node.work.close();
    outcome
}

/// Runs `main` on the calling thread as the only shard of a node, for command-line tools and tests. A panic of any of
/// its tasks panics here.
///
/// # Errors
/// When the system refuses an event queue.
pub fn block_on_single<T: 'static>(config: &NodeConfig, main: impl AsyncFnOnce(Env) -> T + 'static) -> io::Result<T> {
    let node = NodeConfig { shards: 1, ..config.clone() }.node();
    let value = Rc::new(RefCell::new(None));
    let returned = Rc::clone(&value);
    shard::run(&node, ShardId(0), (config.observer)(ShardId(0)), move |env| {
        Box::pin(async move { *returned.borrow_mut() = Some(main(env).await) })
    })?;
    node.device.close();
    node.work.close();
    let value = value.borrow_mut().take();
    Ok(value.expect("the shard ran until its main future ended"))
}

/// Ends the process when the thread it lives on unwinds: the other shards must not go on without this one.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
