//! One client connection: a task that reads and dispatches requests in arrival order, and one that sends answers in
//! request order (design: requests take effect in the order in which they arrive).
//!
//! Knows pipelining and backpressure, nothing of what requests mean. The listener starts it on the shard that
//! the connection was handed to.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use barnabas_base::limits::IN_FLIGHT_REQUESTS_PER_CONNECTION_MAX;
use barnabas_base::{Account, Budget, Charge, Monotonic, Observation};
use barnabas_runtime::sync::{Notify, queue};
use barnabas_runtime::{Either, Local, ReadHalf, Segment, Stream, WriteHalf, race};

use crate::admission::Admitted;
use crate::dispatch::{Dispatched, Refused, dispatch};
use crate::frame::{Frame, FrameReader, Unread};
use crate::shard::Shard;

/// Most ready answers that leave in one vectored write.
const COALESCED_RESPONSES_MAX: usize = 32;
/// What is known of a connection beside its bytes.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The address the client reached us under; what it is told to connect to when nothing is advertised.
    pub(crate) local_address: SocketAddr,
    /// Position of the listener in the configuration.
    pub(crate) listener: usize,
    /// When something last came or went; idle connections are closed by the shard's sweep.
    pub(crate) last_active: Cell<Monotonic>,
    /// Requests that are being answered: a connection with one is not idle.
    pub(crate) busy: Cell<u32>,
    /// An answer is on its way that the peer does not take at once: it is active as long as it takes some.
    pub(crate) is_blocked: Cell<bool>,
    /// Counts answers that left.
    pub(crate) answered: Notify,
}

/// An answer on its way out.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Frame to send; nothing for `acks=0`.
    pub(crate) segments: Vec<Segment>,
    /// API key, for the counters.
    pub(crate) api_key: i16,
    /// Close the connection once everything before has been sent.
    pub(crate) close: bool,
}

/// An answer, and the memory that a request with records holds until it is known: a client that does not read its answers
/// keeps from others what those take, and nothing more.
struct PendingAnswer {
    answer: Answer,
    admitted: Option<Admitted>,
}

enum Answer {
    /// What it holds in memory is charged until it has left.
    Ready(Outgoing, Charge),
    Later(Local<'static, Outgoing>),
}

impl PendingAnswer {
    /// Ready once the answer is known; what its request holds is given back then.
    fn poll_known(&mut self, context: &mut Context<'_>, budget: &Budget) -> Poll<()> {
        if let Answer::Later(answer) = &mut self.answer {
            let Poll::Ready(outgoing) = answer.as_mut().poll(context) else { return Poll::Pending };
            self.answer = Answer::ready(outgoing, budget);
        }
        self.admitted = None;
        Poll::Ready(())
    }

    fn known(self) -> Result<Held, Self> {
        match self.answer {
            Answer::Ready(outgoing, charge) => Ok(Held { outgoing, _charge: charge }),
            answer @ Answer::Later(_) => Err(Self { answer, ..self }),
        }
    }
}

impl Answer {
    fn ready(outgoing: Outgoing, budget: &Budget) -> Self {
        let charge = outgoing.charge(budget);
        Self::Ready(outgoing, charge)
    }
}

impl Outgoing {
    /// Takes what the frame holds in memory from the budget; ranges of files hold none.
    fn charge(&self, budget: &Budget) -> Charge {
        let held = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File { .. } => 0,
        };
        budget.charge(Account::ResponseSegments, self.segments.iter().map(held).sum())
    }
}

impl Peer {
    /// Waits until every request that was dispatched has been answered. Where answers hold too much memory, a connection
    /// adds to it only once its own have left: a slow reader holds one answer, and keeps nobody else from theirs.
    async fn all_answered(&self) {
        loop {
            let seen = self.answered.version();
            if self.busy.get() == 0 {
                return;
            }
            self.answered.changed_since(seen).await;
        }
    }
}

/// An answer that can leave, and what it holds until then.
struct Held {
    outgoing: Outgoing,
    _charge: Charge,
}

/// Serves one connection to its end.
pub(crate) async fn serve(shard: Rc<Shard>, stream: Stream, listener: usize) {
    let peer = Rc::new(Peer {
        address: stream.peer_addr,
        local_address: stream.local_addr,
        listener,
        last_active: Cell::new(shard.env.now()),
        busy: Cell::new(0),
        is_blocked: Cell::new(false),
        answered: Notify::new(),
    });
    let (answers, waiting) = queue::bounded(IN_FLIGHT_REQUESTS_PER_CONNECTION_MAX);
    let reader = read_requests(&shard, &peer, stream.read, answers);
    let writer = send_answers(&shard, &peer, stream.write, waiting);
    // The reader ends first on a clean close: what it dispatched is still answered, as long as the peer takes it.
    let mut writer = std::pin::pin!(writer);
    let ended = race(race(reader, idle_watch(&shard, &peer)), writer.as_mut()).await;
    if let Either::First(Either::First(Ended::ByPeer)) = ended {
        race(writer, idle_watch(&shard, &peer)).await;
    }
}

