//! Waiting within one shard: one-shot answers, bounded and unbounded queues, notifications. Single-threaded, FIFO, and
//! free of hidden randomness, so that the simulator and production wake the same tasks in the same order.

mod notify;
pub mod oneshot;
pub mod queue;

pub use notify::{Changed, Notify};
