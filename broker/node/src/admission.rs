//! Admission of request frames against the shard's memory: who may hold how much of a frame, and who waits. Driven by the
//! readers of connections.
//!
//! Small frames and large ones have accounts of their own, so that a heartbeat never waits behind an upload. A frame is
//! charged for what has come of it and what is read next, not for what it claims: a claim costs nothing. Where an account
//! is full, frames wait in the order in which they began, and none slips in ahead.
//!
//! An account could be full of frames that all wait for more of it. So the first that waits may pass the limit, and keeps
//! that right until its request is done; there is one such frame at a time. Hence the bound on what an account holds: its
//! limit and one frame, of `socket.request.max.bytes` at most.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use barnabas_base::{Account, Budget, Charge, Monotonic};
use barnabas_runtime::sync::Notify;

/// The door through which every frame of a shard passes.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    budget: Budget,
    small: Rc<Door>,
    large: Rc<Door>,
}

/// One account and those who wait at it.
#[derive(Debug)]
struct Door {
    account: Account,
    next_ticket: Cell<u64>,
    line: RefCell<Line>,
    moved: Notify,
}

/// Who waits and who may pass the limit. Tickets are handed out when frames begin: an older frame goes first, wherever it
/// stands, because what it holds comes free when it is whole.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<u64>,
    overdrawer: Option<u64>,
    /// Since when there was always somebody.
    waited_since: Option<Monotonic>,
}

/// A place in the line; dropping it leaves the line.
struct Place<'a> {
    door: &'a Door,
    ticket: u64,
}

/// A frame, and the bytes that are charged for it; dropping it lets those who wait look again.
#[derive(Debug)]
pub(crate) struct Admitted {
    charge: Charge,
    ticket: u64,
    door: Rc<Door>,
}

/// How a frame came by more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// There was no room for it at first.
    pub(crate) has_waited: bool,
    /// It is the one that passes the limit from here on.
    pub(crate) overdraws: bool,
}

impl Admission {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, small: Door::new(Account::SmallRequestFrames), large: Door::new(Account::RequestFrames) }
    }

    /// A small frame, for which nothing is held yet.
    pub(crate) fn begin_small(&self) -> Admitted {
        self.begin(&self.small)
    }

    /// A large frame, for which nothing is held yet.
    pub(crate) fn begin_large(&self) -> Admitted {
        self.begin(&self.large)
    }

    /// Whether less than half of what large frames may hold is held.
    pub(crate) fn has_plenty(&self) -> bool {
        let account = self.large.account;
        self.budget.used_bytes(account) < self.budget.limit_bytes(account) / 2
    }

    fn begin(&self, door: &Rc<Door>) -> Admitted {
        let ticket = door.next_ticket.get();
        door.next_ticket.set(ticket + 1);
        Admitted { charge: self.budget.charge(door.account, 0), ticket, door: Rc::clone(door) }
    }
}

impl Admitted {
    /// Bytes held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.charge.bytes()
    }

    /// Waits until `bytes` are held altogether.
    pub(crate) async fn hold(&mut self, bytes: u64, now: Monotonic) -> Granted {
        if let Some(overdraws) = self.take(bytes) {
            return Granted { has_waited: false, overdraws };
        }
        let door = Rc::clone(&self.door);
        let _place = door.enter(self.ticket, now);
        loop {
            let seen = door.moved.version();
            if let Some(overdraws) = self.take(bytes) {
                return Granted { has_waited: true, overdraws };
            }
            door.moved.changed_since(seen).await;
        }
    }

    /// Since when others have waited at this door without a pause.
    pub(crate) fn others_wait_since(&self) -> Option<Monotonic> {
        self.door.line.borrow().waited_since
    }

    /// Holds `bytes` altogether if it is this frame's turn; says whether that made it the one that passes the limit.
    fn take(&mut self, bytes: u64) -> Option<bool> {
        let mut line = self.door.line.borrow_mut();
        if !line.is_turn_of(self.ticket) {
            return None;
        }
        let more = bytes.saturating_sub(self.charge.bytes());
        if self.charge.try_grow(more) {
            return Some(false);
        }
        let overdraws = line.overdraw(self.ticket)?;
        self.charge.grow(more);
        Some(overdraws)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.charge.resize(0);
        self.door.line.borrow_mut().done(self.ticket);
        self.door.moved.notify();
    }
}

impl Door {
    fn new(account: Account) -> Rc<Self> {
        let (next_ticket, line, moved) = (Cell::new(0), RefCell::default(), Notify::new());
        Rc::new(Self { account, next_ticket, line, moved })
    }

    fn enter(&self, ticket: u64, now: Monotonic) -> Place<'_> {
        self.line.borrow_mut().enter(ticket, now);
        Place { door: self, ticket }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.door.line.borrow_mut();
        line.leave(self.ticket);
        if !line.waiting.is_empty() {
            self.door.moved.notify();
        }
    }
}

impl Line {
    fn enter(&mut self, ticket: u64, now: Monotonic) {
        self.waiting.insert(ticket);
        self.waited_since.get_or_insert(now);
    }

    fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
        if self.waiting.is_empty() {
            self.waited_since = None;
        }
    }

    /// Whether nobody goes before `ticket`. The one that passes the limit waits for nobody: all others may wait for it.
    fn is_turn_of(&self, ticket: u64) -> bool {
        self.overdrawer == Some(ticket) || self.waiting.first().is_none_or(|first| ticket <= *first)
    }

    /// Whether `ticket` may pass the limit: `None` when another one does, and otherwise whether the right is new to it.
    fn overdraw(&mut self, ticket: u64) -> Option<bool> {
        match self.overdrawer {
            None => {
                self.overdrawer = Some(ticket);
                Some(true)
            }
            Some(holder) => (holder == ticket).then_some(false),
        }
    }

    fn done(&mut self, ticket: u64) {
        self.overdrawer = self.overdrawer.filter(|holder| *holder != ticket);
    }
}

#[cfg(test)]
mod tests;
