//! Messages between the shards of one node: one inbox per shard, filled under a lock, emptied by a swap. FIFO per
//! sender, and nobody waits to send; the node limits admission at its connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use barnabas_base::ShardId;
use barnabas_runtime::{Local, ShardMessage, Shards};

/// What other shards left for one shard.
#[derive(Default)]
struct Inbox {
    messages: VecDeque<ShardMessage>,
    receiver: Option<Waker>,
    closed: bool,
}

/// The inboxes of a node, shared by its shards.
#[derive(Clone)]
pub(crate) struct Inboxes {
    all: Arc<[Mutex<Inbox>]>,
}

impl Inboxes {
    /// Empty inboxes for `shards` shards.
    pub(crate) fn new(shards: u16) -> Self {
        Self { all: (0..shards).map(|_| Mutex::new(Inbox::default())).collect() }
    }

    /// The view of shard `this`. Dropping it closes the inbox.
    pub(crate) fn mailbox(&self, this: ShardId) -> Mailbox {
        assert!(usize::from(this.0) < self.all.len(), "a shard has an inbox");
        Mailbox { this, inboxes: self.clone(), taken: RefCell::new(VecDeque::new()) }
    }

    fn lock(&self, shard: ShardId) -> MutexGuard<'_, Inbox> {
        let inbox = self.all.get(usize::from(shard.0)).expect("messages go to shards of this node");
        inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One shard's view of its node's inboxes.
pub(crate) struct Mailbox {
    this: ShardId,
    inboxes: Inboxes,
    /// Messages already swapped out of the inbox, in order.
    taken: RefCell<VecDeque<ShardMessage>>,
}

impl Mailbox {
    fn poll_receive(&self, context: &Context<'_>) -> Poll<ShardMessage> {
        let mut taken = self.taken.borrow_mut();
        if taken.is_empty() {
            let mut inbox = self.inboxes.lock(self.this);
            std::mem::swap(&mut inbox.messages, &mut taken);
            if taken.is_empty() {
                inbox.receiver = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(taken.pop_front().expect("just found a message"))
    }
}

impl Shards for Mailbox {
    fn this(&self) -> ShardId {
        self.this
    }

    fn count(&self) -> u16 {
        u16::try_from(self.inboxes.all.len()).expect("made from a u16")
    }

    fn send(&self, to: ShardId, message: ShardMessage) {
        let mut inbox = self.inboxes.lock(to);
        if inbox.closed {
            return;
        }
        inbox.messages.push_back(message);
        let receiver = inbox.receiver.take();
        drop(inbox);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    fn receive(&self) -> Local<'_, ShardMessage> {
        Box::pin(std::future::poll_fn(|context| self.poll_receive(context)))
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut inbox = self.inboxes.lock(self.this);
        inbox.closed = true;
        let abandoned = std::mem::take(&mut inbox.messages);
        inbox.receiver = None;
        drop(inbox);
        drop(abandoned);
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("this", &self.this).finish_non_exhaustive()
    }
}
