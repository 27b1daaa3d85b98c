//! The seam: everything a node may ask of the world, as a struct of trait objects called [`Env`].
//!
//! This crate names no clock, no socket and no file. `runtime-tokio` implements it on Linux, `runtime-madsim` in the
//! simulator, and no other room may know which of the two it runs on. Single-threaded: futures are `!Send`, values are
//! `Rc`; one `Env` belongs to one shard.
//!
//! The contract that both implementations keep, and that `contract` tests on both:
//!
//! - *Written is not durable.* [`File::write_at`] reaches the page cache; [`File::sync`] makes durable what was written
//!   before the sync was issued, nothing later. A new or renamed name is durable after [`Disk::sync_dir`].
//! - *A failed sync is final.* It is never retried: the pages may have been dropped and marked clean. The caller stops
//!   using the log directory.
//! - *Dropping a future abandons the answer, never the operation.* A started write, sync, rename or offload still
//!   happens. One owner a file, one mutating operation in flight a file.
//! - *A task handle aborts on drop* unless it was detached.

pub mod contract;
mod disk;
mod env;
mod net;
mod select;
mod shards;
pub mod sync;
mod tasks;

pub use disk::{DirEntry, Disk, File, FileHandle, FileKind, LockGuard, OpenMode, Space, file_name};
pub use env::{Clock, Entropy, Env, Observer, SharedObserver};
pub use net::{Accepted, Listener, Net, ReadHalf, Segment, Stream, WriteHalf};
pub use select::{Either, join_all, race};
pub use shards::{ShardMessage, Shards};
pub use tasks::{OffloadJob, TaskHandle, TaskState, Tasks};

/// A boxed future that stays on its shard.
pub type Local<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;
