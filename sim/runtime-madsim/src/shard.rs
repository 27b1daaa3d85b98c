//! One simulated thread: its tasks, the order in which they run, and the time each poll takes. One poll is one event.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use barnabas_base::ShardId;
use barnabas_runtime::{Local, ShardMessage, TaskState};

use crate::key::{NodeId, ShardKey, TaskKey};
use crate::node::Process;
use crate::world::{Outbox, Panicked, World, leave};

/// Longest that a poll takes on a slow node.
const POLL_NS_MAX: u64 = 50_000_000;

/// Ordinal of the task that a shard lives for.
pub(crate) const MAIN: u64 = 0;

/// The state of one event loop.
#[derive(Default)]
pub(crate) struct Shard {
    tasks: BTreeMap<u64, Task>,
    ready: VecDeque<u64>,
    next_task: u64,
    /// The thread does something else until then.
    busy_until_ns: u64,
    run_scheduled: bool,
    /// Time the current poll takes on top of its CPU time: calls that block the thread.
    blocked_ns: u64,
    /// Tells the draws of one shard apart.
    ordinal: u64,
    pub(crate) ended: bool,
    pub(crate) inbox: VecDeque<ShardMessage>,
    pub(crate) receiver: Option<Waker>,
    /// When the last message of each sender arrives: the next of the same sender is no earlier.
    pub(crate) last_arrival_ns: Vec<u64>,
}

struct Task {
    name: &'static str,
    /// `None` while it is polled.
    future: Option<Local<'static, ()>>,
    state: Option<Rc<TaskState>>,
    queued: bool,
    aborted: bool,
    waker: Waker,
}

impl Shard {
    /// A number that no earlier draw of this shard had.
    pub(crate) const fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }
}

struct TaskWaker {
    task: TaskKey,
    woken: Outbox<TaskKey>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        leave(&self.woken, self.task);
    }
}

impl World {
    /// Adds a task, which runs after those that are ready.
    pub(crate) fn add_task(
        &self,
        key: ShardKey,
        name: &'static str,
        future: Local<'static, ()>,
        state: impl FnOnce(TaskKey) -> Option<Rc<TaskState>>,
    ) -> TaskKey {
        let task = self.with_shard(key, |shard| {
            let ordinal = shard.next_task;
            shard.next_task += 1;
            TaskKey { shard: key, ordinal }
        });
        let task = task.expect("tasks are added to live shards");
        let waker = Waker::from(Arc::new(TaskWaker { task, woken: Arc::clone(&self.shared.woken) }));
        let state = state(task);
        let slot = Task { name, future: Some(future), state, queued: false, aborted: false, waker };
        self.with_shard(key, |shard| shard.tasks.insert(task.ordinal, slot));
        leave(&self.shared.woken, task);
        task
    }

    /// Has a task dropped at its next turn.
    pub(crate) fn abort_task(&self, task: TaskKey) {
        self.with_shard(task.shard, |shard| {
            if let Some(slot) = shard.tasks.get_mut(&task.ordinal) {
                slot.aborted = true;
            }
        });
        leave(&self.shared.woken, task);
    }

    /// Puts a task into its shard's queue, once.
    pub(crate) fn make_ready(&self, task: TaskKey) {
        let queued = self.with_shard(task.shard, |shard| {
            let slot = shard.tasks.get_mut(&task.ordinal)?;
            if slot.queued {
                return None;
            }
            slot.queued = true;
            shard.ready.push_back(task.ordinal);
            Some(())
        });
        if queued.flatten().is_some() {
            self.schedule_run(task.shard);
        }
    }

    /// The poll that is going on takes `nanos` longer: what it called blocks the thread.
    pub(crate) fn block_shard(&self, key: ShardKey, nanos: u64) {
        self.with_shard(key, |shard| shard.blocked_ns += nanos);
    }

    fn schedule_run(&self, key: ShardKey) {
        let now_ns = self.now_ns();
        if self.with_node(key.node(), |node| node.paused) {
            return;
        }
        let delay_ns = self.with_shard(key, |shard| {
            if shard.run_scheduled || shard.ready.is_empty() {
                return None;
            }
            shard.run_scheduled = true;
            Some(shard.busy_until_ns.saturating_sub(now_ns))
        });
        if let Some(delay_ns) = delay_ns.flatten() {
            self.schedule(delay_ns, "run", key.entity(), move |world| world.run_shard(key));
        }
    }

    /// The shards of a node go on where they stood.
    pub(crate) fn wake_shards(&self, node: NodeId) {
        for key in self.shards_of(node) {
            self.schedule_run(key);
        }
    }

