//! Starting a node: a thread per shard, the pools they share, and the wait for all of them.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, available_parallelism};

use barnabas_base::{Observation, ShardId};
use barnabas_runtime::{Env, Local, SharedObserver};

use crate::clock::TokioClock;
use crate::dirty::DirtyGauge;
use crate::mailbox::Inboxes;
use crate::pool::Pool;
use crate::shard::{Device, EventLoop, Node};

/// Threads that may wait for the device at once. A device serves about this many flushes side by side: 2,000 dirty files
/// took 756 ms one by one, 43 ms by 32 threads.
const DEVICE_THREADS: usize = 32;

/// Threads that look up names of hosts at once. A broker asks for few, one after the other.
const NAME_THREADS: usize = 2;

/// Makes the observer of one shard, on its thread.
pub type MakeObserver = Arc<dyn Fn(ShardId) -> SharedObserver + Send + Sync>;

/// How a node is laid out on this machine.
#[derive(Clone)]
pub struct NodeConfig {
    /// Names the threads: `name-shard-0`, `name-io-0`, `name-read-0`, `name-names-0`, `name-work-0`.
    pub name: String,
    /// Event loops.
    pub shards: u16,
    /// Most threads that wait for the device at once; as many again wait for what they read of it.
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

    pub(crate) fn node(&self) -> io::Result<Node> {
        assert!(self.shards > 0, "a node has at least one shard");
        let cores = available_parallelism().map_or(1, NonZero::get);
        let pool = |kind: &str, threads_max| Pool::new(format!("{}-{kind}", self.name), threads_max);
        Ok(Node {
            clock: TokioClock::start(),
            inboxes: Inboxes::new(self.shards),
            device: Device { reads: pool("read", self.pool_threads)?, writes: pool("io", self.pool_threads)? },
            names: pool("names", NAME_THREADS)?,
            work: pool("work", cores)?,
            dirty: DirtyGauge::default(),
        })
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
/// stop is the node's business. No shard begins before all of them can. A panic anywhere aborts the process.
///
/// # Errors
/// When the system refuses a thread or an event queue.
pub fn run(config: &NodeConfig, main: impl Fn(Env) -> Local<'static, ()> + Send + Sync + 'static) -> io::Result<()> {
    let node = config.node()?;
    let main = Arc::new(main);
    let (made, all_made) = mpsc::channel();
    let mut outcome = Ok(());
    let mut threads = Vec::with_capacity(usize::from(config.shards));
    for index in 0..config.shards {
        let (begin, begun) = mpsc::channel::<()>();
        let (node, main, observer, made) =
            (node.clone(), Arc::clone(&main), Arc::clone(&config.observer), made.clone());
        let body = move || {
            let _guard = AbortOnPanic;
            let event_loop = made_known(EventLoop::new(), &made)?;
            // Whoever waits for the last word of all shards waits for this one's.
            drop(made);
            begun.recv().ok()?;
            event_loop.run(&node, ShardId(index), observer(ShardId(index)), |env| main(env));
            Some(())
        };
        match Builder::new().name(format!("{}-shard-{index}", config.name)).spawn(body) {
            Ok(thread) => threads.push((thread, begin)),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    drop(made);
    outcome = all_made.into_iter().fold(outcome, io::Result::and);
    for (_, begin) in threads.iter().filter(|_| outcome.is_ok()) {
        begin.send(()).expect("a shard with an event loop waits for its beginning");
    }
    for (thread, begin) in threads {
        drop(begin);
        thread.join().expect("a shard that panics aborts the process");
    }
    node.close();
    outcome
}

/// Tells `made` whether there is an event loop.
fn made_known(event_loop: io::Result<EventLoop>, made: &mpsc::Sender<io::Result<()>>) -> Option<EventLoop> {
    let (event_loop, said) = match event_loop {
        Ok(event_loop) => (Some(event_loop), Ok(())),
        Err(error) => (None, Err(error)),
    };
    made.send(said).expect("the node waits for the last of its shards");
    event_loop
}

/// Runs `main` on the calling thread as the only shard of a node, for command-line tools and tests. A panic of any of
/// its tasks panics here.
///
/// # Errors
/// When the system refuses an event queue.
pub fn block_on_single<T: 'static>(config: &NodeConfig, main: impl AsyncFnOnce(Env) -> T + 'static) -> io::Result<T> {
    let node = NodeConfig { shards: 1, ..config.clone() }.node()?;
    let event_loop = EventLoop::new()?;
    let value = Rc::new(RefCell::new(None));
    let returned = Rc::clone(&value);
    event_loop.run(&node, ShardId(0), (config.observer)(ShardId(0)), move |env| {
        Box::pin(async move { *returned.borrow_mut() = Some(main(env).await) })
    });
    node.close();
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
