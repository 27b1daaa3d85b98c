//! The world: seed, time, events, nodes, and the loop that makes things happen. What nodes, network and disks do is in
//! their own files; a scenario drives all of it from outside.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barnabas_base::{Keyed, Monotonic, Observation, ShardId, TimestampMs, keyed_hash};

use crate::config::{Config, Span, nanos};
use crate::endpoint::EndpointId;
use crate::fault::DiskCallKind;
use crate::key::{NodeId, ProcessKey, TaskKey};
use crate::net::NetState;
use crate::node::{Node, NodeState};
use crate::queue::{Event, EventKey, Queue};
use crate::trace::{Trace, TraceEvent};
use crate::volume::Inode;

/// Stack of the thread that a run lives on: futures of a whole cluster are polled on it.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Tasks that the report of a livelock names.
const BUSIEST: usize = 3;

/// Runs `scenario` in a fresh world and returns what it returns. Same seed, configuration and scenario, same run. Panics
/// when a node panicked and the scenario did not ask for it by [`World::take_panics`].
///
/// The run has a thread of its own: a random state that an earlier run left on a thread would leak into this one.
pub fn simulate<T: Send + 'static>(
    seed: u64,
    config: Config,
    scenario: impl FnOnce(&World) -> T + Send + 'static,
) -> T {
    let body = move || {
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async move {
            let world = World::new(seed, config);
            let value = scenario(&world);
            world.end();
            value
        })
    };
    let thread = std::thread::Builder::new().name(format!("sim-{seed:#x}")).stack_size(STACK_BYTES).spawn(body);
    match thread.expect("the system has a thread to spare").join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// An observation with where and when it was made.
#[derive(Debug)]
pub struct Observed<'a> {
    /// World time.
    pub at: Monotonic,
    /// The node.
    pub node: NodeId,
    /// The shard of the node.
    pub shard: ShardId,
    /// The fact.
    pub observation: &'a Observation,
}

/// A node that panicked; it went down as in a crash of its process.
pub struct Panicked {
    /// The node.
    pub node: NodeId,
    /// World time.
    pub at: Monotonic,
    /// Name of the task.
    pub task: &'static str,
    /// The payload of the panic.
    pub payload: Box<dyn Any + Send>,
}

impl Panicked {
    /// The message of the panic.
    #[must_use]
    pub fn message(&self) -> &str {
        let text = self.payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| self.payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {} in {}: {}", self.node, self.at, self.task, self.message())
    }
}

/// How often the tasks of one name were polled on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Name of the node.
    pub node: String,
    /// Name of the tasks.
    pub task: &'static str,
    /// Polls so far.
    pub polls: u64,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({} polls)", self.task, self.node, self.polls)
    }
}

/// What left a scope that could not reach the world: values that travel between shards are `Send`, the world is not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    Open(ProcessKey, Inode),
    Endpoint(EndpointId),
}

/// Filled by drops and wakers, emptied after each event.
pub(crate) type Outbox<T> = Arc<Mutex<Vec<T>>>;

