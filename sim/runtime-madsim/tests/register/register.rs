//! A replicated register on three nodes, written against the seam alone, as a broker is: what the world is proved on. A
//! leader by votes gives each write a stamp and has a majority keep it on disk; a read asks a majority whether the leader
//! still is one. Paxos on one value that is written over, with a lasting leader. Three bugs can be planted; the tests
//! beside it start nodes, clients and faults.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, Observation, keyed_hash};
use barnabas_runtime::sync::{oneshot, queue};
use barnabas_runtime::{Env, OpenMode, Stream};
use bytes::Bytes;

use crate::wire::{
    DONE, FRAME_BYTES, Frame, GRANTED, KEEP, KEPT, NOT_LEADER, PORT, READ, REFUSED, UNKNOWN, VOTE, WRITE, connect,
    exchange, receive, send, to_bytes, to_frame,
};

/// Nodes of a register, named `r0` and so on.
pub(crate) const NODES: u64 = 3;
const MAJORITY: usize = 2;

/// What a node observes: it has given its vote, it leads.
pub(crate) const VOTED: &str = "voted";
pub(crate) const ELECTED: &str = "elected";

const HEARTBEAT: Duration = Duration::from_millis(50);
/// A question is given up after this long.
const ROUND: Duration = Duration::from_millis(250);
/// A node stands for election when it has heard nothing for this long, to half as long again.
const SILENCE_MS: u64 = 150;
/// Before a question is asked again that did not get through.
const RETRY: Duration = Duration::from_millis(50);
/// Requests that wait at one node.
const WAITING_MAX: usize = 64;

pub(crate) const STATE: &str = "/state";
const NEXT_STATE: &str = "/state.next";

/// What can be wrong with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A node says that it has kept a write, and leaves it to the kernel to sync it.
    AnswerBeforeSync,
    /// A leader answers reads without asking whether it still is one.
    StaleLeader,
    /// A vote is kept in memory alone.
    ForgottenVote,
}

/// Where somebody waits to be answered.
type Asking = queue::Sender<(Frame, oneshot::Sender<Frame>)>;

/// What a node must not forget.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Memory {
    term: u64,
    vote: u64,
    /// The place of the last write among all: its leader's term and its ordinal there.
    stamp: (u64, u64),
    value: u64,
}

struct Node {
    env: Env,
    /// Nodes count from one in messages and on disk, so that 0 is nobody.
    id: u64,
    bug: Option<Bug>,
    memory: Cell<Memory>,
    /// The highest term that anybody has named.
    seen: Cell<u64>,
    /// When this node last gave a vote or kept a write.
    heard: Cell<Monotonic>,
    /// Questions that change the memory, one at a time.
    questions: Asking,
    /// What clients ask, while this node leads.
    operations: RefCell<Option<Asking>>,
    /// Connections to other nodes that nobody waits on.
    idle: RefCell<BTreeMap<u64, Stream>>,
}

/// Runs node `id` of the register until its disk fails it.
pub(crate) async fn run(env: Env, id: u64, bug: Option<Bug>) -> io::Result<()> {
    let memory = recover(&env).await?;
    let (questions, mut asked) = queue::bounded(WAITING_MAX);
    let (seen, heard) = (Cell::new(memory.term), Cell::new(env.now()));
    let (operations, idle) = (RefCell::default(), RefCell::default());
    let memory = Cell::new(memory);
    let node = Rc::new(Node { env, id: id + 1, bug, memory, seen, heard, questions, operations, idle });
    let listener = node.env.net.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await?;
    let serving = Rc::clone(&node);
    let accepting = async move {
        while let Ok(accepted) = listener.accept().await {
            let Ok(stream) = serving.env.net.adopt(accepted) else { continue };
            serving.env.spawn("connection", Rc::clone(&serving).serve(stream)).detach();
        }
    };
    node.env.spawn("accept", accepting).detach();
    node.env.spawn("stand", Rc::clone(&node).stand()).detach();
    while let Some((question, answer)) = asked.receive().await {
        answer.send(node.answer(question).await?);
    }
    Ok(())
}

