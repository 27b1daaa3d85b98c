//! Admission of request frames against the shard's memory budget: a frame is charged before its body is read, and its
//! reader waits while the account is full. Driven by connection tasks.

use std::rc::Rc;

use barnabas_base::{Account, Budget, Charge};
use barnabas_runtime::sync::Notify;

/// The door through which every frame of a shard passes.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    budget: Budget,
    released: Rc<Notify>,
}

/// Bytes admitted; dropping it lets the next waiting reader look again.
#[derive(Debug)]
pub(crate) struct Admitted {
    charge: Option<Charge>,
    released: Rc<Notify>,
}

impl Admission {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, released: Rc::new(Notify::new()) }
    }

    /// Waits until `bytes` fit into the account of request frames.
    pub(crate) async fn admit(&self, bytes: u64) -> Admitted {
        loop {
            let seen = self.released.version();
            if let Some(charge) = self.budget.try_charge(Account::RequestFrames, bytes) {
                return Admitted { charge: Some(charge), released: Rc::clone(&self.released) };
            }
            self.released.changed_since(seen).await;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        drop(self.charge.take());
        self.released.notify();
    }
}
