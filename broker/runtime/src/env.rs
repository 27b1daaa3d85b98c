//! [`Env`]: the handle to the world that everything of one shard carries, with the clock and the entropy it hands out.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Observation, TimestampMs, Uuid};

use crate::sync::oneshot;
use crate::{Disk, Local, Net, Shards, TaskHandle, Tasks};

/// Time as one node sees it.
pub trait Clock {
    /// Monotonic now. Does not move within one poll of the simulator; never steps back.
    fn now(&self) -> Monotonic;
    /// Wall-clock now. May jump.
    fn wall(&self) -> TimestampMs;
    /// Resolves at or after `deadline`; dropping it cancels the timer.
    fn sleep_until(&self, deadline: Monotonic) -> Local<'static, ()>;
}

/// Random bits for ids. Nothing about control flow may depend on them except through what they name.
pub trait Entropy {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Receives what the node observed.
pub trait Observer {
    /// Takes one fact. Must not fail and must not call back into the node.
    fn observe(&self, observation: &Observation);
}

/// An observer shared by the tasks of one shard.
pub type SharedObserver = Rc<dyn Observer>;

/// Everything one shard may ask of the world.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Tasks on this shard and jobs off it.
    pub tasks: Rc<dyn Tasks>,
    /// Sockets.
    pub net: Rc<dyn Net>,
    /// Files.
    pub disk: Rc<dyn Disk>,
    /// Random bits.
    pub entropy: Rc<dyn Entropy>,
    /// The other shards of this node.
    pub shards: Rc<dyn Shards>,
    /// Where observations go.
    pub observer: SharedObserver,
}

impl Env {
    /// Monotonic now.
    #[must_use]
    pub fn now(&self) -> Monotonic {
        self.clock.now()
    }

    /// Wall-clock now.
    #[must_use]
    pub fn wall(&self) -> TimestampMs {
        self.clock.wall()
    }

    /// Resolves after `duration`.
    pub fn sleep(&self, duration: Duration) -> Local<'static, ()> {
        self.clock.sleep_until(self.now().after(duration))
    }

    /// Resolves at or after `deadline`.
    pub fn sleep_until(&self, deadline: Monotonic) -> Local<'static, ()> {
        self.clock.sleep_until(deadline)
    }

    /// Runs `future` as a task of this shard. The task ends when the handle is dropped; [`TaskHandle::detach`] lets it
    /// run on. `name` is what a livelock report calls it.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> TaskHandle {
        self.tasks.spawn(name, Box::pin(future))
    }

    /// Runs CPU work away from the shard's thread. The simulator runs it inline and charges a virtual delay.
    pub async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = std::sync::Arc::new(std::sync::Mutex::new(None));
        let filled = std::sync::Arc::clone(&slot);
        let job = Box::new(move || {
            let value = work();
            *filled.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
        });
        self.tasks.offload(job).await;
        let value = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        value.expect("an offloaded job ran to its end before it was reported done")
    }

    /// Reports one fact.
    pub fn observe(&self, observation: &Observation) {
        self.observer.observe(observation);
    }

    /// A fresh random id that Kafka's tools accept.
    #[must_use]
    pub fn random_uuid(&self) -> Uuid {
        loop {
            if let Some(id) = Uuid::from_random(self.entropy.next_u64(), self.entropy.next_u64()) {
                return id;
            }
        }
    }

    /// Runs `future` but gives up at `deadline`; `None` means the time ran out and the future was dropped.
    pub async fn timeout_at<T>(&self, deadline: Monotonic, future: impl Future<Output = T>) -> Option<T> {
        match crate::race(future, self.sleep_until(deadline)).await {
            crate::Either::First(value) => Some(value),
            crate::Either::Second(()) => None,
        }
    }

    /// Spawns `future` and returns a receiver of its value; the task is detached, so that what it does happens even if
    /// nobody waits for the answer.
    pub fn spawn_detached<T: 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.spawn(name, async move {
            let value = future.await;
            sender.send(value);
        })
        .detach();
        receiver
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// Forwards to whatever closure is set; the default drops everything.
impl<F: Fn(&Observation)> Observer for RefCell<F> {
    fn observe(&self, observation: &Observation) {
        (self.borrow())(observation);
    }
}