/// Why the reader stopped.
enum Ended {
    /// FIN, or a request that asks for a close: answers still leave.
    ByPeer,
    /// Reset, or bytes that are no protocol: nothing more is worth sending.
    Broken,
}

async fn read_requests(
    shard: &Rc<Shard>,
    peer: &Rc<Peer>,
    read: Box<dyn ReadHalf>,
    answers: queue::Sender<PendingAnswer>,
) -> Ended {
    let mut frames = FrameReader::new(shard.env.clone(), read, shard.request_bytes_max);
    loop {
        let arrived = || peer.last_active.set(shard.env.now());
        let Frame { bytes, admitted } = match frames.next(&shard.admission, arrived).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ended::ByPeer,
            Err(Unread::Stream(error)) => {
                shard.log_connection_error(peer, &error);
                return Ended::Broken;
            }
            Err(Unread::GivenUp(why)) => {
                shard.log_given_up(peer, &why);
                return Ended::Broken;
            }
        };
        if shard.budget.is_full(Account::ResponseSegments) {
            barnabas_base::sometimes!(shard.env, SLOW_READER_AWAITED, peer.busy.get() > 0);
            peer.all_answered().await;
        }
        peer.busy.set(peer.busy.get() + 1);
        let mut admitted = Some(admitted);
        let answer = match dispatch(shard, peer, bytes) {
            Ok(Dispatched::Background(answer)) => Answer::Later(answer),
            Ok(Dispatched::InTurn(answer)) => {
                // The frame is read and gone, while a long poll or a rebalance may wait for minutes.
                drop(admitted.take());
                Answer::ready(answer.await, &shard.budget)
            }
            Err(refusal) => {
                barnabas_base::sometimes!(shard.env, REQUEST_UNREADABLE, matches!(refusal, Refused::Decode(_)));
                barnabas_base::sometimes!(
                    shard.env,
                    REQUEST_NOT_SERVED,
                    matches!(refusal, Refused::Unsupported { .. })
                );
                shard.log_connection_error(peer, &io::Error::new(io::ErrorKind::InvalidData, refusal.to_string()));
                Answer::ready(Outgoing { close: true, ..Outgoing::default() }, &shard.budget)
            }
        };
        let closes = matches!(&answer, Answer::Ready(outgoing, _) if outgoing.close);
        if answers.send(PendingAnswer { answer, admitted }).await.is_err() || closes {
            return Ended::ByPeer;
        }
    }
}

async fn send_answers(
    shard: &Rc<Shard>,
    peer: &Rc<Peer>,
    mut write: Box<dyn WriteHalf>,
    mut waiting: queue::Receiver<PendingAnswer>,
) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(pending) => pending,
            None => match waiting.receive().await {
                Some(pending) => pending,
                None => break,
            },
        };
        let mut batch = vec![complete(shard, first).await];
        while batch.len() < COALESCED_RESPONSES_MAX {
            let Some(pending) = waiting.try_receive() else { break };
            match complete_now(shard, pending).await {
                Ok(done) => batch.push(done),
                Err(pending) => {
                    next = Some(pending);
                    break;
                }
            }
        }
        barnabas_base::sometimes!(shard.env, ANSWERS_PARTED, next.is_some());
        match send_batch(shard, peer, write.as_mut(), batch, (&mut next, &mut waiting)).await {
            Sent::More => {}
            // Not an abort: it would take back answers that were sent and have not arrived.
            Sent::Last => break,
            Sent::Failed => {
                write.abort();
                return;
            }
        }
    }
    // Whether the peer still reads its FIN is its own affair.
    drop(write.finish().await);
}

/// What follows a batch of answers.
enum Sent {
    More,
    /// One of them closes the connection.
    Last,
    Failed,
}