/// What the node knew when it ended. A rename may have happened without having been made durable.
async fn recover(env: &Env) -> io::Result<Memory> {
    let file = match env.disk.open(Path::new(STATE), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Memory::default()),
        Err(error) => return Err(error),
    };
    env.disk.sync_dir(Path::new("/")).await?;
    let bytes = file.read_at(0, 2 * FRAME_BYTES).await?;
    let content = bytes.get(..FRAME_BYTES).ok_or(ErrorKind::InvalidData)?;
    if bytes[FRAME_BYTES..] != keyed_hash(0, content).to_le_bytes() {
        env.observe(&Observation::Mark { name: "damaged state" });
        return Err(ErrorKind::InvalidData.into());
    }
    let [term, vote, stamp_term, ordinal, value] = to_frame(content);
    Ok(Memory { term, vote, stamp: (stamp_term, ordinal), value })
}

impl Node {
    /// What this node says to a candidate or a leader.
    async fn answer(&self, [kind, term, second, value, leader]: Frame) -> io::Result<Frame> {
        let memory = self.memory.get();
        let refused = [REFUSED, memory.term, 0, 0, 0];
        self.seen.set(self.seen.get().max(term));
        if kind == VOTE {
            // A vote that was given is given again: its answer may have been lost.
            if term < memory.term || (term == memory.term && memory.vote != second) {
                return Ok(refused);
            }
            let next = Memory { term, vote: second, ..memory };
            match self.bug {
                Some(Bug::ForgottenVote) => self.memory.set(next),
                _ if next == memory => {}
                _ => self.keep(next).await?,
            }
            self.heard.set(self.env.now());
            if second != self.id {
                self.env.observe(&Observation::Mark { name: VOTED });
            }
            return Ok([GRANTED, memory.stamp.0, memory.stamp.1, memory.value, 0]);
        }
        if term < memory.term {
            return Ok(refused);
        }
        // A write that comes again, or late, is kept already.
        if (term, second) > memory.stamp {
            self.keep(Memory { term, vote: leader, stamp: (term, second), value }).await?;
        }
        self.heard.set(self.env.now());
        Ok([KEPT, 0, 0, 0, 0])
    }

    /// Makes `next` durable, and only then what this node knows.
    async fn keep(&self, next: Memory) -> io::Result<()> {
        let content = to_bytes(&[next.term, next.vote, next.stamp.0, next.stamp.1, next.value]);
        let check = Bytes::copy_from_slice(&keyed_hash(0, &content).to_le_bytes());
        let disk = &self.env.disk;
        let file = disk.open(Path::new(NEXT_STATE), OpenMode::CreateTruncated).await?;
        file.write_at(0, &[content, check]).await?;
        let is_synced = self.bug != Some(Bug::AnswerBeforeSync);
        if is_synced {
            file.sync().await?;
        }
        disk.rename(Path::new(NEXT_STATE), Path::new(STATE)).await?;
        if is_synced {
            disk.sync_dir(Path::new("/")).await?;
        }
        self.memory.set(next);
        Ok(())
    }

    /// Answers what comes in on one connection, in order.
    async fn serve(self: Rc<Self>, mut stream: Stream) {
        while let Ok(question) = receive(&mut stream).await {
            let (sender, receiver) = oneshot::channel();
            let taken = if question[0] == READ || question[0] == WRITE {
                let operations = self.operations.borrow().clone();
                operations.is_some_and(|operations| operations.try_send((question, sender)).is_ok())
            } else {
                self.questions.send((question, sender)).await.is_ok()
            };
            // What a leader had not begun when it ceased to be one comes back as dropped.
            let answer = if taken { receiver.await } else { Err(oneshot::Dropped) };
            if send(&mut stream, &answer.unwrap_or([NOT_LEADER, 0, 0, 0, 0])).await.is_err() {
                return;
            }
        }
    }

