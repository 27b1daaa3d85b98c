//! Admission of request frames against the shard's memory budget: a frame is charged before its body is read, and its
//! reader waits while the account is full. Driven by connection tasks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use barnabas_base::{Account, Budget, Charge};
use barnabas_runtime::sync::Notify;

/// The door through which every frame of a shard passes.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    budget: Budget,
    door: Rc<Door>,
}

/// Who waits, in the order of arrival. First come, first served: a large frame would never find enough room while small
/// ones slip in ahead of it.
#[derive(Debug)]
struct Door {
    waiting: RefCell<BTreeSet<u64>>,
    next_ticket: Cell<u64>,
    moved: Notify,
}

/// A place in the queue; dropping it leaves the queue.
struct Place<'a> {
    door: &'a Door,
    ticket: u64,
}

/// Bytes admitted; dropping it lets the next waiting reader look again.
#[derive(Debug)]
pub(crate) struct Admitted {
    charge: Option<Charge>,
    door: Rc<Door>,
    /// There was no room for it at first.
    pub(crate) has_waited: bool,
}

impl Admission {
    pub(crate) fn new(budget: Budget) -> Self {
        let door = Door { waiting: RefCell::default(), next_ticket: Cell::new(0), moved: Notify::new() };
        Self { budget, door: Rc::new(door) }
    }

    /// Waits until `bytes` fit into the account of request frames.
    pub(crate) async fn admit(&self, bytes: u64) -> Admitted {
        let place = self.door.enter();
        let mut has_waited = false;
        loop {
            let seen = self.door.moved.version();
            if place.is_first()
                && let Some(charge) = self.budget.try_charge(Account::RequestFrames, bytes)
            {
                return Admitted { charge: Some(charge), door: Rc::clone(&self.door), has_waited };
            }
            has_waited = true;
            self.door.moved.changed_since(seen).await;
        }
    }
}

impl Door {
    fn enter(&self) -> Place<'_> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.waiting.borrow_mut().insert(ticket);
        Place { door: self, ticket }
    }
}

impl Place<'_> {
    fn is_first(&self) -> bool {
        self.door.waiting.borrow().first() == Some(&self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.door.waiting.borrow_mut();
        waiting.remove(&self.ticket);
        if !waiting.is_empty() {
            self.door.moved.notify();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        drop(self.charge.take());
        self.door.moved.notify();
    }
}
