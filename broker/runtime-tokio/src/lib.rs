//! The seam on tokio and Linux: one thread with a single-threaded tokio runtime per shard, real sockets, real files,
//! and threads for what would block. Not a place for broker logic; the binary and the contract suite drive it.
//!
//! - [`run`] starts the shards of a node, [`block_on_single`] one shard for a command-line tool.
//! - A shard's thread never waits for a device: what may do so goes to a thread of the pool (`pool`), and comes back as a
//!   wake-up. An operation starts at the first poll of its future; from then on dropping the future abandons the answer
//!   and nothing else.
//! - A panic in any task, job or thread ends the shard: [`run`] aborts the process, [`block_on_single`] panics.

mod clock;
mod dirty;
mod disk;
mod entropy;
mod file;
mod limit;
mod lock;
mod mailbox;
mod net;
mod node;
mod pool;
mod send_file;
mod shard;
mod signals;
mod stream;
mod sync;
mod tasks;

pub use limit::raise_descriptor_limit;
pub use node::{MakeObserver, NodeConfig, block_on_single, run};
pub use signals::{Signal, Signals};
