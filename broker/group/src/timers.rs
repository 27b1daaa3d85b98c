//! The deadlines of one coordinator, earliest first. Owners hold the id of their timer and cancel it themselves, so
//! that no entry outlives what it watches. Driven by the coordinator.

use std::collections::BTreeMap;

use barnabas_base::Monotonic;

use crate::id::{GroupId, MemberId};

/// What happens at a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A member, or one that was only told its id, was not heard of in time.
    Session { group: GroupId, member: MemberId },
    /// The first rebalance of an empty group has waited one delay; `remaining_ms` may still be spent on waiting.
    InitialJoin { group: GroupId, delay_ms: i32, remaining_ms: i32 },
    /// Members that did not rejoin lose their place.
    Join { group: GroupId },
    /// Members that did not ask for their assignment lose their place.
    Sync { group: GroupId },
    /// Time to look for expired offsets.
    Sweep,
}

/// Names one scheduled timer: its deadline, and a number that orders equal deadlines by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    deadline: Monotonic,
    ordinal: u64,
}

/// All timers of one coordinator.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<TimerId, Timer>,
    next_ordinal: u64,
}

impl Timers {
    pub(crate) fn schedule(&mut self, deadline: Monotonic, timer: Timer) -> TimerId {
        let id = TimerId { deadline, ordinal: self.next_ordinal };
        self.next_ordinal += 1;
        self.queue.insert(id, timer);
        id
    }

    /// Forgets a timer. Its owner may hold the id of one that has fired; that is no error.
    pub(crate) fn cancel(&mut self, id: Option<TimerId>) {
        if let Some(id) = id {
            self.queue.remove(&id);
        }
    }

    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.queue.keys().next().map(|id| id.deadline)
    }

    /// The earliest timer whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Monotonic) -> Option<Timer> {
        let (id, _) = self.queue.first_key_value()?;
        if id.deadline > now {
            return None;
        }
        self.queue.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_of_deadline_then_age() {
        let mut timers = Timers::default();
        let join = |name: &str| Timer::Join { group: name.into() };
        timers.schedule(Monotonic(20), join("late"));
        timers.schedule(Monotonic(10), join("first"));
        let cancelled = timers.schedule(Monotonic(10), join("cancelled"));
        timers.schedule(Monotonic(10), join("second"));
        timers.cancel(Some(cancelled));
        assert_eq!(timers.next(), Some(Monotonic(10)));
        assert_eq!(timers.pop_due(Monotonic(15)), Some(join("first")));
        assert_eq!(timers.pop_due(Monotonic(15)), Some(join("second")));
        assert_eq!(timers.pop_due(Monotonic(15)), None);
        assert_eq!(timers.next(), Some(Monotonic(20)));
    }
}
