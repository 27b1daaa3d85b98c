//! What shards of one node send each other, and how an answer finds its way back.
//!
//! Work for another shard is a closure that begins there: its synchronous part runs in the order of arrival, the future
//! it returns may wait. Nothing but messages crosses a thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use barnabas_base::ShardId;
use barnabas_runtime::sync::oneshot;
use barnabas_runtime::{Accepted, Local};

use crate::shard::Shard;

/// A value on its way from one shard to another.
pub(crate) type Parcel = Box<dyn Any + Send>;

/// Work that begins on the shard it is sent to.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Shard>) -> Local<'static, Parcel> + Send>;

/// A message between shards.
pub(crate) enum Mail {
    /// A connection to serve.
    Adopt { accepted: Accepted, listener: usize },
    /// Work to do; the answer goes back to `from` under `id`.
    Run { from: ShardId, id: u64, work: Work },
    /// The answer to work.
    Answer { id: u64, parcel: Parcel },
    /// Something that a long poll of this shard waits for has changed.
    Wake { watch: u64 },
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt { listener, .. } => write!(f, "Adopt(listener {listener})"),
            Self::Run { from, id, .. } => write!(f, "Run({from}, {id})"),
            Self::Answer { id, .. } => write!(f, "Answer({id})"),
            Self::Wake { watch } => write!(f, "Wake({watch})"),
        }
    }
}

/// Work that was sent away and not answered yet.
#[derive(Default)]
pub(crate) struct Outstanding {
    next_id: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Parcel>>>,
}

impl Outstanding {
    /// A fresh id and the receiver of its answer.
    pub(crate) fn begin(&self) -> (u64, oneshot::Receiver<Parcel>) {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        (id, receiver)
    }

    /// Hands an answer to whoever waits for it.
    pub(crate) fn answer(&self, id: u64, parcel: Parcel) {
        let sender = self.waiting.borrow_mut().remove(&id);
        sender.expect("every answer belongs to work that was sent").send(parcel);
    }
}

impl Shard {
    /// Runs `work` on shard `to`. On this shard its synchronous part runs before this call returns; elsewhere it runs
    /// in the order in which work was sent. Elsewhere the future only waits for the answer, and dropping it does not stop
    /// the work. On this shard it is the work: who must not be stopped half way, such as a request that changes something,
    /// calls from a task of its own.
    pub(crate) fn on<T: Send + 'static>(
        self: &Rc<Self>,
        to: ShardId,
        work: impl FnOnce(&Rc<Shard>) -> Local<'static, T> + Send + 'static,
    ) -> Local<'static, T> {
        if to == self.id {
            return work(self);
        }
        let (id, receiver) = self.outstanding.begin();
        let work: Work = Box::new(move |shard| {
            let running = work(shard);
            Box::pin(async move {
                let parcel: Parcel = Box::new(running.await);
                parcel
            })
        });
        self.env.shards.send(to, Box::new(Mail::Run { from: self.id, id, work }));
        Box::pin(async move {
            let Ok(parcel) = receiver.await else {
                // The shard is going down and took its outstanding work with it.
                return std::future::pending().await;
            };
            *parcel.downcast::<T>().expect("an answer has the type of its question")
        })
    }

    /// Runs `work` on every data shard and gathers the answers in the order of the shards.
    pub(crate) async fn on_all<T: Send + 'static>(
        self: &Rc<Self>,
        work: impl Fn(&Rc<Shard>) -> Local<'static, T> + Clone + Send + 'static,
    ) -> Vec<T> {
        let asked = (0..self.data_shards).map(|shard| self.on(ShardId(shard), work.clone())).collect();
        barnabas_runtime::join_all(asked).await
    }

    /// Handles one message.
    pub(crate) fn receive(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Adopt { accepted, listener } => self.adopt(accepted, listener),
            Mail::Run { from, id, work } => {
                let running = work(self);
                let shard = Rc::clone(self);
                self.env
                    .spawn("work of another shard", async move {
                        let parcel = running.await;
                        shard.env.shards.send(from, Box::new(Mail::Answer { id, parcel }));
                    })
                    .detach();
            }
            Mail::Answer { id, parcel } => self.outstanding.answer(id, parcel),
            Mail::Wake { watch } => self.watches.wake(watch),
        }
    }
}
