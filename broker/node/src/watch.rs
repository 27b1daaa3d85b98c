//! Long polls: who waits for which partition to grow, and how they are woken.
//!
//! A poll registers at each shard that owns one of its partitions; the shard of its connection completes it. A change of
//! a high watermark wakes only those who wait for that partition.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use barnabas_base::{Offset, ShardId, TopicPartition};
use barnabas_runtime::sync::Notify;

use crate::mail::Mail;
use crate::partition::Partition;
use crate::shard::Shard;

/// A long poll, as the shards that it waits on know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Watcher {
    pub(crate) origin: ShardId,
    pub(crate) id: u64,
}

/// A partition and what the poll has seen of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) partition: TopicPartition,
    pub(crate) bound_seen: Offset,
}

/// The long polls that began on this shard, and those of all shards that wait on its partitions.
#[derive(Default)]
pub(crate) struct Watches {
    next_id: Cell<u64>,
    own: RefCell<BTreeMap<u64, Rc<Notify>>>,
    registered: RefCell<BTreeMap<Watcher, Vec<TopicPartition>>>,
}

/// A long poll of this shard; dropping it forgets the poll.
pub(crate) struct Watch {
    shard: Rc<Shard>,
    id: u64,
    notify: Rc<Notify>,
    asked: RefCell<Vec<ShardId>>,
}

impl Watches {
    /// Wakes a poll of this shard; one that has ended is no loss.
    pub(crate) fn wake(&self, id: u64) {
        let notify = self.own.borrow().get(&id).cloned();
        if let Some(notify) = notify {
            notify.notify();
        }
    }
}

impl Watch {
    /// A poll that waits for nothing yet.
    pub(crate) fn new(shard: &Rc<Shard>) -> Self {
        let id = shard.watches.next_id.get();
        shard.watches.next_id.set(id + 1);
        let notify = Rc::new(Notify::new());
        shard.watches.own.borrow_mut().insert(id, Rc::clone(&notify));
        Self { shard: Rc::clone(shard), id, notify, asked: RefCell::new(Vec::new()) }
    }

    /// The counter to read before looking at the partitions.
    pub(crate) fn version(&self) -> u64 {
        self.notify.version()
    }

    /// Registers `watched` at their owner. A partition that moved on since it was looked at wakes at once.
    pub(crate) fn register(&self, owner: ShardId, watched: Vec<Watched>) {
        let watcher = Watcher { origin: self.shard.id, id: self.id };
        if !self.asked.borrow().contains(&owner) {
            self.asked.borrow_mut().push(owner);
        }
        drop(self.shard.on(owner, move |shard| {
            shard.register_watcher(watcher, watched);
            Box::pin(std::future::ready(()))
        }));
    }

    /// Resolves when something changed after `version` was read.
    pub(crate) async fn changed_since(&self, version: u64) {
        self.notify.changed_since(version).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shard.watches.own.borrow_mut().remove(&self.id);
        let watcher = Watcher { origin: self.shard.id, id: self.id };
        for owner in self.asked.take() {
            drop(self.shard.on(owner, move |shard| {
                shard.forget_watcher(watcher);
                Box::pin(std::future::ready(()))
            }));
        }
    }
}

impl Shard {
    fn register_watcher(self: &Rc<Self>, watcher: Watcher, watched: Vec<Watched>) {
        self.forget_watcher(watcher);
        let mut moved = false;
        let mut registered = Vec::with_capacity(watched.len());
        for Watched { partition: id, bound_seen } in watched {
            match self.partition(id) {
                Some(partition) if partition.log.high_watermark() <= bound_seen => {
                    partition.watchers.borrow_mut().insert(watcher);
                    registered.push(id);
                }
                Some(_) | None => moved = true,
            }
        }
        self.watches.registered.borrow_mut().insert(watcher, registered);
        if moved {
            barnabas_base::reachable!(self.env, LONG_POLL_MISSED_NOTHING);
            self.wake_watcher(watcher);
        }
    }

    fn forget_watcher(&self, watcher: Watcher) {
        let Some(partitions) = self.watches.registered.borrow_mut().remove(&watcher) else { return };
        for id in partitions {
            if let Some(partition) = self.partition(id) {
                partition.watchers.borrow_mut().remove(&watcher);
            }
        }
    }

    /// Wakes everybody who waits for `partition`. Each is woken once until it registers again.
    pub(crate) fn wake_watchers(self: &Rc<Self>, partition: &Partition) {
        let watchers = std::mem::take(&mut *partition.watchers.borrow_mut());
        for watcher in watchers {
            self.wake_watcher(watcher);
        }
    }

    fn wake_watcher(self: &Rc<Self>, watcher: Watcher) {
        if watcher.origin == self.id {
            self.watches.wake(watcher.id);
        } else {
            self.env.shards.send(watcher.origin, Box::new(Mail::Wake { watch: watcher.id }));
        }
    }
}
