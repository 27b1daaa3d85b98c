//! [`Recorder`]: where the workloads write what they did and saw, with the time of the world rather than their own.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use barnabas_base::Monotonic;
use barnabas_history::{Call, CallId, ClientLife, Evidence, Outcome, Step, What};

/// Adds steps to the evidence of a run. Clones add to the same.
#[derive(Clone)]
pub struct Recorder {
    evidence: Rc<RefCell<Evidence>>,
    now: Rc<dyn Fn() -> Monotonic>,
    next_call: Rc<Cell<u32>>,
}

impl Recorder {
    /// A recorder whose steps carry the time that `now` gives.
    #[must_use]
    pub fn new(evidence: Rc<RefCell<Evidence>>, now: Rc<dyn Fn() -> Monotonic>) -> Self {
        Self { evidence, now, next_call: Rc::default() }
    }

    /// Adds a step.
    pub fn push(&self, what: What) {
        self.evidence.borrow_mut().push((self.now)(), what);
    }

    /// Whether a step so far is as `is_wanted` has it.
    #[must_use]
    pub fn any(&self, is_wanted: impl Fn(&Step) -> bool) -> bool {
        self.evidence.borrow().steps.iter().any(is_wanted)
    }

    /// A call begins.
    pub fn call(&self, by: ClientLife, call: Call) -> CallId {
        let id = CallId(self.next_call.get());
        self.next_call.set(id.0 + 1);
        self.push(What::Invoked { id, by, call });
        id
    }

    /// A call ends.
    pub fn end(&self, id: CallId, outcome: Outcome) {
        self.push(What::Ended { id, outcome });
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("calls", &self.next_call.get()).finish_non_exhaustive()
    }
}
