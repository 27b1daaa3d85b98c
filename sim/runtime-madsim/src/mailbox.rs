//! Messages between the shards of a simulated node: FIFO per sender, delayed and so reordered between senders.

use std::task::Poll;

use barnabas_base::ShardId;
use barnabas_runtime::{Local, ShardMessage, Shards};

use crate::env::Place;
use crate::key::ShardKey;

/// One shard's view of its node.
pub(crate) struct SimShards {
    place: Place,
}

impl SimShards {
    pub(crate) const fn new(place: Place) -> Self {
        Self { place }
    }
}

impl Shards for SimShards {
    fn this(&self) -> ShardId {
        self.place.key.shard
    }

    fn count(&self) -> u16 {
        let count = self.place.world.with_process(self.place.key.process, |process| process.shards.len());
        u16::try_from(count.unwrap_or(1)).expect("made from a u16")
    }

    fn send(&self, to: ShardId, message: ShardMessage) {
        let Place { world, key } = &self.place;
        assert!(to.0 < self.count() || !self.place.is_alive(), "messages go to shards of this node");
        let to = ShardKey { process: key.process, shard: to };
        let from = usize::from(key.shard.0);
        let now_ns = world.now_ns();
        let delay_ns = world.draw_ns("message", world.shared.config.message, key.entity(), self.place.next_ordinal());
        let arrival_ns = world.with_shard(to, |shard| {
            if shard.last_arrival_ns.len() <= from {
                shard.last_arrival_ns.resize(from + 1, 0);
            }
            let last = &mut shard.last_arrival_ns[from];
            *last = (now_ns + delay_ns).max(*last + 1);
            *last
        });
        let Some(arrival_ns) = arrival_ns else { return };
        world.schedule(arrival_ns - now_ns, "message", to.entity(), move |world| {
            let receiver = world.with_shard(to, |shard| {
                shard.inbox.push_back(message);
                shard.receiver.take()
            });
            if let Some(receiver) = receiver.flatten() {
                receiver.wake();
            }
        });
    }

    fn receive(&self) -> Local<'_, ShardMessage> {
        let Place { world, key } = &self.place;
        Box::pin(std::future::poll_fn(|context| {
            let message = world.with_shard(*key, |shard| {
                let message = shard.inbox.pop_front();
                if message.is_none() {
                    shard.receiver = Some(context.waker().clone());
                }
                message
            });
            message.flatten().map_or(Poll::Pending, Poll::Ready)
        }))
    }
}
