//! A node's clocks and its timers: exact to the nanosecond, gone from the queue when dropped.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use barnabas_base::{Monotonic, TimestampMs};
use barnabas_runtime::{Clock, Local};

use crate::env::Place;
use crate::queue::EventKey;

/// The clocks of one process.
pub(crate) struct SimClock {
    place: Place,
    started_ns: u64,
}

impl SimClock {
    pub(crate) const fn new(place: Place, started_ns: u64) -> Self {
        Self { place, started_ns }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Monotonic {
        Monotonic(self.place.world.now_ns() - self.started_ns)
    }

    fn wall(&self) -> TimestampMs {
        self.place.world.wall()
    }

    fn sleep_until(&self, deadline: Monotonic) -> Local<'static, ()> {
        let deadline_ns = self.started_ns.saturating_add(deadline.0);
        Box::pin(Timer { place: self.place.clone(), deadline_ns, waiting: None })
    }
}

struct Timer {
    place: Place,
    deadline_ns: u64,
    waiting: Option<(EventKey, Waker)>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.place.world.clone();
        let left_ns = self.deadline_ns.saturating_sub(world.now_ns());
        if left_ns == 0 {
            return Poll::Ready(());
        }
        if self.waiting.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        if let Some((event, _)) = self.waiting.take() {
            world.cancel(event);
        }
        if self.deadline_ns < u64::MAX && self.place.is_alive() {
            let waker = context.waker().clone();
            let event = world.schedule(left_ns, "timer", self.place.key.entity(), move |_| waker.wake());
            self.waiting = Some((event, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((event, _)) = self.waiting.take() {
            self.place.world.cancel(event);
        }
    }
}
