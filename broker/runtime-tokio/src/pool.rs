//! Threads for what would block a shard: one from the beginning, more on demand up to a bound, those ended when idle. No
//! priorities, no cancellation: a job that was queued runs, also after the node's shards have ended.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

/// An idle thread ends after this long, so that a quiet broker holds few stacks.
const IDLE_S: u64 = 10;

/// Stack of a pool thread. Jobs are system calls and codecs; none recurses.
const STACK_BYTES: usize = 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A queue of jobs and the threads that empty it. Clones share both.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    threads_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads inside a wait, those included that were woken and have not run yet: their job is still in `jobs`.
    waiting: usize,
    running: usize,
    closed: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of at most `threads_max` threads called `name`-n. Starts the first, which stays until the pool is closed: a
    /// system that has no thread left when a job comes cannot leave the job to nobody.
    ///
    /// # Errors
    /// When the system refuses that thread.
    pub(crate) fn new(name: String, threads_max: usize) -> io::Result<Self> {
        assert!(threads_max > 0, "a pool has at least one thread");
        let state = Mutex::new(State::default());
        let pool = Self { shared: Arc::new(Shared { name, threads_max, state, wake: Condvar::new() }) };
        pool.start_thread(&mut pool.shared.lock())?;
        Ok(pool)
    }

    /// Most threads that work at once.
    pub(crate) fn threads_max(&self) -> usize {
        self.shared.threads_max
    }

    /// Runs `work` on a pool thread. The job is queued at the first poll; dropping the future later abandons its value.
    /// A panic of the job goes on in the task that waits.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        let queued = self.queue(Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            if let Err(abandoned) = sender.send(outcome) {
                abort_on_panic(abandoned);
            }
        }));
        assert!(queued.is_ok(), "shards end before their pool");
        match receiver.await.expect("a queued job runs and answers") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs `work` on a pool thread; nobody waits for it. What outlived the pool runs at once.
    pub(crate) fn run_detached(&self, work: impl FnOnce() + Send + 'static) {
        if let Err(job) = self.queue(Box::new(move || abort_on_panic(catch_unwind(AssertUnwindSafe(work))))) {
            job();
        }
    }

    /// Waits until every queued job has run and the threads have ended.
    pub(crate) fn close(&self) {
        let threads = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.wake.notify_all();
        for thread in threads {
            thread.join().expect("pool threads catch the panics of their jobs");
        }
        assert!(self.shared.lock().jobs.is_empty(), "a closed pool has run all its jobs");
    }

    /// Gives the job back when the pool is closed.
    fn queue(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.jobs.len() > state.waiting && state.running < self.shared.threads_max {
            // The system is out of threads: those that run will get to the job.
            let _ = self.start_thread(&mut state);
        }
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    fn start_thread(&self, state: &mut State) -> io::Result<()> {
        state.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        let name = format!("{}-{}", self.shared.name, state.running);
        let thread = Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || shared.work())?;
        state.running += 1;
        state.threads.push(thread);
        Ok(())
    }
}

impl State {
    /// Whether a thread that waited for long may end.
    fn can_spare_one(&self) -> bool {
        self.jobs.is_empty() && self.running > 1
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.waiting += 1;
            let (woken, timeout) =
                self.wake.wait_timeout(state, Duration::from_secs(IDLE_S)).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.waiting -= 1;
            if timeout.timed_out() && state.can_spare_one() {
                break;
            }
        }
        state.running -= 1;
    }
}

/// A panic that nobody will see is still a bug: the process ends, with the message the hook has printed.
fn abort_on_panic<T>(outcome: Result<T, Box<dyn Any + Send>>) {
    if outcome.is_err() {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn pool(threads_max: usize) -> Pool {
        Pool::new("test".to_owned(), threads_max).expect("the system has a thread")
    }

    #[test]
    fn a_pool_always_has_a_thread() {
        let pool = pool(2);
        assert_eq!(pool.shared.lock().running, 1, "before the first job");
        assert!(!pool.shared.lock().can_spare_one(), "the last one stays");
        pool.close();
    }

    #[test]
    fn jobs_run_side_by_side_up_to_the_bound() {
        let pool = pool(3);
        let barrier = Arc::new(Barrier::new(3));
        for _ in 0..3 {
            let barrier = Arc::clone(&barrier);
            pool.run_detached(move || {
                barrier.wait();
            });
        }
        pool.close();
    }

    #[test]
    fn closing_runs_what_was_queued() {
        let pool = pool(2);
        let done = Arc::new(Mutex::new(0));
        for _ in 0..100 {
            let done = Arc::clone(&done);
            pool.run_detached(move || *done.lock().expect("no job panics") += 1);
        }
        pool.close();
        assert_eq!(*done.lock().expect("no job panics"), 100);
    }
}
