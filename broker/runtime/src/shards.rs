//! Messages between the shards of one node.

use std::any::Any;

use barnabas_base::ShardId;

use crate::Local;

/// A message to another shard; the node downcasts it to its own type.
pub type ShardMessage = Box<dyn Any + Send>;

/// The other shards of this node. Messages are FIFO per (sender, receiver); the simulator delays and reorders between
/// senders. Sending never waits: admission is limited at the connections, so that queues cannot fill.
pub trait Shards {
    /// Which shard this is.
    fn this(&self) -> ShardId;
    /// How many shards the node has, this one included.
    fn count(&self) -> u16;
    /// Queues `message` for shard `to`. Messages to a shard that has ended are dropped.
    fn send(&self, to: ShardId, message: ShardMessage);
    /// The next message for this shard. One task of the shard receives.
    fn receive(&self) -> Local<'_, ShardMessage>;
}