type ObservationHook = Box<dyn FnMut(&Observed<'_>)>;
type DiskDoneHook = Box<dyn FnMut(NodeId, DiskCallKind, &Path)>;

/// A simulated world. Clones are the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) shared: Rc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    now_ns: Cell<u64>,
    queue: RefCell<Queue>,
    pub(crate) nodes: RefCell<Vec<NodeState>>,
    pub(crate) net: RefCell<NetState>,
    pub(crate) woken: Outbox<TaskKey>,
    pub(crate) dropped: Outbox<Dropped>,
    trace: RefCell<Trace>,
    hook: RefCell<Option<ObservationHook>>,
    disk_done: RefCell<Option<DiskDoneHook>>,
    panics: RefCell<Vec<Panicked>>,
    has_panicked: Cell<bool>,
    /// Polls by the node and the name of the task.
    pub(crate) polls: RefCell<BTreeMap<(NodeId, &'static str), u64>>,
    pub(crate) polls_total: Cell<u64>,
    /// Events that have happened.
    happened: Cell<u64>,
}

impl World {
    fn new(seed: u64, config: Config) -> Self {
        let trace = RefCell::new(Trace::new(seed, config.keep_events));
        let shared = Shared {
            seed,
            config,
            now_ns: Cell::new(0),
            queue: RefCell::default(),
            nodes: RefCell::default(),
            net: RefCell::default(),
            woken: Outbox::default(),
            dropped: Outbox::default(),
            trace,
            hook: RefCell::new(None),
            disk_done: RefCell::new(None),
            panics: RefCell::default(),
            has_panicked: Cell::new(false),
            polls: RefCell::default(),
            polls_total: Cell::new(0),
            happened: Cell::new(0),
        };
        Self { shared: Rc::new(shared) }
    }

    /// The node called `name`; it is made, with an empty disk and an address, when it does not exist.
    #[must_use]
    pub fn node(&self, name: &str) -> Node {
        let mut nodes = self.shared.nodes.borrow_mut();
        let index = nodes.iter().position(|node| node.name == name).unwrap_or_else(|| {
            nodes.push(NodeState::new(name, self.shared.config.disk_bytes, self.wall()));
            nodes.len() - 1
        });
        Node::new(self.clone(), NodeId(u16::try_from(index).expect("a world has few nodes")))
    }

    /// World time since its start.
    #[must_use]
    pub fn now(&self) -> Monotonic {
        Monotonic(self.now_ns())
    }

    /// Lets `duration` pass.
    pub fn run_for(&self, duration: Duration) {
        self.run_until(duration, || false);
    }

    /// Lets events happen until `done` or until `limit` has passed; whether it is done.
    pub fn run_until(&self, limit: Duration, done: impl Fn() -> bool) -> bool {
        let end_ns = self.now().after(limit).0;
        loop {
            self.settle();
            if done() {
                return true;
            }
            let next = self.shared.queue.borrow().next_at_ns();
            if next.is_none_or(|at_ns| at_ns > end_ns) {
                self.advance_to(end_ns);
                return false;
            }
            self.step();
        }
    }

    /// Hash over everything that has happened: polls, delivered bytes, disk operations, timers, draws.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.shared.trace.borrow().hash()
    }

    /// How many things the hash is over.
    #[must_use]
    pub fn trace_count(&self) -> u64 {
        self.shared.trace.borrow().count()
    }

    /// Everything that has happened, when the configuration keeps it.
    #[must_use]
    pub fn events(&self) -> Vec<TraceEvent> {
        self.shared.trace.borrow().kept()
    }

    /// Polls of tasks so far.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.shared.polls_total.get()
    }

    /// The tasks that were polled most, by name, over all shards and lives of their node; the busiest first.
    #[must_use]
    pub fn busiest(&self, tasks: usize) -> Vec<Busy> {
        let nodes = self.shared.nodes.borrow();
        let of = |(&(node, task), &polls): (&(NodeId, &'static str), &u64)| Busy {
            node: nodes[usize::from(node.0)].name.clone(),
            task,
            polls,
        };
        let mut busy: Vec<Busy> = self.shared.polls.borrow().iter().map(of).collect();
        busy.sort_by_key(|busy| std::cmp::Reverse(busy.polls));
        busy.truncate(tasks);
        busy
    }

    /// Calls `hook` with every observation of every node from here on. It must not touch the world.
    pub fn on_observation(&self, hook: impl FnMut(&Observed<'_>) + 'static) {
        *self.shared.hook.borrow_mut() = Some(Box::new(hook));
    }

    /// Calls `hook` with every disk call of every node that has taken effect, before anything follows from it. It must not
    /// touch the world.
    pub fn on_disk_call_ended(&self, hook: impl FnMut(NodeId, DiskCallKind, &Path) + 'static) {
        *self.shared.disk_done.borrow_mut() = Some(Box::new(hook));
    }

    pub(crate) fn is_told_of_disks(&self) -> bool {
        self.shared.disk_done.borrow().is_some()
    }

    pub(crate) fn disk_call_ended(&self, node: NodeId, kind: DiskCallKind, path: &Path) {
        if let Some(hook) = &mut *self.shared.disk_done.borrow_mut() {
            hook(node, kind, path);
        }
    }

    /// The panics of nodes since the last call: the scenario has seen them.
    #[must_use]
    pub fn take_panics(&self) -> Vec<Panicked> {
        std::mem::take(&mut self.shared.panics.borrow_mut())
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.shared.now_ns.get()
    }

    pub(crate) fn wall(&self) -> TimestampMs {
        let passed_ms = i64::try_from(self.now_ns() / 1_000_000).expect("a run is shorter than the universe");
        TimestampMs(self.shared.config.wall_start_ms).saturating_add_ms(passed_ms)
    }

    /// A draw for `purpose` that concerns `entity`; `ordinal` tells draws of the same purpose, entity and instant apart.
    pub(crate) fn draw(&self, purpose: &'static str, entity: u64, ordinal: u64) -> Keyed {
        let draw = Keyed::new(self.shared.seed, purpose).with(entity).with(self.now_ns()).with(ordinal);
        self.record(purpose, entity, draw.bits());
        draw
    }

    /// A drawn duration in nanoseconds.
    pub(crate) fn draw_ns(&self, purpose: &'static str, span: Span, entity: u64, ordinal: u64) -> u64 {
        span.min_ns + self.draw(purpose, entity, ordinal).below(span.max_ns - span.min_ns + 1)
    }

    /// Whether something happens that happens once in `one_in` times; never for 0.
    pub(crate) fn draw_one_in(&self, purpose: &'static str, one_in: u64, entity: u64, ordinal: u64) -> bool {
        one_in > 0 && self.draw(purpose, entity, ordinal).chance(1, one_in)
    }

    pub(crate) fn record(&self, label: &'static str, entity: u64, detail: u64) {
        let event = TraceEvent { at_ns: self.now_ns(), label, entity, detail };
        self.shared.trace.borrow_mut().record(event);
    }

    pub(crate) fn record_bytes(&self, label: &'static str, entity: u64, bytes: &[u8]) {
        self.record(label, entity, keyed_hash(bytes.len() as u64, bytes));
    }

    /// Lets `run` happen in `delay_ns`. Events of one instant happen in a keyed order.
    pub(crate) fn schedule(
        &self,
        delay_ns: u64,
        label: &'static str,
        entity: u64,
        run: impl FnOnce(&Self) + 'static,
    ) -> EventKey {
        let at_ns = self.now_ns().saturating_add(delay_ns);
        let rank = Keyed::new(self.shared.seed, label).with(entity).with(at_ns).bits();
        self.shared.queue.borrow_mut().push(at_ns, rank, Event { label, entity, run: Box::new(run) })
    }

    pub(crate) fn cancel(&self, key: EventKey) {
        let cancelled = self.shared.queue.borrow_mut().cancel(key);
        drop(cancelled);
    }

    pub(crate) fn observe(&self, node: NodeId, shard: ShardId, observation: &Observation) {
        let hook = self.shared.hook.borrow_mut().take();
        let Some(mut hook) = hook else { return };
        hook(&Observed { at: self.now(), node, shard, observation });
        self.shared.hook.borrow_mut().get_or_insert(hook);
    }

    pub(crate) fn panicked(&self, panicked: Panicked) {
        self.record("panic", u64::from(panicked.node.0), 0);
        self.shared.has_panicked.set(true);
        self.shared.panics.borrow_mut().push(panicked);
    }

    fn step(&self) {
        let Some((key, event)) = self.shared.queue.borrow_mut().pop() else { return };
        self.advance_to(key.at_ns);
        self.record(event.label, event.entity, 0);
        self.count_event();
        (event.run)(self);
    }

    fn count_event(&self) {
        let happened = self.shared.happened.get() + 1;
        self.shared.happened.set(happened);
        if happened > self.shared.config.events_max {
            self.livelock(happened, "events");
        }
    }

    /// Ends a run that does not come to rest, with the tasks that keep it going.
    pub(crate) fn livelock(&self, count: u64, of: &str) -> ! {
        let busiest: Vec<String> = self.busiest(BUSIEST).iter().map(ToString::to_string).collect();
        panic!("livelock: {count} {of} by {}; most in {}", self.now(), busiest.join(", "));
    }

    /// Carries out what the last event left behind: wake-ups, and drops of what travels.
    fn settle(&self) {
        loop {
            let dropped = take(&self.shared.dropped);
            let woken = take(&self.shared.woken);
            if dropped.is_empty() && woken.is_empty() {
                return;
            }
            for dropped in dropped {
                match dropped {
                    Dropped::Open(process, inode) => self.close_open(process, inode),
                    Dropped::Endpoint(endpoint) => self.close_endpoint(endpoint),
                }
            }
            for task in woken {
                self.make_ready(task);
            }
        }
    }

    fn advance_to(&self, at_ns: u64) {
        let passed = at_ns.checked_sub(self.now_ns()).expect("time does not run backwards");
        if passed > 0 {
            self.shared.now_ns.set(at_ns);
            madsim::time::advance(nanos(passed));
        }
    }

    /// Takes everything down, so that nothing is left that holds the world.
    fn end(&self) {
        let nodes = self.shared.nodes.borrow().len();
        for index in 0..nodes {
            self.kill(NodeId(u16::try_from(index).expect("a world has few nodes")));
        }
        self.settle();
        let events = self.shared.queue.borrow_mut().take_all();
        drop(events);
        for node in self.shared.nodes.borrow_mut().iter_mut() {
            node.main = None;
            node.hook = None;
        }
        drop(self.shared.hook.borrow_mut().take());
        drop(self.shared.disk_done.borrow_mut().take());
        if let Some(first) = self.take_panics().into_iter().next() {
            std::panic::resume_unwind(first.payload);
        }
        let handles = Rc::strong_count(&self.shared) - 1;
        let may_leave = !self.shared.config.leaves_nothing || self.shared.has_panicked.get();
        assert!(may_leave || handles == 0, "{handles} handles outlive their world: a cycle holds them");
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.shared.seed).field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Simulated time since the beginning of the world that this thread runs, for whoever writes beside it what happens;
/// nothing in a world may ask.
#[must_use]
pub fn elapsed() -> Option<Duration> {
    madsim::time::TimeHandle::try_current().map(|handle| handle.elapsed())
}

fn take<T>(outbox: &Outbox<T>) -> Vec<T> {
    std::mem::take(&mut *outbox.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Leaves `item` for the world to find after the current event.
pub(crate) fn leave<T>(outbox: &Outbox<T>, item: T) {
    outbox.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
