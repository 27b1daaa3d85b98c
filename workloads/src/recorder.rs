//! [`Recorder`]: where clients write down what they ask for and what they are answered.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use barnabas_base::Monotonic;
use barnabas_history::{Call, CallId, ClientLife, Evidence, Outcome, Step, What};
use barnabas_plan::{ClientName, Plan};

/// Where steps go, with world time. Clones are the same recorder.
#[derive(Clone)]
pub struct Recorder {
    evidence: Rc<RefCell<Evidence>>,
    now: Rc<dyn Fn() -> Monotonic>,
    next_call: Rc<Cell<u32>>,
}

impl Recorder {
    /// A recorder that adds to `evidence`, in which nobody else numbers calls.
    #[must_use]
    pub fn new(evidence: Rc<RefCell<Evidence>>, now: Rc<dyn Fn() -> Monotonic>) -> Self {
        Self { evidence, now, next_call: Rc::default() }
    }

    /// Adds a step.
    pub fn push(&self, what: What) {
        self.evidence.borrow_mut().push((self.now)(), what);
    }

    /// How many steps there are so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.evidence.borrow().steps.len()
    }

    /// Whether a step so far is as `is_wanted` has it.
    #[must_use]
    pub fn any(&self, is_wanted: impl Fn(&Step) -> bool) -> bool {
        self.evidence.borrow().steps.iter().any(is_wanted)
    }

    /// Reads the plan that is carried out.
    pub(crate) fn of_plan<T>(&self, read: impl FnOnce(&Plan) -> T) -> T {
        read(&self.evidence.borrow().plan)
    }

    /// The calls of a client that have not ended, the last ones first.
    #[must_use]
    pub fn open_calls(&self, client: ClientName) -> Vec<String> {
        let evidence = self.evidence.borrow();
        let open = evidence.calls().into_iter().rev().filter(|view| view.by.client == client && view.ended.is_none());
        open.map(|view| format!("{:?}", view.call)).collect()
    }

    /// Adds the beginning of a call and names it.
    #[must_use]
    pub fn call(&self, by: ClientLife, call: Call) -> CallId {
        let id = CallId(self.next_call.get());
        self.next_call.set(id.0.checked_add(1).expect("a run has fewer calls than 2³²"));
        self.push(What::Invoked { id, by, call });
        id
    }

    /// Adds the end of a call.
    pub fn end(&self, id: CallId, outcome: Outcome) {
        self.push(What::Ended { id, outcome });
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("next_call", &self.next_call).finish_non_exhaustive()
    }
}
