//! The shell: one broker made of shards, listeners, sessions, routing and long polls.
//!
//! It executes what the pure cores decide and names nothing of the world but [`barnabas_runtime::Env`], so that it runs
//! unchanged on threads and sockets and inside the simulator. The binary and the simulated world drive it:
//!
//! ```text
//!  connection ── dispatch ── api/* ── on(owner) ──► partition / coordinator      data shards 0..N
//!                                └──── decide() ──► controller ── metadata log   shard N
//! ```
//!
//! Invariants: requests of a connection take effect in the order of their arrival and are answered in that order. A
//! partition, a group, a metadata decision lives on exactly one shard; shards share nothing but messages. No shard waits
//! for another one's queue. Nothing is acknowledged before the log says so.

mod admission;
mod api;
mod apply;
mod background;
mod connection;
mod controller;
mod coordinator;
mod counters;
mod dispatch;
mod endpoint;
mod fetch_session;
mod frame;
mod homes;
mod leftovers;
mod listener;
mod log_dirs;
mod mail;
mod metadata_log;
mod node;
mod options;
mod partition;
mod producer_ids;
mod shard;
mod topic;
mod watch;

pub use counters::{Counters, ShardCounters};
pub use node::{Node, Outcome, Started};
pub use options::NodeOptions;
