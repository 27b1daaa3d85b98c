//! A client of the register: asks the node that it takes for the leader, goes on to the next when that does not answer, and
//! writes down what it was told, and when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_runtime::{Env, Stream};

use crate::linear::{Did, Done};
use crate::plan::Operation;
use crate::register::NODES;
use crate::wire::{DONE, Frame, NOT_LEADER, READ, WRITE, connect, exchange};

/// What is not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_millis(400);
/// Before another node is asked.
const RETRY: Duration = Duration::from_millis(20);

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Done, with the value that the register held then.
    Done(u64),
    /// Certainly not done.
    NotDone,
    Unknown,
}

/// An operation, with its end when it has one.
struct Recorded {
    write: Option<u64>,
    invoked: u64,
    end: Option<(u64, Ending)>,
}

/// What all clients of a run were told, in one order.
#[derive(Default)]
pub(crate) struct Recorder {
    moment: Cell<u64>,
    operations: RefCell<Vec<Recorded>>,
    pub(crate) acknowledged: Cell<u64>,
    pub(crate) unknown: Cell<u64>,
    /// Values that were written so far, to find one more.
    next_value: Cell<u64>,
}

impl Recorder {
    /// A recorder for a run in which values below `next_value` are planned.
    pub(crate) fn new(next_value: u64) -> Self {
        Self { next_value: Cell::new(next_value), ..Self::default() }
    }

    fn next_moment(&self) -> u64 {
        self.moment.set(self.moment.get() + 1);
        self.moment.get()
    }

    fn invoked(&self, write: Option<u64>) -> usize {
        let mut operations = self.operations.borrow_mut();
        operations.push(Recorded { write, invoked: self.next_moment(), end: None });
        operations.len() - 1
    }

    fn ended(&self, operation: usize, ending: Ending) {
        let counter = match ending {
            Ending::Done(_) => Some(&self.acknowledged),
            Ending::Unknown => Some(&self.unknown),
            Ending::NotDone => None,
        };
        if let Some(counter) = counter {
            counter.set(counter.get() + 1);
        }
        self.operations.borrow_mut()[operation].end = Some((self.next_moment(), ending));
    }

    /// What counts: everything but what was certainly not done, and reads without an answer.
    pub(crate) fn history(&self) -> Vec<Done> {
        let done = |recorded: &Recorded| {
            let Recorded { write, invoked, end } = *recorded;
            let (did, answered) = match (write, end) {
                (_, Some((_, Ending::NotDone))) | (None, None | Some((_, Ending::Unknown))) => return None,
                (Some(value), Some((at, Ending::Done(_)))) => (Did::Write(value), Some(at)),
                (Some(value), None | Some((_, Ending::Unknown))) => (Did::Write(value), None),
                (None, Some((at, Ending::Done(value)))) => (Did::Read(value), Some(at)),
            };
            Some(Done { did, invoked, answered })
        };
        self.operations.borrow().iter().filter_map(done).collect()
    }
}

/// One client.
struct Client {
    env: Env,
    recorder: Rc<Recorder>,
    /// The node that is asked.
    target: u64,
    stream: Option<Stream>,
}

/// Does what is planned, and when the world is whole again one write and one read that succeed.
pub(crate) async fn run(env: Env, planned: Vec<Operation>, recorder: Rc<Recorder>, healed: Rc<Cell<bool>>) {
    let start = env.now();
    let mut client = Client { env, recorder, target: 0, stream: None };
    for operation in planned {
        let at_ms = i64::try_from(operation.at_ms).expect("a run is short");
        client.env.sleep_until(start.after_ms(at_ms)).await;
        client.operate(operation.write).await;
    }
    while !healed.get() {
        client.env.sleep(PATIENCE).await;
    }
    for is_write in [true, false] {
        loop {
            let value = client.recorder.next_value.get();
            client.recorder.next_value.set(value + 1);
            if matches!(client.operate(is_write.then_some(value)).await, Ending::Done(_)) {
                break;
            }
            client.env.sleep(RETRY).await;
        }
    }
}

impl Client {
    async fn operate(&mut self, write: Option<u64>) -> Ending {
        let operation = self.recorder.invoked(write);
        let deadline = self.env.now().after(PATIENCE);
        let question = write.map_or([READ, 0, 0, 0, 0], |value| [WRITE, value, 0, 0, 0]);
        let ending = self.ask_until(deadline, question).await;
        self.recorder.ended(operation, ending);
        ending
    }

    /// Asks one node after the other, as long as those that were asked certainly did nothing.
    async fn ask_until(&mut self, deadline: Monotonic, question: Frame) -> Ending {
        while self.env.now() < deadline {
            let sent = Cell::new(false);
            let env = self.env.clone();
            if let Some([DONE, value, ..]) = env.timeout_at(deadline, self.ask(question, &sent)).await.flatten() {
                return Ending::Done(value);
            }
            self.target = (self.target + 1) % NODES;
            self.stream = None;
            if sent.get() {
                return Ending::Unknown;
            }
            self.env.sleep(RETRY).await;
        }
        Ending::NotDone
    }

    /// The answer of the node that is asked, if there is one; `sent` when it may have heard the question and done it.
    async fn ask(&mut self, question: Frame, sent: &Cell<bool>) -> Option<Frame> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.env, self.target).await.ok()?,
        };
        sent.set(true);
        let answer = exchange(&mut stream, &question).await.ok()?;
        sent.set(answer[0] != NOT_LEADER);
        self.stream = Some(stream);
        Some(answer)
    }
}
