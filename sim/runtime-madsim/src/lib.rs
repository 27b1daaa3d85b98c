//! The seam on madsim: simulated nodes with shards, a network, disks and clocks, all driven by one seed. Knows nothing of
//! Kafka or of what the nodes do; scenarios (tests, `sim/world`) drive it.
//!
//! madsim gives the seeded process-wide hooks: real clocks and entropy answer simulated values, threads are refused. Its
//! own task queue, timers and generator are not used, because they draw from one shared stream: the world runs inside one
//! poll of madsim's root future, with a queue of events of its own, and moves madsim's clock by hand.
//!
//! What a run is made of:
//! - An event has a time and a place in the order of its instant, both keyed; time does not move within an event.
//! - A shard is one thread: one poll at a time, in the order of wake-ups, each charged CPU time, during which nothing else
//!   runs there. What production does on a shard's thread blocks the shard here too.
//! - A draw is a hash of the seed, what it is for, whom it concerns, the time and an ordinal of those it concerns: taking
//!   one event away leaves the draws on unrelated nodes as they were.
//! - Every handle carries its node's incarnation: nothing of a dead node touches the world again.

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs `--cfg madsim`, which `.cargo/config.toml` sets for the whole workspace: \
     a RUSTFLAGS variable in the environment hides it, and so does a build from outside the workspace"
);

mod clock;
mod config;
mod disk;
mod endpoint;
mod env;
mod fault;
mod file;
mod flips;
mod key;
mod link;
mod listener;
mod mailbox;
mod net;
mod node;
mod power;
mod queue;
mod shard;
mod stream;
mod tasks;
mod trace;
mod volume;
mod world;

pub use config::{Config, Span};
pub use fault::{DiskCall, DiskCallKind, DiskVerdict, PowerFate};
pub use key::NodeId;
pub use net::SlowWay;
pub use node::{DiskImage, Node};
pub use trace::TraceEvent;
pub use volume::Opens;
pub use world::{Busy, Observed, Panicked, World, elapsed, simulate};