    /// A shard of `node`, counted round, does nothing for `nanos`.
    pub(crate) fn freeze_shard(&self, node: NodeId, shard: u16, nanos: u64) {
        let shards = self.shards_of(node);
        if shards.is_empty() {
            return;
        }
        let until_ns = self.now_ns().saturating_add(nanos);
        let frozen = shards[usize::from(shard) % shards.len()];
        self.with_shard(frozen, |shard| shard.busy_until_ns = shard.busy_until_ns.max(until_ns));
    }

    fn shards_of(&self, node: NodeId) -> Vec<ShardKey> {
        let of = |process: &Process| {
            let count = u16::try_from(process.shards.len()).expect("made from a u16");
            (0..count).map(|index| ShardKey { process: process.key, shard: ShardId(index) }).collect()
        };
        self.with_node(node, |node| node.process.as_ref().map(of)).unwrap_or_default()
    }

    /// One turn of a shard: its next task is polled or, when it was aborted, dropped.
    fn run_shard(&self, key: ShardKey) {
        let now_ns = self.now_ns();
        let paused = self.with_node(key.node(), |node| node.paused);
        let turn = self.with_shard(key, |shard| {
            shard.run_scheduled = false;
            // It was stopped or frozen since the turn was scheduled.
            if paused || shard.busy_until_ns > now_ns {
                return None;
            }
            let ordinal = shard.ready.pop_front()?;
            let slot = shard.tasks.get_mut(&ordinal).expect("a queued task exists");
            slot.queued = false;
            let future = slot.future.take().expect("a queued task is not being polled");
            Some((ordinal, slot.name, slot.aborted, slot.waker.clone(), future))
        });
        // Otherwise the process has gone, or its turn comes later.
        let Some((ordinal, name, aborted, waker, mut future)) = turn.flatten() else { return self.schedule_run(key) };
        self.count_poll(key, ordinal, name);
        let polled = if aborted {
            Ok(Poll::Ready(()))
        } else {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))))
        };
        self.charge_poll(key);
        match polled {
            Ok(Poll::Pending) => {
                self.with_shard(key, |shard| {
                    let slot = shard.tasks.get_mut(&ordinal).expect("only its own turn removes a task");
                    slot.future = Some(future);
                });
            }
            Ok(Poll::Ready(())) => self.end_task(key, ordinal, future),
            Err(payload) => {
                self.panicked(Panicked { node: key.node(), at: self.now(), task: name, payload });
                self.kill(key.node());
                // Last: what it holds belongs to a dead process.
                drop(future);
            }
        }
        self.schedule_run(key);
    }

    fn count_poll(&self, key: ShardKey, ordinal: u64, name: &'static str) {
        self.record("poll", key.entity(), ordinal);
        *self.shared.polls.borrow_mut().entry((key.node(), name)).or_default() += 1;
        let polls = self.shared.polls_total.get() + 1;
        self.shared.polls_total.set(polls);
        if polls > self.shared.config.polls_max {
            self.livelock(polls, "polls");
        }
    }

    fn charge_poll(&self, key: ShardKey) {
        let Some(ordinal) = self.with_shard(key, Shard::next_ordinal) else { return };
        let cpu_ns = self.draw_ns("cpu", self.shared.config.poll, key.entity(), ordinal);
        let cpu_ns = cpu_ns.saturating_mul(self.with_node(key.node(), |node| node.slowdown)).min(POLL_NS_MAX);
        let now_ns = self.now_ns();
        self.with_shard(key, |shard| {
            let busy_until_ns = now_ns + cpu_ns + std::mem::take(&mut shard.blocked_ns);
            shard.busy_until_ns = shard.busy_until_ns.max(busy_until_ns);
        });
    }

    fn end_task(&self, key: ShardKey, ordinal: u64, future: Local<'static, ()>) {
        drop(future);
        let slot = self.with_shard(key, |shard| {
            shard.ready.retain(|ready| *ready != ordinal);
            shard.tasks.remove(&ordinal)
        });
        if let Some(state) = slot.flatten().and_then(|slot| slot.state) {
            state.finish();
        }
        if ordinal == MAIN {
            self.end_shard(key);
        }
    }

    /// The main future has ended: the shard's other tasks are dropped, and with the last shard the process ends.
    fn end_shard(&self, key: ShardKey) {
        let left = self.with_shard(key, |shard| {
            shard.ended = true;
            shard.ready.clear();
            (std::mem::take(&mut shard.tasks), std::mem::take(&mut shard.inbox))
        });
        drop(left);
        let all_ended = self.with_process(key.process, |process| process.shards.iter().all(|shard| shard.ended));
        if all_ended == Some(true) {
            self.exit(key.process);
        }
    }
}
