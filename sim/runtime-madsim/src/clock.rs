//! A node's clocks and its timers: exact to the nanosecond, gone from the queue when dropped. A clock may run at another
//! rate than the world's and its wall clock may jump; the monotonic one never steps back.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use barnabas_base::{Monotonic, TimestampMs};
use barnabas_runtime::{Clock, Local};

use crate::env::Place;
use crate::key::NodeId;
use crate::queue::EventKey;
use crate::world::World;

/// A clock that runs at the world's rate.
const RATE_PERMILLE: u32 = 1_000;

/// How a node's clock relates to the world's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockState {
    /// The two readings when the rate was last set.
    anchor_ns: (u64, u64),
    rate_permille: u32,
    /// What was added to the wall clock, in milliseconds.
    wall_offset_ms: i64,
}

impl Default for ClockState {
    fn default() -> Self {
        Self { anchor_ns: (0, 0), rate_permille: RATE_PERMILLE, wall_offset_ms: 0 }
    }
}

impl ClockState {
    fn local_ns(&self, world_ns: u64) -> u64 {
        let (world_anchor_ns, local_anchor_ns) = self.anchor_ns;
        local_anchor_ns + scale(world_ns - world_anchor_ns, self.rate_permille, RATE_PERMILLE)
    }

    /// From here on it runs at this rate, in thousandths of the world's.
    pub(crate) fn set_rate(&mut self, world_ns: u64, rate_permille: u32) {
        assert!(rate_permille > 0, "a clock goes forward");
        self.anchor_ns = (world_ns, self.local_ns(world_ns));
        self.rate_permille = rate_permille;
    }

    /// Moves the wall clock.
    pub(crate) const fn jump(&mut self, by_ms: i64) {
        self.wall_offset_ms = self.wall_offset_ms.saturating_add(by_ms);
    }
}

fn scale(nanos: u64, numerator: u32, denominator: u32) -> u64 {
    let scaled = u128::from(nanos) * u128::from(numerator) / u128::from(denominator);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

impl World {
    /// What the monotonic clock of a node's machine shows.
    pub(crate) fn local_ns(&self, node: NodeId) -> u64 {
        let now_ns = self.now_ns();
        self.with_node(node, |state| state.clock.local_ns(now_ns))
    }

    /// What the wall clock of a node shows.
    pub(crate) fn wall_of(&self, node: NodeId) -> TimestampMs {
        let now_ns = self.now_ns();
        let (local_ns, offset_ms) =
            self.with_node(node, |state| (state.clock.local_ns(now_ns), state.clock.wall_offset_ms));
        let passed_ms = i64::try_from(local_ns / 1_000_000).expect("a run is shorter than the universe");
        TimestampMs(self.shared.config.wall_start_ms).saturating_add_ms(passed_ms).saturating_add_ms(offset_ms)
    }

    /// How long the world takes until a node's clock has moved by `local_ns`; never too short.
    fn world_delay_ns(&self, node: NodeId, local_ns: u64) -> u64 {
        let rate_permille = self.with_node(node, |state| state.clock.rate_permille);
        scale(local_ns, RATE_PERMILLE, rate_permille).saturating_add(u64::from(rate_permille != RATE_PERMILLE))
    }
}

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
        Monotonic(self.place.world.local_ns(self.place.key.node()) - self.started_ns)
    }

    fn wall(&self) -> TimestampMs {
        self.place.world.wall_of(self.place.key.node())
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
        let node = self.place.key.node();
        let left_ns = self.deadline_ns.saturating_sub(world.local_ns(node));
        if left_ns == 0 {
            return Poll::Ready(());
        }
        // A timer that went off before its time, by a clock that has slowed down since, is set again.
        let is_set = self
            .waiting
            .as_ref()
            .is_some_and(|(event, waker)| event.at_ns > world.now_ns() && waker.will_wake(context.waker()));
        if is_set {
            return Poll::Pending;
        }
        if let Some((event, _)) = self.waiting.take() {
            world.cancel(event);
        }
        if self.deadline_ns < u64::MAX && self.place.is_alive() {
            let waker = context.waker().clone();
            let delay_ns = world.world_delay_ns(node, left_ns);
            let event = world.schedule(delay_ns, "timer", self.place.key.entity(), move |_| waker.wake());
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
