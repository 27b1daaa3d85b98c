//! Tasks of one shard on tokio's single-threaded scheduler, and jobs that leave it for the pool.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use barnabas_runtime::{Local, OffloadJob, TaskHandle, TaskState, Tasks};

use crate::pool::Pool;

/// Where a task that panics leaves its payload for the shard's main future, which then panics itself: a shard lives
/// whole or not at all.
#[derive(Default)]
pub(crate) struct PanicSlot {
    payload: RefCell<Option<Box<dyn Any + Send>>>,
    main: RefCell<Option<Waker>>,
}

impl PanicSlot {
    fn fill(&self, payload: Box<dyn Any + Send>) {
        self.payload.borrow_mut().get_or_insert(payload);
        if let Some(main) = self.main.borrow_mut().take() {
            main.wake();
        }
    }

    /// Drives `main` until it ends, and panics when a task did.
    pub(crate) async fn watch(&self, mut main: Local<'static, ()>) {
        std::future::poll_fn(|context| {
            if let Some(payload) = self.payload.borrow_mut().take() {
                resume_unwind(payload);
            }
            *self.main.borrow_mut() = Some(context.waker().clone());
            main.as_mut().poll(context)
        })
        .await;
    }
}

/// Spawns on the runtime of the current thread.
pub(crate) struct TokioTasks {
    pool: Pool,
    panics: Rc<PanicSlot>,
}

impl TokioTasks {
    /// Tasks whose panics go to `panics` and whose jobs go to `pool`.
    pub(crate) const fn new(pool: Pool, panics: Rc<PanicSlot>) -> Self {
        Self { pool, panics }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, _name: &'static str, future: Local<'static, ()>) -> TaskHandle {
        // The abort handle exists only once tokio has the future, and the future needs the state.
        let abort = Rc::new(RefCell::new(None::<tokio::task::AbortHandle>));
        let aborted = Rc::clone(&abort);
        let state = TaskState::new(Box::new(move || {
            if let Some(handle) = aborted.borrow_mut().take() {
                handle.abort();
            }
        }));
        let task = Task { future, state: Rc::clone(&state), panics: Rc::clone(&self.panics) };
        let join = tokio::task::spawn_local(task);
        *abort.borrow_mut() = Some(join.abort_handle());
        TaskHandle::new(state)
    }

    fn offload(&self, job: OffloadJob) -> Local<'static, ()> {
        let pool = self.pool.clone();
        Box::pin(async move { pool.run(job).await })
    }

    fn yield_now(&self) -> Local<'static, ()> {
        Box::pin(yield_now())
    }
}

/// A task with its side of the handle: it reports its end however it ends.
struct Task {
    future: Local<'static, ()>,
    state: Rc<TaskState>,
    panics: Rc<PanicSlot>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(payload) => {
                self.panics.fill(payload);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.state.finish();
    }
}

/// Puts the task at the end of the run queue. Tokio's own yield asks the kernel for events each time; here the
/// scheduler's event interval decides that.
pub(crate) async fn yield_now() {
    let yielded = Cell::new(false);
    std::future::poll_fn(|context| {
        if yielded.replace(true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
