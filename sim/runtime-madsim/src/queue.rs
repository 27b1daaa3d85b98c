//! The events of a world in the order in which they happen. Exact times, exact cancellation, keyed order within one
//! instant. `world` drives it.

use std::collections::BTreeMap;
use std::fmt;

use crate::world::World;

/// Where an event stands: its time, its keyed rank within that instant, and a number that makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventKey {
    pub(crate) at_ns: u64,
    rank: u64,
    unique: u64,
}

/// What happens.
pub(crate) struct Event {
    /// Its kind, for the trace.
    pub(crate) label: &'static str,
    /// Whom it concerns, for the trace.
    pub(crate) entity: u64,
    pub(crate) run: Box<dyn FnOnce(&World)>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("label", &self.label).field("entity", &self.entity).finish_non_exhaustive()
    }
}

/// Events that have not happened yet.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<EventKey, Event>,
    next_unique: u64,
}

impl Queue {
    /// Adds an event. `rank` orders it within its instant; of equal ranks the older goes first.
    pub(crate) fn push(&mut self, at_ns: u64, rank: u64, event: Event) -> EventKey {
        let key = EventKey { at_ns, rank, unique: self.next_unique };
        self.next_unique += 1;
        self.events.insert(key, event);
        key
    }

    /// Takes an event out before it happens; `None` when it has.
    pub(crate) fn cancel(&mut self, key: EventKey) -> Option<Event> {
        self.events.remove(&key)
    }

    /// When the next event happens.
    pub(crate) fn next_at_ns(&self) -> Option<u64> {
        self.events.first_key_value().map(|(key, _)| key.at_ns)
    }

    pub(crate) fn pop(&mut self) -> Option<(EventKey, Event)> {
        self.events.pop_first()
    }

    /// Empties the queue; the events are dropped by the caller, because a drop may want the queue.
    pub(crate) fn take_all(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events).into_values().collect()
    }
}