    /// Stands for election whenever it hears nothing, and leads when it is elected.
    async fn stand(self: Rc<Self>) {
        loop {
            let silence = Duration::from_millis(SILENCE_MS + self.env.entropy.next_u64() % (SILENCE_MS / 2));
            self.env.sleep(silence).await;
            if self.env.now().since(self.heard.get()) < silence {
                continue;
            }
            let term = self.seen.get() + 1;
            let question = [VOTE, term, self.id, 0, 0];
            // Its own vote first: a candidate that forgets that it stood would stand in the same term again.
            if !matches!(self.ask(self.id, question).await, Ok([GRANTED, ..])) {
                continue;
            }
            if let Ok(votes) = self.ask_all(question).await {
                let last = votes.iter().max_by_key(|vote| (vote[1], vote[2])).expect("a majority is somebody");
                self.env.observe(&Observation::Mark { name: ELECTED });
                self.lead(term, last[3]).await;
                self.env.observe(&Observation::Mark { name: "deposed" });
            }
        }
    }

    /// Serves clients until somebody names a later term. The value of the last leader is given a stamp of this term before
    /// anything is answered, because its majority may have been another.
    async fn lead(self: &Rc<Self>, term: u64, mut value: u64) {
        let (sender, mut waiting) = queue::bounded(WAITING_MAX);
        *self.operations.borrow_mut() = Some(sender);
        let mut ordinal = 0;
        let mut operation: Option<(Frame, oneshot::Sender<Frame>)> = None;
        loop {
            if let Some((question, _)) = &operation
                && question[0] == WRITE
            {
                (ordinal, value) = (ordinal + 1, question[1]);
            }
            let round = match &operation {
                Some((question, _)) if question[0] == READ && self.bug == Some(Bug::StaleLeader) => Ok(Vec::new()),
                _ => self.ask_all([KEEP, term, ordinal, value, self.id]).await,
            };
            if let Some((_, answer)) = operation {
                answer.send([if round.is_ok() { DONE } else { UNKNOWN }, value, 0, 0, 0]);
            }
            if matches!(round, Err(later) if later > term) {
                *self.operations.borrow_mut() = None;
                return;
            }
            operation = self.env.timeout_at(self.env.now().after(HEARTBEAT), waiting.receive()).await.flatten();
        }
    }

    /// Asks every node, this one as well: what a majority says that agrees, or the highest term that one names that does
    /// not.
    async fn ask_all(self: &Rc<Self>, question: Frame) -> Result<Vec<Frame>, u64> {
        let (sender, mut answers) = queue::bounded(WAITING_MAX);
        let deadline = self.env.now().after(ROUND);
        for to in 1..=NODES {
            let (node, sender) = (Rc::clone(self), sender.clone());
            let asking = async move {
                while node.env.now() < deadline {
                    match node.env.timeout_at(deadline, node.ask(to, question)).await {
                        Some(Ok(answer)) => return sender.try_send(answer).unwrap_or_default(),
                        Some(Err(_)) => node.env.sleep(RETRY).await,
                        None => return,
                    }
                }
            };
            self.env.spawn("ask", asking).detach();
        }
        drop(sender);
        let (mut agreed, mut later) = (Vec::new(), 0);
        while let Some(answer) = answers.receive().await {
            if answer[0] == REFUSED {
                later = later.max(answer[1]);
                self.seen.set(self.seen.get().max(later));
            } else {
                agreed.push(answer);
            }
            // Another's vote of the same term does not keep a candidate from its majority; a later term does.
            if agreed.len() == MAJORITY {
                return Ok(agreed);
            } else if later > question[1] {
                break;
            }
        }
        Err(later)
    }

    async fn ask(&self, to: u64, question: Frame) -> io::Result<Frame> {
        if to == self.id {
            let (sender, receiver) = oneshot::channel();
            self.questions.send((question, sender)).await.map_err(|_| ErrorKind::BrokenPipe)?;
            return receiver.await.map_err(|_| ErrorKind::BrokenPipe.into());
        }
        let idle = self.idle.borrow_mut().remove(&to);
        let mut stream = if let Some(stream) = idle { stream } else { connect(&self.env, to - 1).await? };
        let answer = exchange(&mut stream, &question).await?;
        self.idle.borrow_mut().insert(to, stream);
        Ok(answer)
    }
}
