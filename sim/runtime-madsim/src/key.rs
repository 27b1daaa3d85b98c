//! Names of nodes, processes, shards and tasks within a world.

use std::fmt;

use barnabas_base::{Incarnation, ShardId};

/// A machine of the world, with its disk and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One run of the process on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
}

/// One event loop of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShardKey {
    pub(crate) process: ProcessKey,
    pub(crate) shard: ShardId,
}

impl ShardKey {
    pub(crate) const fn node(self) -> NodeId {
        self.process.node
    }

    /// One number that names the shard in draws and in the trace.
    pub(crate) const fn entity(self) -> u64 {
        (self.process.node.0 as u64) << 48 | (self.shard.0 as u64) << 32 | self.process.incarnation.0 & 0xffff_ffff
    }
}

/// One task of a shard. Ordinal 0 is its main future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskKey {
    pub(crate) shard: ShardKey,
    pub(crate) ordinal: u64,
}