/// Sends answers with as few calls as possible.
async fn send_batch(
    shard: &Rc<Shard>,
    peer: &Rc<Peer>,
    write: &mut dyn WriteHalf,
    batch: Vec<Held>,
    behind: (&mut Option<PendingAnswer>, &mut queue::Receiver<PendingAnswer>),
) -> Sent {
    let count = u32::try_from(batch.len()).expect("a batch is small");
    let close = batch.iter().any(|held| held.outgoing.close);
    let mut segments = Vec::new();
    let mut batch = batch;
    for Held { outgoing, .. } in &mut batch {
        if !outgoing.segments.is_empty() {
            let size_bytes = outgoing.segments.iter().map(Segment::len).sum();
            shard.env.observe(&Observation::ResponseSent { api_key: outgoing.api_key, size_bytes });
        }
        segments.append(&mut outgoing.segments);
    }
    let sent =
        if segments.is_empty() { Ok(()) } else { settle_while((shard, peer), write.send(&segments), behind).await };
    drop(batch);
    peer.busy.set(peer.busy.get().saturating_sub(count));
    peer.answered.notify();
    peer.last_active.set(shard.env.now());
    if let Err(error) = &sent {
        barnabas_base::reachable!(shard.env, ANSWER_NOT_SENT);
        shard.log_connection_error(peer, error);
        return Sent::Failed;
    }
    if close { Sent::Last } else { Sent::More }
}

/// Waits for an answer.
async fn complete(shard: &Shard, mut pending: PendingAnswer) -> Held {
    loop {
        std::future::poll_fn(|context| pending.poll_known(context, &shard.budget)).await;
        match pending.known() {
            Ok(held) => return held,
            Err(later) => pending = later,
        }
    }
}

/// The answer if it is ready without waiting.
async fn complete_now(shard: &Shard, mut pending: PendingAnswer) -> Result<Held, PendingAnswer> {
    std::future::poll_fn(|context| Poll::Ready(pending.poll_known(context, &shard.budget).is_ready())).await;
    pending.known()
}

/// Waits for `sending`, and lets the answers behind it become known meanwhile: what their requests hold is for others.
async fn settle_while<T>(
    (shard, peer): (&Shard, &Peer),
    sending: impl Future<Output = T>,
    (next, waiting): (&mut Option<PendingAnswer>, &mut queue::Receiver<PendingAnswer>),
) -> T {
    let mut sending = std::pin::pin!(sending);
    let mut bell: Option<Arc<Bell>> = None;
    let sent = std::future::poll_fn(|context| {
        // The task is woken by answers as well; only what wakes the sending says that the peer has taken something.
        let has_rung = bell.as_ref().is_none_or(|bell| bell.has_rung.load(Ordering::Relaxed));
        let polled = if peer.is_blocked.get() {
            let fresh = Arc::new(Bell { has_rung: AtomicBool::new(false), task: context.waker().clone() });
            let waker = Waker::from(Arc::clone(&fresh));
            bell = Some(fresh);
            sending.as_mut().poll(&mut Context::from_waker(&waker))
        } else {
            sending.as_mut().poll(context)
        };
        if polled.is_ready() {
            return polled;
        }
        peer.is_blocked.set(true);
        if has_rung {
            peer.last_active.set(shard.env.now());
        }
        let settle = |context: &mut Context<'_>, pending: &mut PendingAnswer| {
            let was_held = pending.admitted.is_some();
            let is_known = pending.poll_known(context, &shard.budget).is_ready();
            barnabas_base::sometimes!(shard.env, ANSWER_KNOWN_BEHIND_ANOTHER, was_held && is_known);
        };
        next.iter_mut().for_each(|pending| settle(context, pending));
        waiting.look_at_all(context, settle);
        Poll::Pending
    })
    .await;
    peer.is_blocked.set(false);
    sent
}

/// Wakes a task and remembers it.
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.has_rung.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// Ends when the connection has been idle for `connections.max.idle.ms`, or when the peer has taken nothing of an answer for
/// that long. Kafka closes such connections silently.
async fn idle_watch(shard: &Rc<Shard>, peer: &Rc<Peer>) -> Ended {
    let Some(idle_max) = shard.connection_idle_max else {
        return std::future::pending().await;
    };
    loop {
        let is_blocked = peer.is_blocked.get();
        let since = if peer.busy.get() > 0 && !is_blocked { shard.env.now() } else { peer.last_active.get() };
        let deadline = since.after(idle_max);
        if deadline <= shard.env.now() {
            barnabas_base::sometimes!(shard.env, IDLE_CONNECTION_CLOSED, !is_blocked);
            barnabas_base::sometimes!(shard.env, BLOCKED_CONNECTION_CLOSED, is_blocked);
            return if is_blocked { Ended::Broken } else { Ended::ByPeer };
        }
        shard.env.sleep_until(deadline).await;
    }
}
