//! "Something changed, look again": wakes every waiter, remembers nothing but a counter.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A counter that tasks wait on. Cheaper than a queue when the state itself says what changed.
#[derive(Default)]
pub struct Notify {
    version: Cell<u64>,
    tickets: Cell<u64>,
    waiters: RefCell<BTreeMap<u64, Waker>>,
}

impl Notify {
    /// A fresh counter at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one change and wakes all waiters in the order in which they began to wait.
    pub fn notify(&self) {
        self.version.set(self.version.get() + 1);
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters.into_values() {
            waiter.wake();
        }
    }

    /// How many changes there were. Read it *before* looking at the state, wait with [`Notify::changed_since`] after.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// Resolves once the counter has passed `seen`.
    pub fn changed_since(&self, seen: u64) -> Changed<'_> {
        Changed { notify: self, seen, ticket: None }
    }

    /// How many tasks wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waiters.borrow().len()
    }
}

/// Waits for a change; forgets its place when dropped.
#[must_use = "futures do nothing unless awaited"]
pub struct Changed<'a> {
    notify: &'a Notify,
    seen: u64,
    ticket: Option<u64>,
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.notify.version.get() > self.seen {
            return Poll::Ready(());
        }
        let ticket = self.ticket.unwrap_or_else(|| {
            let next = self.notify.tickets.get();
            self.notify.tickets.set(next + 1);
            next
        });
        self.ticket = Some(ticket);
        self.notify.waiters.borrow_mut().insert(ticket, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.notify.waiters.borrow_mut().remove(&ticket);
        }
    }
}

impl fmt::Debug for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("version", &self.version.get()).finish_non_exhaustive()
    }
}
