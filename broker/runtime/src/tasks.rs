//! Tasks of one shard and jobs that leave it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

use crate::Local;

/// CPU work that runs away from the shard.
pub type OffloadJob = Box<dyn FnOnce() + Send>;

/// Spawns tasks on this shard.
pub trait Tasks {
    /// Runs `future` on this shard until it ends or its handle is dropped.
    fn spawn(&self, name: &'static str, future: Local<'static, ()>) -> TaskHandle;
    /// Runs `job` elsewhere; resolves when it has returned. Dropping the future does not stop the job.
    fn offload(&self, job: OffloadJob) -> Local<'static, ()>;
    /// Lets every other runnable task of this shard run once.
    fn yield_now(&self) -> Local<'static, ()>;
}

/// Shared state of a task and its handle; runtimes keep one side, [`TaskHandle`] the other.
#[derive(Default)]
pub struct TaskState {
    finished: Cell<bool>,
    aborted: Cell<bool>,
    abort: RefCell<Option<Box<dyn FnOnce()>>>,
    waiter: RefCell<Option<Waker>>,
}

impl TaskState {
    /// A running task which `abort` stops.
    #[must_use]
    pub fn new(abort: Box<dyn FnOnce()>) -> Rc<Self> {
        let state = Self::default();
        *state.abort.borrow_mut() = Some(abort);
        Rc::new(state)
    }

    /// Called by the runtime when the task ended or was stopped.
    pub fn finish(&self) {
        self.finished.set(true);
        drop(self.abort.borrow_mut().take());
        if let Some(waker) = self.waiter.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Owns a task: dropping the handle stops the task at its next suspension point.
#[must_use = "dropping a task handle stops the task"]
pub struct TaskHandle {
    state: Rc<TaskState>,
    detached: bool,
}

impl TaskHandle {
    /// A handle on `state`.
    pub const fn new(state: Rc<TaskState>) -> Self {
        Self { state, detached: false }
    }

    /// Lets the task run to its end on its own.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Stops the task.
    pub fn abort(&self) {
        if self.state.aborted.replace(true) {
            return;
        }
        let abort = self.state.abort.borrow_mut().take();
        if let Some(abort) = abort {
            abort();
        }
    }

    /// Whether the task ended or was stopped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.finished.get() || self.state.aborted.get()
    }

    /// Waits for the task to end.
    pub async fn join(&mut self) {
        std::future::poll_fn(|context| {
            if self.is_finished() {
                return std::task::Poll::Ready(());
            }
            *self.state.waiter.borrow_mut() = Some(context.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if !self.detached {
            self.abort();
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("finished", &self.is_finished()).finish()
    }
}
